"""The interface of data sets of samples, and joining batches of several sources."""

from __future__ import annotations

import hashlib
import json
import operator
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

Batch: TypeAlias = "dict[str, NDArray[Any]]"


class SampleDataset(Protocol):
    """Samples by index, read a batch at a time.

    `fingerprint` identifies the samples and their order; it does not depend on the location of files.
    """

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Batch: ...
    def read_batch(self, indices: NDArray[np.int64], /) -> Batch:
        """Samples of `indices`, one row each: arrays of (rows, ...), and `cu_seqlens` over all tokens of the batch."""

    @property
    def fingerprint(self) -> str:
        """Hash of the samples and their order."""


def checked_indices(indices: ArrayLike, length: int, what: str = "sample") -> NDArray[np.int64]:
    """Indices as contiguous int64.

    Raises:
        ConfigError: The indices are not whole numbers in one dimension.
        IndexError: An index is not from 0 to `length - 1`.
    """
    array = np.asarray(indices)
    if array.ndim != 1 or not (array.dtype.kind in "iu" or array.size == 0):
        raise ConfigError(f"indices: expected one dimension of whole numbers, got {array.dtype} {array.shape}")
    if array.size:
        low, high = int(array.min()), int(array.max())
        if low < 0 or high >= length:
            raise IndexError(f"{what} {low if low < 0 else high} of {length}")
    return np.ascontiguousarray(array, np.int64)


def checked_index(index: int, length: int, what: str = "sample") -> int:
    """An index from 0; negative ones count from the end.

    Raises:
        IndexError: The index is not from `-length` to `length - 1`.
        TypeError: It is no whole number.
    """
    index = operator.index(index)
    position = index + length if index < 0 else index
    if not 0 <= position < length:
        raise IndexError(f"{what} {index} of {length}")
    return position


def one_sample(dataset: SampleDataset, index: int) -> Batch:
    """Sample `index`, negative from the end, as one-dimensional arrays; `cu_seqlens` of this sample alone."""
    position = checked_index(index, len(dataset))
    batch = dataset.read_batch(np.array([position], np.int64))
    return {name: values if name == "cu_seqlens" else values[0] for name, values in batch.items()}


def join_batches(parts: Sequence[tuple[NDArray[np.int64], Batch]], num_rows: int) -> Batch:
    """Joins parts, each with its row indices and rows, into one batch of `num_rows` rows.

    Raises:
        ConfigError: The parts have different arrays or row lengths.
    """
    names = list(parts[0][1])
    joined: Batch = {}
    for _, part in parts:
        if set(part) != set(names):
            raise ConfigError(f"sources: expected the same arrays, got {names} and {list(part)}")
    for name in names:
        arrays = [part[name] for _, part in parts]
        if name == "cu_seqlens":
            joined[name] = _join_boundaries(parts)
            continue
        if len({(array.shape[1:], array.dtype) for array in arrays}) != 1:
            found = sorted({f"{array.dtype} {array.shape[1:]}" for array in arrays})
            raise ConfigError(f"sources: {name}: expected equal rows, got {', '.join(found)}")
        joined[name] = np.empty((num_rows, *arrays[0].shape[1:]), arrays[0].dtype)
        for (rows, _), array in zip(parts, arrays, strict=True):
            joined[name][rows] = array
    return joined


def _join_boundaries(parts: Sequence[tuple[NDArray[np.int64], Batch]]) -> NDArray[np.int32]:
    starts, total = [], 0
    for rows, part in parts:
        length = part["input_ids"].shape[1]
        row, offset = np.divmod(part["cu_seqlens"][:-1], length)
        starts.append(rows[row] * length + offset)
        total += part["input_ids"].size
    return np.append(np.sort(np.concatenate(starts)), total).astype(np.int32)


def digest(facts: Any) -> str:
    """A fingerprint of plain values, in 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
