"""Who reads what, for runs in parts: slow and obvious, over whole files in memory.

A line belongs to the range that it starts in: after the range's start, up to its end; a file's first line to its first
range. Units are as long as they can be for their number; a unit is in the part that its middle is in.
"""

from __future__ import annotations

from fractions import Fraction

from reference.shard import split_of


def units_of(content, frames, unit_bytes):
    """Ends of the units of a file: `frames` are the frames that may be cut between; None for any byte, [] for none."""
    if frames is None:
        count = max(1, len(content) // unit_bytes)
        return [len(content) * unit // count for unit in range(1, count + 1)]
    ends, start, end = [], 0, 0
    for frame in frames:
        end += len(frame)
        if end - start >= unit_bytes:
            ends.append(end)
            start = end
    return [*ends[:-1], len(content)]


def lines_of(content, start, end):
    """Lines that start after `start`, up to `end`, with their ends."""
    lines, at = [], 0
    for line in content.split(b"\n"):
        whole = content[at : at + len(line) + 1]
        if whole and (start < at <= end or start == at == 0):
            lines.append(whole)
        at += len(whole)
    return lines


def share_out(files, parts, unit_bytes):
    """The lines of each part.

    Args:
        files: For each file its content, the frames that it may be cut between (see `units_of`), and its weight.
        parts: Number of parts.
        unit_bytes: The least content of a unit.
    """
    shares = [[] for _ in range(parts)]
    total = sum(weight for _, _, weight in files)
    before = 0
    for content, frames, weight in files:
        start = 0
        for end in units_of(content, frames, unit_bytes):
            is_whole = start == 0 and end == len(content)
            first, last = (0, weight) if is_whole else (start, end)
            middle = before + Fraction(first + last, 2)
            part = min(parts - 1, int(middle * parts / max(total, 1)))
            shares[part] += lines_of(content, start, end)
            start = end
        before += weight
    return shares


def splits_of(shares, splits, seed):
    """For each part, the lines of each split: `shares` are the lines that parts keep, numbered over all of them."""
    number, drawn = 0, []
    for lines in shares:
        drawn.append({})
        for line in lines:
            drawn[-1].setdefault(split_of(number, splits, seed), []).append(line)
            number += 1
    return drawn
