"""`pack(exact="document")`: documents that repeat an earlier one are dropped and counted, in one call."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata.errors import ConfigError, CorruptDataError, MismatchError
from deduping import similar_texts, write_files
from files import write
from packing import pack, pair_in, rows_in
from reference import pack as reference
from reference.jsonl import stored
from reference.shard import Books
from runs import HDF5, MEGATRON, differences, kill, run, running, tree, wait_for, write_corpus

FORMS = ["none", "whitespace", "fold"]
SNIPPETS = ["", " ", "a", "A", "a b", "a  b ", "é", "e\u0301", "É!", "!", "\ufeffa", "中文", "ab", "b"]


def lines_of(records):
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def reference_of(files, fields=("text",), *, exact):
    """Tokens of each field's kept documents, and the books."""
    books = Books()
    kept = reference.texts(files, list(fields), books, exact=exact)
    return [[reference.tokens(texts[at]) for texts in kept] for at in range(len(fields))], books


def check_books(report, books):
    assert report.ledger["documents_in"] == books.documents_in
    assert report.ledger["documents_kept"] == books.documents_kept
    assert report.ledger["documents_dropped"] == dict(books.documents_dropped)
    assert report.ledger["documents_quarantined"] == dict(books.documents_quarantined)
    assert report.ledger["text_bytes"] == books.text_bytes


@given(st.integers(0, 1 << 32), st.integers(1, 80), st.sampled_from(FORMS), st.sampled_from([1, 2]))
@settings(max_examples=60)
def test_documents_are_dropped_as_the_reference_says(tmp_path_factory, seed, count, form, num_fields):
    folder, rng = tmp_path_factory.mktemp("exact"), random.Random(seed)
    fields = ["text", "more.text"][:num_fields]
    files = []
    for number in range(rng.randint(1, 4)):
        records = [{"text": rng.choice(SNIPPETS), "more": {"text": rng.choice(SNIPPETS)}} for _ in range(count)]
        content = rng.choice([b"", b"\xef\xbb\xbf"]) + lines_of(records) + rng.choice([b"", b"\n", b'{"text":1}\nbad'])
        kind, suffix = rng.choice([".jsonl", ".jsonl", ".txt"]), rng.choice(["", ".gz", ".zst"])
        name = str(folder / f"{number}{kind}{suffix}")
        files.append((name, content))
        write(Path(name), stored(content, suffix))
    inputs = [name for name, _ in files]
    report = pack(
        inputs,
        folder / "out",
        format="megatron",
        text_field=fields,
        exact="document",
        exact_normalize=form,
        on_bad_record="quarantine",
    )
    documents, books = reference_of(files, fields, exact=form)
    for field, expected in zip(fields, documents, strict=True):
        assert pair_in(folder / "out", f"data_{field}_document") == reference.megatron(expected)
    check_books(report, books)
    bloomdata.verify(folder / "out")


@pytest.mark.parametrize("form", FORMS)
def test_rows_are_those_of_the_documents_that_stay(form, tmp_path):
    texts = similar_texts(3, 400, length=4)
    inputs = write_files(tmp_path / "in", texts, [50, 1, 120])
    files = [(str(path), path.read_bytes()) for path in sorted(inputs.iterdir())]
    report = pack(inputs, tmp_path / "out", sequence_length=16, exact="document", exact_normalize=form)
    [documents], books = reference_of(files, exact=form)
    expected = reference.full_rows(documents, 16)
    found = rows_in(tmp_path / "out")
    assert all((rows == wanted).all() for rows, wanted in zip(found, expected, strict=True))
    assert books.documents_dropped["exact duplicate"] > 30
    check_books(report, books)
    assert not (tmp_path / "out" / ".dedup").exists()


