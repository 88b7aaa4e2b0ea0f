"""`Tokenizer.encode_files`: the ids of `encode_batch`, for the texts of files, batch by batch."""

from __future__ import annotations

import doctest
import gc
import gzip
import json
import multiprocessing
import random
import signal
import threading
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata.errors import ConfigError, CorruptDataError
from files import write
from small_tokenizers import byte_level_bpe, random_joins

TEXTS = st.lists(st.one_of(st.text(max_size=40), st.just(""), st.just("low lower lowest " * 2000)), max_size=30)
WRITERS = {
    "a.jsonl": lambda texts: lines(texts),
    "a.jsonl.gz": lambda texts: gzip.compress(lines(texts)),
    "a.jsonl.zst": lambda texts: (
        b"".join(zstandard.compress(lines([text])) for text in texts) or zstandard.compress(b"")
    ),
    "a.json": lambda texts: json.dumps([{"text": text} for text in texts]).encode(),
}


def lines(texts):
    return b"".join(json.dumps({"id": 1, "text": text}).encode() + b"\n" for text in texts)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """Byte-level, with a token in front of each text."""
    start = {"id": "<s>", "ids": [0], "tokens": ["<s>"]}
    single = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    around = {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, *single],
        "special_tokens": {"<s>": start},
    }
    joins = random_joins(random.Random(1), 60)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    path.write_text(json.dumps(byte_level_bpe(joins, alphabet="lower ", post_processor=around)))
    return bloomdata.Tokenizer.from_file(path)


def taken(batches):
    """(path, line, ids) of every text."""
    found = []
    for batch in batches:
        assert (batch.ids.dtype, batch.offsets.dtype, batch.lines.dtype) == (np.uint32, np.int64, np.int64)
        assert batch.offsets[0] == 0
        assert batch.offsets[-1] == batch.ids.size
        assert not batch.ids.flags.writeable
        parts = [batch.ids[first:end].tolist() for first, end in pairwise(batch.offsets)]
        found += zip([batch.path] * len(parts), batch.lines.tolist(), parts, strict=True)
    return found


def expected(tokenizer, path, texts, **options):
    ids, offsets = tokenizer.encode_batch(texts, **options)
    parts = [ids[first:end].tolist() for first, end in pairwise(offsets)]
    return [(str(path), number, part) for number, part in enumerate(parts, 1)]


@settings(max_examples=60, deadline=None)
@given(texts=TEXTS, name=st.sampled_from(sorted(WRITERS)), threads=st.integers(1, 3), adds_special=st.booleans())
def test_ids_are_those_of_encode_batch(texts, name, threads, adds_special, tokenizer, tmp_path_factory):
    path = write(tmp_path_factory.mktemp("in") / name, WRITERS[name](texts))
    batches = tokenizer.encode_files(path, add_special_tokens=adds_special, num_threads=threads)
    assert batches.counts is None
    found = taken(batches)
    assert found == expected(tokenizer, path, texts, add_special_tokens=adds_special)
    counts = batches.counts
    text_bytes = sum(len(text.encode()) for text in texts)
    assert (counts.documents, counts.text_bytes, counts.bad) == (len(texts), text_bytes, 0)
    assert counts.tokens == sum(len(ids) for _, _, ids in found)
    assert next(batches, None) is None


def test_files_of_all_kinds_come_in_order(tokenizer, tmp_path):
    texts = {name: [f"{name} {number} lower" for number in range(40)] for name in ("1", "2", "3")}
    first = write(tmp_path / "in" / "1.jsonl", b"\n" + lines(texts["1"]))
    second = tmp_path / "in" / "2.parquet"
    pq.write_table(pa.table({"text": texts["2"], "other": [0] * 40}), second)
    third = write(tmp_path / "in" / "3" / "3.txt", "\r\n".join(texts["3"]).encode())
    batches = tokenizer.encode_files(tmp_path / "in", num_threads=2)
    found = taken(batches)
    blank = [(path, number + 1, ids) for path, number, ids in expected(tokenizer, first, texts["1"])]
    assert found == blank + expected(tokenizer, second, texts["2"]) + expected(tokenizer, third, texts["3"])
    assert [file["dropped"] for file in batches.counts.inputs] == [1, 0, 0]


def test_many_blocks_have_the_lines_of_the_file(tokenizer, tmp_path):
    texts = [f"number {number} " + "lower " * (number % 50) for number in range(30_000)]
    path = write(tmp_path / "a.jsonl", lines(texts))
    batches = list(tokenizer.encode_files(path, num_threads=2))
    assert len(batches) > 3
    # Their memory was not used for later batches, since all are held.
    assert taken(batches) == expected(tokenizer, path, texts)


