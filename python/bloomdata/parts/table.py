"""How far the parts of a run are."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Literal, NamedTuple

from bloomdata.errors import ConfigError
from bloomdata.parts.places import place_of
from bloomdata.parts.sharing import BEFORE_PARTS, part_name
from bloomdata.parts.signs import planned_parts, read_signs
from bloomdata.storage.addresses import inside

if TYPE_CHECKING:
    import os

# Numbers of parts that a line names at most.
_MAX_TOLD = 20


class Row(NamedTuple):
    """A part: its state, and what is known of it."""

    part: int
    state: Literal["done", "running", "failed", "missing"]
    detail: str


def read_table(root: str | os.PathLike[str]) -> list[Row]:
    """All parts of a run, in order.

    Args:
        root: The folder that holds the parts, or its address.

    Raises:
        ConfigError: The folder holds no parts.
        OSError: A store reports an error.
    """
    parts = planned_parts(root)
    if parts is None:
        before = [name for name in BEFORE_PARTS if planned_parts(inside(str(root), name)) is not None]
        hint = f" (those of the phase before them are in {inside(str(root), before[0])})" if before else ""
        raise ConfigError(f"{root}: expected a folder with the parts of a run and their plan.json{hint}")
    finished = place_of(str(root)).finished(parts)
    signs = read_signs(root)
    rows = []
    for number in range(parts):
        name = part_name(number, parts)
        beat, error = signs["heartbeat"].get(name), signs["error"].get(name)
        if number in finished:
            rows.append(Row(number, "done", ""))
        elif error is not None and (beat is None or error.get("process") == beat.get("process")):
            rows.append(Row(number, "failed", f"{error['kind']}: {error['error']}"))
        elif beat is not None:
            since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(beat["started"]))
            seen = time.strftime("%H:%M:%S", time.localtime(beat["seen"]))
            share = f"{min(1, beat['read'] / beat['total']):.0%} read " if beat["total"] else ""
            detail = f"since {since}, process {beat['process']} of {beat['host']}, {share}at {seen}"
            rows.append(Row(number, "running", detail))
        else:
            rows.append(Row(number, "missing", ""))
    return rows


def table_lines(table: list[Row]) -> list[str]:
    """The table as text: parts that are done or missing only by their number."""
    counts = Counter(row.state for row in table)
    told = ", ".join(f"{counts[state]} {state}" for state in ("done", "running", "failed", "missing") if counts[state])
    lines = [f"{len(table)} parts: {told}"]
    lines += [f"{row.part:>6} {row.state}  {row.detail}" for row in table if row.detail]
    missing = [row.part for row in table if row.state == "missing"]
    if missing:
        lines.append(f"missing: {told_numbers(missing)}")
    return lines


def told_numbers(numbers: list[int]) -> str:
    """The first of some numbers, and how many more there are."""
    more = f" and {len(numbers) - _MAX_TOLD} more" if len(numbers) > _MAX_TOLD else ""
    return f"{', '.join(map(str, numbers[:_MAX_TOLD]))}{more}"
