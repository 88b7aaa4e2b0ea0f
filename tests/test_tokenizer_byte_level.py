"""Our byte-level BPE gives the ids of the `tokenizers` package for the families that it takes over."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import bloomdata
from random_tokenizers import PATTERNS

TRAINING = [
    "the quick brown fox jumps over the lazy dog, isn't it? " * 3,
    "L'été à Zürich — naïve façade; они говорят по-русски и по-українськи",
    "今天天气很好。我们去公园，好吗？ 吾輩は猫である。名前はまだ無い。",
    "def f(x):\n    return x[1] | {'a': 12345}\n\n\t# it's what we'll do\r\n",
    "안녕하세요 세계 مرحبا بالعالم नमस्ते दुनिया 😀👩‍💻",
]
SPECIAL = ["<s>", "</s>", "<pad>"]


def train(family, *, normalizer=None, special=SPECIAL, vocab_size=600):
    """A small tokenizer of a family."""
    tokenizer = Tokenizer(models.BPE())
    if family == "byte_level":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        split = pre_tokenizers.Split(Regex(PATTERNS[family]), behavior="isolated", invert=False)
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TRAINING * 5, trainer)
    return tokenizer


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Per family: the package's tokenizer and ours."""
    pairs = {}

    def make(family, change=None, **options):
        key = (family, change, *sorted(options))
        if key not in pairs:
            theirs = train(family, **options)
            if change is not None:
                change(theirs)
            path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
            theirs.save(str(path))
            pairs[key] = theirs, bloomdata.Tokenizer(path)
        return pairs[key]

    return make


FAMILIES = ["byte_level", *PATTERNS]
PIECES = [
    "'s",
    "'T",
    "'Re",
    "'ve",
    "'M",
    "'ll",
    "'D",
    "'ſ",
    "'t's",
    " ",
    "  ",
    "\t",
    "\n",
    "\r\n",
    "\n\n ",
    "\xa0",
    "\u3000",
]
PIECES += ["\x85", "\u2028", "\u200b", "\ufeff", "\0", "\x7f", "the", " quick", "THE", "isn't", "12345", "²½", "Ⅻ", "٣"]
PIECES += [
    "été",
    "e\u0301",
    "ß",
    "Zürich",
    "говорят",
    "今天",
    "。",
    "，",
    "、",
    "猫である",
    "안녕",
    "مرحبا",
    "،",
    "दुनिया",
    "।",
]
PIECES += [
    "😀",
    "👩\u200d💻",
    "\ue000",
    "\U0010ffff",
    "(",
    ")",
    "[1]",
    "|",
    "{",
    ".",
    "...",
    "…",
    "!",
    "?",
    "->",
    "__",
    "=" * 9,
]
PIECES += ["<s>", "</s>", "<s", "s>", "<pad><pad>"]
soups = st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=25).map("".join)
anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=150)
@given(text=soups | anything)
def test_ids_are_those_of_the_package(family, both, text):
    theirs, ours = both(family)
    assert ours.backend == "byte-level BPE"
    assert ours.encode(text).tolist() == theirs.encode(text).ids


