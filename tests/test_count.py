"""`count`: the tokens that `pack` would make, for each file and each argument, and nothing written."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata.cli import main
from files import write
from runs import write_corpus

COUNTS = ("documents", "text_bytes", "tokens", "dropped", "bad")


def jsonl(*texts):
    return b"".join(json.dumps({"text": text}).encode() + b"\n" for text in texts)


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    """Two folders: `a` with two files, one of them with a blank line and an empty text, `b` with one."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a" / "1.jsonl", jsonl("hello", "é") + b"\n" + jsonl(""))
    write(tmp_path / "a" / "2.jsonl.gz", gzip.compress(jsonl("xyz")))
    write(tmp_path / "b" / "3.txt.zst", zstandard.compress(b"one\r\ntwo"))
    return tmp_path


def in_all(counts):
    return {name: getattr(counts, name) for name in COUNTS}


def test_each_file_each_argument_and_all_are_counted(inputs):
    counts = bloomdata.count(["a", "b/3.txt.zst"], tokenizer="bytes")
    assert counts.inputs == [
        {"path": "a/1.jsonl", "documents": 2, "text_bytes": 7, "tokens": 7, "dropped": 2, "bad": 0},
        {"path": "a/2.jsonl.gz", "documents": 1, "text_bytes": 3, "tokens": 3, "dropped": 0, "bad": 0},
        {"path": "b/3.txt.zst", "documents": 2, "text_bytes": 6, "tokens": 6, "dropped": 0, "bad": 0},
    ]
    assert counts.sources == [
        {"source": "a", "files": 2, "documents": 3, "text_bytes": 10, "tokens": 10, "dropped": 2, "bad": 0},
        {"source": "b/3.txt.zst", "files": 1, "documents": 2, "text_bytes": 6, "tokens": 6, "dropped": 0, "bad": 0},
    ]
    assert in_all(counts) == {"documents": 5, "text_bytes": 16, "tokens": 16, "dropped": 2, "bad": 0}
    assert sorted(path.name for path in inputs.rglob("*")) == ["1.jsonl", "2.jsonl.gz", "3.txt.zst", "a", "b"]


@pytest.mark.parametrize("options", [{}, {"append_eos": False}, {"text_field": ["text", "title"]}], ids=str)
@pytest.mark.parametrize("num_threads", [1, 4])
def test_tokens_are_those_of_the_books_of_pack(options, num_threads, small_corpus, tmp_path):
    how = {"tokenizer": "bytes", "on_bad_record": "quarantine", "append_eos": True, **options}
    ledger = bloomdata.pack(small_corpus, tmp_path / "out", format="megatron", **how).ledger
    counts = bloomdata.count(small_corpus, num_threads=num_threads, **how)
    assert counts.tokens == ledger["tokens_in"]
    assert counts.text_bytes == ledger["text_bytes"]
    assert counts.documents == ledger["documents_kept"]
    assert counts.dropped == sum(ledger["documents_dropped"].values())
    assert counts.bad == sum(ledger["documents_quarantined"].values()) > 0


@pytest.mark.parametrize("append_eos", [False, True])
def test_pairs_are_counted_as_pack_counts_them(append_eos, tmp_path):
    pairs = [{"prompt": "a", "completion": "bc"}, {"prompt": "d", "completion": ""}, {"prompt": "", "completion": "e"}]
    write(tmp_path / "a.jsonl", b"".join(json.dumps(pair).encode() + b"\n" for pair in pairs))
    how = {"tokenizer": "bytes", "record": "prompt_completion", "append_eos": append_eos, "prompt_prefix": "> "}
    ledger = bloomdata.pack(tmp_path / "a.jsonl", tmp_path / "out", sequence_length=8, **how).ledger
    counts = bloomdata.count(tmp_path / "a.jsonl", **how)
    assert (counts.tokens, counts.documents, counts.dropped) == (ledger["tokens_in"], 2, 1)


