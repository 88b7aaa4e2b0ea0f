"""Byte-level BPE of the families that split text differently, trained on a few texts, and changes to them."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

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


@functools.cache
def pair_of(family, change=None, **options):
    """The package's tokenizer of a family, and ours."""
    theirs = train(family, **options)
    if change is not None:
        change(theirs)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.json"
        theirs.save(str(path))
        return theirs, bloomdata.Tokenizer(path)


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


# --- changes to a tokenizer ---


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
