"""What a run returns: the manifest, and how it prints."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import os


def format_bytes(count: float) -> str:
    """A number of bytes for people: `1.5 MB` is 1,500,000 bytes."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


@dataclass(frozen=True, kw_only=True)
class Report:
    """A finished run. `print(report)` shows the books.

    Attributes:
        folder: What was written.
        manifest: Contents of its `manifest.json`.
        seconds: How long this call took; not part of the manifest.
        was_finished: Whether the same run had finished before, so that nothing was done.
        was_resumed: Whether an earlier attempt was gone on with.
    """

    folder: Path
    manifest: dict[str, Any]
    seconds: float
    was_finished: bool
    was_resumed: bool

    @classmethod
    def from_run(cls, folder: str | os.PathLike[str], result: tuple[str, bool, bool], seconds: float) -> Self:
        """Wraps what the core returns."""
        manifest, was_finished, was_resumed = result
        return cls(
            folder=Path(folder),
            manifest=json.loads(manifest),
            seconds=seconds,
            was_finished=was_finished,
            was_resumed=was_resumed,
        )

    @property
    def ledger(self) -> dict[str, Any]:
        """Where every document and token went (see `rust/bloomdata-core/src/ledger.rs`)."""
        ledger: dict[str, Any] = self.manifest["ledger"]
        return ledger

    @property
    def outputs(self) -> list[dict[str, Any]]:
        """Files written: path, size, hash, counts."""
        outputs: list[dict[str, Any]] = self.manifest["outputs"]
        return outputs

    @property
    def fingerprint(self) -> str:
        """Hash over all outputs: equal fingerprints mean equal data."""
        return str(self.manifest["fingerprint"])

    def to_json(self) -> dict[str, Any]:
        """For scripts: the manifest and how the run went."""
        return {
            "folder": str(self.folder),
            "seconds": self.seconds,
            "was_finished": self.was_finished,
            "was_resumed": self.was_resumed,
            "manifest": self.manifest,
        }

    def __str__(self) -> str:
        rows = [("documents in", f"{self.ledger['documents_in']:,}")]
        rows += [("  kept", f"{self.ledger['documents_kept']:,}")]
        rows += [(f"  dropped: {why}", f"{n:,}") for why, n in self.ledger["documents_dropped"].items()]
        rows += [(f"  quarantined: {why}", f"{n:,}") for why, n in self.ledger["documents_quarantined"].items()]
        rows += self._rows()
        size = sum(output["size"] for output in self.outputs)
        rows += [("files written", f"{len(self.outputs):,}"), ("bytes written", format_bytes(size))]
        rows += [("fingerprint", self.fingerprint[:16])]
        width = max(len(name) for name, _ in rows)
        value_width = max(len(value) for _, value in rows)
        lines = [f"{self.manifest['verb']} -> {self.folder}: {self._state()}"]
        lines += [f"  {name:<{width}}  {value:>{value_width}}" for name, value in rows]
        if ignored := self.manifest["ignored_inputs"]:
            lines.append(
                f"  not read (hidden, set aside, or of no known format): {len(ignored)} file(s), e.g. {ignored[0]}"
            )
        return "\n".join(lines)

    def _state(self) -> str:
        if self.was_finished:
            return "finished before, inputs unchanged, nothing to do"
        rate = self.ledger["bytes_in"] / max(self.seconds, 1e-9)
        resumed = ", resumed" if self.was_resumed else f", {format_bytes(rate)}/s of input"
        return f"{self.seconds:.1f} s{resumed}"

    def _rows(self) -> list[tuple[str, str]]:
        return []


class ShardReport(Report):
    """What `shard` returns."""

    def _rows(self) -> list[tuple[str, str]]:
        return [("input", format_bytes(self.ledger["bytes_in"]))]


class PackReport(Report):
    """What `pack` returns."""

    @property
    def metrics(self) -> dict[str, int]:
        """Counts of rows and of what is in them (HDF5); empty for Megatron files."""
        metrics: dict[str, int] = self.manifest["details"].get("metrics", {})
        return metrics

    def _rows(self) -> list[tuple[str, str]]:
        ledger = self.ledger
        rows = [("text", format_bytes(ledger["text_bytes"])), ("tokens in", f"{ledger['tokens_in']:,}")]
        rows += [("  padding", f"{ledger['tokens_padding']:,}")]
        for name in ("truncated", "dropped"):
            if ledger[f"tokens_{name}"]:
                rows.append((f"  {name}", f"{ledger[f'tokens_{name}']:,}"))
        rows += [("tokens out", f"{ledger['tokens_out']:,}")]
        if tokenizer := self.manifest["details"].get("tokenizer"):
            rows.append(("tokenizer", f"{tokenizer['backend']}, {tokenizer['vocab_size']:,} ids"))
        return rows


class MergeReport(PackReport):
    """What `merge` returns."""
