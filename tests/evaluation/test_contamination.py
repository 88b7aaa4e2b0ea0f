"""Documents of tasks are flagged by the text of the rows that `decontaminate` found."""

from __future__ import annotations

import json

import pytest

import bloomdata
from bloomdata.errors import CorruptDataError
from bloomdata.evaluation.contamination import flagged_texts, is_flagged
from bloomdata.evaluation.report import EvaluationReport


@pytest.fixture
def found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [f"word{number}" for number in range(40)]
    rows = [
        {"id": 1, "question": " ".join(words[:20]), "answer": "yes"},
        {"id": 2, "question": " ".join(words[20:])},
        {"id": 3, "text": "something else that is long enough to be looked for in all of the documents"},
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "docs.jsonl").write_text(json.dumps({"text": "before " + " ".join(words[20:]) + " behind"}) + "\n")
    bloomdata.decontaminate("docs.jsonl", "found", evaluations="rows.jsonl")
    return rows


def test_texts_of_matches_are_flagged(found):
    flagged = flagged_texts(["found/contamination.jsonl"])
    assert flagged == {found[1]["question"]}
    assert is_flagged({"query": f"  {found[1]['question']}\n", "choices": ["a"]}, flagged)
    assert not is_flagged({"query": found[0]["question"], "id": 2}, flagged)
    assert is_flagged(found[1]["question"], flagged)
    assert not is_flagged({"query": found[1]["question"] + " more"}, flagged)


def test_lists_that_lead_nowhere_are_refused(found, tmp_path):
    (tmp_path / "cut.jsonl").write_text('{"row": {"file"')
    with pytest.raises(CorruptDataError, match=r"cut.jsonl: line 1: expected a match of `decontaminate`"):
        flagged_texts(["cut.jsonl"])
    (tmp_path / "rows.jsonl").unlink()
    with pytest.raises(FileNotFoundError, match="a file of rows that is not there"):
        flagged_texts(["found/contamination.jsonl"])


def test_a_report_is_a_table():
    score = {"task": "arc", "metric": "acc", "filter": "none", "score": 0.5, "score_with_flagged": 0.75,
             "documents": 4, "flagged": 0, "is_higher_better": True}  # fmt: skip
    data = {"packed": {"loss": 1.5, "perplexity": 4.4817, "targets": 1200.0}}
    report = EvaluationReport(model="m", data=data, tasks=[score])
    assert str(report).splitlines() == [
        "m",
        "",
        "data    loss  perplexity  bits per byte  targets",
        "packed   1.5      4.4817  -                1,200",
        "",
        "task  metric   score  documents",
        "arc   acc     0.5000          4",
    ]
    assert report.to_json()["data"] == data
