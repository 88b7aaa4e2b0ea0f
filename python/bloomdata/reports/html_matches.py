"""Rows of evaluations beside what documents have of them, for the web page of a report. All text is escaped here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bloomdata.reports.html_charts import Cell, escape, share, table

if TYPE_CHECKING:
    from collections.abc import Sequence

# Characters of each text that are shown.
_CHARACTERS = 2000


def sets_section(sets: Sequence[dict[str, Any]]) -> str:
    """A table of the evaluation files."""
    rows = [
        (
            Cell(entry["path"]),
            f"{entry['rows']:,}",
            f"{entry['rows_too_short']:,}",
            f"{entry['rows_found']:,}",
            share(entry["rows_found"], entry["rows"]),
            f"{entry['documents']:,}",
        )
        for entry in sets
    ]
    return table("Evaluations", ("file", "rows", "too short", "found", "of all", "documents"), rows, kind="stack")


def matches_section(matches: Sequence[dict[str, Any]], total: int) -> str:
    """The first matches, row and document beside each other.

    Args:
        matches: Lines of `contamination.jsonl`.
        total: How many there are in all.
    """
    if not matches:
        return ""
    blocks = "\n".join(_match(match) for match in matches)
    hidden = total - len(matches)
    more = f'<p class="muted">and {hidden:,} more, which contamination.jsonl lists</p>' if hidden > 0 else ""
    return blocks + more


def _match(match: dict[str, Any]) -> str:
    document, row = match["document"], match["row"]
    facts = f"score {match['score']:.3f}"
    if (answer := match.get("answer_score")) is not None:
        facts += f", of the answer {answer:.3f}"
    sides = (
        (f"{row['file']}: {row['id']} ({row['part']})", match["row_text"]),
        (f"{document['file']}: line {document['line']}", match["document_text"]),
    )
    columns = "".join(
        f"<div><small>{escape(name)}</small><blockquote>{escape(_shortened(text))}</blockquote></div>"
        for name, text in sides
    )
    return f'<div class="match"><small>{escape(facts)}</small><div class="sides">{columns}</div></div>'


def _shortened(text: str) -> str:
    """A text on one line, up to a limit."""
    words = " ".join(text.split())
    return words if len(words) <= _CHARACTERS else f"{words[:_CHARACTERS]} ..."
