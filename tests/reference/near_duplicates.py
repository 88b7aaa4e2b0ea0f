"""Documents that are similar to another one: which are dropped, because of which, and how similar they are."""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING

from reference.dedup_units import shingles, units
from reference.minhash import band_key, bands_for, estimate, signature

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

Edges = dict[tuple[int, int], float]  # the lower number first; the similarity
MOST_PARTNERS = 64


def jaccard(a: Collection[int], b: Collection[int]) -> float:
    """Shared among all; nothing is similar to what is empty."""
    a, b = set(a), set(b)
    return len(a & b) / len(a | b) if a and b else 0.0


def all_edges(sets: Sequence[Collection[int]], threshold: float) -> Edges:
    """All pairs that are similar enough, whatever the bands would find."""
    similarities = {(i, j): jaccard(sets[i], sets[j]) for i, j in combinations(range(len(sets)), 2)}
    return {
        (i, j): similarity
        for (i, j), similarity in similarities.items()
        if sets[i] and sets[j] and similarity >= threshold
    }


def candidate_edges(
    sets: Sequence[Collection[int]], threshold: float, num_perm: int, bands: tuple[int, int] | None = None
) -> Edges:
    """The pairs that meet in a band, whose signatures are close, and whose sets are similar enough.

    Args:
        sets: The shingles of every document, in input order; one without shingles meets nobody.
        threshold: The least similarity.
        num_perm: Slots of a signature.
        bands: Bands and rows, if not those of the threshold.
    """
    num_bands, rows = bands or bands_for(threshold, num_perm)
    signatures = [signature(found, num_perm) for found in sets]
    pairs = set()
    for band in range(num_bands):
        buckets: dict[int, list[int]] = {}
        for number, values in enumerate(signatures):
            if values:
                buckets.setdefault(band_key(values, band, rows), []).append(number)
        for members in buckets.values():
            for place, number in enumerate(members):
                pairs |= {(partner, number) for partner in members[: min(place, MOST_PARTNERS)]}
    least_estimate = threshold - 4.0 * math.sqrt(threshold * (1.0 - threshold) / num_perm)
    close = [(i, j) for i, j in sorted(pairs) if estimate(signatures[i], signatures[j]) >= least_estimate]
    return {(i, j): jaccard(sets[i], sets[j]) for i, j in close if jaccard(sets[i], sets[j]) >= threshold}


def first_independent_set(n: int, edges: Edges) -> dict[int, tuple[int, float]]:
    """Dropped: whoever has an edge to an earlier one that is kept. The witness is the most similar of those."""
    dropped: dict[int, tuple[int, float]] = {}
    for j in range(n):
        kept = [i for i in range(j) if i not in dropped and (i, j) in edges]
        if kept:
            witness = min(kept, key=lambda i: (-edges[i, j], i))
            dropped[j] = (witness, edges[witness, j])
    return dropped


def components(n: int, edges: Edges) -> dict[int, int]:
    """Dropped: all of a connected component but its lowest, which is the witness."""
    lowest = list(range(n))
    for _ in range(n):
        for i, j in edges:
            lowest[i] = lowest[j] = min(lowest[i], lowest[j])
    return {j: i for j, i in enumerate(lowest) if i != j}


def near(
    texts: Sequence[str],
    *,
    size: int,
    threshold: float,
    num_perm: int,
    unit: str = "words",
    normalize: str = "fold",
    keep: str = "first",
    bands: tuple[int, int] | None = None,
    all_pairs: bool = False,
) -> dict[int, tuple[int, float]]:
    """The texts that are dropped: their number, that of their witness, and the similarity of both.

    Args:
        texts: In input order.
        size: Units of a shingle.
        threshold: The least similarity of near duplicates.
        num_perm: Slots of a signature.
        unit: "words" or "characters".
        normalize: "fold" or "none".
        keep: "first" or "components".
        bands: Bands and rows, if not those of the threshold.
        all_pairs: Compare all pairs instead of those that meet in a band.
    """
    hashes = [[h for h, _, _ in units(text, unit, normalize)] for text in texts]
    # The first of equal documents stands for all of them; one without units equals nobody.
    first = [hashes.index(found) if found else number for number, found in enumerate(hashes)]
    sets = [set(shingles(found, size)) if first[number] == number else set() for number, found in enumerate(hashes)]
    edges = all_edges(sets, threshold) if all_pairs else candidate_edges(sets, threshold, num_perm, bands)
    if keep == "components":
        dropped = {j: (i, jaccard(sets[i], sets[j])) for j, i in components(len(texts), edges).items()}
    else:
        dropped = first_independent_set(len(texts), edges)
    equal = {number: dropped.get(i, (i, 1.0)) for number, i in enumerate(first) if i != number}
    return dict(sorted((dropped | equal).items()))
