"""How Megatron-LM's `tools/openwebtext/filter_ngrams.py` cuts texts, with the words of this library.

It differs in two ways: words are those of `dedup_units`, and a margin starts at the end of a match, not where its words
would end if single blanks were between them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reference.dedup_units import units

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LONGEST, SHORTEST, MARGIN, MOST_PIECES = 13, 8, 200, 10


def words(text: str) -> list[tuple[int, int, int]]:
    """Hash, first character, and character behind the last."""
    characters = {at: number for number, at in enumerate(_starts(text))}
    return [(value, characters[start], characters[end]) for value, start, end in units(text, "words", "fold")]


def _starts(text: str) -> Iterable[int]:
    at = 0
    for character in text:
        yield at
        at += len(character.encode())
    yield at


def ngrams_of(rows: Sequence[str]) -> set[tuple[int, ...]]:
    found = set()
    for row in rows:
        hashes = [value for value, _, _ in words(row)]
        size = min(len(hashes), LONGEST)
        if size >= SHORTEST:
            found |= {tuple(hashes[at : at + size]) for at in range(len(hashes) - size + 1)}
    return found


def cut_lineage(text: str, rows: Sequence[str]) -> list[str]:
    """The pieces that stay; the whole text if nothing is in it, none if there are too many."""
    ngrams = ngrams_of(rows)
    sizes = sorted({len(ngram) for ngram in ngrams}, key=lambda size: (size != LONGEST, size))
    pieces, rest, is_first = [], text, True
    while is_first or len(rest) > MARGIN:
        is_first = False
        match = first_match(rest, ngrams, sizes)
        if match is None:
            pieces.append(rest)
            break
        start, end = match
        at = start - MARGIN
        while at > 0 and rest[at] not in ".!?":
            at -= 1
        if at > 0 and len(rest[: at + 1]) > MARGIN:
            pieces.append(rest[: at + 1])
        at = end + MARGIN
        while at < len(rest) and rest[at] not in ".!?":
            at += 1
        rest = rest[at + 1 :]
    return pieces if len(pieces) <= MOST_PIECES else []


def first_match(text: str, ngrams: set[tuple[int, ...]], sizes: Sequence[int]) -> tuple[int, int] | None:
    """First character and character behind the last of the first n-gram; of several there, the longest size first."""
    found = words(text)
    for at in range(len(found)):
        for size in sizes:
            if tuple(value for value, _, _ in found[at : at + size]) in ngrams:
                return found[at][1], found[at + size - 1][2]
    return None