def test_the_end_token_is_counted_when_asked_for(inputs):
    without, with_end = (bloomdata.count("a", tokenizer="bytes", append_eos=choice) for choice in (False, True))
    assert with_end.tokens - without.tokens == without.documents == 3


def test_tables_are_one_source_with_their_label(tmp_path):
    counts = bloomdata.count(pa.table({"text": ["ab", "c"]}), tokenizer="bytes")
    assert [(entry["tokens"], entry["files"]) for entry in counts.sources] == [(3, 1)]
    assert counts.sources[0]["source"] == counts.inputs[0]["path"]
    assert counts.inputs[0]["path"].startswith("<arrow ")


def test_bad_records_stop_a_count_or_are_counted(tmp_path):
    write(tmp_path / "a.jsonl", b'{"text": "abc"}\n{"text": 1}\n')
    with pytest.raises(bloomdata.CorruptDataError, match=r"a\.jsonl: line 2: offset 16"):
        bloomdata.count(tmp_path / "a.jsonl", tokenizer="bytes")
    counts = bloomdata.count(tmp_path / "a.jsonl", tokenizer="bytes", on_bad_record="quarantine")
    assert (counts.documents, counts.bad) == (1, 1)
    assert str(counts).splitlines()[0].split() == [
        "path",
        "documents",
        "bytes",
        "tokens",
        "bad",
        "bytes",
        "per",
        "token",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"text_field": []}, "text_field"),
        ({"text_field": ["a", "a"]}, "text_field"),
        ({"text_field": "a..b"}, "text_field"),
        ({"record": "chat"}, "record"),
        ({"on_bad_record": "skip"}, "on_bad_record"),
        ({"num_threads": 0}, "num_threads"),
        ({"eos_token": "</s>"}, "eos_token"),
    ],
    ids=str,
)
def test_an_option_that_cannot_work_is_refused_by_name(options, named, inputs):
    with pytest.raises(bloomdata.ConfigError, match=named):
        bloomdata.count("a", **{"tokenizer": "bytes", **options})


def test_it_must_be_known_which_token_ends_a_document(inputs):
    definition = {"version": "1.0", "model": {"type": "WordLevel", "vocab": {"a": 0, "?": 1}, "unk_token": "?"}}
    definition |= dict.fromkeys(("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder"))
    write(inputs / "tokenizer.json", json.dumps({**definition, "added_tokens": []}).encode())
    with pytest.raises(bloomdata.ConfigError, match="which token ends a document"):
        bloomdata.count("a", tokenizer="tokenizer.json")
    assert bloomdata.count("a", tokenizer="tokenizer.json", eos_token="?").tokens == 3


def test_progress_is_reported_and_its_exceptions_stop_the_count(inputs):
    seen = []
    bloomdata.count("a", tokenizer="bytes", on_progress=lambda *counts: seen.append(counts))
    assert seen[-1][0] == seen[-1][1] > 0

    def fail(*_):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        bloomdata.count("a", tokenizer="bytes", on_progress=fail)


# --- sources ---------------------------------------------------------------------------------------------------

FILES = ("a/1.jsonl", "a/10.jsonl", "a/2.jsonl", "a/.h/x.jsonl", "a/_t/y.jsonl", "a/quarantine.jsonl")
FILES += ("a/c/1.jsonl", "a/c/d/1.jsonl", "b/[x].jsonl", "b/1.txt", "b/2.txt", "b/.z.txt", "1.jsonl", "q.jsonl")
ARGUMENTS = ["a", "a/", "./a", "a/*", "a/1*", "a/[12].jsonl", "a/{1,2}.jsonl", "a/2.jsonl", "a/?0.jsonl", "a/.h"]
ARGUMENTS += ["a/_t", "a/.h/*", "a/quarantine.jsonl", "a/**/*.jsonl", "a/*/*.jsonl", "a/c/**", "**/d/*", "b", "b/*"]
ARGUMENTS += ["b/.*", "b/[!1].txt", "b/[x].jsonl", "b/\\[x\\].*", "b/1.txt", ".//b//*.txt", "*.jsonl", "?.jsonl", "q*"]


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    for name in FILES:
        write(folder / name, b"")
    return folder


