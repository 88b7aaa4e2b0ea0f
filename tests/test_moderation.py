"""Few-shot samples of moderation data: the oracle's samples, balanced books, the rows that `pack` makes of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata.errors import ConfigError, CorruptDataError, MismatchError
from reference import moderation as oracle

BYTES = bloomdata.Tokenizer("bytes")
HEADER_TOKENS = len(oracle.HEADER)
texts_of_people = st.lists(st.text(st.sampled_from("ab \n\u2028é😀"), max_size=30), max_size=40)
limits = st.integers(1, HEADER_TOKENS + 150)


@pytest.fixture(scope="module")
def bpe(folder_of):
    _, folder = folder_of("metaspace BPE with byte fallback", "bos and eos")
    return bloomdata.Tokenizer(folder)


def write(path, texts):
    Path(path).write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))


@given(texts_of_people, limits)
def test_samples_equal_the_oracle(texts, limit):
    expected = oracle.few_shot(texts, limit, BYTES.encode)
    found = list(bloomdata.few_shot(iter(texts), tokenizer=BYTES, sequence_length=limit))
    assert [(one.text, one.num_texts, one.num_tokens) for one in found] == [(a, b, len(ids)) for a, b, ids in expected]
    assert sum(one.num_texts for one in found) == len(texts)


@settings(max_examples=20)
@given(texts_of_people, st.integers(1, 100), st.booleans())
def test_samples_equal_the_oracle_with_a_tokenizer_that_adds_tokens(bpe, texts, limit, adds):
    expected = oracle.few_shot(texts, limit, lambda text: bpe.encode(text, add_special_tokens=adds))
    found = bloomdata.few_shot(texts, tokenizer=bpe, sequence_length=limit, add_special_tokens=adds)
    assert [(one.text, one.num_texts, one.num_tokens) for one in found] == [(a, b, len(ids)) for a, b, ids in expected]


def test_many_texts_are_read_as_they_are_needed():
    read = []

    def texts():
        for number in range(100_000):
            read.append(number)
            yield "x" * 10

    samples = bloomdata.few_shot(texts(), tokenizer=BYTES, sequence_length=200)
    assert next(samples).num_texts == 7
    assert len(read) < 100


def test_there_may_be_very_many_samples():
    samples = bloomdata.few_shot(["x"] * 20_000, tokenizer=BYTES, sequence_length=1, num_threads=1)
    assert sum(1 for _ in samples) == 20_000


@settings(max_examples=15)
@given(texts_of_people.filter(bool), st.integers(1, HEADER_TOKENS + 150))
def test_pack_makes_the_rows_of_the_oracle(tmp_path_factory, texts, limit):
    folder = tmp_path_factory.mktemp("few")
    write(folder / "in.jsonl", texts)
    options = {"tokenizer": "bytes", "sequence_length": limit}
    report = bloomdata.pack_moderation(folder / "in.jsonl", folder / "few.jsonl", **options, num_threads=1)
    bloomdata.pack(folder / "few.jsonl", folder / "rows", **options, packing="single::truncate_right", num_threads=1)
    rows = bloomdata.open(folder / "rows")
    expected = oracle.few_shot(texts, limit, BYTES.encode)
    assert len(rows) == len(expected) == report.ledger["samples"]
    for row, (_, _, ids) in zip(rows, expected, strict=True):
        taken = ids[:limit]
        assert np.array_equal(row["input_ids"][: len(taken)], taken)
    check_books(report.ledger, texts)


def check_books(ledger, texts):
    assert ledger["texts_in"] == len(texts) == ledger["texts_out"] + ledger["texts_dropped"]
    assert ledger["tokens_in"] == ledger["tokens_out"] + ledger["tokens_truncated"] + ledger["tokens_dropped"]


def test_the_last_sample_stays_or_is_dropped_and_counted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("in.jsonl", ["x" * 50, "y" * 50, "z"])
    options = {"tokenizer": "bytes", "sequence_length": HEADER_TOKENS + 80}
    kept = bloomdata.pack_moderation("in.jsonl", "kept.jsonl", **options)
    assert (kept.ledger["samples"], kept.ledger["samples_short"]) == (2, 1)
    dropped = bloomdata.pack_moderation("in.jsonl", "dropped.jsonl", **options, rest="drop")
    assert (dropped.ledger["samples"], dropped.ledger["texts_dropped"]) == (1, 1)
    for report in (kept, dropped):
        check_books(report.ledger, "xyz")
        assert "texts in" in str(report)
    lines = Path("kept.jsonl").read_text().splitlines()
    assert lines[0] == Path("dropped.jsonl").read_text().strip()
    assert json.loads(lines[1])["text"] == oracle.HEADER + "\n\nz"


def test_the_same_call_gives_the_same_bytes_and_another_one_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("in.jsonl", [f"text {number}" for number in range(500)])
    options = {"tokenizer": "bytes", "sequence_length": 300, "shuffle": True}
    first = bloomdata.pack_moderation("in.jsonl", "one.jsonl", **options, seed=1, num_threads=1)
    content = Path("one.jsonl").read_bytes()
    assert not first.was_finished
    assert bloomdata.pack_moderation("in.jsonl", "one.jsonl", **options, seed=1).was_finished
    bloomdata.pack_moderation("in.jsonl", "two.jsonl", **options, seed=1, num_threads=4)
    assert Path("two.jsonl").read_bytes() == content
    Path("one.jsonl").unlink()
    assert not bloomdata.pack_moderation("in.jsonl", "one.jsonl", **options, seed=1).was_finished
    assert Path("one.jsonl").read_bytes() == content
    for other in ({"seed": 2}, {"seed": 1, "sequence_length": 301}, {"seed": 1, "rest": "drop"}):
        with pytest.raises(MismatchError):
            bloomdata.pack_moderation("in.jsonl", "one.jsonl", **(options | other))
    bloomdata.pack_moderation("in.jsonl", "one.jsonl", **options, seed=2, overwrite=True)
    assert Path("one.jsonl").read_bytes() != content


def test_bad_records_are_named_or_set_aside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("in.jsonl").write_text('{"text": "a"}\n{"txt": "b"}\n')
    options = {"tokenizer": "bytes", "sequence_length": 10}
    with pytest.raises(CorruptDataError, match="line 2"):
        bloomdata.pack_moderation("in.jsonl", "out.jsonl", **options)
    report = bloomdata.pack_moderation("in.jsonl", "other.jsonl", **options, on_bad_record="quarantine")
    assert report.ledger["texts_in"] == 1
    assert Path("other.jsonl.books/texts/quarantine.jsonl").exists()


def test_what_cannot_work_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("in.jsonl", ["a"])
    Path("mine.jsonl").write_text("mine")
    for output, options in (
        ("out.txt", {"sequence_length": 10}),
        ("out.jsonl", {"sequence_length": 0}),
        ("out.jsonl", {"sequence_length": 10, "rest": "wrap"}),
        ("mine.jsonl", {"sequence_length": 10}),
    ):
        with pytest.raises(ConfigError):
            bloomdata.pack_moderation("in.jsonl", output, tokenizer="bytes", **options)
    assert Path("mine.jsonl").read_text() == "mine"
