"""Packed rows as samples: raw columns by number, and batches with labels, weights, positions and boundaries."""

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
from bloomdata.datasets.samples import checked_indices, digest
from bloomdata.errors import ConfigError, CorruptDataError, UnsupportedFormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    from bloomdata.datasets.samples import Batch

# Path, offset of the first row, type of the tokens.
_Column: TypeAlias = "tuple[str, int, str]"
# Types of tokens that the core reads.
_DTYPES = {"|u1": "uint8", "<u2": "uint16", "<i4": "int32"}


class PackedDataset:
    """Rows of HDF5 files, one file after the other; or of Megatron pairs whose documents are all of one length.

    `dataset[i]` are the raw columns, `{"input_ids": ..., "token_type_ids": ...}` and `"category_ids"` where the file
    has them, each (sequence_length,) int32; `dataset[a:b]` has (b - a, sequence_length). Views where the file is
    contiguous and the rows lie in one file, else copies. `read_batch` gives what training needs. Contiguous files are
    read without the HDF5 library, in forked and spawned workers, too. Compressed ones are read by h5py, opened anew in
    every process.

    Args:
        paths: The files, in order.
        layouts: Where each file's datasets are, as the manifest says; found with h5py when not given.
        rules: How rows become samples; see `LabelRules`.
        fingerprint: The fingerprint that the manifest has.
        num_tokens: Tokens that are not padding, where the manifest says; else all are counted.

    Raises:
        CorruptDataError: A file without the two datasets, or with others than (n, sequence_length) int32.

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
            raise ConfigError("paths: no file")
        self.paths = [os.fspath(path) for path in paths]
        self.rules = rules or LabelRules()
        self._layouts: list[dict[str, Any] | None] = list(layouts or [None] * len(paths))
        self._files: list[MappedRows | LibraryRows] = [
            MappedRows(path, layout) if (layout := self._layouts[i] or find_layout(path)) else LibraryRows(path)
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
        self._fingerprint, self._known_tokens = fingerprint, num_tokens
        self._core: tuple[int, _core.PackedRows, _core.RowRules] | None = None

    @classmethod
    def from_megatron(
        cls, path_prefix: str | os.PathLike[str], types_prefix: str | os.PathLike[str] | None = None
    ) -> PackedDataset:
        """Documents of a Megatron pair as rows; all must have one length and be of one sequence.

        Args:
            path_prefix: Path of the pair without `.bin` and `.idx`.
            types_prefix: A pair of the same shape with the type of each token. Without it, all are trained on;
                `with_rules(eod_token_id=...)` says where documents end inside rows.

        Raises:
            UnsupportedFormatError: Documents of different lengths, or tokens of other types than uint8, uint16, int32.
            CorruptDataError: A damaged index, or types that do not fit the tokens.
        """
        from bloomdata.datasets.indexed_dataset import IndexedDataset

        layout: dict[str, Any] = {}
        for name, prefix in (("input_ids", path_prefix), ("token_type_ids", types_prefix)):
            if prefix is None:
                continue
            documents = IndexedDataset(prefix)
            lengths = np.unique(documents.sequence_lengths)
            if len(lengths) != 1 or len(documents) != len(documents.sequence_lengths) or not lengths[0]:
                raise UnsupportedFormatError(f"{os.fspath(prefix)}: documents are not all one sequence of one length")
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
        """Tokens that are not padding; all tokens, where no manifest says how many those are."""
        return self._known_tokens if self._known_tokens is not None else len(self) * self.sequence_length

    @property
    def fingerprint(self) -> str:
        """The manifest's; without a manifest, a hash of sizes, shapes, and both ends of every file."""
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
        """Rows as samples, made by the core with the GIL released.

        Args:
            indices: Numbers of rows, in any order; the same one may come twice.

        Returns:
            `input_ids`, `labels`, `position_ids`, each (rows, sequence_length) int64 or int32; `loss_weights`, float32
            of that shape; and `cu_seqlens`, int32, where documents start in the flattened batch, ending with the
            number of its tokens. All are new and can be written to.

        Raises:
            IndexError: No such row.
            CorruptDataError: A file that is too short, or holds a token type that is none.
            OSError: A file that is gone.
        """
        rows = checked_indices(indices, len(self), "row")
        process = os.getpid()
        if self._core is None or self._core[0] != process:
            # Made anew after a fork: a lock of the core may have been held by a thread that is not there any more.
            self._core = (process, _core.PackedRows(self.sequence_length, self._describe()), self.rules.build())
        _, reader, rules = self._core
        if all(isinstance(file, MappedRows) for file in self._files):
            return self.rules.unpack(*reader.read(rules, rows), self.sequence_length)
        shape = (len(rows), self.sequence_length)
        ids, types = np.empty(shape, np.int32), np.empty(shape, np.int32)
        # In the order of the file, so that rows of one chunk are decompressed once.
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
        """The mapped files, as the core takes them."""
        files = []
        for file in self._files:
            if not isinstance(file, MappedRows):
                continue
            columns = {}
            for name, (place, offset, dtype) in file.places.items():
                if dtype.str not in _DTYPES:
                    raise UnsupportedFormatError(f"{place}: tokens of type {dtype}, expected uint8, uint16 or int32")
                columns[name] = (place, offset, _DTYPES[dtype.str])
            files.append((file.num_rows, columns["input_ids"], columns.get("token_type_ids")))
        return files

    def __getitem__(self, index: int | slice) -> dict[str, NDArray[Any]]:
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
