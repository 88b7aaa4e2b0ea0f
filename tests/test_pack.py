"""`pack`: tokens as the reference makes them, every document accounted for, the same in every run."""

import json
import re

import numpy as np
import pytest

import bloomdata
from bloomdata.errors import ConfigError, CorruptDataError
from files import everything_in, write
from packing import CONTENT, TEXTS, documents_of, pack, pair_in, rows_in
from reference import jsonl
from reference import pack as reference
from reference.shard import Books

SOUP = {
    "a.jsonl": b'\xef\xbb\xbf{"text":"a"}\n\nbad\n{}\n{"text":""}\n{"text":null}\n\xff\n"x"\n{"text":"last"}',
    "b.txt": b"one\n\xffy\n \r\ntwo\r\n",
    "c.json": b'[{"text":"in an array"}, 1, {"text": ["x"]}, {"text":"b\nc"}]',
    "d.jsonl": b"",
}


@pytest.fixture
def source(tmp_path):
    return write(tmp_path / "a.jsonl", CONTENT)


@pytest.mark.parametrize("options", [{"format": "megatron"}, {"sequence_length": 5}], ids=str)
def test_the_ledger_and_the_quarantine_are_those_of_the_reference(options, tmp_path):
    inputs = [write(tmp_path / name, content) for name, content in SOUP.items()]
    books = Books()
    texts = reference.texts(list(zip(inputs, SOUP.values(), strict=True)), ["text"], books)
    report = pack(inputs, tmp_path / "out", on_bad_record="quarantine", **options)
    entries = [json.loads(line) for line in (tmp_path / "out" / "quarantine.jsonl").read_text("utf-8").splitlines()]
    assert all(entry.pop("detail") for entry in entries)
    assert entries == books.quarantine
    tokens = sum(len(reference.tokens(text)) for (text,) in texts)
    padding = -tokens % options.get("sequence_length", 1)
    assert report.ledger == {
        "documents_in": books.documents_in,
        "documents_kept": books.documents_kept,
        "documents_dropped": dict(books.documents_dropped),
        "documents_quarantined": dict(books.documents_quarantined),
        "bytes_in": books.bytes_in,
        "text_bytes": books.text_bytes,
        "tokens_in": tokens,
        "tokens_out": tokens + padding,
        "tokens_padding": padding,
        "tokens_truncated": 0,
        "tokens_dropped": 0,
    }
    assert (books.documents_in, books.documents_kept) == (17, 5)


def test_the_report_prints_every_line_of_the_ledger(tmp_path):
    inputs = [write(tmp_path / name, content) for name, content in SOUP.items()]
    text = str(pack(inputs, tmp_path / "out", on_bad_record="quarantine", sequence_length=5))
    for reason in ("dropped: blank line", "dropped: empty text", "quarantined: invalid UTF-8", "padding"):
        assert reason in text


def test_a_text_without_any_token_is_dropped_and_counted(word_tokenizers, tmp_path):
    source = write(tmp_path / "a.jsonl", b'{"text":" "}\n{"text":""}\n{"text":"w1"}\n')
    report = pack(source, tmp_path / "out", tokenizer=word_tokenizers[65_499], format="megatron")
    assert report.ledger["documents_dropped"] == {"empty text": 1, "no tokens": 1}
    assert report.ledger["documents_kept"] == 1


