"""Balances the files of a split by moving rows from larger files to smaller ones."""

from __future__ import annotations

from typing import TypeAlias

# File number, and rows `start` to `stop` of it.
Stretch: TypeAlias = tuple[int, int, int]


def balance(counts: list[int]) -> list[list[Stretch]]:
    """The stretches of rows that each file holds after balancing.

    If the rows do not divide evenly, the first files get one more. Surplus rows are taken from the ends of files, in
    order, and appended to files with too few rows, in order.

    Args:
        counts: Rows of each file.
    """
    share, more = divmod(sum(counts), len(counts)) if counts else (0, 0)
    targets = [share + (number < more) for number in range(len(counts))]
    surplus = [(number, target, count) for number, (count, target) in enumerate(zip(counts, targets, strict=True))]
    surplus = [stretch for stretch in surplus if stretch[1] < stretch[2]]
    balanced: list[list[Stretch]] = []
    for number, (count, target) in enumerate(zip(counts, targets, strict=True)):
        parts = [(number, 0, min(count, target))]
        missing = target - count
        while missing > 0:
            source, start, stop = surplus[0]
            taken = min(missing, stop - start)
            parts.append((source, start, start + taken))
            missing -= taken
            surplus[0] = (source, start + taken, stop)
            if start + taken == stop:
                surplus.pop(0)
        balanced.append([part for part in parts if part[1] < part[2]])
    return balanced
