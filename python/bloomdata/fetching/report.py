"""What `fetch` returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bloomdata.reports.units import format_bytes

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class FetchReport:
    """What is in a folder now. `print(report)` shows it.

    Attributes:
        folder: Where the files are.
        files: One entry for each file of the call, in its order: `url`, `file`, `size` in bytes, `sha256`, `checked`
            (the checksum that it was compared with, or None); with `decompress` also `unpacked`: `file`, `size`,
            `sha256`.
        missing: Addresses where no file was.
        num_fetched: How many of the files were not there before this call.
        seconds: How long it took.
    """

    folder: Path
    files: list[dict[str, Any]]
    missing: list[str]
    num_fetched: int
    seconds: float

    @property
    def paths(self) -> list[Path]:
        """The files, unpacked where they were: inputs of `prepare`, `shard` and `pack`."""
        return [self.folder / entry.get("unpacked", entry)["file"] for entry in self.files]

    def to_json(self) -> dict[str, Any]:
        """For scripts."""
        names = ("files", "missing", "num_fetched", "seconds")
        return {"folder": str(self.folder), **{name: getattr(self, name) for name in names}}

    def __str__(self) -> str:
        size = format_bytes(sum(entry["size"] for entry in self.files))
        checked = sum(entry["checked"] is not None for entry in self.files)
        head = f"fetch -> {self.folder}: {len(self.files)} files, {size}, {self.num_fetched} of them new"
        lines = [f"{head}, {checked} compared with checksums"]
        return "\n".join([*lines, *(f"  not there: {url}" for url in self.missing)])
