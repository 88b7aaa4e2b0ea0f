"""Documents of Megatron pairs: a single pair as views of its files, or many pairs as one data set."""

from __future__ import annotations

import bisect
import mmap
import os
import struct
import weakref
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

import numpy as np

from bloomdata.datasets.samples import checked_index
from bloomdata.errors import ConfigError, CorruptDataError
from bloomdata.options.paths import finished_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

Tokens: TypeAlias = "NDArray[Any]"
PathLike: TypeAlias = "str | os.PathLike[str]"
Mode: TypeAlias = Literal["mmap", "pread"]

MAGIC = b"MMIDIDX\x00\x00"
_LEGACY_MAGIC = b"TNTIDX\x00\x00"
_HEADER_BYTES, _LEGACY_HEADER_BYTES = 34, 56
# Type codes of Megatron's index. 6 and 7 are floats, not tokens, and differ between versions.
TOKEN_DTYPES = {1: "<u1", 2: "<i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}
# Checking more sequences takes seconds, so that is left to `verify`.
_CHECKED_SEQUENCES = 10_000_000
_INT32_MAX = 2**31 - 1


def map_file(path: PathLike) -> mmap.mmap | bytes:
    """The file as read-only memory, mapped as long as any view of it exists."""
    with Path(path).open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            return b""
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


class Documents(ABC):
    """Documents by index, as a list for a slice, or by iteration."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def get(self, index: int, offset: int = 0, length: int | None = None) -> Tokens:
        """Tokens `offset` to `offset + length` of a document, (length,); to its end by default.

        Raises:
            IndexError: The document does not exist, or the range is not inside it.
        """

    @overload
    def __getitem__(self, index: int) -> Tokens: ...
    @overload
    def __getitem__(self, index: slice) -> list[Tokens]: ...
    def __getitem__(self, index: int | slice) -> Tokens | list[Tokens]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self.get(index)

    def __iter__(self) -> Iterator[Tokens]:
        return (self[i] for i in range(len(self)))


class IndexedDataset(Documents):
    """Documents of a Megatron pair.

    `dataset[i]` is the read-only array of tokens of document i, (num_tokens,); `dataset[a:b]` is a list of these. Reads
    the format of Megatron-core and the older TNTIDX. Can be pickled (it reopens its files), forked and used in threads.

    Args:
        path_prefix: Path of the pair without `.bin` and `.idx`.
        mode: How to read: `mmap` returns views of the files; `pread` copies tokens with system calls and reads the
            index into memory, 20 bytes per document, for file systems where maps fail or are slow.

    Raises:
        CorruptDataError: The index violates the format or does not match its `.bin`.

    Origin:
        `IndexedDataset` of `megatron/core/datasets/indexed_dataset.py`; there `len` counts sequences, here documents,
        which differs if documents are empty or have several sequences. TNTIDX: `IndexedDataset` of bigscience
        Megatron-DeepSpeed's `megatron/data/indexed_dataset.py`.
    """

    def __init__(self, path_prefix: PathLike, *, mode: Mode = "mmap") -> None:
        if mode not in {"mmap", "pread"}:
            raise ConfigError(f"mode: expected 'mmap' or 'pread', got {mode!r}")
        self.path_prefix = finished_path(path_prefix, "path_prefix")
        self.mode: Mode = mode
        idx, bin_ = Path(f"{self.path_prefix}.idx"), Path(f"{self.path_prefix}.bin")
        index = map_file(idx) if mode == "mmap" else idx.read_bytes()
        self.dtype: np.dtype[Any]
        self.sequence_lengths: NDArray[np.int32]
        self.sequence_pointers: NDArray[np.int64]
        self.document_indices: NDArray[np.int64]
        if index[:8] == _LEGACY_MAGIC:
            self._read_legacy(idx, index)
        else:
            self._read(idx, index)
        if mode == "mmap":
            self._bin = map_file(bin_)
            self._bin_bytes = len(self._bin)
        else:
            self._descriptor = os.open(bin_, os.O_RDONLY | os.O_CLOEXEC)
            weakref.finalize(self, os.close, self._descriptor)
            self._bin_bytes = os.fstat(self._descriptor).st_size
        self.num_tokens = self._bin_bytes // self.dtype.itemsize
        self._check(idx, bin_)

    def _read(self, idx: Path, index: mmap.mmap | bytes) -> None:
        if len(index) < _HEADER_BYTES or index[:9] != MAGIC:
            raise CorruptDataError(f"{idx}: offset 0: expected a Megatron index (magic MMIDIDX)")
        version, code, sequences, documents = struct.unpack_from("<QBQQ", index, 9)
        if version != 1:
            raise CorruptDataError(f"{idx}: offset 9: version: expected 1, found {version}")
        if code not in TOKEN_DTYPES:
            raise CorruptDataError(f"{idx}: offset 17: token type: expected {sorted(TOKEN_DTYPES)}, found {code}")
        expected = _HEADER_BYTES + 12 * sequences + 8 * documents
        # Multimodal indices have one more byte per sequence.
        if len(index) not in {expected, expected + sequences} or documents < 1:
            raise CorruptDataError(
                f"{idx}: offset 18: {sequences} sequences and {documents} document index entries "
                f"need {expected} bytes, the file has {len(index)}"
            )
        pointers_at = _HEADER_BYTES + 4 * sequences
        documents_at = pointers_at + 8 * sequences
        self.dtype = np.dtype(TOKEN_DTYPES[code])
        self.sequence_lengths = np.frombuffer(index, "<i4", sequences, _HEADER_BYTES)
        self.sequence_pointers = np.frombuffer(index, "<i8", sequences, pointers_at)
        self.document_indices = np.frombuffer(index, "<i8", documents, documents_at)

    def _read_legacy(self, idx: Path, index: mmap.mmap | bytes) -> None:
        if len(index) < _LEGACY_HEADER_BYTES:
            raise CorruptDataError(f"{idx}: offset {len(index)}: expected a header of {_LEGACY_HEADER_BYTES} bytes")
        version, code, itemsize, items, sizes, documents = struct.unpack_from("<6Q", index, 8)
        if version != 1:
            raise CorruptDataError(f"{idx}: offset 8: version: expected 1, found {version}")
        if code not in TOKEN_DTYPES or np.dtype(TOKEN_DTYPES[code]).itemsize != itemsize:
            raise CorruptDataError(f"{idx}: offset 16: unknown token type {code} of {itemsize} bytes")
        expected = _LEGACY_HEADER_BYTES + 8 * (2 * (items + 1) + sizes + documents)
        if len(index) != expected or documents < 1:
            raise CorruptDataError(
                f"{idx}: offset 32: {items} items, {sizes} sizes and {documents} document index entries "
                f"need {expected} bytes, the file has {len(index)}"
            )
        starts_at = _LEGACY_HEADER_BYTES + 8 * (items + 1)
        starts = np.frombuffer(index, "<i8", items + 1, starts_at)
        lengths = np.diff(starts)
        if starts[0] != 0 or (lengths < 0).any() or (lengths > _INT32_MAX).any():
            raise CorruptDataError(f"{idx}: offset {starts_at}: expected ascending starts of items")
        self.dtype = np.dtype(TOKEN_DTYPES[code])
        self.sequence_lengths = lengths.astype("<i4")
        self.sequence_pointers = starts[:-1] * itemsize
        self.document_indices = np.frombuffer(index, "<i8", documents, starts_at + 8 * (items + 1 + sizes))

    def _check(self, idx: Path, bin_: Path) -> None:
        """Checks that lengths tile `.bin` and documents tile sequences; for large indices only at their ends."""
        sequences = len(self.sequence_lengths)
        end = 0
        if sequences:
            end = int(self.sequence_pointers[-1]) + int(self.sequence_lengths[-1]) * self.dtype.itemsize
        if end != self._bin_bytes:
            raise CorruptDataError(f"{bin_}: expected {end} bytes by its index, found {self._bin_bytes}")
        if self.document_indices[0] != 0 or self.document_indices[-1] != sequences:
            raise CorruptDataError(f"{idx}: expected a document index from 0 to {sequences}")
        if sequences > _CHECKED_SEQUENCES:
            return
        sizes = self.sequence_lengths.astype(np.int64) * self.dtype.itemsize
        if (self.sequence_lengths < 0).any() or not np.array_equal(np.cumsum(sizes) - sizes, self.sequence_pointers):
            raise CorruptDataError(f"{idx}: expected lengths and pointers that tile the tokens")
        if (np.diff(self.document_indices) < 0).any():
            raise CorruptDataError(f"{idx}: expected an ascending document index")

    def __len__(self) -> int:
        return len(self.document_indices) - 1

    def get(self, index: int, offset: int = 0, length: int | None = None) -> Tokens:
        """As for `Documents.get`: a view of the file, or a copy with `pread`."""
        document = checked_index(index, len(self), "document")
        first, last = int(self.document_indices[document]), int(self.document_indices[document + 1])
        if first == last:
            start = num_tokens = 0
        else:
            start = int(self.sequence_pointers[first])
            end = int(self.sequence_pointers[last - 1]) + int(self.sequence_lengths[last - 1]) * self.dtype.itemsize
            num_tokens = (end - start) // self.dtype.itemsize
        length = num_tokens - offset if length is None else length
        if offset < 0 or length < 0 or offset + length > num_tokens:
            raise IndexError(f"tokens {offset} to {offset + length} of a document of {num_tokens}")
        return self._tokens(start + offset * self.dtype.itemsize, length)

    def _tokens(self, start: int, length: int) -> Tokens:
        if self.mode == "mmap":
            return np.frombuffer(self._bin, self.dtype, length, start)
        parts, wanted = [], length * self.dtype.itemsize
        while wanted:
            # One call returns at most 2 GB.
            part = os.pread(self._descriptor, wanted, start)
            if not part:
                raise CorruptDataError(f"{self.path_prefix}.bin: offset {start}: the file has become shorter")
            parts.append(part)
            start, wanted = start + len(part), wanted - len(part)
        return np.frombuffer(b"".join(parts), self.dtype, length)

    def __reduce__(self) -> tuple[Any, tuple[str, Mode]]:
        return (_reopen, (self.path_prefix, self.mode))

    def __repr__(self) -> str:
        return (
            f"IndexedDataset({self.path_prefix!r}: {len(self):,} documents, {self.num_tokens:,} tokens, {self.dtype})"
        )


def _reopen(path_prefix: str, mode: Mode) -> IndexedDataset:
    return IndexedDataset(path_prefix, mode=mode)


class ShardedIndexedDataset(Documents):
    """Documents of many Megatron pairs as one data set, one pair after the other.

    Only headers are read on construction. Pairs are opened on demand and the least recently used ones are closed, so
    thousands of pairs do not exhaust file descriptors or maps.

    Args:
        path_prefixes: Paths of the pairs without suffix, in order.
        mode: How to read, `mmap` or `pread`, as for `IndexedDataset`.
        max_open_files: Number of pairs that stay open; by default 1,024 with `mmap`, which holds no descriptors, else
            256.

    Raises:
        ConfigError: There are no pairs.
        CorruptDataError: A header is damaged.

    Example:
        >>> _ = bloomdata.pack("raw/*.jsonl", "packed-pair", tokenizer="bytes", format="megatron")
        >>> one = bloomdata.open("packed-pair")
        >>> both = bloomdata.ShardedIndexedDataset([one.path_prefix, one.path_prefix])
        >>> len(both) == 2 * len(one), bool((both[len(one)] == one[0]).all())
        (True, True)
    """

    def __init__(
        self, path_prefixes: Sequence[PathLike], *, mode: Mode = "mmap", max_open_files: int | None = None
    ) -> None:
        if isinstance(path_prefixes, (str, os.PathLike)) or not path_prefixes:
            raise ConfigError(f"path_prefixes: expected a list of at least one path, got {path_prefixes!r}")
        if max_open_files is not None and max_open_files < 1:
            raise ConfigError(f"max_open_files: expected 1 or more, got {max_open_files}")
        self.path_prefixes = [finished_path(prefix, "path_prefixes") for prefix in path_prefixes]
        self.mode: Mode = mode
        self.max_open_files = max_open_files or default_open_files(mode)
        self._ends = np.cumsum([_num_documents(f"{prefix}.idx") for prefix in self.path_prefixes]).tolist()
        self._open: dict[int, IndexedDataset] = {}

    def _pair(self, number: int) -> IndexedDataset:
        # Two threads may open the same pair, which is harmless, since each step is atomic.
        dataset = self._open.pop(number, None) or IndexedDataset(self.path_prefixes[number], mode=self.mode)
        self._open[number] = dataset
        for oldest in list(self._open)[: len(self._open) - self.max_open_files]:
            self._open.pop(oldest, None)
        return dataset

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def sequence_lengths(self) -> NDArray[np.int32]:
        """Lengths of all sequences in tokens, pair by pair; reads every index."""
        return np.concatenate([self._pair(number).sequence_lengths for number in range(len(self.path_prefixes))])

    def get(self, index: int, offset: int = 0, length: int | None = None) -> Tokens:
        """As for `Documents.get`, from the pair that holds the document."""
        document = checked_index(index, len(self), "document")
        number = bisect.bisect_right(self._ends, document)
        return self._pair(number).get(document - (self._ends[number - 1] if number else 0), offset, length)

    def __reduce__(self) -> tuple[Any, tuple[list[str], Mode, int]]:
        return (_reopen_all, (self.path_prefixes, self.mode, self.max_open_files))

    def __repr__(self) -> str:
        return f"ShardedIndexedDataset({len(self.path_prefixes):,} pairs: {len(self):,} documents)"


def _reopen_all(path_prefixes: list[str], mode: Mode, max_open_files: int) -> ShardedIndexedDataset:
    return ShardedIndexedDataset(path_prefixes, mode=mode, max_open_files=max_open_files)


def default_open_files(mode: Mode) -> int:
    """Default number of open pairs: more for maps, which hold none of the 1,024 file descriptors of a process."""
    return 1024 if mode == "mmap" else 256


def _num_documents(idx: str) -> int:
    """Number of documents in a header; the rest is checked when the pair is opened."""
    descriptor = os.open(idx, os.O_RDONLY | os.O_CLOEXEC)
    try:
        header, size = os.pread(descriptor, _LEGACY_HEADER_BYTES, 0), os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
    is_legacy = header[:8] == _LEGACY_MAGIC
    if len(header) < (_LEGACY_HEADER_BYTES if is_legacy else _HEADER_BYTES) or not (is_legacy or header[:9] == MAGIC):
        raise CorruptDataError(f"{idx}: offset 0: expected a Megatron index (magic MMIDIDX)")
    count: int = struct.unpack_from("<Q", header, 48 if is_legacy else 26)[0]
    if not 1 <= count <= size // 8:
        raise CorruptDataError(f"{idx}: offset {48 if is_legacy else 26}: {count} entries in a file of {size} bytes")
    return count - 1
