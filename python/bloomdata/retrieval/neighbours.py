"""How far a hit reaches around itself: its neighbours, as long as they are about the same thing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def extend(centre: int, neighbours: int, is_near: Callable[[int], bool]) -> tuple[int, int]:
    """The rows of a hit: backwards from it and then forwards, each time up to the first row that is not near.

    Args:
        centre: Row of the hit.
        neighbours: Most rows on each side.
        is_near: Whether a row belongs to the hit: it exists, is of the same document, and its cosine with the centre is
            above the limit. It is never the row before that is compared.

    Returns:
        The first and the last row.

    Origin:
        OpenChatKit, `retrieval/wikipedia.py`, `w` and `w_th`; there, sentences of the next article count as neighbours.
    """
    first = last = centre
    while centre - first < neighbours and is_near(first - 1):
        first -= 1
    while last - centre < neighbours and is_near(last + 1):
        last += 1
    return first, last