def test_several_fields_are_equal_only_all_together(tmp_path):
    records = [("ab", "c"), ("a", "bc"), ("ab", "c"), ("ab", ""), ("", "ab"), ("", ""), ("ab", "d")]
    source = write(tmp_path / "a.jsonl", lines_of([{"a": a, "b": b} for a, b in records]))
    report = pack(source, tmp_path / "out", format="megatron", text_field=["a", "b"], exact="document")
    assert report.ledger["documents_dropped"] == {"empty text": 1, "exact duplicate": 1}
    assert report.ledger["documents_kept"] == 5


def test_every_kind_of_file_is_read_twice(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    folder = tmp_path / "in"
    write(tmp_path / "a.txt", b"one\ntwo\none\n")
    write(folder / "b.json", b'[{"text": "two"}, {"text": "three"}]')
    pq.write_table(pa.table({"text": ["three", "four", "four"], "n": [1, 2, 3]}), folder / "c.parquet")
    inputs = [tmp_path / "a.txt", folder]
    report = pack(inputs, tmp_path / "out", format="megatron", exact="document")
    documents = [reference.tokens(text) for text in ("one", "two", "three", "four")]
    assert pair_in(tmp_path / "out") == reference.megatron(documents)
    assert report.ledger["documents_dropped"] == {"exact duplicate": 4}


@pytest.mark.parametrize("options", [{"format": "megatron"}, {"sequence_length": 32, "packing": "best_fit"}], ids=str)
def test_threads_change_no_byte(options, small_corpus, tmp_path):
    for num_threads in (1, 4):
        output = tmp_path / str(num_threads)
        pack(
            small_corpus,
            output,
            exact="document",
            exact_normalize="fold",
            on_bad_record="quarantine",
            num_threads=num_threads,
            **options,
        )
    assert tree(tmp_path / "1") == tree(tmp_path / "4")


def test_without_it_the_manifest_says_nothing_of_it(raw):
    for exact in (None, "none"):
        report = pack("raw", f"out-{exact}", format="megatron", exact=exact)
        assert "exact" not in report.manifest["config"]
        assert "exact_normalize" not in report.manifest["config"]


def test_nothing_is_done_again_and_another_form_is_refused(raw):
    options = {"sequence_length": 8, "exact": "document"}
    pack("raw", "out", **options)
    before = tree(raw.parent / "out")
    assert pack("raw", "out", **options).was_finished
    with pytest.raises(MismatchError, match=r"option exact\b"):
        pack("raw", "out", exact_normalize="fold", **options)
    with pytest.raises(MismatchError, match=r"option exact\b"):
        pack("raw", "out", sequence_length=8)
    assert tree(raw.parent / "out") == before


@pytest.mark.parametrize("options", [{"format": "megatron"}, {"sequence_length": 8}], ids=str)
def test_bad_records_are_reported_once(options, tmp_path):
    lines = ['{"text":"a"}', '{"text":null}', "", '{"text":"a"}', "{", '{"other":1}', '{"text":"b"}']
    source = write(tmp_path / "a.jsonl", "\n".join(lines).encode())
    with pytest.raises(CorruptDataError, match=r'a\.jsonl.*line 2.*offset 13.*field "text" is null'):
        pack(source, tmp_path / "out", exact="document", **options)
    assert not (tmp_path / "out").exists()
    report = pack(source, tmp_path / "out", exact="document", on_bad_record="quarantine", **options)
    pack(source, tmp_path / "plain", on_bad_record="quarantine", **options)
    assert report.ledger["documents_dropped"] == {"blank line": 1, "exact duplicate": 1}
    assert sum(report.ledger["documents_quarantined"].values()) == 3
    quarantines = [(tmp_path / name / "quarantine.jsonl").read_bytes() for name in ("out", "plain")]
    assert quarantines[0] == quarantines[1]


# --- killed and gone on ----------------------------------------------------------------------------------------------


def killed_behind_the_first_pass(command, corpus, folder):
    """An output of a run that was killed while it wrote."""
    for attempt in range(20):
        output = folder / f"output-{attempt}"
        with running(command, corpus, output) as process:
            assert wait_for(output / ".dedup" / "inputs" / "verdicts-starts", process)
            if kill(process) and not (output / "manifest.json").exists():
                return output
    return pytest.fail("runs end before they can be killed")


@pytest.mark.parametrize(
    "command",
    [[*HDF5, "--sequence-length", "512", "--rows-per-file", "600"], [*MEGATRON, "--checkpoint-seconds", "0"]],
    ids=["hdf5", "megatron"],
)
def test_a_killed_run_does_not_read_for_keys_again(command, corpus, tmp_path):
    command = [*command, "--exact", "document"]
    status, errors = run(command, corpus, tmp_path / "wanted")
    assert status == 0, errors
    output = killed_behind_the_first_pass(command, corpus, tmp_path)
    first = output / ".dedup" / "inputs"
    # Keys that the first pass cannot have made: who reads them again does not see them.
    for path in first.glob("*.sig"):
        content = path.read_bytes()
        path.write_bytes(content[:4096] + bytes(len(content) - 4096))
    status, errors = run(command, corpus, output)
    assert status == 0, errors
    assert differences(tree(output), tree(tmp_path / "wanted")) == []


def test_an_input_that_changed_behind_the_first_pass_is_named(corpus, tmp_path):
    copy = tmp_path / "raw"
    shutil.copytree(corpus, copy)
    command = [*HDF5, "--sequence-length", "512", "--exact", "document"]
    output = killed_behind_the_first_pass(command, copy, tmp_path)
    path = copy / "part-1.jsonl"
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    content = path.read_bytes()
    at = content.index(b'{"text": "') + 10
    path.write_bytes(content[:at] + b"#" + content[at + 1 :])
    os.utime(path, ns=times)
    status, errors = run(command, copy, output)
    assert (status, "MismatchError" in errors, "part-1.jsonl" in errors) == (1, True, True), errors
    assert not (output / "manifest.json").exists()


def test_a_corpus_has_the_documents_of_a_plain_run_without_repeats(tmp_path):
    inputs = write_corpus(tmp_path / "raw", num_records=3000, words=2)
    options = {"format": "megatron", "on_bad_record": "quarantine"}
    pack(inputs, tmp_path / "plain", **options)
    report = pack(inputs, tmp_path / "out", exact="document", **options)
    folders = (tmp_path / "plain", tmp_path / "out")
    plain, distinct = ([ids.tobytes() for ids in bloomdata.open(folder)] for folder in folders)
    assert distinct == list(dict.fromkeys(plain))
    assert report.ledger["documents_dropped"]["exact duplicate"] == len(plain) - len(distinct) > 100


# --- refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exact": "paragraph"}, "exact: expected one of"),
        ({"exact": "document", "exact_normalize": "words"}, "exact_normalize: expected one of"),
        ({"exact_normalize": "fold"}, "exact_normalize: expected only with exact='document'"),
        ({"exact": "document", "record": "prompt_completion"}, "exact: expected records of text .*, got pairs"),
        ({"exact": "document", "template": "chatml"}, "exact: expected records of text .*, got conversations"),
        ({"exact": "document", "source": "wudao"}, "exact: expected records of text .*, got records of a source"),
    ],
)
def test_what_cannot_work_is_refused(options, message, raw):
    with pytest.raises(ConfigError, match=message):
        pack("raw", "out", sequence_length=8, **options)
    assert not (raw.parent / "out").exists()


def test_a_table_in_memory_is_refused(tmp_path):
    pa = pytest.importorskip("pyarrow")
    with pytest.raises(ConfigError, match="exact: expected files, which are read more than once"):
        pack(pa.table({"text": ["a"]}), tmp_path / "out", sequence_length=8, exact="document")
    assert not (tmp_path / "out").exists()


def test_a_plan_of_distinct_documents_is_refused(raw):
    with pytest.raises(ConfigError, match="exact: expected nothing"):
        bloomdata.plan("raw", sequence_length=8, tokenizer="bytes", exact="document")
