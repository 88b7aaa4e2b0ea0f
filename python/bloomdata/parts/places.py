"""Where the parts of a run lie: in a local folder, or in a store."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Protocol

from bloomdata.errors import ConfigError
from bloomdata.options.checks import byte_count
from bloomdata.options.paths import is_address, whole_address
from bloomdata.parts.local_place import LocalPlace
from bloomdata.parts.store_place import StorePlace
from bloomdata.storage.staging import SCRATCH_LIMIT, scratch_folder

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from bloomdata.options.inputs import OnProgress
    from bloomdata.options.running import Limits
    from bloomdata.parts.signs import Progress


class Place(Protocol):
    """A folder that holds the parts of a run."""

    def is_planned(self) -> bool:
        """Whether there is a plan."""

    def finished(self, parts: int) -> set[int]:
        """Numbers of the parts that have a manifest."""

    def done(self, finished: set[int], parts: int) -> Progress:
        """What finished parts have done."""

    def forget(self, names: set[str]) -> None:
        """Removes the signs of parts that are about to run."""

    def discard(self) -> None:
        """Removes what parts have left."""

    def counts(self) -> Place:
        """The place of what a counting phase leaves."""

    def bring_counts(self) -> None:
        """Puts what a counting phase has left where a part finds it."""

    def run(self, function: Callable[..., Any], arguments: dict[str, Any], number: int) -> Any:
        """Runs a part; its report."""

    def finish(self, *, joined: bool, limits: Limits, on_progress: OnProgress) -> Any:
        """Makes one folder of the parts; the report of the run."""

    def beats(self) -> dict[str, Progress]:
        """How far the parts are that are running, by their names."""

    def total_bytes(self) -> int:
        """Bytes of all inputs as stored; 0 as long as nothing is planned."""


def place_of(
    output: str, scratch: str | os.PathLike[str] | None = None, scratch_limit: int | str = SCRATCH_LIMIT
) -> Place:
    """The place of an output."""
    if not is_address(output):
        return LocalPlace(output)
    address = whole_address(output)
    if address.startswith(("http://", "https://")):
        raise ConfigError(f"output: expected a path on this machine, or one in a store such as s3://, got {output!r}")
    local = scratch_folder(scratch) / hashlib.sha256(address.encode()).hexdigest()[:16]
    return StorePlace(address, local, byte_count("scratch_limit", scratch_limit))
