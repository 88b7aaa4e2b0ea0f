"""Random `tokenizer.json` files: every part that our BPE knows, and some that it leaves to the crate."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

from small_tokenizers import (
    ALPHABET,
    MARK,
    added_token,
    byte_fallback_bpe,
    byte_level,
    byte_level_bpe,
    metaspace,
    prepend_and_replace,
    random_joins,
    texts_with,
)

if TYPE_CHECKING:
    import random

    Definition = dict[str, Any]

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
# What texts are made of beside letters.
EXTRAS = "bsQ'1²\n\t.,!?(|_▁é\u0301ﬁ가각İ\u00a0\u3000\0\ufeff丮í😁ж\u0958"
WHITE = [" ", "  ", "\n", "\t", "\u00a0", "\u3000", "\u2028", "\r\n", "\x0b", "\x85", "\u200b"]


def split(pattern: str, behavior: str = "Isolated") -> Definition:
    """A pre-tokenizer that cuts at a pattern."""
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": False}


def sequence(*parts: Definition) -> Definition:
    """Pre-tokenizers one after the other."""
    return {"type": "Sequence", "pretokenizers": list(parts)}


def digits(*, individual: bool) -> Definition:
    """The pre-tokenizer of that name."""
    return {"type": "Digits", "individual_digits": individual}


BYTES_ONLY = byte_level(use_regex=False)
BYTE_LEVEL_PRE_TOKENIZERS = [
    BYTES_ONLY,
    byte_level(),
    byte_level(add_prefix_space=True),
    byte_level(use_regex=False, add_prefix_space=True),
    *(sequence(split(pattern), BYTES_ONLY) for pattern in PATTERNS.values()),
    sequence(digits(individual=True), byte_level()),
    sequence(BYTES_ONLY, digits(individual=True)),
    sequence({"type": "Punctuation", "behavior": "Contiguous"}, byte_level(), digits(individual=False),
             split("[0-9][0-9][0-9]")),
    sequence(split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), digits(individual=True), BYTES_ONLY),
]  # fmt: skip
METASPACES = [metaspace(scheme, split=cuts) for scheme in ("always", "first", "never") for cuts in (True, False)]
NORMALIZERS: list[Definition | None] = [
    *(None, None, None),
    *({"type": kind} for kind in ("NFC", "NFKC", "NFD", "NFKD", "Lowercase", "StripAccents")),
    {"type": "Prepend", "prepend": "a"},
    {"type": "Strip", "strip_left": True, "strip_right": False},
    {"type": "Replace", "pattern": {"Regex": "a+"}, "content": "é"},
    {"type": "Replace", "pattern": {"String": "a"}, "content": ""},
    {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]},
]
MARKERS = [
    prepend_and_replace(),
    {"type": "Replace", "pattern": {"String": " "}, "content": MARK},
    {"type": "Sequence", "normalizers": [{"type": "NFKC"}, *prepend_and_replace()["normalizers"]]},
]


def random_added_tokens(rng: random.Random, definition: Definition, alphabet: str) -> list[Definition]:
    """Added tokens with any flags; ids are those that a saved file would have."""
    vocab, normalizer = definition["model"]["vocab"], Tokenizer.from_str(json.dumps(definition)).normalizer
    tokens: dict[str, Definition] = {}
    next_id = len(vocab)
    for _ in range(rng.choice([0, 0, 1, 2, 4, 8])):
        content = "".join(
            rng.choices([*alphabet, *WHITE, "<s>", "İ", "É", "a", "b", "f", "क"], k=rng.choice([1, 1, 2, 3]))
        )
        text = normalizer.normalize_str(content) if normalizer else content
        # Which of two tokens of one text is found is left to chance, and nothing panics.
        if not text or text in tokens or content in tokens:
            continue
        flags = {name: rng.random() < 0.3 for name in ("single_word", "lstrip", "rstrip", "normalized", "special")}
        token_id = vocab.get(content, next_id)
        next_id += token_id == next_id
        tokens[text if flags["normalized"] else content] = added_token(token_id, content, **flags)
    return list(tokens.values())


def random_template(rng: random.Random) -> Definition | None:
    """A post-processor that adds tokens, or none."""
    before, behind = rng.choice([(0, 0), (0, 0), (1, 0), (0, 1), (2, 1)])
    if not before + behind:
        return None
    special, text = {"SpecialToken": {"id": "<x>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}
    single = [special] * before + [text] + [special] * behind
    tokens = {"<x>": {"id": "<x>", "ids": [7], "tokens": ["<x>"]}}
    return {"type": "TemplateProcessing", "single": single, "pair": [*single, *single], "special_tokens": tokens}


def random_tokenizer(rng: random.Random) -> tuple[Definition, list[str]]:
    """A tokenizer, and pieces of which texts for it are made."""
    alphabet = "".join(rng.sample(ALPHABET + EXTRAS, rng.randint(1, 6)))
    joins = random_joins(rng, rng.randint(0, 120))
    parts: Definition = {"normalizer": rng.choice(NORMALIZERS), "post_processor": random_template(rng)}
    if rng.random() < 0.6:
        parts |= {"pre_tokenizer": rng.choice(BYTE_LEVEL_PRE_TOKENIZERS), "ignore_merges": rng.random() < 0.3}
        missing = rng.choice(alphabet) if rng.random() < 0.1 else ""
        definition = byte_level_bpe(joins, alphabet=alphabet + "z", missing=missing, shuffle=rng.randint(0, 1), **parts)
        texts = [text for token in definition["model"]["vocab"] if len(token) > 1 for text in texts_with(token)]
    else:
        marked: Definition = {}
        if (kind := rng.randrange(5)) < 3:
            marked["normalizer"] = rng.choice(MARKERS)
        if kind > 1:
            marked["pre_tokenizer"] = rng.choice(METASPACES)
        known = "".join(rng.sample(alphabet, rng.randint(0, len(alphabet)))) + MARK * (rng.random() < 0.9)
        definition = byte_fallback_bpe(joins if known else [], known=known, shuffle=rng.randint(0, 1), **parts | marked)
        texts = [token.replace(MARK, " ") for token in definition["model"]["vocab"]]
    added = random_added_tokens(rng, definition, alphabet)
    pieces = [*alphabet, *texts, *WHITE, *EXTRAS]
    # Two groups, so that half of a text are letters that merge.
    return definition | {"added_tokens": added}, [*alphabet, *texts] * 3 + pieces + [t["content"] for t in added] * 9
