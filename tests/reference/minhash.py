"""Signatures of sets of shingles (MinHash by one permutation, empty slots filled in two more rounds), and bands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xxhash

from reference.shard import key, mix

if TYPE_CHECKING:
    from collections.abc import Collection

STREAM = 9


def signature(shingles: Collection[int], num_perm: int) -> list[int]:
    """The stored 16 bits of every slot; a document without shingles has no signature."""
    if not shingles:
        return []
    first = dealt(shingles, num_perm)
    second = dealt([mix(h ^ 0xD6E8FEB86659FD93) for h in shingles], num_perm)
    lowest = []
    for slot in range(num_perm):
        if first[slot]:
            lowest.append(min(first[slot]))
        elif second[slot]:
            lowest.append(min(second[slot]))
        else:
            random = key(1, STREAM, slot)
            factor, summand = random % 2**32 | 1, random >> 32
            lowest.append(min((factor * (h >> 32) + summand) % 2**32 for h in shingles))
    return [value % 2**16 for value in lowest]


def dealt(hashes: Collection[int], num_perm: int) -> list[list[int]]:
    """The low halves of the hashes, in the slots that their high halves name."""
    slots: list[list[int]] = [[] for _ in range(num_perm)]
    for h in hashes:
        slots[(h >> 32) * num_perm >> 32].append(h % 2**32)
    return slots


def stored(values: list[int]) -> bytes:
    """Two bytes a slot, the low one first."""
    return b"".join(value.to_bytes(2, "little") for value in values)


def bands_for(threshold: float, num_perm: int) -> tuple[int, int]:
    """Bands and rows: the most rows with which 99 % of the pairs at the threshold meet in a band."""
    fitting = [rows for rows in range(1, num_perm + 1) if 1.0 - (1.0 - threshold**rows) ** (num_perm // rows) >= 0.99]
    rows = max(fitting, default=1)
    return num_perm // rows, rows


def band_key(values: list[int], band: int, rows: int) -> int:
    return xxhash.xxh3_64_intdigest(stored(values[band * rows : (band + 1) * rows]), seed=band)


def estimate(a: list[int], b: list[int]) -> float:
    """The share of slots that are equal."""
    return sum(x == y for x, y in zip(a, b, strict=True)) / len(a)
