"""Equal numbers of rows in all files of a split, by moving rows from full files to needy ones (GD-20)."""

from __future__ import annotations

from typing import TypeAlias

# Rows `start` to `stop` of a file, given by its number.
Stretch: TypeAlias = tuple[int, int, int]


def balance(counts: list[int]) -> list[list[Stretch]]:
    """What each file holds afterwards.

    The first files get one more row when they cannot be equal. Surplus rows leave from the tails of files, in order,
    and go to the files that need some, in order.

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
