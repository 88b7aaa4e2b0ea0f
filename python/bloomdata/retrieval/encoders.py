"""Encoders: texts to vectors of length 1. `hash` needs no model; the others are folders of models."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bloomdata import _core
from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

HASH = "hash"
_DIMENSION = 512
_NGRAMS = (3, 4, 5)
_MULTIPLIER = np.uint64(0x9E37_79B9_7F4A_7C15)


class Encoder(Protocol):
    """What an index needs of an encoder.

    Attributes:
        facts: What it is, for the manifest: `kind`, `hash` of all that decides its vectors, `pooling`, `normalised`.
    """

    facts: dict[str, Any]

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of length 1, (texts, dimension)."""


def open_encoder(name: str, *, device: str | None = None) -> Encoder:
    """Opens an encoder.

    Args:
        name: `hash`, or a folder: of sentence-transformers, or of any encoder of transformers, whose last states are
            then averaged over the tokens of a text.
        device: Where a model works; by default a GPU, if there is one.

    Raises:
        ConfigError: The folder holds no encoder, or the packages that it needs are not installed.
    """
    if name == HASH:
        return HashEncoder()
    folder = Path(name)
    if not (folder / "config.json").exists() and not (folder / "modules.json").exists():
        raise ConfigError(f"encoder: expected {HASH!r} or a folder with config.json or modules.json, got {name!r}")
    from bloomdata.retrieval.model_encoders import MeanEncoder, SentenceEncoder

    kind = SentenceEncoder if (folder / "modules.json").exists() else MeanEncoder
    return kind(folder, device)


def hash_of_folder(folder: Path) -> str:
    """A hash over names and contents of all files of a model."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    lines = (f"{_core.hash_file(path)[1]}  {path.relative_to(folder).as_posix()}\n" for path in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


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
        windows = np.lib.stride_tricks.sliding_window_view(codes, length) if codes.size >= length else codes[:0, None]
        found = np.full(len(windows), length, np.uint64)
        for column in windows.T:
            found = (found ^ column) * _MULTIPLIER
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
