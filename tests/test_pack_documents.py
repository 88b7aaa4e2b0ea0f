"""What packing makes of whole documents: the books, also of runs that were resumed, and the limits of a run."""

import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings

import bloomdata
from article_runs import PACKINGS, PROPERTY, check, line, rows_in, runs, shown
from article_runs import pack as pack_files
from bloomdata.cli import main
from bloomdata.errors import ConfigError, CorruptDataError, UnsupportedFormatError
from chat_runs import pack as pack_chats
from files import everything_in, write
from packing import pack

TEXTS = b"".join(line({"text": text}) for text in ("a", "bbbbb", "c"))


def chat(*turns):
    roles = ["user", "assistant"]
    return {"messages": [{"role": roles[number % 2], "content": turn} for number, turn in enumerate(turns)]}


@pytest.mark.parametrize(
    ("packing", "dropped"),
    [
        ("full", {}),
        ("full::drop", {"in a last row that is not full": 1}),
        ("greedy::drop", {"longer than a row": 1}),
        ("single::drop", {"longer than a row": 1}),
        ("best_fit::drop", {"longer than a row": 1}),
        ("single::split", {"shorter than a row": 2}),
        ("greedy::truncate_left", {}),
        ("best_fit::truncate_right", {}),
    ],
)
def test_a_document_of_which_no_token_is_in_a_row_is_dropped_with_its_reason(packing, dropped, tmp_path):
    """With their end tokens, the documents have 2, 6 and 2 tokens."""
    source = write(tmp_path / "a.jsonl", TEXTS)
    report = pack(source, tmp_path / "out", sequence_length=4, packing=packing)
    assert report.ledger["documents_dropped"] == dropped
    assert report.ledger["documents_kept"] == 3 - sum(dropped.values())
    assert report.manifest["inputs"][0]["documents_kept"] == report.ledger["documents_kept"]
    plan = bloomdata.plan(source, tokenizer="bytes", sequence_length=4, packings=[packing])[packing]
    assert plan["dropped_documents"] == sum(dropped.values())


def test_conversations_that_are_dropped_are_not_trained_on(tmp_path):
    source = write(tmp_path / "a.jsonl", line(chat("q", "a" * 200)) + line(chat("q" * 200, "a")))
    options = {"template": "chatml", "sequence_length": 128}
    report = pack_chats(source, tmp_path / "out", packing="greedy", **options)
    assert report.ledger["documents_dropped"] == {"longer than a row": 2}
    assert (report.ledger["documents_kept"], report.ledger["text_bytes"]) == (0, 0)
    [entry] = report.manifest["inputs"]
    assert (entry["documents_kept"], entry.get("turns", 0), entry.get("tokens_trained", 0)) == (0, 0, 0)
    with pytest.raises(ConfigError, match=r"^allow_empty: of 2 records, none was kept; dropped: longer than a row 2"):
        pack_chats(source, tmp_path / "refused", packing="greedy", allow_empty=False, **options)


@pytest.mark.parametrize("packing", PACKINGS)
@settings(PROPERTY, max_examples=8)
@given(run=runs)
def test_a_run_resumed_at_any_row_writes_the_same_books(packing, run):
    """The last input is broken until the rows before it are written; its size and time stay."""
    files, options = run
    options |= {"packing": packing, "rows_per_file": 1, "on_bad_record": "quarantine", "checkpoint_seconds": 0.0}
    if packing.startswith("best_fit"):
        options["window_tokens"] = 25
    *before, (name, content) = [*files, ("last.jsonl", line({"completion": "the end"}) * 4)]
    with tempfile.TemporaryDirectory() as folder:
        whole = pack_files([*before, (name, content)], Path(folder, "whole"), **options)
        path = Path(folder, name)
        times = path.stat().st_atime_ns, path.stat().st_mtime_ns
        inputs = [Path(folder, file) for file, _ in [*before, (name, content)]]
        how = {"record": "prompt_completion", "tokenizer": "bytes", "num_threads": 2, "allow_empty": True} | options
        path.write_bytes(b"\x1f\x8b" + content[2:])
        os.utime(path, ns=times)
        with pytest.raises(UnsupportedFormatError):
            bloomdata.pack(inputs, Path(folder, "out"), **how)
        path.write_bytes(content)
        os.utime(path, ns=times)
        bloomdata.pack(inputs, Path(folder, "out"), **how)
        assert everything_in(Path(folder, "out")) == everything_in(whole.folder)


# --- conversations longer than a row ----------------------------------------------------------------------------------


def test_a_piece_that_starts_within_an_answer_does_not_train_on_the_rest_of_it(tmp_path):
    pairs = [{"prompt": "qq", "completion": "aaaaaaaaaa"}, {"prompt": "qqqqqqqqq", "completion": "bbb"}]
    records = line(pairs[0]) + line(pairs[1]) + line([pairs[0], {"prompt": "r", "completion": "c"}])
    options = {"sequence_length": 8, "packing": "best_fit", "space_separator": False}
    report = check([("a.jsonl", records)], tmp_path / "out", **options)
    assert shown(rows_in(report.folder)).split(" | ") == [
        "q0 q0 a1 a1 a1 a1 a1 a1",
        "q0 b1 b1 b1 E3 P2 P2 P2",
        "q0 q0 a1 a1 a1 a1 a1 a1",
        "a0 a0 a0 a0 E0 r0 c1 E3",
    ]
    assert (report.ledger["tokens_truncated"], report.ledger["tokens_dropped"]) == (5, 8)
    assert report.ledger["documents_kept"] == 3


