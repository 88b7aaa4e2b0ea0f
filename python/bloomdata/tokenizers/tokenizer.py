"""Tokenizers as objects, and how verbs name them."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bloomdata import _core
from bloomdata.errors import ConfigError, MismatchError
from bloomdata.options.checks import check_choice, thread_count
from bloomdata.options.inputs import split_inputs
from bloomdata.options.tables import check_array
from bloomdata.options.tokenizer_options import tokenizer_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from bloomdata.options.inputs import Inputs
    from bloomdata.tokenizers.encoded_files import EncodedFiles


class Tokenizer:
    """A `tokenizer.json`, a folder that holds one, or `"bytes"`. Can be pickled; shared by threads; survives a fork.

    Ids are those of Hugging Face `tokenizers` 0.23 for every `tokenizer.json`; `backend` says which code makes them.

    Args:
        tokenizer: What to load; see `bloomdata.pack`.
        eos_token: The token that ends a document, when the tokenizer's files do not say.
        pad_token: The token that pads.
        add_special_tokens: Whether tokens that the tokenizer itself puts around texts (a leading `<s>`, ...) are
            ever added.
        special_tokens: Tokens to add to the vocabulary, each found whole in texts.

    Example:
        >>> tokenizer = bloomdata.Tokenizer("bytes")
        >>> tokenizer.encode("hi").tolist()
        [104, 105]
        >>> tokenizer.decode([104, 105])
        'hi'
        >>> ids, offsets = tokenizer.encode_batch(["hi", "", "you"])
        >>> offsets.tolist()
        [0, 2, 2, 5]
    """

    def __init__(
        self,
        tokenizer: str | os.PathLike[str],
        eos_token: str | None = None,
        pad_token: str | None = None,
        *,
        add_special_tokens: bool = True,
        special_tokens: Sequence[str] | None = None,
    ) -> None:
        options = tokenizer_options(
            tokenizer, eos_token, pad_token, add_special_tokens=add_special_tokens, special_tokens=special_tokens
        )
        self._options = json.dumps(options)
        self._core = _core.Tokenizer(self._options)
        self.path = os.fspath(tokenizer)

    @property
    def core(self) -> _core.Tokenizer:
        """The object of the extension module."""
        return self._core

    def encode_ends(self, text: str) -> tuple[list[int], list[int]]:
        """Ids of a text without what the tokenizer puts around it, and where in the text each ends, in characters.

        An id that is a part of a character ends where that character ends.
        """
        return _core.encode_ends(self._core, text)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], **options: Any) -> Tokenizer:
        """Loads a `tokenizer.json`.

        Args:
            path: The file, whatever its name.
            **options: As for `Tokenizer`.
        """
        if not Path(path).is_file():
            raise ConfigError(f"path: {os.fspath(path)} is not a file")
        return cls(path, **options)

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str], **options: Any) -> Tokenizer:
        """Loads the `tokenizer.json` of a model's folder, with the special tokens that its other files name.

        Args:
            folder: A local folder; nothing is fetched.
            **options: As for `Tokenizer`.
        """
        if not Path(folder).is_dir():
            raise ConfigError(f"folder: {os.fspath(folder)} is not a folder; only local ones are read")
        return cls(folder, **options)

    def encode(self, text: str, *, add_special_tokens: bool = True) -> NDArray[np.uint32]:
        """Ids of a text.

        Args:
            text: The text; may be empty.
            add_special_tokens: Whether to add what the tokenizer puts around texts.

        Returns:
            (num_tokens,) uint32, read-only.

        Raises:
            UnicodeEncodeError: A text with half of a surrogate pair, which is not UTF-8.
        """
        import numpy as np

        return np.frombuffer(self._core.encode(text, add_special_tokens), dtype="<u4")

    def encode_batch(
        self, texts: Sequence[str] | Any, *, add_special_tokens: bool = True, num_threads: int | None = None
    ) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Ids of many texts in one array, on several threads.

        Args:
            texts: A list of `str`, or an Arrow array or chunked array of strings, which is read in place.
            add_special_tokens: Whether to add what the tokenizer puts around texts.
            num_threads: Threads; one per processor by default.

        Returns:
            ids: (num_tokens,) uint32, read-only, of all texts one behind the other.
            offsets: (num_texts + 1,) int64; text `i` has `ids[offsets[i]:offsets[i + 1]]`.

        Raises:
            UnicodeEncodeError: A text with half of a surrogate pair, which is not UTF-8.
            TypeError: Something that is not a text.
            ValueError: An Arrow array with nulls, or one that is damaged.
        """
        import numpy as np

        ids, counts = self._batch(texts, add_special_tokens=add_special_tokens, keeps_ids=True, threads=num_threads)
        offsets = np.zeros(counts.size + 1, np.int64)
        np.cumsum(counts, out=offsets[1:])
        return np.frombuffer(ids, dtype="<u4"), offsets

    def encode_files(
        self,
        inputs: Inputs,
        *,
        text_field: str = "text",
        add_special_tokens: bool = True,
        on_bad_record: Literal["raise", "quarantine"] = "raise",
        num_threads: int | None = None,
    ) -> EncodedFiles:
        """Ids of the texts of files, batch by batch and in order, in bounded memory, however many files there are.

        Reading, decompression and encoding run on several threads while a batch is worked on. The ids are those of
        `encode_batch` for the same texts.

        Args:
            inputs: Files, folders and patterns, as for `pack`. For a table in memory, use `encode_batch` on its column.
            text_field: The field that holds the text, of JSON records and tables; `a.b` is a field of an object.
            add_special_tokens: Whether to add what the tokenizer puts around texts.
            on_bad_record: Whether to stop at the first bad record, or to leave bad records out and count them.
            num_threads: Threads that encode; one per processor by default.

        Returns:
            An iterator of `EncodedBatch`: about a MiB of text each (more for a longer line or zstd frame), of one
            file, with the line of every text; an empty text is there without ids, a blank line is no text. At its end,
            `counts` says what each file held.

        Raises:
            ConfigError: No such file, or an option that cannot work.
            CorruptDataError: While iterating: a damaged file, or a bad record.
            OSError: What the system reports.

        Example:
            >>> batches = bloomdata.Tokenizer("bytes").encode_files("raw/*.jsonl")
            >>> sum(batch.ids.size for batch in batches), batches.counts.documents
            (28, 2)
        """
        from bloomdata.tokenizers.encoded_files import EncodedFiles

        check_choice("on_bad_record", on_bad_record, "raise", "quarantine")
        paths, tables = split_inputs(inputs)
        if tables:
            raise ConfigError("inputs: tables in memory are not read here; use encode_batch on their column")
        leaves_bad_out = on_bad_record == "quarantine"
        threads = thread_count(num_threads)
        core = self._core.encode_files(paths, text_field, add_special_tokens, leaves_bad_out, threads)
        return EncodedFiles(core, paths)

    def count_tokens(
        self, texts: str | Sequence[str] | Any, *, add_special_tokens: bool = True, num_threads: int | None = None
    ) -> Any:
        """How many ids texts have, without keeping the ids.

        Args:
            texts: As for `encode_batch`, or one `str`.
            add_special_tokens: Whether to count what the tokenizer puts around texts.
            num_threads: As for `encode_batch`.

        Returns:
            (num_texts,) int64; an `int` for one `str`.
        """
        if isinstance(texts, str):
            return int(self.encode(texts, add_special_tokens=add_special_tokens).size)
        _, counts = self._batch(texts, add_special_tokens=add_special_tokens, keeps_ids=False, threads=num_threads)
        return counts

    def _batch(
        self, texts: Any, *, add_special_tokens: bool, keeps_ids: bool, threads: int | None
    ) -> tuple[memoryview, NDArray[np.int64]]:
        import numpy as np

        if isinstance(texts, (str, bytes)):
            raise TypeError("texts: expected a list of str, or Arrow strings")
        if not hasattr(texts, "__arrow_c_array__") and not hasattr(texts, "chunks"):
            texts = list(texts)
        check_array(texts)
        ids, counts = self._core.encode_batch(texts, add_special_tokens, keeps_ids, thread_count(threads))
        return ids, np.frombuffer(counts, dtype="<i8")

    def decode(self, ids: Sequence[int] | NDArray[Any], *, skip_special_tokens: bool = False) -> str:
        """Text of ids; bytes that are no UTF-8 become U+FFFD.

        Raises:
            MismatchError: An id outside the vocabulary.
        """
        numbers = [int(token) for token in ids]
        for token in numbers:
            if not 0 <= token < self.vocab_size:
                raise MismatchError(f"token id: expected 0 to {self.vocab_size - 1}, found {token}")
        return self._core.decode(numbers, skip_special_tokens)

    def decode_batch(
        self,
        ids: Any,
        offsets: Sequence[int] | NDArray[Any] | None = None,
        *,
        skip_special_tokens: bool = False,
    ) -> list[str]:
        """Texts of ids: of what `encode_batch` returns, or of a list of ids for each text.

        Raises:
            MismatchError: An id outside the vocabulary, or offsets outside the ids.
        """
        if offsets is None:
            return [self.decode(part, skip_special_tokens=skip_special_tokens) for part in ids]
        bounds = [int(offset) for offset in offsets]
        if bounds != sorted(bounds) or not bounds or bounds[0] < 0 or bounds[-1] > len(ids):
            raise MismatchError(f"offsets: expected ascending numbers from 0 to {len(ids)}")
        parts = pairwise(bounds)
        return [self.decode(ids[start:end], skip_special_tokens=skip_special_tokens) for start, end in parts]

    def id_to_token(self, token_id: int) -> str | None:
        """Name of an id in the vocabulary; `None` for one that is not in it."""
        return self._core.id_to_token(token_id) if 0 <= token_id < self.vocab_size else None

    @property
    def vocab_size(self) -> int:
        """One more than the highest id."""
        return self._core.vocab_size

    @property
    def eos_token_id(self) -> int:
        """Id that ends a document.

        Raises:
            ConfigError: The tokenizer's files do not say which; name it by `eos_token`.
        """
        return self._core.eos_token_id

    @property
    def pad_token_id(self) -> int:
        """Id that fills up sequences; that of the end of a document where there is no other."""
        return self._core.pad_token_id

    @property
    def backend(self) -> str:
        """Which code runs; the ids are the same.

        `bytes`, `byte-level BPE` and `byte-fallback BPE` are ours, `tokenizers 0.23` is the crate of that name.
        """
        return self._core.backend

    @property
    def backend_reason(self) -> str | None:
        """Why `tokenizers` runs, and nothing faster; `None` when something faster does."""
        return self._core.backend_reason

    @property
    def fingerprint(self) -> str:
        """BLAKE3 of the definition: equal fingerprints mean equal ids."""
        return self._core.fingerprint

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (_from_options, (self._options,))

    def __repr__(self) -> str:
        return f"Tokenizer({json.loads(self._options)['tokenizer']!r}, backend={self.backend!r})"


def _from_options(options: str) -> Tokenizer:
    return Tokenizer(**json.loads(options))