@settings(max_examples=100)
@given(text=soups | anything)
def test_texts_that_are_not_nfc_have_the_ids_of_the_package(both, text):
    theirs, ours = both("qwen2", normalizer=normalizers.NFC())
    assert ours.backend == "byte-level BPE"
    assert ours.encode(text).tolist() == theirs.encode(text).ids


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_around_the_border_of_a_block_have_the_ids_of_the_package(family, both):
    """Words are cut in blocks of 64 bytes."""
    theirs, ours = both(family)
    for filler in ("a", " ", "中", "1", "'", "\n"):
        for size in range(56, 68):
            before = filler * (size // len(filler.encode()))
            texts = [before + piece + behind for piece in PIECES for behind in ("", "a", " a", "1", "'s", "\n")]
            ids, offsets = ours.encode_batch(texts, num_threads=1)
            found = [part.tolist() for part in np.split(ids, offsets[1:-1])]
            assert found == [encoding.ids for encoding in theirs.encode_batch(texts)]


@pytest.mark.slow
@pytest.mark.parametrize("around", [("a", "b "), (" ", "1"), ("\n", "!"), ("the", "'s")])
@pytest.mark.parametrize("family", [*FAMILIES, "starcoder", "falcon", "deepseek", "single_word", "stripping"])
def test_every_character_has_the_ids_of_the_package(family, around, both):
    change = {of.__name__: of for of in (starcoder, falcon, deepseek, single_word, stripping)}.get(family)
    theirs, ours = both("byte_level", change) if change else both(family)
    assert ours.backend == "byte-level BPE"
    letters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    texts = ["".join(around[0] + letter + around[1] for letter in letters[at : at + 4096])
             for at in range(0, len(letters), 4096)]  # fmt: skip
    for text in texts:
        assert ours.encode(text).tolist() == theirs.encode(text).ids, hex(ord(text[len(around[0])]))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("count", [15, 16, 95, 96, 97, 256, 257, 5_000])
def test_words_of_any_length_have_the_ids_of_the_package(family, count, both):
    theirs, ours = both(family)
    rng = random.Random(count)
    for letters in ("a", "ab", "the quick", "今天气好", "é", "😀", "'", "1", " ", "\n", "\x00"):
        text = "".join(rng.choices(letters.replace(" ", "") or " ", k=count))
        for _ in range(2):  # the second time from the cache
            assert ours.encode(text).tolist() == theirs.encode(text).ids


def test_a_word_of_a_million_letters_takes_no_long_time(both):
    """A scan for every merge would take minutes."""
    _, ours = both("gpt2")
    assert ours.decode(ours.encode("ab" * 500_000)) == "ab" * 500_000


def ignore_merges(tokenizer):
    tokenizer.model.ignore_merges = True


def bos_and_eos(tokenizer):
    tokens = [(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=tokens)


def overlapping_tokens(tokenizer):
    tokenizer.add_special_tokens(["<s><s>", "<s>x"])
    tokenizer.add_tokens([AddedToken("quick", normalized=True), AddedToken(" quick b", normalized=False)])


def stripping(tokenizer):
    tokenizer.add_tokens([AddedToken("the", lstrip=True), AddedToken("(", rstrip=True)])


def single_word(tokenizer):
    tokenizer.add_tokens([AddedToken("the", single_word=True), AddedToken("猫", single_word=True)])


def prefix_space(tokenizer):
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)


def lowercase(tokenizer):
    tokenizer.normalizer = normalizers.Lowercase()


def accents(tokenizer):
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKD(), normalizers.StripAccents(), normalizers.Replace(Regex("[ \t]+"), " ")]
    )


CHANGES = [ignore_merges, bos_and_eos, overlapping_tokens, stripping, single_word, prefix_space, lowercase, accents]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@settings(max_examples=80)
@given(text=soups)
def test_variants_have_the_ids_of_the_package(change, both, text):
    theirs, ours = both("llama3", change)
    assert ours.backend == "byte-level BPE"
    assert ours.encode(text).tolist() == theirs.encode(text).ids


def starcoder(tokenizer):
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )


def falcon(tokenizer):
    """Its digits are looked for behind `ByteLevel`, where some letters that stand for bytes are numbers."""
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Punctuation(behavior="contiguous"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
            pre_tokenizers.Digits(individual_digits=False),
            pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), behavior="isolated"),
        ]
    )


def deepseek(tokenizer):
    patterns = ["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+"]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            *(pre_tokenizers.Split(Regex(pattern), behavior="isolated") for pattern in patterns),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


@pytest.mark.parametrize("change", [starcoder, falcon, deepseek], ids=lambda change: change.__name__)
@settings(max_examples=150)
@given(text=soups | anything)
def test_pre_tokenizers_in_a_row_have_the_ids_of_the_package(change, both, text):
    theirs, ours = both("byte_level", change)
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
def test_what_we_do_not_do_is_left_to_the_package(change, both):
    theirs, ours = both("byte_level", change)
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
