"""Bars, curves and tables of the web page of a report. All text is escaped here.

Bars are SVG with widths in percent and without text, so that they fit any screen; all numbers are in the table below.
"""

from __future__ import annotations

import html
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Parts of a percent. Positions on a bar are whole numbers of parts, so that all widths add up to 100 %.
_PARTS = 10_000


class Segment(NamedTuple):
    """Part of a bar: its name, size, and colour (a class in `html_style`)."""

    name: str
    size: int
    colour: str


class Cell(NamedTuple):
    """A name, and optionally a note below it, a bar (0 to 1), or a swatch."""

    name: str
    note: str = ""
    bar: float | None = None
    colour: str = ""
    swatch: bool = False


def escape(text: object) -> str:
    r"""Text escaped for HTML; invisible characters (control characters, direction overrides) appear as `\x1b`."""
    seen = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in str(text))
    return html.escape(seen)


def share(part: int, whole: int) -> str:
    """A share in percent, which shows 0 or 100 only if it is exact."""
    if not whole:
        return "-"
    hundredths = (part * 20_000 + whole) // (2 * whole)
    if hundredths == 0 < part:
        return "<0.01%"
    if hundredths == 10_000 and part < whole:
        return ">99.99%"
    return f"{hundredths // 100}.{hundredths % 100:02}%"


def stacked_bar(identity: str, title: str, segments: Iterable[Segment], head: Sequence[str]) -> str:
    """A bar of all segments that are not empty, and their table; an empty string if there are none."""
    found = [segment for segment in segments if segment.size]
    total = sum(segment.size for segment in found)
    if not total:
        return ""
    places = [100 * _PARTS * before // total for before in accumulate((s.size for s in found), initial=0)]
    rects = []
    for segment, (start, end) in zip(found, pairwise(places), strict=True):
        hint = f"{segment.name}: {segment.size:,} ({share(segment.size, total)})"
        place = f'x="{_percent(start)}" width="{_percent(end - start)}" height="100%"'
        rects.append(f'<rect class="{segment.colour}" {place}><title>{escape(hint)}</title></rect>')
    parts = ", ".join(f"{segment.name} {share(segment.size, total)}" for segment in found)
    svg = (
        f'<svg class="balance" width="100%" height="28" role="img" aria-labelledby="{identity}-t {identity}-d">'
        f'<title id="{identity}-t">{escape(title)}</title><desc id="{identity}-d">{escape(parts)}</desc>'
        f"{''.join(rects)}</svg>"
    )
    rows = [
        (Cell(segment.name, colour=segment.colour, swatch=True), f"{segment.size:,}", share(segment.size, total))
        for segment in found
    ]
    return f"<figure>{svg}{table(title, head, rows)}</figure>"


def curve(identity: str, title: str, points: Iterable[tuple[float, float]], *, mark: float) -> str:
    """A curve from (0, 0) over points from 0 to 1, and a vertical line at `mark`. Its numbers are for a table."""
    places = " ".join(f"{200 * x:.2f},{100 - 100 * y:.2f}" for x, y in [(0.0, 0.0), *points])
    at = f"{200 * mark:.2f}"
    return (
        f'<svg class="curve" viewBox="-1 -1 202 102" role="img" aria-labelledby="{identity}-t">'
        f'<title id="{identity}-t">{escape(title)}</title><path class="axes" d="M0 0V100H200"/>'
        f'<path class="mark" d="M{at} 0V100"/><polyline points="{places}"/></svg>'
    )


def _percent(parts: int) -> str:
    return f"{parts // _PARTS}.{parts % _PARTS:04}%"


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Cell | str]], *, kind: str = "") -> str:
    """A table whose first column has the names of rows; the other columns are numbers.

    Args:
        caption: Caption for screen readers; not shown, since the heading says the same.
        head: Names of the columns; not shown if all are empty.
        rows: Cells; a plain string is a cell with only a name.
        kind: Classes in `html_style`: `stack` for long names, which narrow screens show above their numbers.
    """
    columns = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    top = f"<thead><tr>{columns}</tr></thead>\n" if any(head) else ""
    body = "".join(
        f'<tr><th scope="row">{_inside(row[0])}</th>{"".join(map(_cell, head[1:], row[1:]))}</tr>\n' for row in rows
    )
    return (
        f'<div class="scroll"><table class="{kind}"><caption>{escape(caption)}</caption>\n'
        f"{top}<tbody>\n{body}</tbody></table></div>"
    )


def _cell(column: str, cell: Cell | str) -> str:
    kind = ' class="bar"' if isinstance(cell, Cell) and cell.bar is not None else ""
    return f'<td{kind} data-column="{escape(column)}">{_inside(cell)}</td>'


def _inside(cell: Cell | str) -> str:
    if isinstance(cell, str):
        return escape(cell)
    swatch = ""
    if cell.swatch:
        rect = f'<rect class="{cell.colour}" width="100%" height="100%"/>'
        swatch = f'<svg class="swatch" width="12" height="12" aria-hidden="true">{rect}</svg>'
    note = f"<small>{escape(cell.note)}</small>" if cell.note else ""
    bar = ""
    if cell.bar is not None:
        rect = f'<rect class="{cell.colour}" width="{_percent(int(100 * _PARTS * cell.bar))}" height="100%"/>'
        bar = f'<svg class="part" width="100%" height="8" aria-hidden="true">{rect}</svg>'
    return f"{swatch}{escape(cell.name)}{note}{bar}"
