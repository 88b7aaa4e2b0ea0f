"""Packed rows give what each document gives alone, for every family; and the controls show what happens otherwise."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from recipes import SIZES

import bloomdata
from bloomdata.errors import ConfigError
from bloomdata.train import (
    bloom_attention,
    isolation_canary,
    packed_inputs,
    token_loss,
)
from bloomdata.train.attention import leakage
from bloomdata.train.documents import document_lengths, document_numbers, restarted_positions

pytestmark = pytest.mark.train

FAMILIES = ["bloom", "llama", "gpt_neox"]
VOCABULARY = 32


def model_of(family, seed=0, **more):
    torch.manual_seed(seed)
    config = transformers.AutoConfig.for_model(family, vocab_size=VOCABULARY, **SIZES[family], **more)
    return transformers.AutoModelForCausalLM.from_config(config)


def random_batch(seed=0, rows=3, length=24):
    random = np.random.default_rng(seed)
    ids = torch.as_tensor(random.integers(0, VOCABULARY, (rows, length)))
    inner = [row * length + np.sort(random.choice(np.arange(1, length), 4, replace=False)) for row in range(rows)]
    starts = np.arange(rows) * length
    bounds = np.sort(np.concatenate([starts, *inner, [rows * length]]))
    return {"input_ids": ids, "cu_seqlens": torch.as_tensor(bounds, dtype=torch.int32)}


def alone(model, batch):
    """The logits of each document alone, (tokens, vocabulary)."""
    flat, bounds = batch["input_ids"].flatten(), batch["cu_seqlens"].tolist()
    documents = [flat[start:end][None] for start, end in itertools.pairwise(bounds)]
    return torch.cat([model(input_ids=document, use_cache=False).logits[0] for document in documents])


# BLOOM has no attention but the eager one in transformers; packed rows go through fused attention of ours.
@pytest.mark.parametrize(
    ("family", "attention"),
    [("bloom", "eager"), ("llama", "eager"), ("llama", "sdpa"), ("gpt_neox", "eager"), ("gpt_neox", "sdpa")],
)
def test_packed_logits_and_gradients_are_those_of_each_document_alone(family, attention):
    model = model_of(family, attn_implementation=attention)
    batch = random_batch()
    weights = torch.rand(batch["input_ids"].numel(), VOCABULARY)
    apart = alone(model, batch)
    (apart * weights).sum().backward()
    expected = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    packed = model(**packed_inputs(model, batch)).logits.flatten(0, 1)
    (packed * weights).sum().backward()
    assert (packed - apart).abs().max() < 2e-6
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        assert (parameter.grad - gradient).abs().max() < 2e-5 * max(1, gradient.abs().max())


@pytest.mark.parametrize("heads", [3, 4, 5, 8, 12])
def test_slopes_are_those_of_transformers_for_any_number_of_heads(heads):
    from transformers.models.bloom.modeling_bloom import build_alibi_tensor

    theirs = build_alibi_tensor(torch.ones(1, 2), heads, torch.float32)[:, 0, 1]
    assert torch.allclose(bloom_attention._slopes(heads, "cpu"), theirs, rtol=1e-6)


def test_a_bloom_that_was_adapted_gives_what_it_gave_before_for_other_inputs():
    model = model_of("bloom").eval()
    ids = random_batch()["input_ids"]
    mask = torch.ones_like(ids)
    mask[0, :5] = 0
    other = model_of("bloom", seed=1).eval()
    inputs = [{"input_ids": ids}, {"input_ids": ids, "attention_mask": mask}]
    before = [model(**one).logits for one in inputs]
    generated = model.generate(ids[:1], max_new_tokens=5, do_sample=False)
    packed_inputs(model, random_batch())
    for one, logits in zip(inputs, before, strict=True):
        assert torch.equal(model(**one).logits, logits)
    assert torch.equal(model.generate(ids[:1], max_new_tokens=5, do_sample=False), generated)
    # Only this model was changed: another one still does not take such a mask.
    with pytest.raises(ValueError, match="too many values to unpack"):
        other(**packed_inputs(model, random_batch()))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_is_proven_by_its_logits(family):
    assert leakage(model_of(family)) == 0.0


def test_a_model_that_leaks_is_refused_unless_that_is_allowed():
    # An encoder's attention looks at all tokens, whatever the positions.
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=1, n_head=2, n_positions=64)
    model = transformers.GPT2LMHeadModel(config)

    class Leaky(torch.nn.Module):
        """Ignores positions, as BLOOM does."""

        def __init__(self):
            super().__init__()
            self.inner, self.config = model, model.config

        def forward(self, input_ids, position_ids=None, use_cache=False):
            return self.inner(input_ids)

    leaky = Leaky()
    with pytest.raises(ConfigError, match=r"in Leaky .* they attend to each other: .* allow_contamination=True"):
        packed_inputs(leaky, random_batch())
    assert set(packed_inputs(leaky, random_batch(), allow_contamination=True)) == {
        "input_ids",
        "position_ids",
        "use_cache",
    }


@pytest.mark.parametrize("family", ["bloom", "llama"])
def test_the_canary_lives_only_where_documents_are_apart(family):
    model_class = transformers.BloomForCausalLM if family == "bloom" else transformers.LlamaForCausalLM
    config = transformers.AutoConfig.for_model(family, vocab_size=VOCABULARY, **SIZES[family])
    assert isolation_canary(model_class, config) > 3.3
    assert isolation_canary(model_class, config, isolated=False) < 0.1


def test_traps_of_llama_are_there_and_avoided():
    """Positions alone do not isolate: a mask of ones, or the cache that is on by default, brings the leak back."""
    model = model_of("llama").eval()
    batch = random_batch(rows=1)
    expected = alone(model, batch)
    inputs = packed_inputs(model, batch)
    masked = {**inputs, "attention_mask": torch.ones_like(batch["input_ids"])}
    cached = {**inputs, "use_cache": True}
    for wrong in (masked, cached):
        assert (model(**wrong).logits[0] - expected).abs().max() > 1e-3
    assert (model(**inputs).logits[0] - expected).abs().max() < 2e-6


def test_flash_attention_gets_lengths_and_slopes(monkeypatch):
    """The kernel itself needs CUDA; a slow stand-in shows that it is called rightly."""

    def varlen(query, key, value, bounds, _bounds, longest, _longest, *, dropout_p, causal, alibi_slopes):
        assert causal
        assert longest == int(bounds.diff().max())
        context = torch.empty_like(query)
        for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            distance = torch.arange(end - start)[None] - torch.arange(end - start)[:, None]
            scores = torch.einsum("qhd,khd->hqk", query[start:end], key[start:end]) / query.shape[-1] ** 0.5
            scores = scores + alibi_slopes[:, None, None] * distance
            scores = scores.masked_fill(distance > 0, float("-inf"))
            context[start:end] = torch.einsum("hqk,khd->qhd", scores.softmax(-1), value[start:end])
        return context

    model, batch = model_of("bloom"), random_batch()
    expected = alone(model, batch)
    packed_inputs(model, batch)
    calls = []
    monkeypatch.setattr(bloom_attention, "_flash", lambda query, dropout: calls.append(dropout) or varlen)
    packed = model(**packed_inputs(model, batch)).logits.flatten(0, 1)
    assert len(calls) == 2
    assert (packed - expected).abs().max() < 2e-6


def test_bfloat16_keeps_the_bias_of_distant_tokens():
    """Near the query, distances are exact in bfloat16, where positions in the thousands are not."""
    mask = torch.ones(1, 1, 2048, 2048, dtype=torch.bool).tril()
    bias = bloom_attention._document_bias(mask, 8, torch.bfloat16)
    exact = bloom_attention._document_bias(mask, 8, torch.float32)
    assert (bias[0, 0, -1, -8:].float() - exact[0, 0, -1, -8:]).abs().max() < 0.02
    positions = torch.arange(2048) * 0.5
    assert (positions.bfloat16().float() - positions)[-8:].abs().max() > 1


def test_documents_come_from_boundaries_or_from_positions():
    batch = random_batch()
    numbers = document_numbers(batch)
    positions = restarted_positions(numbers)
    assert torch.equal(document_numbers({"input_ids": batch["input_ids"], "position_ids": positions}), numbers)
    for row in range(3):
        starts = [bound - row * 24 for bound in batch["cu_seqlens"].tolist() if row * 24 <= bound < row * 24 + 24]
        expected = np.zeros(24, int)
        expected[starts[1:]] = 1
        assert numbers[row].tolist() == expected.cumsum().tolist()
        assert [place for place in range(24) if positions[row, place] == 0] == starts
    with pytest.raises(ConfigError, match="expected cu_seqlens or position_ids, got"):
        document_numbers({"input_ids": batch["input_ids"]})
    with pytest.raises(ConfigError, match="cu_seqlens: expected 0 to 72, got 0 to 70"):
        document_numbers({"input_ids": batch["input_ids"], "cu_seqlens": torch.tensor([0, 70])})


def test_padding_is_no_document():
    ids = torch.tensor([[5, 6, 9, 0, 0, 0], [5, 0, 9, 7, 8, 9]])
    weights = torch.tensor([[1.0, 1, 0, 0, 0, 0], [1, 1, 0, 1, 1, 0]])
    batch = {"input_ids": ids, "loss_weights": weights, "cu_seqlens": torch.tensor([0, 3, 6, 9, 12])}
    assert document_lengths(batch, 0).tolist() == [3, 3, 3]
    assert document_lengths(batch, None).tolist() == [3, 3, 3, 3]


def test_the_loss_is_a_mean_over_targets_not_a_mean_of_means():
    """Microbatches of uneven masks: sums give the gradient of the whole batch, means of means a wrong one."""
    model = model_of("llama").double()
    batch = random_batch(rows=8)
    labels = batch["input_ids"].roll(-1, 1)
    weights = (torch.rand(labels.shape) < torch.linspace(0.05, 0.95, 8)[:, None]).double()
    batch |= {"labels": torch.where(weights > 0, labels, -100), "loss_weights": weights}

    def gradient(parts, loss_of):
        model.zero_grad()
        for part in parts:
            loss_of(*token_loss(model(**packed_inputs(model, part)).logits, part)).backward()
        return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])

    from bloomdata.train.data import microbatches

    total = weights.sum()
    whole = gradient([batch], lambda loss, weight: loss / weight)
    parts = microbatches(batch, 1)
    sums = gradient(parts, lambda loss, _: loss / total)
    means = gradient(parts, lambda loss, weight: loss / weight / 8)
    assert (sums - whole).norm() < 1e-6 * whole.norm()
    assert (means - whole).norm() > 0.1 * whole.norm()


def test_labels_of_packed_chats_train_only_answers(tmp_path):
    chats = [
        {"messages": [{"role": "user", "content": f"Q{n}"}, {"role": "assistant", "content": f"A{n}!"}]}
        for n in range(9)
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(chat) + "\n" for chat in chats), "utf-8")
    options = {"tokenizer": "bytes", "template": "human_bot", "sequence_length": 64, "packing": "best_fit"}
    bloomdata.pack(tmp_path / "a.jsonl", tmp_path / "packed", **options)
    batch = bloomdata.open(tmp_path / "packed").read_batch([0])
    trained = batch["labels"][0][batch["labels"][0] >= 0]
    text = bloomdata.Tokenizer("bytes").decode(trained.tolist())
    assert set(text.replace("<eos>", "").split()) <= {f"A{n}!" for n in range(9)}
    assert Path(tmp_path / "packed").exists()
