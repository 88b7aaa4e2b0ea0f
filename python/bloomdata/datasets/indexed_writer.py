"""Writes Megatron pairs from existing tokens; `pack` makes them from text."""

from __future__ import annotations

import os
import shutil
import struct
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bloomdata.datasets.indexed_dataset import MAGIC, TOKEN_DTYPES, IndexedDataset
from bloomdata.errors import ConfigError, MismatchError
from bloomdata.options.paths import output_path

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from numpy.typing import ArrayLike, DTypeLike

_CODES = {np.dtype(name).str: code for code, name in TOKEN_DTYPES.items()}
_INT32_MAX = 2**31 - 1
# Vocabulary size that needs 32 bits. Megatron's limit leaves room for some padding ids.
_MANY_IDS = 65_500


class IndexedDatasetWriter:
    """Writes a Megatron pair, `<prefix>.bin` and `<prefix>.idx`.

    Both are written under temporary names and renamed by `finalize`, the `.idx` last: if there is an `.idx`, the pair
    is complete. As a context manager it finalizes at the end, and leaves no files after an exception.

    Args:
        path_prefix: Path of the pair without `.bin` and `.idx`.
        dtype: Type of tokens: 8 to 64 bits signed, 8 or 16 bits unsigned.
        vocab_size: Vocabulary size, instead of a dtype: below 65,500 ids the type is `uint16`, else `int32`, as in
            Megatron.
        overwrite: Whether to replace an existing pair.

    Raises:
        ConfigError: The pair already exists, or the format does not support the dtype.

    Origin:
        `IndexedDatasetBuilder` of `megatron/core/datasets/indexed_dataset.py`: the same calls, the same bytes.

    Example:
        >>> with bloomdata.IndexedDatasetWriter("written", vocab_size=50_000) as writer:
        ...     writer.add_document([1, 2, 3])
        ...     writer.add_item([4])
        ...     writer.add_item([5, 6])
        ...     writer.end_document()
        >>> [tokens.tolist() for tokens in bloomdata.IndexedDataset("written")]
        [[1, 2, 3], [4, 5, 6]]
    """

    def __init__(
        self,
        path_prefix: str | os.PathLike[str],
        *,
        dtype: DTypeLike | None = None,
        vocab_size: int | None = None,
        overwrite: bool = False,
    ) -> None:
        self.path_prefix = output_path(path_prefix, "path_prefix")
        if (dtype is None) == (vocab_size is None):
            raise ConfigError("dtype: expected either a dtype or a vocab_size, got both or neither")
        if vocab_size is not None:
            dtype = "<u2" if vocab_size < _MANY_IDS else "<i4"
        self.dtype: np.dtype[Any] = np.dtype(dtype).newbyteorder("<")
        if self.dtype.str not in _CODES:
            raise ConfigError(f"dtype: expected one of {sorted(name[1:] for name in _CODES)}, got {self.dtype}")
        self._bin, self._idx = Path(f"{self.path_prefix}.bin"), Path(f"{self.path_prefix}.idx")
        for path in (self._bin, self._idx):
            if path.exists() and not overwrite:
                raise ConfigError(f"path_prefix: {path} exists (overwrite=True replaces it)")
        self._part = self._bin.with_name(f".{self._bin.name}.part")
        self._file = self._part.open("wb")
        self._lengths = array("i")
        self._documents = array("q", [0])

    def add_item(self, tokens: ArrayLike) -> None:
        """Adds a sequence to the current document.

        Args:
            tokens: (num_tokens,) whole numbers that fit the dtype.

        Raises:
            ConfigError: The tokens are not a row of whole numbers, do not fit the dtype, or are more than 2^31 - 1.
        """
        row = self._row(tokens)
        self._file.write(row.tobytes())
        self._lengths.append(len(row))

    def end_document(self) -> None:
        """Ends the current document, even if it has no tokens."""
        self._documents.append(len(self._lengths))

    def add_document(self, tokens: ArrayLike, lengths: Sequence[int] | None = None) -> None:
        """Adds a whole document.

        Args:
            tokens: (num_tokens,) whole numbers that fit the dtype.
            lengths: Lengths of its sequences; by default one sequence of all tokens.

        Raises:
            ConfigError: As for `add_item`; or the lengths do not add up to the tokens, or a document is open.
        """
        if self._documents[-1] != len(self._lengths):
            raise ConfigError("add_document: expected no open document, but a document is open; end_document() ends it")
        row = self._row(tokens)
        lengths = [len(row)] if lengths is None else list(lengths)
        if sum(lengths) != len(row) or min(lengths, default=0) < 0:
            raise ConfigError(f"lengths: expected lengths >= 0 with a sum of {len(row)} tokens, got {lengths}")
        self._file.write(row.tobytes())
        self._lengths.extend(lengths)
        self.end_document()

    def add_index(self, path_prefix: str | os.PathLike[str]) -> None:
        """Adds all documents of another pair.

        Raises:
            MismatchError: The other pair has another dtype.
            CorruptDataError: The other pair is damaged.
        """
        other = IndexedDataset(path_prefix)
        if other.dtype != self.dtype:
            raise MismatchError(f"{other.path_prefix}: dtype: expected {self.dtype}, found {other.dtype}")
        with Path(f"{other.path_prefix}.bin").open("rb") as tokens:
            shutil.copyfileobj(tokens, self._file, 1 << 24)
        before = len(self._lengths)
        self._lengths.extend(other.sequence_lengths.tolist())
        self._documents.extend((np.asarray(other.document_indices[1:]) + before).tolist())

    def finalize(self) -> None:
        """Finishes the pair and renames its files.

        Raises:
            ConfigError: A document is open.
            OSError: The operating system reports an error.
        """
        if self._documents[-1] != len(self._lengths):
            raise ConfigError("finalize: expected no open document, but a document is open; end_document() ends it")
        lengths = np.frombuffer(self._lengths, "<i4") if self._lengths else np.empty(0, "<i4")
        sizes = lengths.astype("<i8") * self.dtype.itemsize
        header = struct.pack("<QBQQ", 1, _CODES[self.dtype.str], len(lengths), len(self._documents))
        index = self._idx.with_name(f".{self._idx.name}.part")
        with index.open("wb") as file:
            file.write(MAGIC + header + lengths.tobytes())
            file.write((np.cumsum(sizes) - sizes).tobytes())
            file.write(np.frombuffer(self._documents, "<i8").tobytes())
            _sync(file)
        _sync(self._file)
        self._file.close()
        # Remove the old index first, so that no index describes the wrong tokens.
        self._idx.unlink(missing_ok=True)
        self._part.replace(self._bin)
        index.replace(self._idx)

    def discard(self) -> None:
        """Removes the unfinished files."""
        self._file.close()
        self._part.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        if kind is not None:
            self.discard()
            return
        try:
            self.finalize()
        except BaseException:
            self.discard()
            raise

    def _row(self, tokens: ArrayLike) -> np.ndarray[Any, Any]:
        row = np.asarray(tokens)
        if row.ndim != 1 or (row.dtype.kind not in "iu" and row.size):
            raise ConfigError(f"tokens: expected a row of whole numbers, got {row.dtype} of shape {row.shape}")
        if len(row) > _INT32_MAX:
            raise ConfigError(f"tokens: expected at most 2^31 - 1 in a sequence, got {len(row)}")
        if row.size:
            limits = np.iinfo(self.dtype)
            lowest, highest = int(row.min()), int(row.max())
            if lowest < limits.min or highest > limits.max:
                raise ConfigError(f"tokens: expected ids that fit {self.dtype}, got {lowest} to {highest}")
        return row.astype(self.dtype)


def _sync(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())
