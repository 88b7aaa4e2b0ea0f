"""Parts in a folder that every process sees."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomdata import _core
from bloomdata.errors import ConfigError
from bloomdata.manifest import JOURNAL_NAME, MANIFEST_NAME
from bloomdata.options.running import running
from bloomdata.parts.boards import SIGN_NAME
from bloomdata.parts.counting import COUNTS_NAME
from bloomdata.parts.sharing import BEFORE_PARTS, PLAN_NAME, part_name
from bloomdata.parts.signs import (
    Progress,
    Signs,
    done_by,
    input_bytes,
    planned_parts,
    progress_of,
    read_plan,
    read_signs,
    remove_signs,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bloomdata.options.inputs import OnProgress
    from bloomdata.options.running import Limits
    from bloomdata.storage.staging import Staging


# What `dedup` has decided, beside its parts.
_DECISIONS_NAME = "decisions"


def _outputs(folder: Path) -> list[str]:
    """Names of the outputs of a finished folder, in it; of any other one, none."""
    path = folder / MANIFEST_NAME
    return [output["path"] for output in json.loads(path.read_bytes())["outputs"]] if path.exists() else []


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
        """As `Place`. Nothing is removed where something else would stay and stand in the way.

        Raises:
            ConfigError: The folder holds something that no run in parts has left.
        """
        if others := list(self._others()):
            raise ConfigError(
                f"output: {self.root} holds {others[0]}, which no run in parts has left there; nothing was removed"
            )
        self._remove_signs()
        _core.discard_parts(self.root)

    def _others(self) -> Iterator[str]:
        """What no run in parts has left, in the folder and in those of finished parts."""
        parts = planned_parts(self.root)
        if parts is None:
            return
        known = {
            PLAN_NAME,
            MANIFEST_NAME,
            _DECISIONS_NAME,
            *BEFORE_PARTS,
            *(part_name(number, parts) for number in range(parts)),
        }
        known |= {name.partition("/")[0] for name in _outputs(self.root)}
        for path in sorted(self.root.iterdir()):
            name = path.name
            if name not in known and not SIGN_NAME.fullmatch(name) and not name.startswith(PLAN_NAME):
                yield name
            elif name.startswith("part-") and (path / MANIFEST_NAME).exists():
                own = {MANIFEST_NAME, JOURNAL_NAME, *(inner.partition("/")[0] for inner in _outputs(path))}
                yield from (f"{name}/{inner.name}" for inner in sorted(path.iterdir()) if inner.name not in own)

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
        own = {"part": number, "output": os.fspath(self.root), "on_progress": on_progress}
        with signs.watch():
            return function(**arguments | own)

    def finish(self, *, joined: bool, limits: Limits, on_progress: OnProgress) -> Any:
        """As `Place`."""
        from bloomdata.reports.report import Report

        start = time.monotonic()
        options = running(self.root, 1, overwrite=False, limits=limits)
        with self._in_turn():
            result = _core.finish(options, joined, self._stored, on_progress)
        self._remove_signs()
        return type(Report.open(self.root)).from_run(self.root, result, time.monotonic() - start)

    @contextlib.contextmanager
    def _in_turn(self) -> Iterator[None]:
        """Whoever else ends the run on this machine waits."""
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):
                plan = stack.enter_context((self.root / PLAN_NAME).open("rb"))
                fcntl.flock(plan, fcntl.LOCK_EX)
            yield

    def beats(self) -> dict[str, Progress]:
        """As `Place`."""
        return progress_of(read_signs(self.root))

    def total_bytes(self) -> int:
        """As `Place`."""
        return input_bytes(read_plan(self.root))
