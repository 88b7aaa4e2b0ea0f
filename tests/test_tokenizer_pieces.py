"""SentencePiece-like BPE that falls back to bytes gives the ids of the `tokenizers` package."""

from __future__ import annotations

import functools
import json
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

import bloomdata
from byte_level_families import PIECES, TRAINING
from small_tokenizers import MARK, Join, added_token, both, byte_fallback_bpe, metaspace, prepend_and_replace
from tokenizer_families import SPECIAL, without_byte_names

SPACES = normalizers.Replace(" ", MARK)
PREPARATIONS = {
    "prepend and replace": normalizers.Sequence([normalizers.Prepend(MARK), SPACES]),
    "replace": SPACES,
    "NFKC, prepend and replace": normalizers.Sequence([normalizers.NFKC(), normalizers.Prepend(MARK), SPACES]),
    **{
        f"metaspace {scheme}{'' if split else ', not split'}": pre_tokenizers.Metaspace(
            prepend_scheme=scheme, split=split
        )
        for scheme in ("always", "first", "never")
        for split in (True, False)
    },
}


@functools.cache
def trained(preparation):
    """The package's tokenizer and ours."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    prepare = PREPARATIONS[preparation]
    if isinstance(prepare, pre_tokenizers.PreTokenizer):
        tokenizer.pre_tokenizer = prepare
    else:
        tokenizer.normalizer = prepare
    tokenizer.decoder = decoders.Sequence([decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse()])
    special = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
    # Too small for all characters of the texts: the others fall apart.
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=special, limit_alphabet=150, show_progress=False)
    lines = [part for text in TRAINING for part in (text, *text.split(" "), *text.split())]
    tokenizer.train_from_iterator(lines * 3, trainer)
    theirs = without_byte_names(tokenizer)
    with tempfile.TemporaryDirectory() as folder:
        theirs.save(f"{folder}/tokenizer.json")
        return theirs, bloomdata.Tokenizer(Path(folder))


WORDS = [word for text in TRAINING for word in text.split()]
TEXTS = st.lists(
    st.sampled_from(
        [*PIECES, *WORDS, *SPECIAL, MARK, MARK * 3, "<0x41>", "<0xE4>", "<unk>", " " * 9, "ж", "𠀀", "\xff"]
    )
    | st.text(max_size=4),
    max_size=25,
).map("".join)


@pytest.mark.parametrize("preparation", PREPARATIONS)
@settings(max_examples=150)
@given(text=TEXTS)
def test_ids_are_those_of_the_package(preparation, text):
    theirs, ours = trained(preparation)
    assert ours.backend == "byte-fallback BPE"
    for _ in range(2):  # the second time from the cache
        assert ours.encode(text).tolist() == theirs.encode(text).ids
    assert ours.decode(ours.encode(text)) == theirs.decode(theirs.encode(text).ids, skip_special_tokens=False)


@pytest.mark.parametrize("count", [15, 16, 63, 64, 65, 256, 257, 5_000])
@pytest.mark.parametrize("preparation", PREPARATIONS)
def test_words_of_any_length_have_the_ids_of_the_package(preparation, count):
    theirs, ours = trained(preparation)
    rng = random.Random(count)
    for letters in ("a", "ab", "the quick ", "今天气好", "猫ж", "é", "😀", "'", " ", MARK, f"a{MARK}", "\n", "\x00"):
        text = "".join(rng.choices(letters, k=count))
        assert ours.encode(text).tolist() == theirs.encode(text).ids


@pytest.mark.parametrize("preparation", PREPARATIONS)
def test_a_text_of_a_million_letters_takes_no_long_time(preparation):
    """A scan for every merge would take minutes, also where the whole text is one word."""
    theirs, ours = trained(preparation)
    for text in ("ab" * 500_000, "the quick " * 50_000):
        assert ours.count_tokens(text) == len(theirs.encode(text).ids)


# --- any merges ------------------------------------------------------------------------------------------------

KNOWN = f"{MARK}aé中😀"
LETTERS = [*"aéж中国😀☀b", " ", MARK, "  ", "<0x61>", "\n"]
JOINS = st.lists(
    st.builds(Join, st.integers(0, 99), st.integers(0, 99), st.integers(0, 3), st.sampled_from([True, True, False])),
    max_size=40,
)
PARTS = [{"normalizer": prepend_and_replace()}, {"normalizer": None}]
PARTS += [
    {"pre_tokenizer": metaspace(scheme, split=split)}
    for scheme in ("always", "first", "never")
    for split in (True, False)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tokenizer")


def check(definition, texts, folder, backend="byte-fallback BPE"):
    theirs, ours = both(definition, folder)
    assert ours.backend == backend, ours.backend_reason
    for text in texts:
        assert ours.encode(text).tolist() == theirs.encode(text).ids, (text, definition["model"]["merges"])


@settings(max_examples=500)
@given(
    joins=JOINS,
    places=st.lists(st.integers(0, 999), max_size=40),
    known=st.sets(st.sampled_from(KNOWN), min_size=1).map("".join),
    parts=st.sampled_from(PARTS),
    shuffle=st.integers(0, 2),
    has_added=st.booleans(),
)
def test_any_merges(joins, places, known, parts, shuffle, has_added, folder):
    definition = byte_fallback_bpe(joins, known=known, shuffle=shuffle, **parts)
    vocab = definition["model"]["vocab"]
    pieces = [*LETTERS, *(token.replace(MARK, " ") for token in vocab if len(token) > 1 and token[0] != "<")]
    if has_added:
        definition["added_tokens"] = [
            added_token(len(vocab), "<s>"),
            added_token(len(vocab) + 1, "a é", normalized=True),
        ]
        pieces += ["<s>", "a é", "<s> "]
    check(definition, ["".join(pieces[place % len(pieces)] for place in places)], folder)


TEXTS_OF_MARKS = [
    *LETTERS,
    "",
    " a",
    "a ",
    "a a",
    "a  a",
    "  a",
    f"a{MARK}a",
    f"{MARK}{MARK}a",
    "aé 中",
    "中 é",
    "a" * 70,
]
TEXTS_OF_MARKS += [" ".join("aé中") * 30, "é a" * 99, "a b" * 99]


@pytest.mark.parametrize("parts", PARTS, ids=str)
@pytest.mark.parametrize(
    "merges",
    [
        [("a", MARK), (MARK, "a"), (f"a{MARK}", "a")],
        [(MARK, MARK), (MARK * 2, MARK * 2), (MARK, "a"), (MARK * 2, "a")],
        [(MARK, MARK), (f"{MARK}{MARK}", "a"), (MARK, "a"), ("é", f"{MARK}a")],
        [("é", MARK), ("中", MARK), (f"é{MARK}", "中")],
        [(f"{MARK}a", "é"), (MARK, "a"), ("a", "é"), (MARK, "aé")],
    ],
    ids=lambda merges: " ".join("+".join(merge) for merge in merges),
)
def test_marks_inside_of_tokens(merges, parts, folder):
    definition = byte_fallback_bpe(known=KNOWN, **parts)
    vocab = definition["model"]["vocab"]
    for merge in merges:
        for token in (*merge, "".join(merge)):
            vocab.setdefault(token, len(vocab))
    definition["model"]["merges"] = [list(merge) for merge in merges]
    check(definition, TEXTS_OF_MARKS, folder)


@pytest.mark.parametrize("replacement", ["_", "é", "中", "😀"])
def test_another_mark(replacement, folder):
    joins = [Join(left, right) for left in range(4) for right in range(4)]
    for scheme in ("always", "first", "never"):
        for split in (True, False):
            parts = {"pre_tokenizer": metaspace(scheme, split=split, replacement=replacement)}
            check(byte_fallback_bpe(joins, known=f"{replacement}ab", **parts), [*TEXTS_OF_MARKS, "a_b é_"], folder)


@pytest.mark.parametrize("text", ["\u0301a", "\u0301 a", "a\u0301", "é", "ééa", " \u0301a", "<s>\u0301a", "\u0301<s>a"])
@pytest.mark.parametrize("scheme", ["always", "first", "never"])
def test_a_normalizer_that_takes_the_start_of_a_text_away(scheme, text, folder):
    """The package asks where in the text as it was given a word starts."""
    removing = [
        {"type": "StripAccents"},
        {"type": "Replace", "pattern": {"String": "é"}, "content": ""},
        {"type": "NFD"},
    ]
    for normalizer in removing:
        definition = byte_fallback_bpe(known=KNOWN, normalizer=normalizer, pre_tokenizer=metaspace(scheme))
        size = len(definition["model"]["vocab"])
        definition["added_tokens"] = [added_token(size, "<s>"), added_token(size + 1, "e", normalized=True)]
        theirs, ours = both(definition, folder)
        assert ours.encode(text).tolist() == theirs.encode(text).ids


@pytest.mark.parametrize("scheme", ["always", "first", "never"])
@pytest.mark.parametrize(
    ("normalizer", "token"),
    [
        ({"type": "NFKC"}, "f"),
        ({"type": "NFC"}, "क"),
        ({"type": "Replace", "pattern": {"String": " "}, "content": "xy"}, "x"),
        ({"type": "Replace", "pattern": {"String": " "}, "content": ""}, "x"),
    ],
    ids=str,
)
def test_a_token_that_is_found_in_a_part_of_a_letter(normalizer, token, scheme, folder):
    """What is left of the letter still stands at the start of the text as it was given."""
    definition = byte_fallback_bpe(known=KNOWN, normalizer=normalizer, pre_tokenizer=metaspace(scheme))
    definition["added_tokens"] = [added_token(len(definition["model"]["vocab"]), token, normalized=True)]
    theirs, ours = both(definition, folder)
    for text in ("ﬁ", "ﬁa", "aﬁ", "fa", "\u0958", "\u0958a", "कa", " a", "  a", " xa", "xya"):
        assert ours.encode(text).tolist() == theirs.encode(text).ids, text


def lacks_a_byte(model):
    del model["vocab"]["<0xC3>"]


def merges_bytes(model):
    model["vocab"]["<0xC3><0xA9>"] = len(model["vocab"])
    model["merges"] = [["<0xC3>", "<0xA9>"]]


def ignores_merges(model):
    model["vocab"]["aa"] = len(model["vocab"])
    model["ignore_merges"] = True


def does_not_fall_back(model):
    model["byte_fallback"] = False


@pytest.mark.parametrize("change", [lacks_a_byte, merges_bytes, ignores_merges, does_not_fall_back])
@pytest.mark.parametrize("parts", PARTS, ids=str)
def test_what_we_do_not_do_is_left_to_the_package(change, parts, folder):
    definition = json.loads(json.dumps(byte_fallback_bpe(known=f"{MARK}a", **parts)))
    change(definition["model"])
    check(definition, [*TEXTS_OF_MARKS, "é", "aéa", "aa", "xéx"], folder, backend="tokenizers 0.23")
