"""The metrics table of generative_data_prep: SYSTEMS.md 2.8, and where it is shown."""

import doctest
import json

import pytest

import bloomdata
from bloomdata.reports import metrics
from bloomdata.reports.metrics import metrics_table

COUNTS = {
    "sequences": 2,
    "articles": 3,
    "prompt_tokens": 4,
    "completion_tokens": 8,
    "padding_tokens": 4,
    "output_tokens": 16,
    "dropped_from_packing_tokens": 12,
    "dropped_from_all_prompt_tokens": 8,
    "truncated_tokens": 2,
    "untrained_tokens": 5,
}


def test_the_table_has_the_rows_of_generative_data_prep():
    assert metrics_table(COUNTS) == [
        ("Sequences", "2"),
        ("Articles", "3"),
        ("Dataset Tokens", "16"),
        ("Prompt Tokens", "4"),
        ("Completion Tokens", "8"),
        ("Padding Tokens", "4"),
        ("Average Completion Length", "2.67"),
        ("Average Prompt Length", "1.33"),
        ("Data Utilization", "37.50%"),
        ("Dropped From Packing %", "37.50%"),
        ("Dropped From All Prompt %", "25.00%"),
        ("Sequence Utilization", "75.00%"),
        ("Seq Completion Utilization", "50.00%"),
    ]


def test_nothing_is_divided_by_zero():
    table = dict(metrics_table(dict.fromkeys(COUNTS, 0)))
    assert [value for value in table.values() if value != "0"] == ["-"] * 7


def test_large_counts_have_separators():
    table = dict(metrics_table(COUNTS | {"completion_tokens": 3_000_000, "output_tokens": 4_000_000}))
    assert table["Dataset Tokens"] == "4,000,000"
    assert table["Average Completion Length"] == "1,000,000.00"


def test_the_example_runs():
    test = doctest.DocTestFinder().find(metrics_table, globs=vars(metrics))[0]
    assert doctest.DocTestRunner().run(test).failed == 0


@pytest.mark.parametrize(
    ("options", "is_shown"),
    [
        ({"record": "text"}, False),
        ({"record": "text", "packing": "full"}, False),
        ({"record": "text", "packing": "greedy"}, True),
        ({"record": "prompt_completion"}, True),
        ({"record": "prompt_completion", "format": "megatron", "sequence_length": None}, False),
    ],
)
def test_the_report_shows_it_where_rows_are_not_simply_full_of_text(options, is_shown, tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "abc", "prompt": "a", "completion": "b"}))
    options = {"tokenizer": "bytes", "sequence_length": 16, **options}
    report = bloomdata.pack(tmp_path / "a.jsonl", tmp_path / "out", **options)
    assert ("  Data Utilization " in str(report)) is is_shown
    if is_shown:
        assert all(f"{name}  " in str(report) for name, _ in metrics_table(report.metrics, unit="Documents"))