def test_tokens_are_those_of_the_tokenizers_package(word_tokenizers, tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    texts = ["w1 w2", "w3  w4\tw5", "é w6", "w65497"]
    source = write(tmp_path / "a.txt", "\n".join(texts).encode())
    path = word_tokenizers[65_499]
    pack(source, tmp_path / "out", tokenizer=path, format="megatron")
    oracle = tokenizers.Tokenizer.from_file(str(path))
    expected = [[*oracle.encode(text).ids, 65_497] for text in texts]
    assert [document.tolist() for document in bloomdata.open(tmp_path / "out")] == expected


@pytest.mark.parametrize(
    "options",
    [
        {"format": "megatron"},
        {"sequence_length": 100, "rows_per_file": 3000},
        {"sequence_length": 64, "compression": "gzip"},
    ],
    ids=str,
)
def test_any_number_of_threads_writes_the_same_bytes(options, tmp_path):
    words = [b"%d" % (number * 2654435761 % 2**32) for number in range(500)]
    lines = [b'{"text":"%s"}' % b" ".join(words[number % 99 : number % 99 + number % 200]) for number in range(2000)]
    content = b"\n".join([*lines, b"bad", b"", b'{"text":""}', *lines[:100]])
    cuts = list(range(50_000, len(content), 300_000))
    inputs = [
        write(tmp_path / f"{number}.jsonl{suffix}", jsonl.stored(content, suffix, cuts if suffix else None))
        for number, suffix in enumerate([".zst", "", ".gz", ".zst"])
    ]
    folders = {}
    for num_threads, checkpoint_seconds in [(1, 10.0), (2, 0.0), (4, 0.0)]:
        folder = tmp_path / f"out-{num_threads}"
        times = {"num_threads": num_threads, "checkpoint_seconds": checkpoint_seconds}
        pack(inputs, folder, on_bad_record="quarantine", allow_duplicate_inputs=True, **times, **options)
        folders[num_threads] = everything_in(folder)
    assert folders[1] == folders[2] == folders[4]
    documents = 4 * [reference.tokens(json.loads(line)["text"]) for line in [*lines, *lines[:100]] if len(line) > 11]
    if options.get("format") == "megatron":
        assert pair_in(tmp_path / "out-1") == reference.megatron(documents)
    else:
        found = rows_in(tmp_path / "out-1")
        assert all(map(np.array_equal, found, reference.full_rows(documents, options["sequence_length"])))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "sequence_length"),
        ({"sequence_length": 0}, "sequence_length"),
        ({"sequence_length": -1}, "sequence_length"),
        ({"sequence_length": 2**31 + 1}, "sequence_length"),
        ({"sequence_length": 8, "format": "megatron"}, "sequence_length"),
        ({"sequence_length": 8, "rows_per_file": 0}, "rows_per_file"),
        ({"sequence_length": 8, "compression": "lzf"}, "compression"),
        ({"format": "megatron", "compression": "gzip"}, "compression"),
        ({"format": "parquet"}, "format"),
        ({"sequence_length": 8, "packing": "tight"}, "packing"),
        ({"format": "megatron", "packing": "full"}, "packing"),
        ({"sequence_length": 8, "text_field": ["a", "b"]}, "text_field"),
        ({"format": "megatron", "text_field": []}, "text_field"),
        ({"format": "megatron", "text_field": ["a", "a"]}, "text_field"),
        ({"format": "megatron", "text_field": "a..b"}, "text_field"),
        ({"format": "megatron", "text_field": ""}, "text_field"),
        ({"sequence_length": 8, "tokenizer": "no such file"}, "tokenizer"),
        ({"sequence_length": 8, "eos_token": "</s>"}, "eos_token"),
        ({"sequence_length": 8, "prefix": "a/b"}, "prefix"),
        ({"format": "megatron", "checkpoint_seconds": -1.0}, "checkpoint_seconds"),
        ({"sequence_length": 8, "checkpoint_seconds": -1.0}, "checkpoint_seconds"),
        ({"sequence_length": 8, "on_bad_record": "skip"}, "on_bad_record"),
        ({"sequence_length": 8, "num_threads": 0}, "num_threads"),
    ],
    ids=str,
)
def test_an_option_that_cannot_work_is_refused_by_name(options, named, source, tmp_path):
    with pytest.raises(ConfigError, match=rf"\b{named}\b"):
        pack(source, tmp_path / "out", **options)
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_tokenizer_file_that_is_none_is_refused_with_its_name(source, tmp_path):
    path = write(tmp_path / "tokenizer.json", b"{}")
    with pytest.raises(CorruptDataError, match=re.escape(path)):
        pack(source, tmp_path / "out", sequence_length=8, tokenizer=path)


def test_special_tokens_are_named_by_the_caller_or_by_the_files_beside_the_tokenizer(word_tokenizers, source, tmp_path):
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / "tokenizer.json").write_bytes(word_tokenizers[65_499].read_bytes())
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": {"content": "w5"}, "pad_token": "w6"}))
    tokenizer = bloomdata.Tokenizer(folder)
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id) == (5, 6)
    tokenizer = bloomdata.Tokenizer(folder, eos_token="w8", pad_token="w9")
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id) == (8, 9)
    tokenizer = bloomdata.Tokenizer(word_tokenizers[65_499])
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id) == (65_497, 65_497)
    with pytest.raises(ConfigError, match=r"eos_token.*nope"):
        pack(source, tmp_path / "out", sequence_length=8, tokenizer=folder, eos_token="nope")


def test_rows_of_tables_are_packed_as_lines_are(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    rows = [{"text": text, "n": 1} for text in [*TEXTS, None]]
    table = arrow.Table.from_pylist(rows)
    report = pack(table, tmp_path / "out", format="megatron", on_bad_record="quarantine")
    assert pair_in(tmp_path / "out") == reference.megatron(documents_of(TEXTS))
    assert report.ledger["documents_quarantined"] == {"null field": 1}
    assert report.ledger["documents_dropped"] == {"empty text": 1}
    with pytest.raises(ConfigError, match=r"text_field.*'?other"):
        pack(table, tmp_path / "other", format="megatron", text_field="other")
