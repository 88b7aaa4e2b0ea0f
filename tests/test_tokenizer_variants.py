"""What tokenizers of one family do differently: the ids are those of the `tokenizers` package, whoever makes them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from tokenizers import Regex, Tokenizer, pre_tokenizers

import bloomdata
from byte_level_families import (
    TRAINING,
    accents,
    anything,
    bos_and_eos,
    deepseek,
    falcon,
    ignore_merges,
    lowercase,
    overlapping_tokens,
    pair_of,
    prefix_space,
    single_word,
    soups,
    starcoder,
    stripping,
    train,
)
from random_tokenizers import PATTERNS

CHANGES = [ignore_merges, bos_and_eos, overlapping_tokens, stripping, single_word, prefix_space, lowercase, accents]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@settings(max_examples=80)
@given(text=soups)
def test_variants_have_the_ids_of_the_package(change, text):
    theirs, ours = pair_of("llama3", change)
    assert ours.backend == "byte-level BPE"
    assert ours.encode(text).tolist() == theirs.encode(text).ids


@pytest.mark.parametrize("change", [starcoder, falcon, deepseek], ids=lambda change: change.__name__)
@settings(max_examples=150)
@given(text=soups | anything)
def test_pre_tokenizers_in_a_row_have_the_ids_of_the_package(change, text):
    theirs, ours = pair_of("byte_level", change)
    assert ours.backend == "byte-level BPE"
    assert ours.encode(text).tolist() == theirs.encode(text).ids


def removed(tokenizer):
    split = pre_tokenizers.Split(Regex(PATTERNS["gpt2"]), behavior="removed")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )


def words_end_in_a_suffix(tokenizer):
    tokenizer.model.end_of_word_suffix = "</w>"


def no_bytes(tokenizer):
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()


@pytest.mark.parametrize("change", [removed, words_end_in_a_suffix, no_bytes], ids=lambda change: change.__name__)
def test_what_we_do_not_do_is_left_to_the_package(change):
    theirs, ours = pair_of("byte_level", change)
    assert ours.backend == "tokenizers 0.23"
    assert ours.backend_reason.startswith("its ")
    for text in TRAINING:
        assert ours.encode(text).tolist() == theirs.encode(text).ids


@pytest.mark.parametrize("unknown", [None, "<pad>"])
def test_bytes_that_the_vocabulary_lacks_are_left_out_or_left_to_the_package(unknown, tmp_path):
    theirs = train("byte_level")
    definition = json.loads(theirs.to_str())
    merged = {letter for merge in definition["model"]["merges"] for letter in "".join(merge)}
    unused = next(token for token in definition["model"]["vocab"] if len(token) == 1 and token not in merged)
    del definition["model"]["vocab"][unused]
    definition["model"]["unk_token"] = unknown
    (tmp_path / "tokenizer.json").write_text(json.dumps(definition))
    ours = bloomdata.Tokenizer(tmp_path / "tokenizer.json")
    assert ours.backend == ("byte-level BPE" if unknown is None else "tokenizers 0.23")
    theirs = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in ("\0a\0b", "".join(map(chr, range(300))), *TRAINING):
        assert ours.encode(text).tolist() == theirs.encode(text).ids