@settings(max_examples=200)
@given(arguments=st.lists(st.sampled_from(ARGUMENTS), min_size=2, max_size=4, unique=True))
def test_each_file_belongs_to_the_argument_that_lists_it_alone(arguments, many):
    before = Path.cwd()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(many)
        try:
            counts = bloomdata.count(arguments, tokenizer="bytes", num_threads=1)
        except bloomdata.BloomdataError:
            return  # a file that is named twice, or a name of unknown format
        alone = {argument: bloomdata.count(argument, tokenizer="bytes", num_threads=1) for argument in arguments}
        assert [(entry["source"], entry["files"]) for entry in counts.sources] == [
            (argument, len(alone[argument].inputs)) for argument in arguments
        ]
    assert Path.cwd() == before


# --- as text ---------------------------------------------------------------------------------------------------


def test_the_table_ends_with_totals(inputs):
    write(inputs / "b" / "big.txt", b"x" * 1_234_567)
    assert str(bloomdata.count(["b"], tokenizer="bytes")).splitlines() == [
        "path         documents      bytes     tokens  bytes per token",
        "b/3.txt.zst          2          6          6            1.000",
        "b/big.txt            1  1,234,567  1,234,567            1.000",
        "total                3  1,234,573  1,234,573            1.000",
    ]


def test_nothing_has_no_bytes_per_token(tmp_path):
    write(tmp_path / "a.jsonl", b"\n")
    lines = str(bloomdata.count(tmp_path, tokenizer="bytes")).splitlines()
    assert [line.split()[1:] for line in lines[1:]] == [["0", "0", "0", "1", "-"]] * 2


def test_many_files_are_shown_by_source_unless_asked_otherwise(tmp_path):
    for number in range(21):
        write(tmp_path / f"{number}.txt", b"x%d" % number)
    counts = bloomdata.count(tmp_path, tokenizer="bytes")
    assert len(str(counts).splitlines()) == 3
    assert str(tmp_path) in str(counts)
    assert counts.table("file").splitlines()[-2].startswith(str(tmp_path / "20.txt"))
    (tmp_path / "20.txt").unlink()
    assert len(str(bloomdata.count(tmp_path, tokenizer="bytes")).splitlines()) == 22


def test_the_command_line_prints_the_table_or_the_json_of_the_function(inputs, capsys):
    counts = bloomdata.count(["a", "b"], tokenizer="bytes", append_eos=True)
    command = ["count", "a", "b", "--tokenizer", "bytes", "--append-eos"]
    for option, expected in (
        ("--quiet", str(counts)),
        ("--by-file", str(counts)),
        ("--by-source", counts.table("source")),
    ):
        assert main([*command, option]) == 0
        assert capsys.readouterr().out == expected + "\n"
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == counts.to_json()


def test_the_command_line_passes_its_options_on(tmp_path, capsys):
    write_corpus(tmp_path / "raw", num_records=50, words=5)
    options = {"text_field": ["title", "text"], "on_bad_record": "quarantine"}
    expected = bloomdata.count(tmp_path / "raw", tokenizer="bytes", **options)
    command = ["count", str(tmp_path / "raw"), "--tokenizer", "bytes", "--text-field", "title", "text"]
    assert main([*command, "--on-bad-record", "quarantine", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == expected.to_json()
    assert Counter(entry["bad"] > 0 for entry in expected.inputs)[True] > 0


def test_an_error_of_the_command_line_is_json_when_asked_for(inputs, capsys):
    assert main(["count", "c.jsonl", "--tokenizer", "bytes", "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["error"] == "FileNotFoundError"
    assert "c.jsonl" in err
