"""`Tokenizer`, the public class."""

from __future__ import annotations

import json
import operator
import os
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bloomdata import _core
from bloomdata.errors import ConfigError, MismatchError
from bloomdata.options.checks import check_choice, thread_count
from bloomdata.options.inputs import split_inputs
from bloomdata.options.tables import check_array
from bloomdata.options.tokenizer_objects import with_own_options
from bloomdata.options.tokenizer_options import tokenizer_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from bloomdata.options.inputs import Inputs
    from bloomdata.tokenizers.encoded_files import EncodedFiles


class Tokenizer:
    """A `tokenizer.json`, a folder that holds one, or `"bytes"`. Can be pickled, used in threads and after a fork.

    For every `tokenizer.json` the ids are those of Hugging Face `tokenizers` 0.23; `backend` names the implementation.

    Args:
        tokenizer: A `tokenizer.json`, a folder that holds one, `"bytes"`, or a tokenizer of `tokenizers` or
            `transformers`, as for `bloomdata.pack`.
        eos_token: The end-of-document token, if the tokenizer's files do not name it.
        pad_token: The padding token.
        add_special_tokens: Whether the post-processor may add special tokens (a leading `<s>`, ...). If not, no call
            adds them.
        special_tokens: Tokens to add to the vocabulary; each is always encoded as one token.

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
        tokenizer: str | os.PathLike[str] | Any,
        eos_token: str | None = None,
        pad_token: str | None = None,
        *,
        add_special_tokens: bool = True,
        special_tokens: Sequence[str] | None = None,
    ) -> None:
        given = with_own_options(
            {
                "tokenizer": tokenizer,
                "eos_token": eos_token,
                "pad_token": pad_token,
                "add_special_tokens": add_special_tokens,
                "special_tokens": special_tokens,
            }
        )
        self.options = tokenizer_options(**given)
        self._options = json.dumps(self.options)
        self._core = _core.Tokenizer(self._options)
        self.path: str = given["tokenizer"]

    @property
    def core(self) -> _core.Tokenizer:
        """The object of the extension module."""
        return self._core

    def encode_ends(self, text: str) -> tuple[list[int], list[int]]:
        """The ids of a text without special tokens, and the end of each in the text, in characters.

        An id for a part of a character has the end of that character.
        """
        return _core.encode_ends(self._core, text)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], **options: Any) -> Tokenizer:
        """Loads a `tokenizer.json`.

        Args:
            path: The file, with any name.
            **options: Other options of `Tokenizer`.
        """
        if not Path(path).is_file():
            raise ConfigError(f"path: expected a file, got {os.fspath(path)}")
        return cls(path, **options)

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str], **options: Any) -> Tokenizer:
        """Loads the `tokenizer.json` in the folder of a model, with the special tokens named in its other files.

        Args:
            folder: A local folder; nothing is downloaded.
            **options: Other options of `Tokenizer`.
        """
        if not Path(folder).is_dir():
            raise ConfigError(f"folder: expected a local folder, got {os.fspath(folder)}")
        return cls(folder, **options)

    def encode(self, text: str, *, add_special_tokens: bool = True) -> NDArray[np.uint32]:
        """The ids of a text.

        Args:
            text: The text; may be empty.
            add_special_tokens: Whether to add the special tokens of the post-processor.

        Returns:
            (num_tokens,) uint32, read-only.

        Raises:
            UnicodeEncodeError: The text has a lone surrogate, which UTF-8 cannot encode.
        """
        import numpy as np

        return np.frombuffer(self._core.encode(text, add_special_tokens), dtype="<u4")

    def encode_batch(
        self, texts: Sequence[str] | Any, *, add_special_tokens: bool = True, num_threads: int | None = None
    ) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """The ids of many texts in one array, on several threads.

        Args:
            texts: A list of `str`, or an Arrow array or chunked array of strings, which is read in place.
            add_special_tokens: Whether to add the special tokens of the post-processor.
            num_threads: Number of threads; one per processor by default.

        Returns:
            ids: (num_tokens,) uint32, read-only, of all texts, concatenated.
            offsets: (num_texts + 1,) int64; the ids of text `i` are `ids[offsets[i]:offsets[i + 1]]`.

        Raises:
            UnicodeEncodeError: A text has a lone surrogate, which UTF-8 cannot encode.
            TypeError: An element is not a string.
            ValueError: The Arrow array has nulls, or is damaged.
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
        """The ids of the texts in files, batch by batch and in order, in bounded memory for any number of files.

        Reading, decompression and encoding run on several threads while you process a batch. The ids are those of
        `encode_batch` for the same texts.

        Args:
            inputs: Files, folders and patterns, as for `pack`. For a table in memory, use `encode_batch` on its column.
            text_field: Field that holds the text, in JSON records and tables; `a.b` is a nested field.
            add_special_tokens: Whether to add the special tokens of the post-processor.
            on_bad_record: Whether to stop at the first bad record (`raise`) or to skip and count bad records
                (`quarantine`).
            num_threads: Threads that encode; one per processor by default.

        Returns:
            An iterator of `EncodedBatch`, each about a MiB of text (more for a longer line or zstd frame) of one file,
            with the line of every text. Empty texts are included without ids, blank lines are not. At the end,
            `counts` has the counts of each file.

        Raises:
            ConfigError: A file does not exist, or an option is invalid.
            CorruptDataError: While iterating: a file is damaged, or a record is bad.
            OSError: The operating system reports an error.

        Example:
            >>> batches = bloomdata.Tokenizer("bytes").encode_files("raw/*.jsonl")
            >>> sum(batch.ids.size for batch in batches), batches.counts.documents
            (28, 2)
        """
        from bloomdata.tokenizers.encoded_files import EncodedFiles

        check_choice("on_bad_record", on_bad_record, "raise", "quarantine")
        paths, tables, _ = split_inputs(inputs)
        if tables:
            raise ConfigError("inputs: expected files, got a table in memory; use encode_batch on its column")
        leaves_bad_out = on_bad_record == "quarantine"
        threads = thread_count(num_threads)
        core = self._core.encode_files(paths, text_field, add_special_tokens, leaves_bad_out, threads)
        return EncodedFiles(core, paths)

    def count_tokens(
        self, texts: str | Sequence[str] | Any, *, add_special_tokens: bool = True, num_threads: int | None = None
    ) -> Any:
        """The numbers of ids of texts, without keeping the ids.

        Args:
            texts: A `str`, or texts as for `encode_batch`.
            add_special_tokens: Whether to count the special tokens of the post-processor.
            num_threads: Number of threads; one per processor by default.

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
            raise TypeError("texts: expected a list of str, or Arrow strings, got one string")
        if not hasattr(texts, "__arrow_c_array__") and not hasattr(texts, "chunks"):
            texts = list(texts)
        check_array(texts)
        ids, counts = self._core.encode_batch(texts, add_special_tokens, keeps_ids, thread_count(threads))
        return ids, np.frombuffer(counts, dtype="<i8")

    def decode(self, ids: Sequence[int] | NDArray[Any], *, skip_special_tokens: bool = False) -> str:
        """The text of ids; invalid UTF-8 becomes U+FFFD.

        Raises:
            MismatchError: An id is outside the vocabulary.
        """
        numbers = [operator.index(token) for token in ids]
        for token in numbers:
            if not 0 <= token < self.vocab_size:
                raise MismatchError(f"token id: expected 0 to {self.vocab_size - 1}, got {token}")
        return self._core.decode(numbers, skip_special_tokens)

    def decode_batch(
        self,
        ids: Any,
        offsets: Sequence[int] | NDArray[Any] | None = None,
        *,
        skip_special_tokens: bool = False,
    ) -> list[str]:
        """The texts of ids: of the result of `encode_batch`, or of a list of ids for each text.

        Raises:
            MismatchError: An id is outside the vocabulary, or an offset is outside the ids.
        """
        if offsets is None:
            return [self.decode(part, skip_special_tokens=skip_special_tokens) for part in ids]
        bounds = [int(offset) for offset in offsets]
        if bounds != sorted(bounds) or not bounds or bounds[0] < 0 or bounds[-1] > len(ids):
            raise MismatchError(f"offsets: expected ascending numbers from 0 to {len(ids)}, got others")
        parts = pairwise(bounds)
        return [self.decode(ids[start:end], skip_special_tokens=skip_special_tokens) for start, end in parts]

    def id_to_token(self, token_id: int) -> str | None:
        """The token of an id; `None` if the id is not in the vocabulary."""
        return self._core.id_to_token(token_id) if 0 <= token_id < self.vocab_size else None

    @property
    def vocab_size(self) -> int:
        """The highest id plus one."""
        return self._core.vocab_size

    @property
    def eos_token_id(self) -> int:
        """The id of the end-of-document token.

        Raises:
            ConfigError: The tokenizer's files do not name it; pass `eos_token`.
        """
        return self._core.eos_token_id

    @property
    def pad_token_id(self) -> int:
        """The id of the padding token; by default that of the end-of-document token."""
        return self._core.pad_token_id

    @property
    def backend(self) -> str:
        """The implementation in use; all give the same ids.

        `bytes`, `byte-level BPE` and `byte-fallback BPE` are our own, `tokenizers 0.23` is the crate of that name.
        """
        return self._core.backend

    @property
    def backend_reason(self) -> str | None:
        """The reason to use `tokenizers` instead of a faster backend; `None` if a faster one is in use."""
        return self._core.backend_reason

    @property
    def fingerprint(self) -> str:
        """BLAKE3 hash of the definition: equal fingerprints mean equal ids."""
        return self._core.fingerprint

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (_from_options, (self._options,))

    def __repr__(self) -> str:
        return f"Tokenizer({json.loads(self._options)['tokenizer']!r}, backend={self.backend!r})"


def _from_options(options: str) -> Tokenizer:
    return Tokenizer(**json.loads(options))
