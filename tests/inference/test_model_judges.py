"""Judges that are models: a classifier, and a causal model with examples."""

from __future__ import annotations

import json

import pytest
from small_models import write_tokenizer

from bloomdata.errors import ConfigError
from bloomdata.inference.judges import few_shot_judge, open_moderation
from bloomdata.inference.model import load

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A classifier of texts by their first token: those that begin with `It` are `bad`."""
    import torch
    from transformers import GPT2Config, GPT2ForSequenceClassification, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("classifier")
    tokenizer = write_tokenizer(folder)
    labels = {"id2label": {0: "good", 1: "bad"}, "label2id": {"good": 0, "bad": 1}}
    sizes = {"n_embd": 16, "n_layer": 1, "n_head": 2, "vocab_size": tokenizer.vocab_size, "pad_token_id": 3}
    torch.manual_seed(0)
    model = GPT2ForSequenceClassification(GPT2Config(**sizes, **labels))
    texts = ["It", " is", "a", "Letter"]
    ids = torch.tensor([[int(tokenizer.encode(text)[0])] for text in texts])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-2)
    for _ in range(30):
        torch.nn.functional.cross_entropy(model(ids).logits, torch.tensor([1, 0, 0, 0])).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder / "model")
    fast = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer" / "tokenizer.json"), pad_token="<pad>")
    fast.save_pretrained(folder / "model")
    return folder / "model"


def test_a_classifier_refuses_by_label_and_threshold(classifier):
    moderation = open_moderation(classifier, labels=["bad"])
    assert moderation.refuses("It", "prompt")
    assert not moderation.refuses("a", "prompt")
    assert not open_moderation(classifier, labels=["good"], threshold=1.0).refuses("It", "prompt")
    with pytest.raises(ConfigError, match="has good, bad, and not 'worse'"):
        open_moderation(classifier, labels=["worse"])


def test_a_causal_model_is_asked_behind_a_sample(answering, tmp_path, monkeypatch):
    asked = []

    def generate(_model, prompt, **settings):
        from bloomdata.inference.batches import Generated

        asked.append((prompt, settings["stop"]))
        text = " possibly needs caution." if "maybe" in prompt else " needs intervention"
        return [Generated(key=(0, 0), text=text, reason="end", ids=(), prompt_ids=())]

    monkeypatch.setattr("bloomdata.inference.judges.generate", generate)
    (tmp_path / "few.jsonl").write_text(json.dumps({"text": "Possible labels:\n1. casual"}) + "\n", "utf-8")
    moderation = open_moderation(answering, samples=tmp_path / "few.jsonl")
    assert moderation.refuses("kill", "prompt")
    assert not moderation.refuses("maybe", "prompt")
    assert asked[0] == ("Possible labels:\n1. casual\n\nInput: kill\nLabel:", ["\n"])
    with pytest.raises(ConfigError, match="expected a file of pack_moderation"):
        open_moderation(answering, samples=tmp_path / "none.jsonl")


def test_what_a_model_says_and_is_no_label_is_no_refusal(answering):
    verdict = few_shot_judge(load(answering), "Possible labels:")("It")
    assert verdict.label not in {"needs intervention", "casual"}
