"""`bloomdata-cli tokenize`: texts in, ids out, line by line; or ids in, texts out."""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from bloomdata.errors import BloomdataError, ConfigError, MismatchError
from bloomdata.options.inputs import STDIN
from bloomdata.texts import read_lines, read_texts, refuse, shown
from bloomdata.tokenizers.tokenizer import Tokenizer

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator

# Text that is tokenized together, on all threads.
_BATCH_BYTES = 4 << 20
# What an empty text costs, too.
_TEXT_BYTES = 64
# Ids that become text at a time.
_PIECE_IDS = 1 << 16
# Of an id, which has 32 bits.
_ID_DIGITS = 10


def tokenize(options: argparse.Namespace, out: BinaryIO) -> None:
    """Writes a line for each document; those in front of an error, too.

    Raises:
        ConfigError: Options that do not fit together, or a tokenizer that cannot be loaded.
        CorruptDataError: Bytes that are no UTF-8, a bad record, a word that is no id.
        MismatchError: An id outside the vocabulary.
    """
    files = options.files or [STDIN]
    if files.count(STDIN) > 1:
        raise ConfigError("files: - is named twice; the standard input can be read only once")
    if STDIN in files and sys.stdin is None:
        raise ConfigError("files: - is to be read, but there is no standard input")
    if options.decode and (options.format in {"tokens", "counts"} or options.jsonl):
        raise ConfigError("decode: reads lines of ids, as formats ids and json write them, and nothing else")
    tokenizer = Tokenizer(options.tokenizer)
    if options.decode:
        for path in files:
            _write_texts(path, tokenizer, options, out)
    else:
        kind: Literal["auto", "whole", "jsonl"] = "whole" if options.whole else "jsonl" if options.jsonl else "auto"
        texts = (text for path in files for text in read_texts(path, kind, options.text_field))
        words = _Words(_token_name(tokenizer) if options.format == "tokens" else str)
        for batch in _batches(texts, 0 if _is_typed(files) else _BATCH_BYTES):
            for piece in _lines(batch, tokenizer, words, options):
                out.write(piece.encode())
            out.flush()
    out.flush()


def _is_typed(files: list[str]) -> bool:
    """Whether a person types, who wants an answer to each line."""
    return STDIN in files and sys.stdin.isatty()


def _batches(texts: Iterable[str], limit: int) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    try:
        for text in texts:
            batch.append(text)
            # Characters, of one to four bytes: near enough for a limit.
            size += len(text) + _TEXT_BYTES
            if size >= limit:
                yield batch
                batch, size = [], 0
    except (BloomdataError, OSError):
        if batch:
            yield batch
        raise
    if batch:
        yield batch


# --- texts to ids ----------------------------------------------------------------------------------------------


class _Words(dict[int, str]):
    """What stands for each id; made once, and at most once for each id of the vocabulary."""

    def __init__(self, make: Callable[[int], str]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, token: int) -> str:
        word = self[token] = self._make(token)
        return word


def _token_name(tokenizer: Tokenizer) -> Callable[[int], str]:
    return lambda token: json.dumps(tokenizer.id_to_token(token), ensure_ascii=False)


def _lines(batch: list[str], tokenizer: Tokenizer, words: _Words, options: argparse.Namespace) -> Iterator[str]:
    """Yields pieces of the lines of a batch."""
    how: dict[str, Any] = {"add_special_tokens": options.add_special_tokens, "num_threads": options.num_threads}
    if options.format == "counts":
        yield from (f"{count}\n" for count in tokenizer.count_tokens(batch, **how).tolist())
        return
    ids, offsets = tokenizer.encode_batch(batch, **how)
    start, separator, stop = ("", " ", "\n") if options.format == "ids" else ("[", ", ", "]\n")
    for first, end in pairwise(offsets.tolist()):
        yield start
        for at in range(first, end, _PIECE_IDS):
            piece = separator.join(map(words.__getitem__, ids[at : min(at + _PIECE_IDS, end)].tolist()))
            yield piece if at == first else separator + piece
        yield stop


# --- ids to texts ----------------------------------------------------------------------------------------------


def _write_texts(path: str, tokenizer: Tokenizer, options: argparse.Namespace, out: BinaryIO) -> None:
    """Each line of ids as a JSON string; or a whole file of ids as its bare text."""
    whole: list[int] = []
    is_typed = _is_typed([path])
    for number, offset, line in read_lines(path):
        ids = _ids(path, number, offset, line, tokenizer.vocab_size)
        if options.whole:
            whole += ids
            continue
        text = tokenizer.decode(ids, skip_special_tokens=not options.add_special_tokens)
        out.write(json.dumps(text, ensure_ascii=False).encode() + b"\n")
        if is_typed:
            out.flush()
    if whole:
        out.write(tokenizer.decode(whole, skip_special_tokens=not options.add_special_tokens).encode())


def _ids(path: str, number: int, offset: int, line: bytes, vocab_size: int) -> list[int]:
    """Numbers with white space between them, or a JSON array of numbers."""
    words = line.split()
    if line.lstrip().startswith(b"["):
        try:
            words = [str(token).encode() for token in json.loads(line)]
        except (ValueError, RecursionError) as error:
            refuse(path, number, offset, f"malformed JSON: {error}")
    for word in words:
        # Longer numbers are no ids, and slow to read.
        if not word.isdigit() or len(word) > _ID_DIGITS:
            refuse(path, number, offset, f"{word.decode(errors='replace')[:20]!r} is no token id")
    ids = list(map(int, words))
    if ids and max(ids) >= vocab_size:
        place = f"{shown(path)}: line {number}: offset {offset}"
        raise MismatchError(f"{place}: token id: expected 0 to {vocab_size - 1}, found {max(ids)}")
    return ids
