"""`plan` says what `pack` then does."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata.cli import main

PACKINGS = [
    *("full", "full::drop", "best_fit", "concat::1", "concat::3", "single::split", "single::sample"),
    *(f"{kind}::{rule}" for kind in ("single", "greedy") for rule in ("drop", "truncate_left", "truncate_right")),
]
COUNTS = ("tokens_in", "tokens_out", "tokens_padding", "tokens_truncated", "tokens_dropped")


def documents(lengths):
    """JSONL of texts that make so many tokens, the end token included."""
    return b"".join(json.dumps({"text": "x" * (length - 1)}).encode() + b"\n" for length in lengths)


@pytest.mark.parametrize("packing", PACKINGS)
@settings(max_examples=15)
@given(
    lengths=st.lists(st.integers(2, 40), max_size=40),
    sequence_length=st.integers(1, 20),
    window_tokens=st.integers(1, 100),
    seed=st.integers(0, 5),
)
def test_a_plan_is_what_pack_does(packing, tmp_path_factory, lengths, sequence_length, window_tokens, seed):
    folder = tmp_path_factory.mktemp("plan")
    (folder / "a.jsonl").write_bytes(documents(lengths))
    how = {"sequence_length": sequence_length, "window_tokens": window_tokens, "seed": seed}
    report = bloomdata.pack(
        folder / "a.jsonl", folder / "out", tokenizer="bytes", packing=packing, allow_empty=True, **how
    )
    for inputs, options in (
        (np.array(lengths, dtype=np.int64), {}),
        (folder / "a.jsonl", {"tokenizer": "bytes"}),
    ):
        plan = bloomdata.plan(inputs, packings=[packing], **how, **options)[packing]
        assert plan["sequences"] == report.metrics["sequences"]
        assert {name: plan[name] for name in COUNTS} == {name: report.ledger[name] for name in COUNTS}


def test_cut_and_dropped_documents_are_counted():
    def counts(packing):
        plan = bloomdata.plan([2, 3, 9, 4], sequence_length=4, packings=[packing])[packing]
        return plan["cut_documents"], plan["dropped_documents"]

    assert counts("full") == (3, 0)
    assert counts("best_fit") == (1, 0)
    assert counts("greedy::drop") == (0, 1)
    assert counts("greedy::truncate_left") == (1, 0)
    assert counts("single::split") == (1, 2)
    assert counts("single::sample") == (1, 0)


def test_lengths_come_from_what_is_tokenized_already(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(documents([2, 5, 9]))
    bloomdata.pack(tmp_path / "a.jsonl", tmp_path / "pair", tokenizer="bytes", format="megatron")
    expected = bloomdata.plan([2, 5, 9], sequence_length=4)
    assert bloomdata.plan(tmp_path / "pair", sequence_length=4) == expected
    assert bloomdata.plan(tmp_path / "pair" / "data_text_document", sequence_length=4) == expected
    assert expected.histogram == [0, 1, 1, 1]
    assert expected.num_documents == 3


@pytest.mark.parametrize(
    ("inputs", "options", "named"),
    [
        ([1, 2], {"sequence_length": 0}, "sequence_length"),
        ([1, 2], {"packings": ["tight"]}, "packing"),
        ([1, 2], {"window_tokens": 0}, "window_tokens"),
        ([1, -2], {}, "inputs"),
        ([[1], [2]], {}, "inputs"),
        (np.array([1.5]), {}, "inputs"),
        ([1, 2], {"record": "text"}, "record"),
        ("a.jsonl", {}, "tokenizer"),
        ("a.jsonl", {"tokenizer": "bytes", "tokenise": 1}, "tokenise"),
    ],
    ids=str,
)
def test_an_option_that_cannot_work_is_refused_by_name(inputs, options, named):
    with pytest.raises(bloomdata.ConfigError, match=named):
        bloomdata.plan(inputs, **{"sequence_length": 8, **options})


def test_bad_records_stop_a_plan_or_are_left_out(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "abc"}\n{"text": 1}\n')
    how = {"sequence_length": 8, "tokenizer": "bytes"}
    with pytest.raises(bloomdata.CorruptDataError, match=r"a\.jsonl: line 2: offset 16"):
        bloomdata.plan(tmp_path / "a.jsonl", **how)
    assert bloomdata.plan(tmp_path / "a.jsonl", on_bad_record="quarantine", **how).num_documents == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_the_command_line_prints_a_table_or_json(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_bytes(documents([2, 5, 9]))
    command = ["plan", str(tmp_path / "a.jsonl"), "--sequence-length", "4", "--tokenizer", "bytes"]
    assert main([*command, "--packings", "full", "best_fit"]) == 0
    table = capsys.readouterr().out
    assert "3 documents, 16 tokens, rows of 4" in table
    assert "best_fit" in table
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_documents"] == 3
