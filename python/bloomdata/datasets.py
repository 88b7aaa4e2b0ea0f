"""Packed files as datasets: `len`, `[i]`, slices; NumPy views of the files without copies.

`open` looks at what is there: a folder written by `pack` or `merge`, a bare Megatron pair, or a bare HDF5 file.
Datasets can be pickled (they reopen their files) and used in threads, forked and spawned workers.
"""

from __future__ import annotations

import bisect
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from bloomdata.errors import ConfigError, CorruptDataError, UnsupportedFormatError
from bloomdata.indexed_dataset import IndexedDataset, map_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

Tokens: TypeAlias = "NDArray[Any]"
PathLike: TypeAlias = "str | os.PathLike[str]"

_COLUMNS = ("input_ids", "token_type_ids", "category_ids")


def open(path: PathLike, *, field: str | None = None) -> IndexedDataset | PackedDataset:  # noqa: A001
    """Opens packed data.

    Args:
        path: A folder written by `pack` or `merge`, a Megatron pair (with or without `.bin` or `.idx`), or an HDF5
            file with `input_ids` and `token_type_ids`.
        field: Which field of a folder that holds several. The token types of a Megatron pair `<name>_document` are
            opened by their path, `<name>_token_types`.

    Returns:
        An `IndexedDataset` of documents, or a `PackedDataset` of rows.

    Raises:
        ConfigError: A folder that is not finished, holds shards, or holds several fields and none is named.
        CorruptDataError: A damaged index.
        UnsupportedFormatError: A file that is neither.

    Example:
        >>> _ = bloomdata.pack("raw/*.jsonl", "packed", tokenizer="bytes", sequence_length=8)
        >>> dataset = bloomdata.open("packed")
        >>> dataset[0]["input_ids"].shape, len(dataset[1:3]["input_ids"])
        ((8,), 2)
    """
    path = Path(path)
    if not path.is_dir():
        return _open_file(path)
    manifest = read_manifest(path)
    outputs = manifest["outputs"]
    indices = [output["path"].removesuffix(".idx") for output in outputs if output["path"].endswith(".idx")]
    if field is None:
        indices = [name for name in indices if not name.endswith("_token_types")]
    if indices:
        prefix = manifest["config"].get("prefix")
        chosen = indices
        if field is not None:
            exact = f"{prefix}_{field}_document"
            chosen = [name for name in indices if name == exact or (not prefix and name.endswith(f"_{field}_document"))]
        if len(chosen) != 1:
            raise ConfigError(f"{path}: field {field!r} does not name one of {indices}")
        return IndexedDataset(path / chosen[0])
    rows = [output for output in outputs if "rows" in output]
    if not rows:
        raise ConfigError(f"{path}: written by {manifest['verb']!r}, holds no tokens")
    paths = [path / output["path"] for output in rows]
    return PackedDataset(paths, layouts=[output.get("datasets") for output in rows])


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a finished folder.

    Raises:
        ConfigError: There is none.
        CorruptDataError: It is damaged.
    """
    path = folder / "manifest.json"
    if not path.exists():
        raise ConfigError(f"{folder}: not a finished output of bloomdata, it has no manifest.json")
    try:
        manifest: Any = json.loads(path.read_bytes())
    except ValueError as error:
        raise CorruptDataError(f"{path}: {error}") from error
    facts = manifest if isinstance(manifest, dict) else {}
    outputs = facts.get("outputs")
    if not (isinstance(outputs, list) and isinstance(facts.get("config"), dict) and isinstance(facts.get("verb"), str)):
        raise CorruptDataError(f"{path}: not a manifest of bloomdata")
    if not all(isinstance(output, dict) and isinstance(output.get("path"), str) for output in outputs):
        raise CorruptDataError(f"{path}: outputs without a path")
    checked: dict[str, Any] = manifest
    return checked


def _open_file(path: Path) -> IndexedDataset | PackedDataset:
    if path.suffix in {".hdf5", ".h5"}:
        return PackedDataset([path])
    prefix = path.with_suffix("") if path.suffix in {".bin", ".idx"} else path
    if Path(f"{prefix}.idx").exists():
        return IndexedDataset(prefix)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such folder, file, or Megatron pair")
    raise UnsupportedFormatError(f"{path}: found neither HDF5 nor a Megatron pair")


class PackedDataset:
    """Rows of HDF5 files, one file after the other.

    `dataset[i]` is `{"input_ids": ..., "token_type_ids": ...}`, and `"category_ids"` where the file has them, each
    (sequence_length,) int32; `dataset[a:b]` has
    (b - a, sequence_length). Views where the file is contiguous and the rows lie in one file, else copies.
    Contiguous files are mapped: workers never touch the HDF5 library. Compressed ones are read by h5py, opened
    anew in every process.

    Args:
        paths: The files, in order.
        layouts: Where each file's datasets are, as the manifest says; found with h5py when not given.

    Raises:
        CorruptDataError: A file without the two datasets, or with others than (n, sequence_length) int32.
    """

    def __init__(self, paths: list[Path], layouts: list[dict[str, Any] | None] | None = None) -> None:
        self.paths = [os.fspath(path) for path in paths]
        self._layouts = list(layouts) if layouts is not None else [None] * len(paths)
        self._files = [
            _MappedRows(path, layout) if (layout := self._layouts[i] or _find_layout(path)) else _LibraryRows(path)
            for i, path in enumerate(self.paths)
        ]
        lengths = {file.sequence_length for file in self._files}
        if len(lengths) != 1:
            raise CorruptDataError(f"{self.paths[0]} and others: different sequence lengths {sorted(lengths)}")
        self.sequence_length: int = lengths.pop()
        columns = {file.columns for file in self._files}
        if len(columns) != 1:
            raise CorruptDataError(f"{self.paths[0]} and others: different datasets {sorted(columns)}")
        self.columns: tuple[str, ...] = columns.pop()
        self._ends = np.cumsum([file.num_rows for file in self._files]).tolist()

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int | slice) -> dict[str, Tokens]:
        if not isinstance(index, slice):
            row = index + len(self) if index < 0 else index
            if not 0 <= row < len(self):
                raise IndexError(f"row {index} of {len(self)}")
            return {name: tokens[0] for name, tokens in self._read(row, row + 1).items()}
        start, stop, step = index.indices(len(self))
        if step != 1:
            rows = [self[i] for i in range(start, stop, step)]
            shape = (len(rows), self.sequence_length)
            return {name: np.array([row[name] for row in rows], "<i4").reshape(shape) for name in self.columns}
        return self._read(start, max(start, stop))

    def _read(self, start: int, stop: int) -> dict[str, Tokens]:
        parts = []
        number = bisect.bisect_right(self._ends, start) if start < len(self) else len(self._files) - 1
        while True:
            file, before = self._files[number], self._ends[number - 1] if number else 0
            end = min(stop, self._ends[number])
            parts.append(file.read(start - before, end - before))
            if end >= stop:
                break
            start, number = end, number + 1
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in self.columns}

    def __iter__(self) -> Iterator[dict[str, Tokens]]:
        return (self[i] for i in range(len(self)))

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return (PackedDataset, ([Path(path) for path in self.paths], self._layouts))

    def __repr__(self) -> str:
        return f"PackedDataset({len(self.paths)} file(s): {len(self):,} rows of {self.sequence_length:,} tokens)"


def _find_layout(path: str) -> dict[str, Any] | None:
    """Asks h5py where the datasets of a file are; `None` when they are chunked."""
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
                raise CorruptDataError(f"{path}: no dataset {name} of shape (rows, sequence_length) and type int32")
        if len({file[name].shape for name in columns}) != 1:
            raise CorruptDataError(f"{path}: {' and '.join(columns)} differ in shape")
        offsets = {name: file[name].id.get_offset() for name in columns}
        rows = file["input_ids"].shape[0]
        if any(file[name].chunks for name in columns) or (rows and None in offsets.values()):
            return None
        return {name: {"offset": offsets[name] or 0, "shape": list(file[name].shape)} for name in columns}


def _columns(file: Any) -> tuple[str, ...]:
    """Datasets of rows in a file or a layout; the last one need not be there."""
    return _COLUMNS if _COLUMNS[2] in file else _COLUMNS[:2]


class _MappedRows:
    """Contiguous rows of one file, mapped."""

    def __init__(self, path: str, layout: dict[str, Any]) -> None:
        memory = map_file(path)
        self.num_rows, self.sequence_length = (int(size) for size in layout["input_ids"]["shape"])
        count = self.num_rows * self.sequence_length
        self._columns = {}
        self.columns = _columns(layout)
        for name in self.columns:
            offset = int(layout[name]["offset"])
            if count and offset + 4 * count > len(memory):
                raise CorruptDataError(f"{path}: offset {offset}: {name} ends behind the file ({len(memory)} bytes)")
            rows = np.frombuffer(memory, "<i4", count, offset) if count else np.empty(0, "<i4")
            self._columns[name] = rows.reshape(self.num_rows, self.sequence_length)

    def read(self, start: int, stop: int) -> dict[str, Tokens]:
        return {name: rows[start:stop] for name, rows in self._columns.items()}


class _LibraryRows:
    """Rows of one compressed file, read by h5py."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._process: int | None = None
        self._file: Any = None
        file = self._open()
        self.num_rows, self.sequence_length = file["input_ids"].shape
        self.columns = _columns(file)

    def _open(self) -> Any:
        # A handle of the HDF5 library must not cross a fork.
        if self._process != os.getpid():
            import h5py

            self._file, self._process = h5py.File(self._path, "r"), os.getpid()
        return self._file

    def read(self, start: int, stop: int) -> dict[str, Tokens]:
        file = self._open()
        return {name: file[name][start:stop] for name in self.columns}
