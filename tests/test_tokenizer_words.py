"""Merge lists that no trainer makes: the ids are those of the `tokenizers` package all the same."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from small_tokenizers import (
    ALPHABET,
    Join,
    both,
    byte_level,
    byte_level_bpe,
    definition_of,
    letters_of,
    numbered,
    random_joins,
    texts_with,
)

ONE_WORD = byte_level(use_regex=False)
# Cuts the bytes of a text, also inside characters: the last bytes of ò and 丹 are letters that are numbers.
INSIDE_CHARACTERS = {
    "type": "Sequence",
    "pretokenizers": [ONE_WORD, {"type": "Digits", "individual_digits": True}],
}
PRE_TOKENIZERS = {"one word": ONE_WORD, "words": byte_level(), "cut inside characters": INSIDE_CHARACTERS}

JOINS = st.lists(
    st.builds(
        Join, st.integers(0, 99), st.integers(0, 99), st.integers(0, 3), st.sampled_from([True, True, True, False])
    ),
    max_size=60,
)
ALPHABETS = st.lists(st.sampled_from(ALPHABET), min_size=1, max_size=5, unique=True).map("".join)
PLACES = st.lists(st.integers(0, 9999), max_size=25)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tokenizer")


def pieces_of(definition, alphabet):
    """What texts are made of: characters, and texts that have one of the tokens in them."""
    tokens = [token for token in definition["model"]["vocab"] if len(token) > 1]
    return [*alphabet, *(text for token in tokens for text in texts_with(token, alphabet))]


def text_of(pieces, places):
    return "".join(pieces[place % len(pieces)] for place in places)


def check(definition, texts, folder):
    theirs, ours = both(definition, folder)
    assert ours.backend == "byte-level BPE", ours.backend_reason
    for text in texts:
        expected = theirs.encode(text).ids
        for _ in range(2):  # the second time from the cache
            assert ours.encode(text).tolist() == expected, (text, definition["model"]["merges"])
    return theirs


def by_hand(merges, *, tokens=(), **parts):
    """A tokenizer with these merges of bytes, each given as a text or as bytes."""
    letters = [[letters_of(part) for part in merge] for merge in merges]
    definition = byte_level_bpe(tokens=tokens, pre_tokenizer=ONE_WORD, **parts)
    known = definition["model"]["vocab"]
    made = [token for merge in letters for token in (*merge, "".join(merge)) if token not in known]
    vocab = numbered([*known, *dict.fromkeys(made)])
    return definition | {"model": definition["model"] | {"vocab": vocab, "merges": letters}}


HEAD, MIDDLE, TAIL = (bytes([byte]) for byte in "中".encode())
MERGES = {
    "a part is younger than the whole": [("ab", "c"), ("a", "b"), ("c", "d"), ("b", "c")],
    "a part is made last of all": [("abc", "d"), ("ab", "c"), ("a", "b")],
    "the last of equal pairs counts": [("a", "b"), ("b", "c"), ("a", "b")],
    "all pairs stand twice": [("a", "b"), ("b", "a"), ("b", "a"), ("a", "b"), ("a", "a"), ("a", "a")],
    "one token is made in two ways": [("a", "b"), ("b", "c"), ("ab", "c"), ("a", "bc"), ("abc", "d")],
    "the second way comes before what is made of it": [("b", "c"), ("abc", "d"), ("a", "bc"), ("ab", "c"), ("a", "b")],
    "a part cannot be reached": [("ab", "c"), ("c", "d")],
    "runs": [("a", "a"), ("aa", "a"), ("a", "aa"), ("aa", "aa")],
    "a token ends inside a character": [("a", HEAD), (HEAD, MIDDLE), (HEAD + MIDDLE, TAIL)],
    "a token ends inside a character, made late": [(HEAD, MIDDLE), (HEAD + MIDDLE, TAIL), ("a", HEAD + MIDDLE)],
    "a token starts inside a character": [(TAIL, "a"), (HEAD, MIDDLE), (HEAD + MIDDLE, TAIL)],
    "a token starts inside a character, made late": [(MIDDLE, TAIL), (HEAD, MIDDLE + TAIL), (MIDDLE + TAIL, "a")],
    "from inside a character to inside another": [(TAIL, HEAD), (HEAD, MIDDLE), (HEAD + MIDDLE, TAIL)],
    "from inside a character over another": [(HEAD, MIDDLE), (TAIL, "a"), (TAIL + b"a", HEAD), ("a", HEAD + MIDDLE)],
    "neighbours merge before the character does": [(HEAD, MIDDLE), ("a", "中"), (HEAD + MIDDLE, TAIL)],
    "a character is used before it is made": [("a", "中"), ("中", "a"), (HEAD, MIDDLE + TAIL), (MIDDLE, TAIL)],
    "a character is made in two ways": [(HEAD, MIDDLE), (HEAD + MIDDLE, TAIL), (MIDDLE, TAIL), (HEAD, MIDDLE + TAIL)],
    "bytes that are in no text": [(b"\xc0", b"\xff"), (b"\xff", b"a"), (HEAD, b"a"), ("a", "b")],
}
TEXTS = [
    "",
    "a",
    "ab",
    "abc",
    "abcd",
    "abcdabcd",
    "dcbadcba",
    "ababab",
    "bcbcd",
    "中",
    "a中",
    "中a",
    "a中a",
    "中中",
    "中中中",
]
TEXTS += [
    "a中中a",
    "中a中",
    "abc中abcd",
    "丹中⸭中",
    "a丹a",
    "é中a",
    "⸭a",
    "中b",
    *("a" * size for size in range(2, 12)),
]
TEXTS += [text * 40 for text in ("a", "ab", "abc", "中", "a中", "中a")]


@pytest.mark.parametrize("ignore_merges", [False, True])
@pytest.mark.parametrize("case", MERGES)
def test_hostile_merges(case, ignore_merges, folder):
    check(by_hand(MERGES[case], ignore_merges=ignore_merges), TEXTS, folder)


@pytest.mark.parametrize("case", MERGES)
def test_tokens_without_merges_are_found_only_as_words_that_ignore_merges(case, folder):
    tokens = ["abcd", "a中a", "中中", b"\xadabc", "丹中", "dcba"]
    for ignore_merges in (False, True):
        definition = by_hand(MERGES[case], tokens=tokens, ignore_merges=ignore_merges)
        theirs = check(definition, [*tokens[:3], *TEXTS], folder)
        assert (len(theirs.encode("中中").ids) == 1) >= ignore_merges


def test_a_part_of_a_word_is_not_the_word(folder):
    """Words are cut where no token lies across; only a whole word may be a token without merges."""
    for tokens in (["中"], ["a", "中", "中a"], ["ab中"]):
        check(by_hand([("a", "b")], tokens=tokens, ignore_merges=True), [*TEXTS, "ab中" * 30, "中ab"], folder)


@pytest.mark.parametrize("missing", ["b", "中", "a中", "é"])
@pytest.mark.parametrize("case", MERGES)
def test_what_stands_around_a_byte_that_is_missing_may_be_merged(case, missing, folder):
    without = letters_of(missing)
    merges = [merge for merge in MERGES[case] if not set("".join(map(letters_of, merge))) & set(without)]
    definition = by_hand([*merges, ("a", "c"), (HEAD, "d")] if missing == "b" else merges, missing=missing)
    check(definition, [*TEXTS, "abc", "acb", "aébc", "abbbc"], folder)


@pytest.mark.parametrize("pre_tokenizer", PRE_TOKENIZERS)
@settings(max_examples=250)
@given(alphabet=ALPHABETS, joins=JOINS, places=PLACES, shuffle=st.integers(0, 3), ignore_merges=st.booleans())
def test_any_merges(pre_tokenizer, alphabet, joins, places, shuffle, ignore_merges, folder):
    parts = {"pre_tokenizer": PRE_TOKENIZERS[pre_tokenizer], "ignore_merges": ignore_merges}
    definition = byte_level_bpe(joins, alphabet=alphabet, shuffle=shuffle, **parts)
    check(definition, [text_of(pieces_of(definition, alphabet), places)], folder)


@settings(max_examples=150)
@given(alphabet=ALPHABETS, joins=JOINS, places=PLACES, missing=st.sampled_from("aéò中⸭😀"))
def test_any_merges_without_some_bytes(alphabet, joins, places, missing, folder):
    definition = byte_level_bpe(joins, alphabet=alphabet + "z", missing=missing, pre_tokenizer=ONE_WORD)
    check(definition, [text_of([*alphabet, missing], places)], folder)


@pytest.mark.parametrize("seed", range(8))
def test_many_merges(seed, folder):
    rng = random.Random(seed)
    for _ in range(25):
        alphabet = "".join(rng.sample(ALPHABET, rng.randint(1, 5)))
        parts = {"pre_tokenizer": rng.choice(list(PRE_TOKENIZERS.values())), "ignore_merges": rng.random() < 0.3}
        joins = random_joins(rng, rng.randint(5, 150))
        definition = byte_level_bpe(joins, alphabet=alphabet, shuffle=rng.randint(0, 1), **parts)
        pieces = pieces_of(definition, alphabet)
        texts = ["".join(rng.choices(pieces, k=rng.randint(1, 30))) for _ in range(12)]
        # Around what a scan, a slot of the cache, and the cache take: 64, 15, 31 and 256 bytes.
        texts += [(rng.choice(pieces) * 300).encode()[:size].decode(errors="ignore") for size in (15, 16, 31, 32)]
        texts += [text_of(pieces, rng.choices(range(9999), k=300)).encode()[:size].decode(errors="ignore")
                  for size in (63, 64, 65, 255, 256, 257, 2000)]  # fmt: skip
        check(definition, texts, folder)


def test_a_legacy_merge_list_reads_the_same(folder):
    definition = by_hand(MERGES["one token is made in two ways"])
    definition["model"]["merges"] = [" ".join(merge) for merge in definition["model"]["merges"]]
    check(definition, TEXTS, folder)


def test_a_legacy_merge_that_looks_like_a_version_is_left_out(folder):
    """As in the merges.txt that such lists come from; a list of pairs has no such line."""
    name = "#version"
    merges = [(name[:size], letter) for size, letter in enumerate(f"{name[1:]}s", start=1)]
    definition = by_hand(merges)
    check(definition, ["#versions", "#version"], folder)
    definition["model"]["merges"] = [" ".join(merge) for merge in definition["model"]["merges"]]
    check(definition, ["#versions", "#version"], folder)


def test_ids_with_gaps_and_letters_that_are_no_bytes(folder):
    """Tokens that no text of bytes has are of no account."""
    definition = by_hand([("a", "b"), ("ab", "c")])
    model = definition["model"]
    vocab = {token: number * 1000 + 7 for token, number in model["vocab"].items()} | {"中": 1, "a中": 2, "": 3}
    merges = [["a", "中"], *model["merges"]]
    check(definition_of(vocab, merges, pre_tokenizer=ONE_WORD), TEXTS, folder)
