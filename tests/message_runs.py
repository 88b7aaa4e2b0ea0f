"""Runs of `pack` over records of conversations, compared with the plain oracle of such records."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import strategies as st

import bloomdata
from bloomdata.errors import CorruptDataError
from chat_runs import BYTES, pack, tokens_and_types
from files import write
from preparing import quarantine_in
from reference.articles import COMPLETION, SEPARATOR
from reference.chat_records import RefusedError, read
from reference.chats import chat_of, chatml

EACH = "{% for m in messages %}[{{ m.role }}]"
END = "{% if m.role == 'assistant' %}</s>{% endif %}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
PLAIN = EACH + "{{ m.content }}" + END
contents = st.text("ab é\n", min_size=1, max_size=5)


def line(record) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"


def packed(records, folder, **options):
    """Tokens and types of each record that is kept, and what is said of the others."""
    path = write(Path(folder) / "a.jsonl", b"".join(map(line, records)))
    options = {"template": "chatml", "format": "megatron", "on_bad_record": "quarantine"} | options
    report = pack(path, Path(folder) / "out", **options)
    bloomdata.verify(report.folder)
    return tokens_and_types(report.folder), [entry["reason"] for entry in quarantine_in(report.folder)], report


def text_of(document) -> str:
    """The whole text, without the end token."""
    return bytes(token for token in document[0] if token < 256).decode()


def trained_of(document) -> str:
    """What is trained on, without the end token."""
    tokens, types = document
    return bytes(
        token for token, kind in zip(tokens, types, strict=True) if kind in (COMPLETION, SEPARATOR) and token < 256
    ).decode()


def switched(pieces, *, trains):
    return [(text, is_trained and trains) for text, is_trained in pieces]


def check(records, **options):
    """Everything that becomes of records equals the oracle."""
    expected, refused = [], 0
    for record in records:
        try:
            messages = read(record, **options)
        except RefusedError:
            refused += 1
            continue
        pieces = [piece for message in messages for piece in switched(chatml([message]), trains=message["trains"])]
        chat = chat_of(pieces, BYTES.encode, BYTES.eos)
        is_off = not all(message["trains"] for message in messages)
        refused += chat is None and not is_off
        if chat is not None:
            expected.append(tuple(map(list, list(zip(*chat.article, strict=True))[:2])))
    with tempfile.TemporaryDirectory() as folder:
        documents, reasons, report = packed(records, folder, **options)
    assert documents == expected
    assert len(reasons) == refused
    assert report.ledger["documents_kept"] == len(expected)


def refusal(record, folder, **options) -> str:
    """What is said of a record, behind a good one."""
    good = [{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}]
    path = write(Path(folder) / "a.jsonl", b"".join(map(line, [*good, record])))
    with pytest.raises(CorruptDataError) as told:
        pack(path, Path(folder) / "out", **({"template": "chatml", "format": "megatron"} | options))
    prefix = f"a.jsonl: line 2: offset {len(line(good[0]))}: "
    assert prefix in str(told.value)
    return str(told.value).split(prefix)[1]
