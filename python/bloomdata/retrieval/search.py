"""The nearest vectors by inner product: a scan of the mapped file, or an index of FAISS.

FAISS is used where it gives something. For 100,000 vectors of 384 float32, a scan by NumPy costs 13 ms of a core and
FAISS's flat index 9 ms, but that index is a second copy of all vectors. For float16, where NumPy converts each number,
it is 81 ms against 6 ms; and above 200,000 vectors an inverted file (IVF) looks at a small share of them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bloomdata.errors import ConfigError, CorruptDataError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

# From so many vectors on, `auto` is `ivf`.
_SCAN_LIMIT = 200_000
_BLOCK_ROWS = 8192
# FAISS wants at least 39 vectors for each cell; more than 64 make no better cells.
_MIN_CELL, _TRAINED_CELL = 39, 64


class Search(Protocol):
    """Finds the nearest rows."""

    def search(self, vector: NDArray[np.float32], k: int) -> list[tuple[int, float]]:
        """Rows and scores of the `k` nearest, the best first; of equal ones, the one with the smaller row."""


class Scan:
    """Compares with every vector."""

    def __init__(self, vectors: NDArray[Any]) -> None:
        self._vectors = vectors

    def search(self, vector: NDArray[np.float32], k: int) -> list[tuple[int, float]]:
        """As `Search`."""
        scores = np.empty(len(self._vectors), np.float32)
        # One product, whose threads start once; numbers of another type become float32 in blocks that fit the cache.
        step = len(scores) or 1 if self._vectors.dtype == np.float32 else _BLOCK_ROWS
        for start in range(0, len(scores), step):
            block = self._vectors[start : start + step]
            np.dot(block.astype(np.float32, copy=False), vector, out=scores[start : start + len(block)])
        k = min(k, len(scores))
        if not k:
            return []
        limit = np.partition(scores, len(scores) - k)[len(scores) - k]
        rows = np.flatnonzero(scores >= limit)
        best = rows[np.lexsort((rows, -scores[rows]))][:k]
        return [(int(row), float(scores[row])) for row in best]


class FaissSearch:
    """An index of FAISS, mapped into memory.

    Raises:
        ConfigError: FAISS is not installed.
        CorruptDataError: The file is damaged, or of other vectors.
    """

    def __init__(self, path: Path, num_vectors: int, *, is_inverted: bool) -> None:
        faiss = _faiss()
        # Each flag maps what the other one reads.
        flag = faiss.IO_FLAG_MMAP if is_inverted else faiss.IO_FLAG_MMAP_IFC
        try:
            self._index = faiss.read_index(str(path), flag)
        except RuntimeError as error:
            raise CorruptDataError(f"{path}: expected an index of FAISS: {error}") from error
        if self._index.ntotal != num_vectors:
            raise CorruptDataError(f"{path}: expected {num_vectors} vectors, found {self._index.ntotal}")

    def search(self, vector: NDArray[np.float32], k: int) -> list[tuple[int, float]]:
        """As `Search`."""
        scores, rows = self._index.search(vector[None], k)
        found = [(int(row), float(score)) for row, score in zip(rows[0], scores[0], strict=True) if row >= 0]
        return sorted(found, key=lambda hit: (-hit[1], hit[0]))


def kind_of(index: str, num_vectors: int, dtype: str) -> str:
    """What `auto` stands for."""
    if index != "auto":
        return index
    if num_vectors > _SCAN_LIMIT:
        return "ivf"
    return "scan" if dtype == "float32" else "flat"


def write_index(path: Path, vectors: NDArray[Any], kind: str) -> None:
    """Writes an index of FAISS, `flat` or `ivf`, for (num_vectors, dimension) vectors, read in blocks.

    Raises:
        ConfigError: FAISS is not installed.
    """
    faiss = _faiss()
    count, dimension = vectors.shape
    codes = "SQfp16" if vectors.dtype == np.float16 else "Flat"
    if kind == "flat":
        index = faiss.index_factory(dimension, codes, faiss.METRIC_INNER_PRODUCT)
        index.train(np.zeros((1, dimension), np.float32))
    else:
        cells = max(1, min(4 * math.isqrt(count), count // _MIN_CELL))
        index = faiss.index_factory(dimension, f"IVF{cells},{codes}", faiss.METRIC_INNER_PRODUCT)
        step = max(1, count // (cells * _TRAINED_CELL))
        index.train(np.ascontiguousarray(vectors[::step], np.float32))
        index.nprobe = max(1, min(cells, 8 + cells // 32))
    for start in range(0, count, _BLOCK_ROWS):
        index.add(np.ascontiguousarray(vectors[start : start + _BLOCK_ROWS], np.float32))
    faiss.write_index(index, str(path))


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise ConfigError(f"index: FAISS is not installed: pip install 'bloomdata[retrieval]' ({error})") from error
    return faiss
