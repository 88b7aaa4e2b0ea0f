"""Parts in a folder that every process sees."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomdata import _core
from bloomdata.manifest import JOURNAL_NAME, MANIFEST_NAME
from bloomdata.options.running import running
from bloomdata.parts.counting import COUNTS_NAME
from bloomdata.parts.sharing import PLAN_NAME, part_name
from bloomdata.parts.signs import (
    Progress,
    Signs,
    done_by,
    input_bytes,
    progress_of,
    read_plan,
    read_signs,
    remove_signs,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from bloomdata.options.inputs import OnProgress
    from bloomdata.options.running import Limits
    from bloomdata.storage.staging import Staging


class LocalPlace:
    """A folder that every process sees, on this machine or by NFS.

    Args:
        root: The folder.
        stored: If it stands in for one in a store: the address, and what brings the tokens of pairs.
    """

    def __init__(self, root: str, stored: tuple[str, Staging] | None = None) -> None:
        self.root = Path(root)
        self._stored = stored

    def finished(self, parts: int) -> set[int]:
        """As `Place`. A part that was killed behind its manifest has a journal still, which running it removes."""
        folders = {number: self.root / part_name(number, parts) for number in range(parts)}
        return {
            number
            for number, folder in folders.items()
            if (folder / MANIFEST_NAME).exists() and not (folder / JOURNAL_NAME).exists()
        }

    def is_planned(self) -> bool:
        """As `Place`."""
        return (self.root / PLAN_NAME).exists()

    def done(self, finished: set[int], parts: int) -> Progress:
        """As `Place`."""
        manifests = ((self.root / part_name(number, parts) / MANIFEST_NAME).read_bytes() for number in finished)
        return sum((done_by(json.loads(manifest)) for manifest in manifests), Progress())

    def forget(self, names: set[str]) -> None:
        """As `Place`."""
        remove_signs(self.root, names)

    def discard(self) -> None:
        """As `Place`."""
        self._remove_signs()
        _core.discard_parts(self.root)

    def _remove_signs(self) -> None:
        for root in (self.root, self.root / COUNTS_NAME):
            remove_signs(root)

    def counts(self) -> LocalPlace:
        """As `Place`."""
        return LocalPlace(os.fspath(self.root / COUNTS_NAME))

    def bring_counts(self) -> None:
        """As `Place`; it is there."""

    def run(self, function: Callable[..., Any], arguments: dict[str, Any], number: int) -> Any:
        """As `Place`. Signs of the part lie beside its folder."""
        signs = Signs(self.root, number, arguments["parts"])
        on_progress = signs.beat(arguments.get("on_progress"))
        try:
            own = {"part": number, "output": os.fspath(self.root), "on_progress": on_progress}
            report = function(**arguments | own)
        except Exception as error:
            signs.failed(error)
            raise
        signs.remove()
        return report

    def finish(self, *, joined: bool, limits: Limits, on_progress: OnProgress) -> Any:
        """As `Place`."""
        from bloomdata.reports.report import Report

        start = time.monotonic()
        options = running(self.root, 1, overwrite=False, limits=limits)
        result = _core.finish(options, joined, self._stored, on_progress)
        self._remove_signs()
        return type(Report.open(self.root)).from_run(self.root, result, time.monotonic() - start)

    def beats(self) -> dict[str, Progress]:
        """As `Place`."""
        return progress_of(read_signs(self.root))

    def total_bytes(self) -> int:
        """As `Place`."""
        return input_bytes(read_plan(self.root))
