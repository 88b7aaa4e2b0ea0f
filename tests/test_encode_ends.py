"""Where tokens end in a text: as the tokenizers package says, in whole characters."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from small_tokenizers import (
    ALPHABET,
    added_token,
    both,
    byte_fallback_bpe,
    byte_level,
    byte_level_bpe,
    metaspace,
    prepend_and_replace,
    random_joins,
)
from tokenizer_families import FAMILIES, WORDS

TEXTS = [
    "",
    " ",
    "  a",
    "a ",
    "\n",
    "a\n\nb",
    "the quick\tfox",
    "été 文字",
    "😀😀",
    "☃x",
    " <s> a</s>",
    "x</s>  y",
    "Straße é",
    "\u3000a",
]
MIXED = st.lists(
    st.sampled_from([*ALPHABET, *WORDS, "<s>", "</s>", "[A]", "[B]", "▁", "\u0301", "zz"]), max_size=12
).map("".join)


def check(theirs, ours, text):
    """Ids are the same; ends are the package's, but never decrease, and a part of a character ends where it does."""
    encoding = theirs.encode(text, add_special_tokens=False)
    ids, ends = ours.encode_ends(text)
    assert ids == encoding.ids
    highest, expected = 0, []
    for _, end in encoding.offsets:
        highest = max(highest, end)
        expected.append(highest)
    assert len(ends) == len(ids)
    assert ends == sorted(ends)
    assert all(0 <= end <= len(text) for end in ends)
    # White space that no token stands for belongs to the token before it, or to the one behind it; of spaces in the text  # noqa: E501
    # and those put in, none can be told from the other.
    for token, ours_end, theirs_end in zip(ids, ends, expected, strict=True):
        between = text[min(ours_end, theirs_end) : max(ours_end, theirs_end)]
        is_space = not theirs.id_to_token(token).strip("▁Ġ ")
        assert is_space or not between.strip(), (text, ids, ends, expected)


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=100)
@given(text=st.one_of(st.sampled_from(TEXTS), MIXED))
def test_tokens_of_all_families_end_where_the_package_says(folder_of, family, text):
    theirs, folder = folder_of(family, "bos and eos")
    check(theirs, bloomdata.Tokenizer(folder / "tokenizer.json"), text)


ADDED = [
    added_token(900, "[A]", lstrip=True),
    added_token(901, "[B]", rstrip=True),
    added_token(902, "<s>", special=True, lstrip=True, rstrip=True),
    # In tokenizers of bytes also the name of one byte, with which `離` begins: one id for texts of one and two bytes.
    added_token(903, "é"),
]


def with_added(definition):
    size = max(definition["model"]["vocab"].values()) + 1
    return definition | {"added_tokens": [token | {"id": size + number} for number, token in enumerate(ADDED)]}


SMALL = {
    "byte-level": lambda rng: byte_level_bpe(random_joins(rng, 20)),
    "byte-level with a space in front": lambda rng: byte_level_bpe(
        random_joins(rng, 20), pre_tokenizer=byte_level(add_prefix_space=True)
    ),
    "byte-level with NFC": lambda rng: byte_level_bpe(random_joins(rng, 20), normalizer={"type": "NFC"}),
    "byte-level in small letters": lambda rng: byte_level_bpe(random_joins(rng, 20), normalizer={"type": "Lowercase"}),
    "marks in front": lambda rng: byte_fallback_bpe(random_joins(rng, 20), pre_tokenizer=metaspace("always")),
    "marks in front of the first": lambda rng: byte_fallback_bpe(
        random_joins(rng, 20), pre_tokenizer=metaspace("first")
    ),
    "marks as they are": lambda rng: byte_fallback_bpe(random_joins(rng, 20), pre_tokenizer=metaspace("never")),
    "marks of Llama": lambda rng: byte_fallback_bpe(random_joins(rng, 20), normalizer=prepend_and_replace()),
}


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("seed", range(6))
def test_tokens_of_small_tokenizers_end_where_the_package_says(tmp_path, kind, seed):
    rng = random.Random(seed)
    theirs, ours = both(with_added(SMALL[kind](rng)), tmp_path)
    pieces = [*ALPHABET, *"abzAZ▁\n\t", "[A]", "[B]", "<s>", "  ", "é", "離", "e\u0301"]
    for _ in range(60):
        check(theirs, ours, "".join(rng.choices(pieces, k=rng.randrange(12))))
