"""What `evaluate` returns."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class EvaluationReport:
    """The scores of a model.

    Attributes:
        model: As it was given.
        data: For each packed data set: `loss` in nats a target token, `perplexity`, `targets`, and `bits_per_byte` if
            the tokenizer is known.
        tasks: For each metric of each task: `task`, `metric`, `filter`, `score`, `score_with_flagged`, `documents`,
            `flagged` documents, which do not count, and `is_higher_better`.
    """

    model: str
    data: dict[str, dict[str, float]]
    tasks: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """The report as plain values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        tables = []
        if self.data:
            columns = {"loss": ",.5g", "perplexity": ",.5g", "bits_per_byte": ",.5g", "targets": ",.0f"}
            rows = [
                [path, *(format(found[name], form) if name in found else "-" for name, form in columns.items())]
                for path, found in self.data.items()
            ]
            tables.append(_table(["data", *(name.replace("_", " ") for name in columns)], rows))
        if self.tasks:
            rows = [
                [
                    score["task"],
                    score["metric"] + (f" ({score['filter']})" if score["filter"] != "none" else ""),
                    f"{score['score']:.4f}",
                    *([f"{score['score_with_flagged']:.4f}", f"{score['flagged']:,}"] if self._has_flagged else []),
                    f"{score['documents']:,}",
                ]
                for score in self.tasks
            ]
            more = ["with flagged", "flagged"] if self._has_flagged else []
            tables.append(_table(["task", "metric", "score", *more, "documents"], rows))
        return "\n\n".join([f"{self.model}", *tables])

    @property
    def _has_flagged(self) -> bool:
        return any(score["flagged"] for score in self.tasks)


def _table(heads: list[str], rows: list[list[str]]) -> str:
    """Columns of text: the first to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if at == 0 or not rows[0][at][:1].isdigit() else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (heads, *rows)
    )
