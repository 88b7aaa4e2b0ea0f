"""Packed rows as samples: raw columns by index, and batches with labels, weights, positions and boundaries."""

from __future__ import annotations

import bisect
import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from bloomdata import _core
from bloomdata.datasets.label_rules import LabelRules
from bloomdata.datasets.packed_files import LibraryRows, MappedRows, file_facts, find_layout
from bloomdata.datasets.samples import checked_index, checked_indices, digest
from bloomdata.errors import ConfigError, CorruptDataError, UnsupportedFormatError
from bloomdata.options.paths import finished_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    from bloomdata.datasets.samples import Batch

# Path, offset of the first row, dtype of the tokens.
_Column: TypeAlias = "tuple[str, int, str]"
# Token dtypes that the core reads.
_DTYPES = {"|u1": "uint8", "<u2": "uint16", "<i4": "int32"}


class PackedDataset:
    """Rows of HDF5 files, one file after the other; or of Megatron pairs whose documents all have the same length.

    `dataset[i]` has the raw columns, `{"input_ids": ..., "token_type_ids": ...}` and `"category_ids"` if the file has
    them, each (sequence_length,) int32; those of `dataset[a:b]` are (b - a, sequence_length). They are views if the
    rows are in one contiguous file, else copies. `read_batch` returns batches for training. Contiguous files are read
    without the HDF5 library, also in forked and spawned workers. Compressed files are read with h5py and reopened in
    every process.

    Args:
        paths: The files, in order.
        layouts: Layout of the datasets in each file, as in the manifest; read with h5py by default.
        rules: Rules by which rows become samples; see `LabelRules`.
        fingerprint: Fingerprint in the manifest.
        num_tokens: Number of tokens without padding, if the manifest has it; by default all tokens are counted.

    Raises:
        CorruptDataError: A file lacks one of the two datasets, or one is not (n, sequence_length) int32.

    Example:
        >>> _ = bloomdata.pack("raw/*.jsonl", "packed-for-samples", tokenizer="bytes", sequence_length=8)
        >>> dataset = bloomdata.open("packed-for-samples").with_rules(dtype="int32")
        >>> batch = dataset.read_batch([1, 0])
        >>> {name: (values.shape, str(values.dtype)) for name, values in batch.items() if name != "cu_seqlens"}
        ... # doctest: +NORMALIZE_WHITESPACE
        {'input_ids': ((2, 8), 'int32'), 'labels': ((2, 8), 'int32'), 'loss_weights': ((2, 8), 'float32'),
         'position_ids': ((2, 8), 'int32')}
    """

    def __init__(
        self,
        paths: list[Path],
        layouts: list[dict[str, Any] | None] | None = None,
        *,
        rules: LabelRules | None = None,
        fingerprint: str | None = None,
        num_tokens: int | None = None,
    ) -> None:
        if not paths:
            raise ConfigError("paths: expected at least one file, got none")
        self.paths = [finished_path(path, "paths") for path in paths]
        self.rules = rules or LabelRules()
        self._layouts: list[dict[str, Any] | None] = list(layouts or [None] * len(paths))
        self._files: list[MappedRows | LibraryRows] = [
            MappedRows(path, layout) if (layout := self._layouts[i] or find_layout(path)) else LibraryRows(path)
            for i, path in enumerate(self.paths)
        ]
        lengths = {file.sequence_length for file in self._files}
        if len(lengths) != 1:
            raise CorruptDataError(f"{self.paths[0]} and others: expected one sequence length, found {sorted(lengths)}")
        self.sequence_length: int = lengths.pop()
        columns = {file.columns for file in self._files}
        if len(columns) != 1:
            raise CorruptDataError(f"{self.paths[0]} and others: expected the same datasets, found {sorted(columns)}")
        self.columns: tuple[str, ...] = columns.pop()
        self._ends = np.cumsum([file.num_rows for file in self._files]).tolist()
        self._fingerprint, self._known_tokens = fingerprint, num_tokens
        self._core: tuple[int, _core.PackedRows, _core.RowRules] | None = None

    @classmethod
    def from_megatron(
        cls, path_prefix: str | os.PathLike[str], types_prefix: str | os.PathLike[str] | None = None
    ) -> PackedDataset:
        """Documents of a Megatron pair as rows; each must be one sequence, and all must have the same length.

        Args:
            path_prefix: Path of the pair without `.bin` and `.idx`.
            types_prefix: Path of a pair of the same shape with the type of each token. By default all tokens are
                trained on; `with_rules(eod_token_id=...)` sets where documents end inside rows.

        Raises:
            UnsupportedFormatError: Documents differ in length, or the dtype of tokens is not uint8, uint16 or int32.
            CorruptDataError: An index is damaged, or the types do not match the tokens.
        """
        from bloomdata.datasets.indexed_dataset import IndexedDataset

        layout: dict[str, Any] = {}
        for name, prefix in (("input_ids", path_prefix), ("token_type_ids", types_prefix)):
            if prefix is None:
                continue
            documents = IndexedDataset(prefix)
            lengths = np.unique(documents.sequence_lengths)
            if len(lengths) != 1 or len(documents) != len(documents.sequence_lengths) or not lengths[0]:
                raise UnsupportedFormatError(f"{os.fspath(prefix)}: expected documents of one sequence and one length")
            shape = [len(documents), int(lengths[0])]
            layout[name] = {
                "offset": 0,
                "shape": shape,
                "dtype": documents.dtype.str,
                "path": f"{os.fspath(prefix)}.bin",
            }
        return cls([Path(f"{os.fspath(path_prefix)}.bin")], [layout])

    def with_rules(self, **rules: Any) -> PackedDataset:
        """The same rows with other rules for labels; see `LabelRules` for names and meanings."""
        try:
            changed = dataclasses.replace(self.rules, **rules)
        except TypeError as error:
            raise ConfigError(f"rules: {error}") from error
        paths = [Path(path) for path in self.paths]
        return PackedDataset(
            paths, self._layouts, rules=changed, fingerprint=self._fingerprint, num_tokens=self._known_tokens
        )

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def num_tokens(self) -> int:
        """Number of tokens without padding, or of all tokens if there is no manifest."""
        return self._known_tokens if self._known_tokens is not None else len(self) * self.sequence_length

    @property
    def fingerprint(self) -> str:
        """The fingerprint in the manifest, or without one a hash of sizes, shapes, and both ends of every file."""
        if self._fingerprint is None:
            facts = []
            for file, path in zip(self._files, self.paths, strict=True):
                places = (
                    sorted({place for place, _, _ in file.places.values()}) if isinstance(file, MappedRows) else [path]
                )
                facts.append([file.num_rows, self.sequence_length, *file_facts(places)])
            self._fingerprint = digest(facts)
        return self._fingerprint

    def read_batch(self, indices: ArrayLike) -> Batch:
        """Rows as samples, built by the core without the GIL.

        Args:
            indices: Indices of rows, in any order; they may repeat.

        Returns:
            `input_ids`, `labels`, `position_ids`, each (rows, sequence_length) int64 or int32; `loss_weights`, float32
            of that shape; and `cu_seqlens`, int32, the starts of documents in the flattened batch and its number of
            tokens. All are new, writable arrays.

        Raises:
            IndexError: A row does not exist.
            CorruptDataError: A file is too short, or holds an invalid token type.
            OSError: A file no longer exists.
        """
        rows = checked_indices(indices, len(self), "row")
        process = os.getpid()
        if self._core is None or self._core[0] != process:
            # Rebuild after a fork: a lock of the core may have been held by a thread that no longer exists.
            self._core = (process, _core.PackedRows(self.sequence_length, self._describe()), self.rules.build())
        _, reader, rules = self._core
        if all(isinstance(file, MappedRows) for file in self._files):
            return self.rules.unpack(*reader.read(rules, rows), self.sequence_length)
        shape = (len(rows), self.sequence_length)
        ids, types = np.empty(shape, np.int32), np.empty(shape, np.int32)
        # In file order, so that every chunk is decompressed once.
        for at in np.argsort(rows, kind="stable").tolist():
            row = self._row(int(rows[at]))
            ids[at], types[at] = row["input_ids"], row["token_type_ids"]
        return self.rules.make(ids, types)

    def _row(self, row: int) -> dict[str, NDArray[Any]]:
        number = bisect.bisect_right(self._ends, row)
        file, local = self._files[number], row - (self._ends[number - 1] if number else 0)
        if isinstance(file, LibraryRows):
            return file.row(local)
        return {name: values[0] for name, values in file.read(local, local + 1).items()}

    def _describe(self) -> list[tuple[int, _Column, _Column | None]]:
        """The mapped files, for the core."""
        files = []
        for file in self._files:
            if not isinstance(file, MappedRows):
                continue
            columns = {}
            for name, (place, offset, dtype) in file.places.items():
                if dtype.str not in _DTYPES:
                    raise UnsupportedFormatError(f"{place}: expected tokens of uint8, uint16 or int32, found {dtype}")
                columns[name] = (place, offset, _DTYPES[dtype.str])
            files.append((file.num_rows, columns["input_ids"], columns.get("token_type_ids")))
        return files

    def __getitem__(self, index: int | slice) -> dict[str, NDArray[Any]]:
        if not isinstance(index, slice):
            row = checked_index(index, len(self), "row")
            return {name: tokens[0] for name, tokens in self._read(row, row + 1).items()}
        start, stop, step = index.indices(len(self))
        if step != 1:
            rows = [self[i] for i in range(start, stop, step)]
            shape = (len(rows), self.sequence_length)
            return {name: np.array([row[name] for row in rows], "<i4").reshape(shape) for name in self.columns}
        return self._read(start, max(start, stop))

    def _read(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
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

    def __iter__(self) -> Iterator[dict[str, NDArray[Any]]]:
        return (self[i] for i in range(len(self)))

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return (_rebuild, (self.paths, self._layouts, self.rules, self._fingerprint, self._known_tokens))

    def __repr__(self) -> str:
        return f"PackedDataset({len(self.paths)} file(s): {len(self):,} rows of {self.sequence_length:,} tokens)"


def _rebuild(
    paths: list[str],
    layouts: list[dict[str, Any] | None],
    rules: LabelRules,
    fingerprint: str | None,
    num_tokens: int | None,
) -> PackedDataset:
    return PackedDataset(
        [Path(path) for path in paths], layouts, rules=rules, fingerprint=fingerprint, num_tokens=num_tokens
    )
