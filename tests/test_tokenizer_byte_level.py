"""Our byte-level BPE gives the ids of the `tokenizers` package for the families that it takes over."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from tokenizers import normalizers

from byte_level_families import (
    FAMILIES,
    PIECES,
    anything,
    deepseek,
    falcon,
    pair_of,
    single_word,
    soups,
    starcoder,
    stripping,
)


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=150)
@given(text=soups | anything)
def test_ids_are_those_of_the_package(family, text):
    theirs, ours = pair_of(family)
    assert ours.backend == "byte-level BPE"
    assert ours.encode(text).tolist() == theirs.encode(text).ids


@settings(max_examples=100)
@given(text=soups | anything)
def test_texts_that_are_not_nfc_have_the_ids_of_the_package(text):
    theirs, ours = pair_of("qwen2", normalizer=normalizers.NFC())
    assert ours.backend == "byte-level BPE"
    assert ours.encode(text).tolist() == theirs.encode(text).ids


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_around_the_border_of_a_block_have_the_ids_of_the_package(family):
    """Words are cut in blocks of 64 bytes."""
    theirs, ours = pair_of(family)
    for filler in ("a", " ", "中", "1", "'", "\n"):
        for size in range(56, 68):
            before = filler * (size // len(filler.encode()))
            texts = [before + piece + behind for piece in PIECES for behind in ("", "a", " a", "1", "'s", "\n")]
            ids, offsets = ours.encode_batch(texts, num_threads=1)
            found = [part.tolist() for part in np.split(ids, offsets[1:-1])]
            assert found == [encoding.ids for encoding in theirs.encode_batch(texts)]


CHANGES = {
    "starcoder": starcoder,
    "falcon": falcon,
    "deepseek": deepseek,
    "single word": single_word,
    "strip": stripping,
}
# Of ranges whose characters are alike, one in a hundred.
UNIFORM = [(0x3400, 0x9FFF), (0xAC00, 0xD7A3), (0xE000, 0xF8FF), (0x20000, 0x10FFFF)]


@pytest.mark.slow
@pytest.mark.parametrize("family", [*FAMILIES, *CHANGES])
def test_every_character_has_the_ids_of_the_package(family):
    theirs, ours = pair_of("byte_level", CHANGES[family]) if family in CHANGES else pair_of(family)
    assert ours.backend == "byte-level BPE"
    is_uniform = [any(first < code < last for first, last in UNIFORM) for code in range(0x110000)]
    codes = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000 and not (is_uniform[code] and code % 97)]
    for start in range(0, len(codes), 1000):
        # Beside letters, digits, marks, white space, and added tokens on either side.
        letters = [chr(code) for code in codes[start : start + 1000]]
        text = "".join(
            f"a{letter}b {letter}1{letter}!\n{letter} the{letter} {letter}the '{letter}s" for letter in letters
        )
        assert ours.encode(text).tolist() == theirs.encode(text).ids, hex(codes[start])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("count", [15, 16, 95, 96, 97, 256, 257, 5_000])
def test_words_of_any_length_have_the_ids_of_the_package(family, count):
    theirs, ours = pair_of(family)
    rng = random.Random(count)
    for letters in ("a", "ab", "the quick", "今天气好", "é", "😀", "'", "1", " ", "\n", "\x00"):
        text = "".join(rng.choices(letters.replace(" ", "") or " ", k=count))
        for _ in range(2):  # the second time from the cache
            assert ours.encode(text).tolist() == theirs.encode(text).ids


def test_a_word_of_a_million_letters_takes_no_long_time():
    """A scan for every merge would take minutes."""
    _, ours = pair_of("gpt2")
    assert ours.decode(ours.encode("ab" * 500_000)) == "ab" * 500_000
