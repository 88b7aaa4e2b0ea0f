"""Our byte-level BPE gives the ids of the `tokenizers` package for the families that it takes over."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import bloomdata

PATTERNS = {
    "bloom": " ?[^(\\s|[.,!?…。，、।۔،])]+",
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "llama3": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
        r"\s+(?!\S)|\s+"
    ),
    "qwen2": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
        r"\s+(?!\S)|\s+"
    ),
}
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
            pairs[key] = theirs, bloomdata.Tokenizer(path, eos_token="</s>")
        return pairs[key]

    return make


FAMILIES = ["byte_level", *PATTERNS]
PIECES = [
    *(["'s", "'T", "'Re", "'ve", "'M", "'ll", "'D", "'ſ", "'t's"]),
    *(" ", "  ", "\t", "\n", "\r\n", "\n\n ", "\u00a0", "\u3000", "\u0085", "\u2028", "\u200b", "\ufeff", "\0", "\x7f"),
    *("the", " quick", "THE", "isn't", "12345", "²½", "Ⅻ", "٣", "été", "e\u0301", "ß", "Zürich", "говорят"),
    *(
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
        "😀",
        "👩\u200d💻",
        "\ue000",
        "\U0010ffff",
    ),
    *(
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
        "<s>",
        "</s>",
        "<s",
        "s>",
        "<pad><pad>",
    ),
]
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


@pytest.mark.parametrize("change", [ignore_merges, bos_and_eos, overlapping_tokens])
@settings(max_examples=80)
@given(text=soups)
def test_variants_have_the_ids_of_the_package(change, both, text):
    theirs, ours = both("llama3", change)
    assert ours.backend == "byte-level BPE"
    expected = theirs.encode(text).ids
    if change is bos_and_eos:
        expected = expected[:-1]  # the end is left to whoever ends documents
    assert ours.encode(text).tolist() == expected


def stripping(tokenizer):
    tokenizer.add_tokens([AddedToken("fox", lstrip=True)])


def single_word(tokenizer):
    tokenizer.add_tokens([AddedToken("fox", single_word=True)])


def prefix_space(tokenizer):
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)


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


def inverted(tokenizer):
    split = pre_tokenizers.Split(Regex(PATTERNS["gpt2"]), behavior="removed")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )


def lowercase(tokenizer):
    tokenizer.normalizer = normalizers.Lowercase()


@pytest.mark.parametrize(
    "change",
    [stripping, single_word, prefix_space, inverted, lowercase],
    ids=lambda f: f.__name__,
)
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
    ours = bloomdata.Tokenizer(tmp_path / "tokenizer.json", eos_token="</s>")
    assert ours.backend == ("byte-level BPE" if unknown is None else "tokenizers 0.23")
    theirs = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in ("\0a\0b", "".join(map(chr, range(300))), *TRAINING):
        assert ours.encode(text).tolist() == theirs.encode(text).ids
