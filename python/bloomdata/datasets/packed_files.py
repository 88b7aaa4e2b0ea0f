"""Rows of one file: mapped if they are contiguous, read with h5py if they are compressed."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bloomdata.datasets.indexed_dataset import map_file
from bloomdata.errors import CorruptDataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLUMNS = ("input_ids", "token_type_ids", "category_ids")
# Size of the cache of decompressed chunks, per process and file.
_CACHE_BYTES = 32 << 20
# Number of bytes at each end of a file that go into a fingerprint.
_HEADER_BYTES = 4096


# Held while a file is reopened after a fork, so that only one thread does it.
_OPENING = threading.Lock()


def _after_fork() -> None:
    global _OPENING  # the lock of the parent may be held by a thread that does not exist here
    _OPENING = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def file_facts(paths: list[str]) -> list[Any]:
    """The parts of files that go into a fingerprint: sizes, and hashes of both ends."""
    facts: list[Any] = []
    for path in paths:
        with Path(path).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            header = file.read(_HEADER_BYTES)
            file.seek(max(0, size - _HEADER_BYTES))
            facts += [size, hashlib.sha256(header + file.read(_HEADER_BYTES)).hexdigest()]
    return facts


def find_layout(path: str) -> dict[str, Any] | None:
    """The layout of the datasets in a file, read with h5py; `None` if they are chunked."""
    import h5py

    try:
        file = h5py.File(path, "r")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise CorruptDataError(f"{path}: {error}") from error
    with file:
        columns = _columns(file)
        for name in columns:
            dataset = file.get(name)
            if not isinstance(dataset, h5py.Dataset) or dataset.ndim != 2 or dataset.dtype != np.dtype("<i4"):
                raise CorruptDataError(f"{path}: expected a dataset {name} of (rows, sequence_length) int32")
        if len({file[name].shape for name in columns}) != 1:
            raise CorruptDataError(f"{path}: expected one shape, but {' and '.join(columns)} differ in shape")
        offsets = {name: file[name].id.get_offset() for name in columns}
        rows = file["input_ids"].shape[0]
        if any(file[name].chunks for name in columns) or (rows and None in offsets.values()):
            return None
        return {name: {"offset": offsets[name] or 0, "shape": list(file[name].shape)} for name in columns}


def _columns(file: Any) -> tuple[str, ...]:
    """Datasets of rows in a file or a layout; the last one is optional."""
    return COLUMNS if COLUMNS[2] in file else COLUMNS[:2]


class MappedRows:
    """Contiguous rows of one file, mapped on first access.

    Args:
        path: The file.
        layout: For each column `offset` and `shape`, and optionally `dtype` (int32 by default) and `path`.
    """

    def __init__(self, path: str, layout: dict[str, Any]) -> None:
        if not isinstance(layout, dict):
            raise CorruptDataError(f"{path}: expected a layout of rows, found {layout!r}")
        self.columns = _columns(layout) if "token_type_ids" in layout else COLUMNS[:1]
        self.places: dict[str, tuple[str, int, np.dtype[Any]]] = {}
        shapes = set()
        sizes: dict[str, int] = {}
        for name in self.columns:
            try:
                column = layout[name]
                rows, length = (int(size) for size in column["shape"])
                offset, dtype = int(column["offset"]), np.dtype(column.get("dtype", "<i4"))
                place = str(column.get("path", path))
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise CorruptDataError(f"{path}: expected a layout of {name}, found {layout.get(name)!r}") from error
            if dtype.kind not in "iu":
                raise CorruptDataError(f"{path}: {name}: expected whole numbers, found {dtype}")
            if rows < 0 or length < 1 or offset < 0:
                raise CorruptDataError(f"{path}: {name}: invalid: {rows} rows of {length} tokens at offset {offset}")
            if place not in sizes:
                sizes[place] = os.stat(place).st_size  # noqa: PTH116 - a thousand paths take milliseconds
            size = sizes[place]
            if rows and offset + dtype.itemsize * rows * length > size:
                raise CorruptDataError(f"{place}: offset {offset}: {name} exceeds the file size {size}")
            shapes.add((rows, length))
            self.places[name] = (place, offset, dtype)
        if len(shapes) != 1:
            raise CorruptDataError(f"{path}: columns differ in shape: {sorted(shapes)}")
        self.num_rows, self.sequence_length = shapes.pop()
        self._views: dict[str, NDArray[Any]] = {}

    def read(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Rows `start` to `stop` as views."""
        return {name: self._view(name)[start:stop] for name in self.columns}

    def _view(self, name: str) -> NDArray[Any]:
        if name in self._views:
            return self._views[name]
        place, offset, dtype = self.places[name]
        count = self.num_rows * self.sequence_length
        flat = np.frombuffer(map_file(place), dtype, count, offset) if count else np.empty(0, dtype)
        self._views[name] = flat.reshape(self.num_rows, self.sequence_length)
        return self._views[name]


class LibraryRows:
    """Rows of one compressed file, read with h5py a chunk at a time, with an LRU cache of chunks."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._process: int | None = None
        self._file: Any = None
        self._lock = threading.Lock()
        self._chunks: OrderedDict[int, dict[str, NDArray[Any]]] = OrderedDict()
        file = self._open()
        self.num_rows, self.sequence_length = file["input_ids"].shape
        self.columns = _columns(file)
        chunks = [file[name].chunks for name in self.columns if file[name].chunks]
        self._chunk_rows = max([int(chunk[0]) for chunk in chunks], default=16)
        chunk_bytes = 4 * self._chunk_rows * self.sequence_length * len(self.columns)
        self._max_chunks = max(1, _CACHE_BYTES // max(1, chunk_bytes))

    def _open(self) -> Any:
        # Neither an HDF5 handle nor a lock held by another thread may be used after a fork.
        process = os.getpid()
        if self._process != process:
            import h5py

            with _OPENING:
                if self._process != process:
                    self._file, self._lock = h5py.File(self._path, "r"), threading.Lock()
                    self._process = process
        return self._file

    def read(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Rows `start` to `stop` as copies."""
        file = self._open()
        return {name: file[name][start:stop] for name in self.columns}

    def row(self, number: int) -> dict[str, NDArray[Any]]:
        """One row as views of a cached chunk."""
        file = self._open()
        at, offset = divmod(number, self._chunk_rows)
        with self._lock:
            chunk = self._chunks.get(at)
            if chunk is None:
                start = at * self._chunk_rows
                chunk = {name: file[name][start : start + self._chunk_rows] for name in self.columns}
                self._chunks[at] = chunk
                if len(self._chunks) > self._max_chunks:
                    self._chunks.popitem(last=False)
            else:
                self._chunks.move_to_end(at)
        return {name: rows[offset] for name, rows in chunk.items()}