def test_memory_is_used_again_and_kept_arrays_stay(tokenizer, tmp_path):
    texts = ["lower " * 1000] * 2000
    path = write(tmp_path / "a.jsonl", lines(texts))
    batches = tokenizer.encode_files(path, num_threads=1)
    kept = next(batches).ids[:100]
    before = kept.copy()
    for _ in batches:
        pass
    del batches
    gc.collect()
    np.testing.assert_array_equal(kept, before)


def test_a_bad_record_is_named_or_counted(tokenizer, tmp_path):
    path = write(tmp_path / "a.jsonl", lines(["low"]) + b'{"text": 1}\n' + lines(["lower"]) + b"{\n")
    batches = tokenizer.encode_files(path)
    with pytest.raises(CorruptDataError, match=r"a\.jsonl.*line 2.*offset 25"):
        list(batches)
    assert next(batches, None) is None
    assert batches.counts is None
    batches = tokenizer.encode_files(path, on_bad_record="quarantine")
    assert [line for _, line, _ in taken(batches)] == [1, 3]
    assert (batches.counts.documents, batches.counts.bad) == (2, 2)


def test_a_truncated_file_is_an_error_behind_what_was_whole(tokenizer, tmp_path):
    path = write(tmp_path / "a.jsonl.gz", gzip.compress(lines(["low " * 100] * 50_000))[:-20])
    batches = tokenizer.encode_files(path)
    with pytest.raises(CorruptDataError, match="truncated"):
        list(batches)


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ("nothing/*.jsonl", {}, "nothing"),
        ("a.jsonl", {"text_field": "a..b"}, "empty part"),
        ("a.jsonl", {"on_bad_record": "ignore"}, "on_bad_record"),
        ("a.jsonl", {"num_threads": -1}, "num_threads"),
        (pa.table({"text": ["a"]}), {}, "encode_batch"),
    ],
    ids=["no file", "field", "bad record", "threads", "table"],
)
def test_what_cannot_work_is_refused_at_once(inputs, options, message, tokenizer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.jsonl", lines(["a"]))
    with pytest.raises((ConfigError, FileNotFoundError), match=message):
        tokenizer.encode_files(inputs, **options)


def test_threads_of_iterators_that_are_left_end(tokenizer, tmp_path):
    path = write(tmp_path / "a.jsonl", lines(["lower " * 1000] * 5000))
    for taken_batches in range(4):
        batches = tokenizer.encode_files(path, num_threads=2)
        for _ in range(taken_batches):
            next(batches)
        del batches
    # A last one works as ever.
    assert sum(batch.lines.size for batch in tokenizer.encode_files(path, num_threads=2)) == 5000


def test_several_threads_may_take_batches(tokenizer, tmp_path):
    path = write(tmp_path / "a.jsonl", lines(["lower " * 500] * 4000))
    batches = tokenizer.encode_files(path, num_threads=2)
    found = []
    workers = [threading.Thread(target=lambda: found.extend(batch.lines.size for batch in batches)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sum(found) == 4000
    assert batches.counts.documents == 4000


def test_ctrl_c_ends_the_wait_for_a_batch(tokenizer, tmp_path, interruptible):
    # One word takes a second: no batch is ready when the signal comes.
    path = write(tmp_path / "a.jsonl", lines(["lowerlower" * 1_000_000]))
    batches = tokenizer.encode_files(path)
    timer = threading.Timer(0.02, signal.raise_signal, [signal.SIGINT])
    timer.start()
    found = []
    try:
        with pytest.raises(KeyboardInterrupt):
            found.append(next(batches))
    finally:
        timer.join()
    assert not found


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_has_to_begin_anew(tokenizer, tmp_path):
    path = write(tmp_path / "a.jsonl", lines(["lower " * 1000] * 2000))
    batches = tokenizer.encode_files(path)
    first = next(batches)
    child = multiprocessing.get_context("fork").Process(target=begin_anew, args=(batches, tokenizer, path))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert first.lines.size + sum(batch.lines.size for batch in batches) == 2000


def begin_anew(batches, tokenizer, path):
    with pytest.raises(ConfigError, match="fork"):
        next(batches)
    assert sum(batch.lines.size for batch in tokenizer.encode_files(path)) == 2000


def test_the_example_of_the_docstring_runs(raw):
    text = bloomdata.Tokenizer.encode_files.__doc__
    test = doctest.DocTestParser().get_doctest(text, {"bloomdata": bloomdata}, "encode_files", None, 0)
    result = doctest.DocTestRunner().run(test)
    assert (result.attempted, result.failed) == (2, 0)
