"""Megatron pairs from tokens that were made elsewhere; `pack` makes them of text."""

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
# From here on, ids need 32 bits; Megatron draws the line where some ids of padding still fit.
_MANY_IDS = 65_500


class IndexedDatasetWriter:
    """Writes a Megatron pair, `<prefix>.bin` and `<prefix>.idx`.

    Both are written beside their names and renamed by `finalize`, the `.idx` last: where there is an `.idx`, the pair
    is whole. As a context manager it finalizes at the end, and leaves nothing after an exception.

    Args:
        path_prefix: Path of the pair without `.bin` and `.idx`.
        dtype: Of tokens: 8 to 64 bits signed, 8 or 16 bits unsigned.
        vocab_size: Instead of a dtype: `uint16` below 65,500 ids, else `int32`, as Megatron chooses.
        overwrite: Whether to replace a pair that is there.

    Raises:
        ConfigError: A pair that is there; a dtype that the format does not have.

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
            raise ConfigError("dtype: name either a dtype or a vocab_size")
        if vocab_size is not None:
            dtype = "<u2" if vocab_size < _MANY_IDS else "<i4"
        self.dtype: np.dtype[Any] = np.dtype(dtype).newbyteorder("<")
        if self.dtype.str not in _CODES:
            raise ConfigError(f"dtype: {self.dtype} is none of the format's: {sorted(name[1:] for name in _CODES)}")
        self._bin, self._idx = Path(f"{self.path_prefix}.bin"), Path(f"{self.path_prefix}.idx")
        for path in (self._bin, self._idx):
            if path.exists() and not overwrite:
                raise ConfigError(f"path_prefix: {path} exists (overwrite=True replaces it)")
        self._part = self._bin.with_name(f".{self._bin.name}.part")
        self._file = self._part.open("wb")
        self._lengths = array("i")
        self._documents = array("q", [0])

    def add_item(self, tokens: ArrayLike) -> None:
        """Adds a sequence to the document that is open.

        Args:
            tokens: (num_tokens,) whole numbers that fit the dtype.

        Raises:
            ConfigError: Something else than a row of whole numbers, one that does not fit, or over 2^31 - 1 of them.
        """
        row = self._row(tokens)
        self._file.write(row.tobytes())
        self._lengths.append(len(row))

    def end_document(self) -> None:
        """Ends the document that is open, even if it has no tokens."""
        self._documents.append(len(self._lengths))

    def add_document(self, tokens: ArrayLike, lengths: Sequence[int] | None = None) -> None:
        """Adds a whole document.

        Args:
            tokens: (num_tokens,) whole numbers that fit the dtype.
            lengths: Lengths of its sequences; one of all tokens if not given.

        Raises:
            ConfigError: As `add_item`; lengths that do not sum up to the tokens; a document that is open.
        """
        if self._documents[-1] != len(self._lengths):
            raise ConfigError("add_document: a document is open; end_document() ends it")
        row = self._row(tokens)
        lengths = [len(row)] if lengths is None else list(lengths)
        if sum(lengths) != len(row) or min(lengths, default=0) < 0:
            raise ConfigError(f"lengths: {lengths} are not those of {len(row)} tokens")
        self._file.write(row.tobytes())
        self._lengths.extend(lengths)
        self.end_document()

    def add_index(self, path_prefix: str | os.PathLike[str]) -> None:
        """Adds all documents of another pair.

        Raises:
            MismatchError: The pair has another dtype.
            CorruptDataError: The pair is damaged.
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
        """Seals the pair.

        Raises:
            ConfigError: A document is open.
            OSError: What the system reports.
        """
        if self._documents[-1] != len(self._lengths):
            raise ConfigError("finalize: a document is open; end_document() ends it")
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
        # Until the new index is there, no index says what the tokens are.
        self._idx.unlink(missing_ok=True)
        self._part.replace(self._bin)
        index.replace(self._idx)

    def discard(self) -> None:
        """Takes away what was written."""
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
            raise ConfigError(f"tokens: {row.dtype} of shape {row.shape} is no row of whole numbers")
        if len(row) > _INT32_MAX:
            raise ConfigError(f"tokens: {len(row)} are more than a sequence has, 2^31 - 1")
        if row.size:
            limits = np.iinfo(self.dtype)
            lowest, highest = int(row.min()), int(row.max())
            if lowest < limits.min or highest > limits.max:
                raise ConfigError(f"tokens: {lowest} to {highest} do not fit {self.dtype}")
        return row.astype(self.dtype)


def _sync(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())