@pytest.mark.parametrize(
    ("packing", "overlong", "name"),
    [
        ("best_fit", "drop", "best_fit::drop"),
        ("best_fit", "truncate", "best_fit::truncate_right"),
        ("best_fit", "cut", "best_fit"),
        ("greedy", "truncate", "greedy::truncate_right"),
        ("single", "drop", "single::drop"),
    ],
)
def test_overlong_is_the_ending_of_a_packing(packing, overlong, name, tmp_path):
    source = write(tmp_path / "a.jsonl", TEXTS)
    report = pack(source, tmp_path / "out", sequence_length=4, packing=packing, overlong=overlong)
    assert report.manifest["config"]["packing"] == name
    assert pack(source, tmp_path / "out", sequence_length=4, packing=name).was_finished


@pytest.mark.parametrize(
    "options", [{"packing": "full"}, {"packing": "greedy", "overlong": "cut"}, {"packing": "greedy::drop"}, {}]
)
def test_overlong_is_refused_where_it_says_nothing(options, tmp_path):
    source = write(tmp_path / "a.jsonl", TEXTS)
    with pytest.raises(ConfigError, match=r"^overlong: "):
        pack(source, tmp_path / "out", sequence_length=4, **({"overlong": "drop"} | options))


# --- limits of a run --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["pack", "shard", "prepare"])
def test_a_run_that_keeps_nothing_is_an_error_that_says_what_became_of_its_records(verb, tmp_path):
    source = write(tmp_path / "a.jsonl", b'{"content":"x"}\n{"content":"y"}\n\n{\n')
    run = {
        "pack": lambda **how: bloomdata.pack(source, tmp_path / "out", tokenizer="bytes", sequence_length=8, **how),
        "shard": lambda **how: bloomdata.shard(source, tmp_path / "out", validate=True, **how),
        "prepare": lambda **how: bloomdata.prepare("pile", source, tmp_path / "out", **how),
    }[verb]
    if verb == "shard":
        write(tmp_path / "a.jsonl", b"{\n\n[\n")
    with pytest.raises(
        ConfigError, match=r"^allow_empty: of \d records, none was kept; quarantined: .*; dropped: blank"
    ):
        run(on_bad_record="quarantine")
    assert not (tmp_path / "out" / "manifest.json").exists()
    report = run(on_bad_record="quarantine", allow_empty=True)
    assert report.ledger["documents_kept"] == 0
    with pytest.raises(ConfigError, match=r"^allow_empty: "):
        run(on_bad_record="quarantine")


@pytest.mark.parametrize(
    ("max_bad", "is_enough"),
    [(0, False), ("1", False), (2, True), ("2", True), ("19.9%", False), ("20%", True), (0.2, True), ("0.19", False)],
)
def test_a_run_with_more_bad_records_than_its_limit_stops(max_bad, is_enough, tmp_path):
    source = write(tmp_path / "a.jsonl", b'{"text":"a"}\n' * 8 + b"{\n1\n")
    how = {"sequence_length": 8, "on_bad_record": "quarantine", "max_bad": max_bad}
    if not is_enough:
        with pytest.raises(CorruptDataError, match=r"^max_bad: expected at most .* bad records, got \d of \d+: "):
            pack(source, tmp_path / "out", **how)
        assert not (tmp_path / "out" / "manifest.json").exists()
        del how["max_bad"]
    report = pack(source, tmp_path / "out", **how)
    assert report.ledger["documents_quarantined"] == {"malformed JSON": 1, "not a JSON object": 1}


@pytest.mark.parametrize("max_bad", ["", "x%", "-1", -1, 1.5, "150%"])
def test_a_limit_that_is_none_is_refused(max_bad, tmp_path):
    source = write(tmp_path / "a.jsonl", TEXTS)
    with pytest.raises(ConfigError, match=r"^max_bad: expected a number of records"):
        pack(source, tmp_path / "out", sequence_length=8, on_bad_record="quarantine", max_bad=max_bad)
    with pytest.raises(ConfigError, match=r"^max_bad: expected only with on_bad_record='quarantine'"):
        pack(source, tmp_path / "out", sequence_length=8, max_bad=1)


def test_the_command_line_takes_the_limits(tmp_path, capsys):
    source = write(tmp_path / "a.jsonl", json.dumps({"content": "x"}).encode())
    command = ["pack", str(source), "--output", str(tmp_path / "out"), "--tokenizer", "bytes", "-q"]
    command += ["--sequence-length", "8", "--on-bad-record", "quarantine"]
    assert main(command) == 1
    assert "--allow-empty" in capsys.readouterr().err
    assert main([*command, "--max-bad", "0.1%"]) == 1
    assert "--max-bad" in capsys.readouterr().err
    assert main([*command, "--allow-empty"]) == 0
