"""The slow BPE trainer of `reference/train_bpe.py` gives the vocabulary and the merges of Hugging Face `tokenizers`.

Two kinds of input have no one answer upstream, and stay out of here:

- Letters of equal count at the cut of `limit_alphabet`. Upstream sorts what comes out of a randomly seeded hash map
  by count alone, so two runs keep different letters. The same holds among `initial_alphabet` when the limit is below
  its size. `limits` therefore offers only cuts between two counts.
- Words or pairs of 2**31 occurrences or more. Upstream counts pairs in 32 bits and wraps around without a word; no
  test could feed so much text anyway. Words of count 0 cannot be fed either: they exist in counts, never in text.
"""

from __future__ import annotations

import json
import sysconfig
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, trainers
from tokenizers.pre_tokenizers import ByteLevel, Digits, Metaspace, Sequence, Split

from reference.train_bpe import train

BYTES = ByteLevel.alphabet()
BLOOM = Sequence(
    [
        Split(Regex(" ?[^(\\s|[.,!?…。，、।۔،])]+"), behavior="isolated"),
        ByteLevel(add_prefix_space=False, use_regex=False),
    ]
)
LLAMA = Sequence([Metaspace(prepend_scheme="first"), Digits(individual_digits=True)])
SPECIAL = ["<s>", "", "a", "b", "z", "aa", "ab", "ba", "aab", "abab", "aaaa"]


