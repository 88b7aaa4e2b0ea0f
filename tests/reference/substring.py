"""Passages that stood before, in an earlier document or earlier in the same one: found in two ways that must agree."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from reference.dedup_units import units

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from reference.dedup_units import Unit

Spans = list[list[tuple[int, int]]]  # of every document: first byte, byte behind the last


def spans(texts: Sequence[str], window: int = 50, normalize: str = "none", unit: str = "words") -> Spans:
    """By a dictionary of all windows that were seen."""
    seen: set[tuple[int, ...]] = set()
    found = []
    for text in texts:
        document = units(text, unit, normalize)
        starts = []
        for start in range(len(document) - window + 1):
            hashes = tuple(h for h, _, _ in document[start : start + window])
            if hashes in seen:
                starts.append(start)
            seen.add(hashes)
        found.append(joined(document, starts, window))
    return found


def spans_by_suffixes(texts: Sequence[str], window: int = 50, normalize: str = "none", unit: str = "words") -> Spans:
    """By all suffixes of all documents in order: those that begin with the same window stand side by side."""
    documents = [units(text, unit, normalize) for text in texts]
    suffixes = sorted(
        ([h for h, _, _ in document[start:]], number, start)
        for number, document in enumerate(documents)
        for start in range(len(document))
    )
    groups: list[list[tuple[int, int]]] = [[(number, start) for _, number, start in suffixes[:1]]]
    for (before, _, _), (suffix, number, start) in pairwise(suffixes):
        if len(suffix) >= window and before[:window] == suffix[:window]:
            groups[-1].append((number, start))
        else:
            groups.append([(number, start)])
    repeated = {place for group in groups for place in sorted(group)[1:]}
    return [
        joined(document, [start for number, start in sorted(repeated) if number == this], window)
        for this, document in enumerate(documents)
    ]


def joined(document: list[Unit], starts: Collection[int], window: int) -> list[tuple[int, int]]:
    """Bytes of the windows at these units; what overlaps or touches is one span."""
    covered = {at for start in starts for at in range(start, start + window)}
    firsts = [at for at in sorted(covered) if at - 1 not in covered]
    lasts = [at for at in sorted(covered) if at + 1 not in covered]
    return [(document[first][1], document[last][2]) for first, last in zip(firsts, lasts, strict=True)]
