"""Packed files as datasets: `len`, `[i]`, slices; NumPy views of the files without copies.

`open` looks at what is there: a folder written by `pack` or `merge`, a bare Megatron pair, or a bare HDF5 file.
Datasets can be pickled (they reopen their files) and used in threads, forked and spawned workers.
"""

from __future__ import annotations

import builtins
import json
import mmap
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np

from bloomdata.errors import ConfigError, CorruptDataError, UnsupportedFormatError
from bloomdata.packed import PackedDataset as PackedDataset

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

Tokens: TypeAlias = "NDArray[Any]"
PathLike: TypeAlias = "str | os.PathLike[str]"

_MAGIC = b"MMIDIDX\x00\x00"
_HEADER_BYTES = 34
# Codes of Megatron's index; 6 and 7 mean different floats in different versions, and are no tokens.
_DTYPES = {1: "<u1", 2: "<i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}
# More sequences than that take seconds to check; `verify` does.
_CHECKED_SEQUENCES = 10_000_000


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
    ledger = manifest.get("ledger") or {}
    tokens, padding = ledger.get("tokens_out"), ledger.get("tokens_padding")
    fingerprint = manifest.get("fingerprint")
    return PackedDataset(
        paths,
        layouts=[output.get("datasets") for output in rows],
        fingerprint=fingerprint if isinstance(fingerprint, str) else None,
        num_tokens=tokens - padding if isinstance(tokens, int) and isinstance(padding, int) else None,
    )


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


def _map(path: Path) -> mmap.mmap | bytes:
    """The file as read-only memory. It stays mapped as long as a view of it lives."""
    with builtins.open(path, "rb") as file:  # noqa: PTH123 - `open` is ours here
        if os.fstat(file.fileno()).st_size == 0:
            return b""
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


class IndexedDataset:
    """Documents of a Megatron pair.

    `dataset[i]` are the tokens of document i, (num_tokens,), a read-only view; `dataset[a:b]` is a list of them.

    Args:
        path_prefix: Path of the pair without `.bin` and `.idx`.

    Raises:
        CorruptDataError: An index that breaks a rule of the format or does not fit its `.bin`.

    Origin:
        `megatron/core/datasets/indexed_dataset.py`, `IndexedDataset`; there, `len` counts sequences, here documents.
        The two differ where documents are empty or have several sequences.
    """

    def __init__(self, path_prefix: PathLike) -> None:
        self.path_prefix = os.fspath(path_prefix)
        idx, bin_ = Path(f"{self.path_prefix}.idx"), Path(f"{self.path_prefix}.bin")
        index = _map(idx)
        if len(index) < _HEADER_BYTES or index[:9] != _MAGIC:
            raise CorruptDataError(f"{idx}: offset 0: not a Megatron index (magic MMIDIDX expected)")
        version, code, sequences, documents = struct.unpack_from("<QBQQ", index, 9)
        if version != 1:
            raise CorruptDataError(f"{idx}: offset 9: version {version}, expected 1")
        if code not in _DTYPES:
            raise CorruptDataError(f"{idx}: offset 17: token type code {code}, expected one of {sorted(_DTYPES)}")
        expected = _HEADER_BYTES + 12 * sequences + 8 * documents
        # Multimodal indices hold one more byte a sequence.
        if len(index) not in {expected, expected + sequences} or documents < 1:
            raise CorruptDataError(
                f"{idx}: offset 18: {sequences} sequences and {documents} document index entries "
                f"need {expected} bytes, the file has {len(index)}"
            )
        pointers_at = _HEADER_BYTES + 4 * sequences
        documents_at = pointers_at + 8 * sequences
        self.dtype: np.dtype[Any] = np.dtype(_DTYPES[code])
        self.sequence_lengths: NDArray[np.int32] = np.frombuffer(index, "<i4", sequences, _HEADER_BYTES)
        self.sequence_pointers: NDArray[np.int64] = np.frombuffer(index, "<i8", sequences, pointers_at)
        self.document_indices: NDArray[np.int64] = np.frombuffer(index, "<i8", documents, documents_at)
        self._bin = _map(bin_)
        self.num_tokens = len(self._bin) // self.dtype.itemsize
        self._check(idx, bin_)

    def _check(self, idx: Path, bin_: Path) -> None:
        """Lengths must tile `.bin`, documents must tile sequences. Large indices are checked at their ends only."""
        sequences = len(self.sequence_lengths)
        end = 0
        if sequences:
            end = int(self.sequence_pointers[-1]) + int(self.sequence_lengths[-1]) * self.dtype.itemsize
        if end != len(self._bin):
            raise CorruptDataError(f"{bin_}: {len(self._bin)} bytes, its index says {end}")
        if self.document_indices[0] != 0 or self.document_indices[-1] != sequences:
            raise CorruptDataError(f"{idx}: the document index must go from 0 to {sequences}")
        if sequences > _CHECKED_SEQUENCES:
            return
        sizes = self.sequence_lengths.astype(np.int64) * self.dtype.itemsize
        if (self.sequence_lengths < 0).any() or not np.array_equal(np.cumsum(sizes) - sizes, self.sequence_pointers):
            raise CorruptDataError(f"{idx}: lengths and pointers do not tile the tokens")
        if (np.diff(self.document_indices) < 0).any():
            raise CorruptDataError(f"{idx}: the document index is out of order")

    def __len__(self) -> int:
        return len(self.document_indices) - 1

    @overload
    def __getitem__(self, index: int) -> Tokens: ...
    @overload
    def __getitem__(self, index: slice) -> list[Tokens]: ...
    def __getitem__(self, index: int | slice) -> Tokens | list[Tokens]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self.get(index)

    def get(self, index: int, offset: int = 0, length: int | None = None) -> Tokens:
        """Tokens `offset` to `offset + length` of a document, (length,); to its end without a length.

        Raises:
            IndexError: No such document, or a range that is not inside it.
        """
        num_documents = len(self)
        document = index + num_documents if index < 0 else index
        if not 0 <= document < num_documents:
            raise IndexError(f"document {index} of {num_documents}")
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
        return np.frombuffer(self._bin, self.dtype, length, start + offset * self.dtype.itemsize)

    def __iter__(self) -> Iterator[Tokens]:
        return (self[i] for i in range(len(self)))

    def __reduce__(self) -> tuple[type[IndexedDataset], tuple[str]]:
        return (IndexedDataset, (self.path_prefix,))

    def __repr__(self) -> str:
        return (
            f"IndexedDataset({self.path_prefix!r}: {len(self):,} documents, {self.num_tokens:,} tokens, {self.dtype})"
        )
