"""What the functions of retrieval return."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from bloomdata.reports.units import format_bytes

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class IndexReport:
    """The result of `build`.

    Attributes:
        folder: The folder.
        documents: Documents with text.
        documents_empty: Documents without.
        passages: Passages of them.
        encoder: Kind of the encoder.
        index: `scan`, `flat` or `ivf`.
        bytes: Size of all files.
        was_finished: Whether an earlier call had done everything.
        was_resumed: Whether an earlier call had done a part.
    """

    folder: str
    documents: int
    documents_empty: int
    passages: int
    encoder: str
    index: str
    bytes: int
    was_finished: bool
    was_resumed: bool

    @classmethod
    def of(
        cls, folder: Path, manifest: dict[str, Any], *, was_finished: bool = False, was_resumed: bool = False
    ) -> Self:
        """The report that a manifest holds."""
        ledger, details = manifest["ledger"], manifest["details"]
        return cls(
            folder=str(folder),
            documents=ledger["documents_kept"],
            documents_empty=ledger["documents_in"] - ledger["documents_kept"],
            passages=details["passages"],
            encoder=manifest["config"]["encoder"]["kind"],
            index=details["index"],
            bytes=sum(file["size"] for file in manifest["outputs"]),
            was_finished=was_finished,
            was_resumed=was_resumed,
        )

    def to_json(self) -> dict[str, Any]:
        """The report as plain values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        empty = f", {self.documents_empty:,} without text" if self.documents_empty else ""
        before = " (finished before)" if self.was_finished else " (resumed)" if self.was_resumed else ""
        return (
            f"{self.folder}{before}: {self.passages:,} passages of {self.documents:,} documents{empty}; "
            f"encoder {self.encoder}, {self.index}, {format_bytes(self.bytes)}"
        )


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A passage that was found, with the neighbours that belong to it.

    Attributes:
        id: Of the passage, to cite it: `docs.jsonl:13#2` for passage 2 of the document in line 13.
        score: Cosine with the query.
        text: Of the passage and its neighbours.
        source: File of the document.
        line: Line or row of the document in it, from 1.
        document: Number of the document.
        first: Number of the first passage in `text`.
        last: Number of the last.
    """

    id: str
    score: float
    text: str
    source: str
    line: int
    document: int
    first: int
    last: int


@dataclass(frozen=True, kw_only=True)
class Hits:
    """The result of `query`: the query and its hits, the best first."""

    query: str
    hits: list[Hit]

    def to_json(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        shown = (f"{hit.score:.3f}  {hit.id}\n  {hit.text.strip()}" for hit in self.hits)
        return "\n".join(shown)
