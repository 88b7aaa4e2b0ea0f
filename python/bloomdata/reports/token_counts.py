"""Token counts of inputs: for each file, for each argument, and in total."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

_COUNTS = ("documents", "text_bytes", "tokens", "dropped", "bad")


# With more files than this, a table shows sources by default.
MANY_FILES = 20


@dataclass(frozen=True, kw_only=True)
class TokenCounts:
    """Token counts of inputs. `print(counts)` shows a table.

    Attributes:
        inputs: One entry for each file, in the order of reading: `path`, and the five counts below.
        sources: The sum for each argument, as it was given: `source`, `files`, and the five counts.
        documents: Number of records that have tokens.
        text_bytes: Size of their texts in UTF-8.
        tokens: Number of their tokens.
        dropped: Number of valid records without text: blank lines, empty texts.
        bad: Number of records that cannot become documents; 0 unless `on_bad_record="quarantine"`.
    """

    inputs: list[dict[str, Any]]
    sources: list[dict[str, Any]]
    documents: int
    text_bytes: int
    tokens: int
    dropped: int
    bad: int

    def to_json(self) -> dict[str, Any]:
        """The counts as plain values for JSON."""
        return {name: getattr(self, name) for name in ("inputs", "sources", *_COUNTS)}

    def table(self, by: Literal["file", "source"] | None = None) -> str:
        """A table with the totals in its last line.

        Args:
            by: Unit of a line: `file` or `source`; by default `file` for up to 20 files.
        """
        if by is None:
            by = "file" if len(self.inputs) <= MANY_FILES else "source"
        name, entries = ("path", self.inputs) if by == "file" else ("source", self.sources)
        total = {name: "total", **{count: getattr(self, count) for count in _COUNTS}}
        shown = ["documents", "text_bytes", "tokens", *(count for count in ("dropped", "bad") if total[count])]
        heads = [name, *("bytes" if count == "text_bytes" else count for count in shown), "bytes per token"]
        rows = [heads]
        for entry in (*entries, total):
            ratio = f"{entry['text_bytes'] / entry['tokens']:.3f}" if entry["tokens"] else "-"
            rows.append([entry[name], *(f"{entry[count]:,}" for count in shown), ratio])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            f"{row[0]:<{widths[0]}}"
            + "".join(f"  {cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
            for row in rows
        )

    def __str__(self) -> str:
        return self.table()


def token_counts(files: list[dict[str, Any]], arguments: list[str]) -> TokenCounts:
    """Counts of files, summed for each argument and in total."""
    names = [arguments[file.pop("argument")] for file in files]
    totals = {name: sum(file[name] for file in files) for name in _COUNTS}
    return TokenCounts(inputs=files, sources=_added_up(files, names), **totals)


def _added_up(files: list[dict[str, Any]], names: list[str]) -> list[dict[str, Any]]:
    sources: dict[str, dict[str, Any]] = {}
    for file, name in zip(files, names, strict=True):
        source = sources.setdefault(name, {"source": name, "files": 0, **dict.fromkeys(_COUNTS, 0)})
        source["files"] += 1
        for count_name in _COUNTS:
            source[count_name] += file[count_name]
    return list(sources.values())
