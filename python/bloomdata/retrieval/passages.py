"""Passages: documents cut at words, and the compressed file from which any of them can be read alone."""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import zstandard

from bloomdata.errors import CorruptDataError
from bloomdata.tokenizers.tokenizer import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# In scripts that put no blanks between words, a character counts as a word.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# With the blanks around it, so that the passages of a document are its text. What is longer than any word is cut.
_WORD = rf"(?:\s*+(?:[{_UNSPACED}]|[^\s{_UNSPACED}]{{1,64}}+)\s*+)"
_to_json = json.JSONEncoder(ensure_ascii=False).encode
# A query reads one or two frames; fewer passages in each would compress worse.
FRAME_PASSAGES = 64


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A part of a document.

    Attributes:
        document: Number of the document among all, from 0.
        number: Number of the passage in it, from 0.
        source: File of the document.
        line: Line or row of the document in this file, from 1.
        text: The text, with the blanks behind it: the passages of a document, one behind the other, are its text.
    """

    document: int
    number: int
    source: str
    line: int
    text: str

    @property
    def id(self) -> str:
        """`docs.jsonl:13#2` for passage 2 of the document in line 13."""
        return f"{self.source}:{self.line}#{self.number}"


def cut(text: str, words: int) -> list[str]:
    """Cuts a text into passages of so many words; 0 for one passage. A text without words has none."""
    return _passage_of(words).findall(text)


@functools.cache
def _passage_of(words: int) -> re.Pattern[str]:
    return re.compile(f"{_WORD}{{1,{words}}}" if words else f"{_WORD}+")


def read_passages(inputs: list[str], *, text_field: str, words: int, books: dict[str, int]) -> Iterator[Passage]:
    """Yields the passages of all documents in files, in order.

    Args:
        inputs: Files of any kind that the core reads.
        text_field: Field that holds the text.
        words: Words of a passage.
        books: Is counted up: `documents_in`, `documents_kept`, `text_bytes` of these.
    """
    # The core's readers hand out ids; those of the tokenizer `bytes` are the bytes of the text.
    for batch in Tokenizer("bytes").encode_files(inputs, text_field=text_field):
        content = batch.ids.astype(np.uint8).tobytes()
        for (start, end), line in zip(pairwise(batch.offsets.tolist()), batch.lines.tolist(), strict=True):
            texts = cut(content[start:end].decode(), words)
            if texts:
                books["documents_kept"] += 1
                books["text_bytes"] += end - start
            for number, text in enumerate(texts):
                document = books["documents_in"]
                yield Passage(document=document, number=number, source=batch.path, line=line, text=text)
            books["documents_in"] += 1


def to_frame(passages: list[Passage]) -> bytes:
    """Passages as a zstd frame of JSON lines."""
    lines = (_to_json({"id": passage.id, **vars(passage)}) + "\n" for passage in passages)
    return zstandard.ZstdCompressor().compress("".join(lines).encode())


class PassageFile:
    """The passages of a finished folder, by their row.

    Args:
        path: `passages.jsonl.zst`.
        offsets: (num_frames + 1,) int64, where each frame starts.

    Raises:
        CorruptDataError: The file does not have the length that the offsets say.
    """

    def __init__(self, path: Path, offsets: Any) -> None:
        self._path, self._offsets = path, offsets
        if int(offsets[-1]) != (size := path.stat().st_size):
            raise CorruptDataError(f"{path}: expected {int(offsets[-1])} bytes, found {size}; build the index again")
        self._content = np.memmap(path, np.uint8, "r")

    def read(self, first: int, last: int) -> list[Passage]:
        """The passages of rows from `first` to `last`, both included.

        Raises:
            CorruptDataError: A frame is damaged.
        """
        frames = range(first // FRAME_PASSAGES, last // FRAME_PASSAGES + 1)
        lines = [line for frame in frames for line in self._frame(frame)]
        start = frames[0] * FRAME_PASSAGES
        return [_from_line(line) for line in lines[first - start : last - start + 1]]

    def _frame(self, number: int) -> list[bytes]:
        start, end = (int(offset) for offset in self._offsets[number : number + 2])
        try:
            content = zstandard.ZstdDecompressor().decompress(self._content[start:end].data)
        except zstandard.ZstdError as error:
            raise CorruptDataError(f"{self._path}: offset {start}: damaged frame: {error}") from error
        # Not at the other ends of lines that `splitlines` knows: texts may have them.
        return content.split(b"\n")[:-1]


def _from_line(line: bytes) -> Passage:
    record = json.loads(line)
    del record["id"]
    return Passage(**record)
