"""Added tokens are found where the `tokenizers` package finds them, whatever their flags, and have its ids."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

import bloomdata
from random_tokenizers import WHITE
from small_tokenizers import (
    MARK,
    added_token,
    both,
    byte_fallback_bpe,
    byte_level,
    byte_level_bpe,
    ids_of,
    metaspace,
    prepend_and_replace,
)

FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
NORMALIZERS = {
    "none": None,
    "NFC": {"type": "NFC"},
    "NFKC": {"type": "NFKC"},
    "lowercase": {"type": "Lowercase"},
    "no accents": {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}]},
    "prepend": {"type": "Prepend", "prepend": "a"},
}
# Beside letters of each kind for `single_word`: a letter, a number, a mark, `_`, none.
LETTERS = ["a", "b", "1", "é", "e\u0301", "\u0301", "_", "-", "中", "²", "A", "ﬁ", "İ", "\u200d", "😀"]
CONTENTS = [
    "a",
    "b",
    "ab",
    "ba",
    "aba",
    "<s>",
    "<s><s>",
    "é",
    "É",
    "e\u0301",
    "中",
    "ﬁ",
    "f",
    " ",
    "  ",
    " a",
    "a ",
    "\n",
]
TEXTS = st.lists(st.sampled_from([*LETTERS, *WHITE, *CONTENTS, *CONTENTS]), max_size=16).map("".join)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tokenizer")


def added(definition, *tokens):
    """The definition with these added tokens, given as contents and flags; ids follow from the vocabulary."""
    numbers, entries = dict(definition["model"]["vocab"]), []
    for content, flags in tokens:
        entries.append(added_token(numbers.setdefault(content, len(numbers)), content, **dict.fromkeys(flags, True)))
    return definition | {"added_tokens": entries}


def check(definition, texts, folder, backend="byte-level BPE"):
    theirs, ours = both(definition, folder)
    # The package panics where a token took so much white space that the next one ends before it starts.
    flags = definition["added_tokens"]
    may_panic = any(token["rstrip"] for token in flags) and any(
        token["lstrip"] and any(map(str.isspace, token["content"])) for token in flags
    )
    assert ours.backend == backend or may_panic, ours.backend_reason
    for text in texts:
        if (expected := ids_of(theirs, text)) is not None:
            assert ours.encode(text).tolist() == expected, (text, definition["added_tokens"])


def is_clear(definition):
    """Whether the package does not leave to chance which of two tokens it finds, nor finds one without a text."""
    normalizer = Tokenizer.from_str(json.dumps(definition | {"added_tokens": []})).normalizer
    tokens = definition["added_tokens"]
    texts = [normalizer.normalize_str(token["content"]) if normalizer else token["content"] for token in tokens]
    keys = [text for text, token in zip(texts, tokens, strict=True) if token["normalized"]]
    return len({*keys}) == len(keys) and "" not in keys


# --- one token at a time ---------------------------------------------------------------------------------------

ALL_FLAGS = [flags for count in range(5) for flags in itertools.combinations(FLAGS[:4], count)]
AROUND = [
    "",
    "a",
    " ",
    "  ",
    "\n\t ",
    "\u3000",
    "_",
    "1",
    "é",
    "\u0301",
    "中",
    "-",
    "x ",
    " x",
    "\u200d",
    "²",
    "\u200b",
]


@pytest.mark.parametrize("flags", ALL_FLAGS, ids=" ".join)
@pytest.mark.parametrize("content", ["<s>", "ab", "é", " ", "b ", "中"])
def test_one_token_between_any_neighbours(content, flags, folder):
    texts = ["".join(parts) for parts in itertools.product(AROUND, [content], AROUND)]
    texts += [content * count for count in (2, 3, 7)]
    texts += [f"{content}{white}{content}" for white in WHITE] + [f"{content * 2} {content} b"]
    check(added(byte_level_bpe(), (content, flags)), texts, folder)


@pytest.mark.parametrize("normalizer", NORMALIZERS)
@pytest.mark.parametrize("content", ["é", "e\u0301", "É", "ﬁ", "ab", "AB", "İ", "\u0301a"])
def test_a_normalized_token_is_found_in_normalized_text(content, normalizer, folder):
    forms = ("é", "e\u0301", "É", "E\u0301", "ﬁ", "fi", "ab", "AB", "İ", "i\u0307", "\u0301a", "a")
    texts = ["".join(parts) for parts in itertools.product(("", "a", " ", "b"), forms, ("", "b", " ", "\u0301"))]
    for flags in ((), ("normalized",), ("normalized", "single_word"), ("normalized", "lstrip", "rstrip")):
        check(added(byte_level_bpe(normalizer=NORMALIZERS[normalizer]), (content, flags)), texts, folder)


# --- several tokens --------------------------------------------------------------------------------------------


def test_of_tokens_that_start_together_the_longest_is_found(folder):
    tokens = [("a", ()), ("ab", ()), ("abc", ()), ("bcd", ()), ("cd", ())]
    for order in itertools.permutations(tokens, 3):
        check(added(byte_level_bpe(), *order), ["abcd", "abcabcd", "aabbccdd", "bcdabc", "xabcdx"], folder)


def test_a_token_that_may_not_stand_here_hides_what_overlaps_it(folder):
    tokens = [("ab", ("single_word",)), ("b", ()), ("bc", ()), ("a", ("normalized",)), ("c", ("normalized",))]
    check(added(byte_level_bpe(), *tokens), ["ab", "abc", "xab", "ab c", "abab", "ab-bc", "xabc b", "aab abc"], folder)


def test_tokens_of_raw_text_are_found_before_those_of_normalized_text(folder):
    tokens = [("abc", ("normalized",)), ("b", ()), ("C", ("normalized",)), ("ABC", ("normalized", "lstrip"))]
    texts = ["abc", "ABC", "aBc", "a b c", "C", "c", " ABC", "abcABC", "xaBCx"]
    for normalizer in (None, {"type": "Lowercase"}):
        chosen = tokens if normalizer is None else tokens[:3]
        check(added(byte_level_bpe(normalizer=normalizer), *chosen), texts, folder)


def test_what_two_tokens_strip_at_once_is_taken_once(folder):
    """The first takes white space that the second, a token of white space, would have been found in."""
    for first, second in itertools.product([("<s>", ("rstrip",)), (" ", ("rstrip",))], WHITE):
        for flags in ((), ("lstrip",), ("rstrip",), ("lstrip", "rstrip")):
            if first[0] != second:
                texts = [f"<s>{second}", f"<s> {second}a", f"<s>{second}{second}", f" {second} ", f"a<s>{second} b<s>"]
                check(added(byte_level_bpe(), first, (second, flags)), texts, folder)


TOKENS = st.lists(
    st.tuples(
        st.sampled_from(CONTENTS) | st.text(st.sampled_from("ab <é"), min_size=1, max_size=3),
        st.sets(st.sampled_from(FLAGS)).map(tuple),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda token: token[0],
)
PRE_TOKENIZERS = [byte_level(), byte_level(add_prefix_space=True), byte_level(use_regex=False)]


@settings(max_examples=500)
@given(
    tokens=TOKENS,
    text=TEXTS,
    normalizer=st.sampled_from(list(NORMALIZERS.values())),
    pre_tokenizer=st.sampled_from(PRE_TOKENIZERS),
)
def test_any_tokens_of_a_byte_level_tokenizer(tokens, text, normalizer, pre_tokenizer, folder):
    definition = added(byte_level_bpe(normalizer=normalizer, pre_tokenizer=pre_tokenizer), *tokens)
    if is_clear(definition):
        check(definition, [text], folder)


MARKED = [{"normalizer": prepend_and_replace()}]
MARKED += [
    {"pre_tokenizer": metaspace(scheme, split=split)} for scheme in ("always", "never") for split in (True, False)
]


@settings(max_examples=300)
@given(tokens=TOKENS, text=TEXTS, parts=st.sampled_from(MARKED))
def test_any_tokens_of_a_byte_fallback_tokenizer(tokens, text, parts, folder):
    definition = added(byte_fallback_bpe(known=f"{MARK}abé", **parts), *tokens)
    if is_clear(definition):
        check(definition, [text], folder, backend="byte-fallback BPE")


# --- ids -------------------------------------------------------------------------------------------------------


def test_the_id_is_that_of_the_vocabulary_or_the_next_whatever_the_file_says(folder):
    """The package numbers added tokens itself; the file's numbers are only what it expects."""
    known = byte_level_bpe(tokens=["<x>"])
    for token_id in (3, 300, 70_000):
        definition = known | {"added_tokens": [added_token(token_id, "<x>")]}
        check(definition, ["a<x>b", "<x>"], folder)
        definition = byte_level_bpe() | {"added_tokens": [added_token(token_id, "<x>"), added_token(token_id, "<y>")]}
        check(definition, ["a<x>b<y>", "<y>"], folder)


