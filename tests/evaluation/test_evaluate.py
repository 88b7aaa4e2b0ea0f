"""Losses are those of a plain computation, for any batch; scores leave out documents that are in the training data."""

from __future__ import annotations

import json
import math
import sys
from itertools import pairwise

import numpy as np
import pytest

import bloomdata
from bloomdata.cli import main
from bloomdata.errors import ConfigError, MismatchError
from bloomdata.evaluation import evaluate

pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("ignore")]
pytest.importorskip("torch")


def plain_loss(folder):
    """Loss and bits per byte, one document after the other, as a reference."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder / "model").eval()
    tokenizer = bloomdata.Tokenizer(folder / "model")
    dataset = bloomdata.open(folder / "rows")
    total, targets, num_bytes = 0.0, 0, 0
    for row in (dataset[at] for at in range(len(dataset))):
        tokens = row["input_ids"].astype(np.int64)
        # Documents end with the token 1.
        bounds = [0, *(np.flatnonzero(tokens[:-1] == 1) + 1).tolist(), len(tokens)]
        for start, end in pairwise(bounds):
            ids = tokens[start:end]
            labels = np.append(ids[1:], -100)
            with torch.no_grad():
                logits = model(torch.tensor(ids)[None]).logits[0]
            chances = torch.log_softmax(logits.double(), -1)
            counted = labels >= 0
            total -= sum(float(chances[at, labels[at]]) for at in np.flatnonzero(counted))
            targets += int(counted.sum())
            trained = labels[counted].tolist()
            num_bytes += len(tokenizer.decode(trained, skip_special_tokens=True).encode())
    return total / targets, targets, total / math.log(2) / num_bytes


def test_losses_are_those_of_documents_one_by_one(small_model):
    loss, targets, bits = plain_loss(small_model)
    rows = str(small_model / "rows")
    report = evaluate(small_model / "model", data=[rows], batch_size=4)
    found = report.data[rows]
    assert found["targets"] == targets
    assert found["loss"] == pytest.approx(loss, rel=1e-5)
    assert found["perplexity"] == pytest.approx(math.exp(loss), rel=1e-4)
    assert found["bits_per_byte"] == pytest.approx(bits, rel=1e-3)
    other = evaluate(small_model / "model", data=[rows], batch_size=64).data[rows]
    assert other == pytest.approx(found, rel=1e-6)
    assert evaluate(small_model / "model", data=[rows], limit=2).data[rows]["targets"] < targets
    assert f"{loss:.5g}"[:5] in str(report)


def test_documents_of_a_pair_need_a_length(small_model):
    pair = str(small_model / "pair")
    assert evaluate(small_model / "model", data=[pair], sequence_length=64).data[pair]["targets"] > 0
    with pytest.raises(ConfigError, match="sequence_length: expected a number"):
        evaluate(small_model / "model", data=[pair])


def test_calls_that_measure_nothing_are_refused(small_model, tmp_path, capsys):
    model = small_model / "model"
    with pytest.raises(ConfigError, match="expected tasks, or packed data"):
        evaluate(model)
    with pytest.raises(ConfigError, match="contamination: expected tasks"):
        evaluate(model, data=["rows"], contamination=["found.jsonl"])
    with pytest.raises(ConfigError, match="batch_size: expected 1 or more"):
        evaluate(model, data=["rows"], batch_size=0)
    assert main(["evaluate", str(tmp_path), "--data", str(small_model / "rows")]) == 1
    assert "config.json" in capsys.readouterr().err
    bytes_ = tmp_path / "bytes"
    bloomdata.pack(small_model / "docs.jsonl", bytes_, tokenizer="bytes", sequence_length=32, packing="full")
    with pytest.raises(MismatchError, match="expected ids below 258, the model's, found a tokenizer of 259"):
        evaluate(model, data=[str(bytes_)])


def test_the_harness_is_named_where_it_is_missing(small_model, monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(ConfigError, match=r"is not installed: pip install 'bloomdata\[evaluation\]'"):
        evaluate(small_model / "model", tasks=["arc_easy"])


TASK = """task: {name}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {path}
test_split: test
output_type: {kind}
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
{more}
"""


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    """A task with choices and one that generates, of 8 questions; two of them are in the training data."""
    folder = tmp_path_factory.mktemp("tasks")
    rows = [
        {
            "id": at,
            "question": f"What is the colour of stone {word} under the bridge?",
            "choices": ["red", "blue"],
            "answer": at % 2,
        }
        for at, word in enumerate(["one", "two", "three", "four", "five", "six", "seven", "eight"])
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    choices = 'doc_to_choice: "{{choices}}"\nmetric_list:\n  - metric: acc\n  - metric: acc_norm'
    generated = "generation_kwargs:\n  max_gen_toks: 4\n  until: [' ']\nmetric_list:\n  - metric: exact_match"
    for name, kind, more in (("choice", "multiple_choice", choices), ("free", "generate_until", generated)):
        text = TASK.format(name=name, path=folder / "rows.jsonl", kind=kind, more=more)
        (folder / f"{name}.yaml").write_text(text)
    training = [{"text": f"{rows[at]['question']} It is blue."} for at in (1, 4)]
    (folder / "training.jsonl").write_text("".join(json.dumps(row) + "\n" for row in training))
    bloomdata.decontaminate(folder / "training.jsonl", folder / "found", evaluations=folder / "rows.jsonl", ngram=5)
    return folder


@pytest.mark.slow
def test_flagged_documents_do_not_count(small_model, tasks, monkeypatch, capsys):
    pytest.importorskip("lm_eval", reason="needs the extra `evaluation`")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    options = {"tasks": ["choice", "free"], "task_folder": tasks}
    plain = evaluate(small_model / "model", **options)
    clean = evaluate(small_model / "model", **options, contamination=[str(tasks / "found" / "contamination.jsonl")])
    assert [(score["task"], score["metric"]) for score in clean.tasks] == [
        ("choice", "acc"),
        ("choice", "acc_norm"),
        ("free", "exact_match"),
    ]
    for before, after in zip(plain.tasks, clean.tasks, strict=True):
        assert (before["documents"], before["flagged"], before["score"]) == (8, 0, before["score_with_flagged"])
        assert (after["documents"], after["flagged"]) == (6, 2)
        assert after["score_with_flagged"] == before["score"]
        # 8 documents with those of 6 and at most 2 more right.
        assert 0 <= 8 * before["score"] - 6 * after["score"] <= 2
    assert "with flagged" in str(clean)
    assert "with flagged" not in str(plain)
    # The same scores from the package alone.
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(tasks), include_defaults=False)
    arguments = {"pretrained": str(small_model / "model"), "dtype": "float32"}
    theirs = simple_evaluate("hf", model_args=arguments, tasks=["choice"], task_manager=manager, device="cpu")
    assert theirs["results"]["choice"]["acc,none"] == plain.tasks[0]["score"]
    with pytest.raises(ConfigError, match="tasks: 'arc_easy' is not a task in"):
        evaluate(small_model / "model", tasks=["arc_easy"], task_folder=tasks)
    command = ["evaluate", str(small_model / "model"), "--tasks", "choice", "--task-folder", str(tasks), "--limit", "2"]
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["tasks"][0]["documents"] == 2