def upstream(texts, vocab_size, *, pre_tokenizer=None, **options):
    """What `tokenizers` makes of texts; every text is one word when there is no pre-tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=vocab_size, show_progress=False, **options))
    model = json.loads(tokenizer.to_str())["model"]
    return list(model["vocab"].items()), [tuple(pair) for pair in model["merges"]]


def repeated(words):
    return [word for word, count in words.items() for _ in range(count)]


def agree(words, vocab_size, **options):
    """Compare ids (and that the oracle lists them in order) and merges; return the merges."""
    vocab, merges = train(words, vocab_size, **options)
    given_options = {name: value for name, value in options.items() if value is not None}
    assert (list(vocab.items()), merges) == upstream(repeated(words), vocab_size, **given_options)
    return merges


def bags(alphabet):
    """Words with their counts: mixed letters, long runs, repeats of a short piece; small counts, so many ties."""
    mixed = st.text(alphabet, max_size=12)
    runs = st.lists(st.builds(str.__mul__, st.sampled_from(alphabet), st.integers(1, 40)), max_size=3).map("".join)
    loops = st.builds(str.__mul__, st.text(alphabet, min_size=1, max_size=4), st.integers(1, 12))
    return st.dictionaries(mixed | runs | loops, st.integers(1, 4) | st.integers(1, 40), max_size=12)


def limits(words, initial_alphabet):
    """Sizes of an alphabet that cut between two counts, or not at all."""
    counts = dict(Counter(letter for word in repeated(words) for letter in word))
    ordered = sorted((counts | dict.fromkeys(initial_alphabet, 10**9)).values(), reverse=True)
    cuts = [size for size in range(1, len(ordered)) if ordered[size - 1] > ordered[size]]
    return [0, *cuts, len(ordered), len(ordered) + 1]


vocab_sizes = st.integers(0, 60) | st.just(400)
everywhere = pytest.mark.parametrize("alphabet", ["a", "ab", "abc", "zaé▁"])


@everywhere
@settings(max_examples=300)
@given(st.data())
def test_merges_and_ids_are_those_of_upstream(alphabet, data):
    agree(data.draw(bags(alphabet)), data.draw(vocab_sizes))


@everywhere
@settings(max_examples=200)
@given(st.data())
def test_the_least_count_and_the_longest_token_are_those_of_upstream(alphabet, data):
    agree(
        data.draw(bags(alphabet)),
        400,
        min_frequency=data.draw(st.integers(0, 12)),
        max_token_length=data.draw(st.none() | st.integers(0, 9)),
    )


@settings(max_examples=500)
@given(bags("ab") | bags("abc"), vocab_sizes, st.lists(st.sampled_from(SPECIAL), max_size=5))
@example({"ab": 3, "b": 2}, 3, ["ab", "b"])
@example({"aaaab": 3, "b": 2}, 8, ["aa", "aab"])
def test_special_tokens_that_are_letters_or_merges_are_those_of_upstream(words, vocab_size, special_tokens):
    agree(words, vocab_size, special_tokens=special_tokens)


@settings(max_examples=500)
@given(st.data())
def test_all_options_together_are_those_of_upstream(data):
    words = data.draw(bags("abc") | bags("abcdef"))
    initial_alphabet = data.draw(st.lists(st.sampled_from("abcxyé"), max_size=4))
    agree(
        words,
        data.draw(vocab_sizes),
        min_frequency=data.draw(st.integers(0, 6)),
        special_tokens=data.draw(st.lists(st.sampled_from(SPECIAL), max_size=3)),
        initial_alphabet=initial_alphabet,
        limit_alphabet=data.draw(st.none() | st.sampled_from(limits(words, initial_alphabet))),
        max_token_length=data.draw(st.none() | st.integers(0, 9)),
    )


@pytest.mark.parametrize(
    ("words", "options", "merges"),
    [
        ({"ab": 2, "cd": 2}, {}, ["a b", "c d"]),  # equal counts: lower ids first
        ({"cd": 3, "ab": 2}, {}, ["c d", "a b"]),
        ({"ab": 2, "cd": 2}, {"special_tokens": ["c"]}, ["c d", "a b"]),  # by id, not by code point
        ({"aaa": 2, "ab": 3}, {}, ["a a", "a b", "aa a"]),  # overlaps count: a a is 4
        ({"aaaaa": 1}, {}, ["a a", "aa a", "aa aaa"]),  # joined from the left; of aa aa and aa a, the lower right id
        ({"ab": 2, "cd": 1}, {"min_frequency": 2}, ["a b"]),
        ({"ab": 2}, {"special_tokens": ["ab"]}, ["a b"]),  # made, though the vocabulary does not grow
        ({"abcd": 2}, {"max_token_length": 0}, ["a b", "c d"]),  # two letters are always allowed
        ({"abcd": 2}, {"max_token_length": 4}, ["a b", "c d"]),  # four letters are not
        ({"abcd": 2}, {"max_token_length": 5}, ["a b", "c d", "ab cd"]),
        ({"axb": 2, "abab": 1}, {"limit_alphabet": 2}, ["a b", "ab ab"]),  # x is dropped, a and b meet
        (
            {"axb": 2, "abab": 1},
            {"limit_alphabet": 2, "special_tokens": ["x"]},
            ["x b", "a b", "a xb", "ab ab"],
        ),  # x stays
        ({"": 1, "a": 5}, {}, []),
        ({}, {}, []),
    ],
)
def test_each_rule_shows_in_a_small_example(words, options, merges):
    assert agree(words, 100, **options) == [tuple(merge.split()) for merge in merges]


def test_letters_and_special_tokens_stay_when_the_vocabulary_is_smaller():
    words = {"ab": 2}
    vocab, merges = train(words, 1, special_tokens=["<s>", "</s>"])
    assert (vocab, merges) == ({"<s>": 0, "</s>": 1, "a": 2, "b": 3}, [])
    agree(words, 1, special_tokens=["<s>", "</s>"])


def test_of_letters_of_equal_count_at_the_cut_the_lower_code_points_stay():
    assert train({"cba": 1, "d": 2}, 0, limit_alphabet=2) == ({"a": 0, "d": 1}, [])
    assert train({"e": 1}, 0, initial_alphabet="dcb", limit_alphabet=2) == ({"b": 0, "c": 1}, [])


def test_a_word_of_count_zero_gives_letters_and_no_merge():
    assert train({"ab": 0, "cd": 1}, 100) == ({"a": 0, "b": 1, "c": 2, "d": 3, "cd": 4}, [("c", "d")])


@pytest.fixture(scope="module")
def library():
    """The sources of the standard library, as one text."""
    return "".join(
        path.read_text("utf-8", "replace") for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    )


@pytest.mark.parametrize(
    ("pre_tokenizer", "num_letters", "vocab_size", "options"),
    [
        (ByteLevel(add_prefix_space=False), 350_000, 1200, {"initial_alphabet": BYTES}),
        (BLOOM, 150_000, 700, {"initial_alphabet": BYTES, "special_tokens": ["<s>", "</s>"], "min_frequency": 40}),
        (LLAMA, 120_000, 700, {"special_tokens": ["<unk>", "self", "▁the"], "max_token_length": 6}),
    ],
    ids=["gpt2", "bloom", "llama"],
)
def test_real_text_gives_the_tokens_of_upstream(library, pre_tokenizer, num_letters, vocab_size, options):
    text = library[:num_letters]
    words = Counter(word for word, _ in pre_tokenizer.pre_tokenize_str(text))
    vocab, merges = train(words, vocab_size, **options)
    assert (list(vocab.items()), merges) == upstream([text], vocab_size, pre_tokenizer=pre_tokenizer, **options)
    assert len(merges) > 100
