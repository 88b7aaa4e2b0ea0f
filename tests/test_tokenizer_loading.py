"""Random definitions and random damage: loaded as the `tokenizers` package does it, or refused where that refuses."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata.errors import CorruptDataError
from random_tokenizers import random_tokenizer
from small_tokenizers import added_token, byte_level, byte_level_bpe
from tokenizer_pairs import BERT, DECODERS, ROBERTA, compare, template


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tokenizer")


def random_processor(rng):
    names = rng.choices(["A", "x", "yy"], [3, 2, 1], k=rng.randint(0, 4))
    made = template(" ".join(names), x=[rng.randrange(300)], yy=[8, rng.choice([9, 2**32 - 1])])
    both = {"type": "Sequence", "processors": [byte_level(), made]}
    return rng.choice([None, made, made, both, BERT, ROBERTA, byte_level()])


def odd_tokenizer(rng):
    """A random tokenizer with gaps, odd names, merges of any tokens, and added tokens whose ids are made up."""
    definition, pieces = random_tokenizer(rng)
    model, vocab = definition["model"], definition["model"]["vocab"]
    for name in rng.sample(
        ["▁▁", "<s>", "", "a b", "ab", "<0x41>", "\n", "Ġa", "éé", " ", "zzz"], rng.choice([0, 0, 4])
    ):
        vocab.setdefault(name, max(vocab.values()) + 1)
    if rng.random() < 0.4:
        shift = 0
        for name in sorted(vocab, key=vocab.__getitem__):
            shift += rng.choice([1, 30, 500]) if rng.random() < 0.02 else 0
            vocab[name] += shift
    contents = [*rng.choices([*vocab], k=4), *(f"<{number}>" for number in range(9)), "", "É", "é", "ﬁ", "e\u0301"]
    for _ in range(rng.choice([0, 3, 12])):
        flags = {name: rng.random() < 0.3 for name in ("single_word", "lstrip", "rstrip", "normalized", "special")}
        definition["added_tokens"].append(added_token(rng.choice([0, 300, 2**32 - 1]), rng.choice(contents), **flags))
    if rng.random() < 0.3:
        model["merges"][1:1] = [rng.choices([*vocab], k=2), *model["merges"][:1]]
    if rng.random() < 0.2:
        model["merges"] = [" ".join(merge) for merge in model["merges"]]
    definition |= {"decoder": rng.choice(DECODERS), "post_processor": random_processor(rng)}
    return definition, ["".join(rng.choices(pieces, k=rng.randrange(12))) for _ in range(4)]


@settings(max_examples=150)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_definition(seed, folder):
    rng = random.Random(seed)
    definition, texts = odd_tokenizer(rng)
    compare(definition, folder, texts, rng)


JUNK = [None, 0, -1, 1.5, True, "", "a b", "BPE", "ByteLevel", [], ["a"], {}, {"a": 0}, 2**32]


def places(value):
    """All lists and objects with their keys, but for the vocabulary's and the merges'."""
    for key in [*value] if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], (dict, list)) and len(value[key]) < 30:
            yield from places(value[key])


@settings(max_examples=200)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_damage(seed, folder):
    rng = random.Random(seed)
    definition = random_tokenizer(rng)[0] | {"post_processor": random_processor(rng), "decoder": rng.choice(DECODERS)}
    definition = json.loads(json.dumps(definition))
    value, key = rng.choice([*places(definition)])
    junk = rng.choice(JUNK)
    kind = rng.choice(["gone", "other", "twice", "cut"])
    if kind == "gone":
        del value[key]
    elif kind == "other" or isinstance(value, list):
        value[key] = junk
    content = json.dumps(definition)
    if kind == "twice" and isinstance(value, dict):
        content = content.replace(f'"{key}":', f'"{key}": {json.dumps(junk)}, "{key}":', 1)
    if kind == "cut":
        content = content[: rng.randrange(len(content))]
    # Dropout is left to chance, and a prefix that is cut off within a character ends the package's process.
    if key not in {"dropout", "continuing_subword_prefix"} or kind == "gone":
        compare(content, folder, ["ab a"], rng)


def test_a_tokenizer_with_dropout_is_refused(tmp_path):
    """It would give a text other ids each time."""
    path = tmp_path / "tokenizer.json"
    for dropout, is_refused in ((0.1, True), (1.0, True), (0.0, False), (None, False)):
        definition = byte_level_bpe()
        definition["model"]["dropout"] = dropout
        path.write_text(json.dumps(definition), "utf-8")
        if is_refused:
            with pytest.raises(CorruptDataError, match="its dropout would give a text other ids each time"):
                bloomdata.Tokenizer(path)
        else:
            assert bloomdata.Tokenizer(path).encode("a").tolist()
