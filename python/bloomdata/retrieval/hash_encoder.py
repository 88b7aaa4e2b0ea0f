"""The encoder `hash`: texts to vectors by hashed n-grams, without a model."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

HASH = "hash"
_DIMENSION = 512
_NGRAMS = (3, 4, 5)
_MULTIPLIER = np.uint64(0x9E37_79B9_7F4A_7C15)


class HashEncoder:
    """Counts of hashed n-grams of 3 to 5 characters, each with a random sign.

    Texts are near if they share spellings, in every script. Sums are whole numbers, so that the vectors are the same on
    every machine.

    Origin:
        Feature hashing with signs, Weinberger et al. 2009 (arXiv:0902.2206).
    """

    def __init__(self) -> None:
        definition = f"signed n-grams {_NGRAMS}, {_DIMENSION} buckets, square roots, version 1"
        digest = hashlib.sha256(definition.encode()).hexdigest()
        self.facts: dict[str, Any] = {"kind": HASH, "hash": digest, "pooling": "sum", "normalised": True}

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of length 1, (texts, dimension); zeros for a text without words."""
        sums = np.stack([_hashed(text) for text in texts]) if texts else np.zeros((0, _DIMENSION))
        return normalised(np.sign(sums) * np.sqrt(np.abs(sums)))


def _hashed(text: str) -> NDArray[np.float64]:
    # Blanks at both ends, so that the first and the last word look like those between.
    spaced = f" {' '.join(text.lower().split())} "
    codes = np.frombuffer(spaced.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint64)
    grams = []
    for length in _NGRAMS:
        count = max(0, codes.size - length + 1)
        found = np.full(count, length, np.uint64)
        for start in range(length):
            found = (found ^ codes[start : start + count]) * _MULTIPLIER
            found ^= found >> np.uint64(29)
        grams.append(found)
    hashes = np.concatenate(grams)
    signs = 1.0 - 2.0 * (hashes & np.uint64(1))
    buckets = (hashes >> np.uint64(1)) % np.uint64(_DIMENSION)
    return np.bincount(buckets.astype(np.int64), weights=signs, minlength=_DIMENSION).astype(np.float64, copy=False)


def normalised(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Vectors divided by their lengths; zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
