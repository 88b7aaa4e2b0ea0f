"""What a conversion returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bloomdata.reports.units import format_bytes

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class ConversionReport:
    """The result of a conversion.

    Attributes:
        folder: The output folder.
        files: Number of files in it, the manifest `convert.json` not counted.
        bytes: Size of these files.
        tensors: Number of tensors that were read from the source.
        drift: Tensors that should be equal on all ranks and are not, with the largest difference between two ranks.
            The output has their mean.
        left_out: Tensors of the source that are no weights of the model, such as the state of an optimizer.
        max_logit_difference: Largest difference between logits of source and output on random ids, None if they were
            not compared.
    """

    folder: Path
    files: int
    bytes: int
    tensors: int
    drift: dict[str, float]
    left_out: tuple[str, ...]
    max_logit_difference: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The report as plain values for JSON."""
        return {**vars(self), "folder": str(self.folder), "left_out": list(self.left_out)}

    def __str__(self) -> str:
        lines = [f"{self.folder}: {self.tensors:,} tensors, {self.files:,} files, {format_bytes(self.bytes)}"]
        if self.drift:
            name, difference = max(self.drift.items(), key=lambda item: item[1])
            lines.append(
                f"  {len(self.drift):,} replicated tensors differed between ranks and were averaged; "
                f"largest difference {difference:.3g} in {name}"
            )
        if self.left_out:
            lines.append(f"  {len(self.left_out):,} tensors left out, the first is {self.left_out[0]}")
        if self.max_logit_difference is not None:
            lines.append(f"  logits compared: largest difference {self.max_logit_difference:.3g}")
        return "\n".join(lines)


def report_of(folder: Path, manifest: dict[str, Any]) -> ConversionReport:
    """The report that a manifest holds."""
    return ConversionReport(
        folder=folder,
        files=len(manifest["outputs"]),
        bytes=sum(file["bytes"] for file in manifest["outputs"]),
        tensors=manifest["tensors"],
        drift=manifest["drift"],
        left_out=tuple(manifest["left_out"]),
    )
