"""The result of `fetch`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bloomdata.reports.units import format_bytes

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class FetchReport:
    """The files in a folder after `fetch`. `print(report)` shows a summary.

    Attributes:
        folder: The folder of the files.
        files: One entry for each file of the call, in order: `url`, `file`, `size` in bytes, `sha256`, `checked`
            (the checksum that it was compared with, or None); with `decompress` also `unpacked`: `file`, `size`,
            `sha256`.
        missing: URLs of files that do not exist.
        num_fetched: Number of files that were fetched by this call.
        seconds: Duration of this call.
    """

    folder: Path
    files: list[dict[str, Any]]
    missing: list[str]
    num_fetched: int
    seconds: float

    @property
    def paths(self) -> list[Path]:
        """Paths of the files, unpacked ones if any: inputs of `prepare`, `shard` and `pack`."""
        return [self.folder / entry.get("unpacked", entry)["file"] for entry in self.files]

    def to_json(self) -> dict[str, Any]:
        """The report as plain values for JSON."""
        names = ("files", "missing", "num_fetched", "seconds")
        return {"folder": str(self.folder), **{name: getattr(self, name) for name in names}}

    def __str__(self) -> str:
        size = format_bytes(sum(entry["size"] for entry in self.files))
        checked = sum(entry["checked"] is not None for entry in self.files)
        head = f"fetch -> {self.folder}: {len(self.files)} files, {size}, {self.num_fetched} of them new"
        lines = [f"{head}, {checked} compared with checksums"]
        return "\n".join([*lines, *(f"  missing: {url}" for url in self.missing)])