def test_special_tokens_of_the_caller_are_those_that_the_package_adds(folder):
    theirs, _ = both(added(byte_level_bpe(), ("<x>", ("lstrip",)), ("ab", ("normalized",))), folder)
    names = ["<y>", "<x>", "ab", "a", "é", "<y><y>"]
    ours = bloomdata.Tokenizer(folder, special_tokens=names)
    theirs.add_special_tokens(names)
    assert ours.backend == "byte-level BPE"
    assert ours.vocab_size == theirs.get_vocab_size()
    for text in ("<y><y><y>", " <x>a", "xaby", "éa <y>ab", "a<x> <y>"):
        assert ours.encode(text).tolist() == theirs.encode(text).ids


def test_a_tokenizer_that_panics_on_some_texts_is_of_use_for_others(folder):
    definition = added(byte_level_bpe(), (" ", ("rstrip",)), ("\n", ("lstrip",)))
    theirs, ours = both(definition, folder)
    assert ids_of(theirs, "a \n\n b") is None
    for text in ("ab", "a b", "a\nb"):
        assert ours.encode(text).tolist() == theirs.encode(text).ids


def test_a_vocabulary_with_gaps_may_give_an_id_twice(folder):
    definition = byte_level_bpe(tokens=["zz"])
    definition["model"]["vocab"]["zz"] = 500
    check(definition | {"added_tokens": [added_token(501, "<x>")]}, ["a<x>b"], folder)


@pytest.mark.parametrize("second", [(), ("normalized",), ("lstrip",), ("normalized", "rstrip")])
@pytest.mark.parametrize("first", [("lstrip",), ("normalized",), ("single_word",), ("normalized", "rstrip")])
def test_of_a_token_that_stands_twice_the_last_counts(first, second, folder):
    theirs, ours = both(added(byte_level_bpe(), ("ab", first), ("ab", second)), folder)
    for text in ("  ab  ", "xab", "abx", "ab ab", "  ab"):
        assert ours.encode(text).tolist() == theirs.encode(text).ids
