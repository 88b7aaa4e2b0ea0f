"""Texts of files become tokens of the "bytes" tokenizer: what `bloomdata.pack` must write."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from reference.exact_duplicates import normalized
from reference.jsonl import BadRecordError, is_blank, records, text_of

if TYPE_CHECKING:
    from reference.shard import Books, Files

PAD, EOS = 256, 258
TEXT, PADDING, LAST = 1, 2, 3


def texts(files: Files, fields: list[str], books: Books, *, exact: str | None = None) -> list[list[str]]:
    """The texts of every kept record, one for each field; with `exact`, those that equal earlier ones are dropped."""
    kept: list[list[str]] = []
    seen: set[tuple[str, ...]] = set()
    for name, content in files:
        books.bytes_in += len(content)
        for record in records(name, content):
            books.documents_in += 1
            if is_blank(record.raw):
                books.documents_dropped["blank line"] += 1
                continue
            try:
                found = [text_of(name, record.raw, field) for field in fields]
            except BadRecordError as reason:
                books.set_aside(name, record, str(reason))
                continue
            if not any(found):
                books.documents_dropped["empty text"] += 1
                continue
            if exact is not None:
                form = tuple(normalized(text, exact) for text in found)
                if form in seen:
                    books.documents_dropped["exact duplicate"] += 1
                    continue
                seen.add(form)
            books.documents_kept += 1
            books.text_bytes += sum(len(text.encode()) for text in found)
            kept.append(found)
    return kept


def tokens(text: str, *, append_eos: bool = True) -> list[int]:
    """Bytes of UTF-8, then the end; nothing for an empty text."""
    ids = list(text.encode("utf-8"))
    return [*ids, EOS] if ids and append_eos else ids


def megatron(documents: list[list[int]], kind: str = "H", code: int = 8) -> tuple[bytes, bytes]:
    """`.bin` and `.idx`: a document is one sequence, or none when it is empty. `kind` as in `struct`."""
    return megatron_sequences([[document] if document else [] for document in documents], kind, code)


def megatron_sequences(documents: list[list[list[int]]], kind: str = "H", code: int = 8) -> tuple[bytes, bytes]:
    """`.bin` and `.idx` of documents that have any number of sequences."""
    sequences = [sequence for document in documents for sequence in document]
    item = struct.calcsize(kind)
    pointers, ends, at = [], [0], 0
    for sequence in sequences:
        pointers.append(at)
        at += len(sequence) * item
    for document in documents:
        ends.append(ends[-1] + len(document))
    idx = b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, code, len(sequences), len(ends))
    idx += struct.pack(f"<{len(sequences)}i", *map(len, sequences))
    idx += struct.pack(f"<{len(pointers)}q", *pointers)
    idx += struct.pack(f"<{len(ends)}q", *ends)
    return b"".join(struct.pack(f"<{len(ids)}{kind}", *ids) for ids in sequences), idx


def sentence_tokens(sentences: list[str], *, append_eos: bool = True) -> list[list[int]]:
    """A sequence for each sentence; the end is part of the last one."""
    found = [list(sentence.encode("utf-8")) for sentence in sentences]
    if found and append_eos:
        found[-1].append(EOS)
    return found


def full_rows(documents: list[list[int]], sequence_length: int) -> tuple[np.ndarray, np.ndarray]:
    """Packing `full`: tokens and their types, (rows, sequence_length) int32; only the last row is padded."""
    ids = [token for document in documents for token in document]
    types = [kind for document in documents if document for kind in [TEXT] * (len(document) - 1) + [LAST]]
    padding = -len(ids) % sequence_length
    shape = (-1, sequence_length) if ids else (0, sequence_length)
    rows = np.array(ids + [PAD] * padding, dtype="<i4").reshape(shape)
    kinds = np.array(types + [PADDING] * padding, dtype="<i4").reshape(shape)
    return rows, kinds
