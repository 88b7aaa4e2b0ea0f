"""Small `tokenizer.json` files, made to order or at random, loaded by the `tokenizers` package and by us."""

from __future__ import annotations

import codecs
import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

import bloomdata

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    Definition = dict[str, Any]

PRINTABLE = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
# Printable bytes stand for themselves, the others are U+0100 and on.
LETTERS = [chr(b if b in PRINTABLE else 0x100 + b - sum(other < b for other in PRINTABLE)) for b in range(256)]
BYTES = {letter: byte for byte, letter in enumerate(LETTERS)}
# Characters of one to four bytes with bytes in common: 中 and 丹 start alike, 中 and ⸭ end alike, so do ☀ and 😀. The
# last bytes of ò and 丹 are letters that are numbers, at which `Digits` cuts.
ALPHABET = "aéò中丹⸭😀☀ "
MARK = "▁"


def letters_of(text: str | bytes) -> str:
    """The letters that stand for the bytes of a text in a byte-level vocabulary."""
    return "".join(LETTERS[byte] for byte in (text.encode() if isinstance(text, str) else text))


def may_be_in_text(letters: str) -> bool:
    """Whether bytes are a part of some text, perhaps from inside a character to inside another one."""
    part = bytes(BYTES[letter] for letter in letters)
    inside = part.lstrip(bytes(range(0x80, 0xC0)))
    try:
        codecs.getincrementaldecoder("utf-8")().decode(inside)
    except UnicodeDecodeError:
        return False
    return len(part) - len(inside) < 4


def texts_with(letters: str, alphabet: str = ALPHABET) -> list[str]:
    """The shortest texts in which these bytes stand."""
    part = bytes(BYTES[letter] for letter in letters)
    inside = part.lstrip(bytes(range(0x80, 0xC0)))
    tail, whole = part[: len(part) - len(inside)], inside.decode(errors="ignore")
    head = inside[len(whole.encode()) :]
    firsts = [letter for letter in alphabet if letter.encode().endswith(tail)] if tail else [""]
    lasts = [letter for letter in alphabet if letter.encode().startswith(head)] if head else [""]
    return [first + whole + last for first in firsts for last in lasts]


@dataclass(frozen=True)
class Join:
    """A merge of two tokens, given by their numbers (modulo how many there are so far).

    Attributes:
        left: The first token.
        right: The second token.
        rank: Merges are listed by rank, then as they come: a part may be younger than the whole.
        is_listed: Whether there is a merge at all; else the token cannot be reached.
    """

    left: int
    right: int
    rank: int = 0
    is_listed: bool = True


def random_joins(rng: random.Random, count: int) -> list[Join]:
    """Joins of any kind: in order or not, now and then one that is not listed."""
    ranks, unlisted = rng.choice([1, 1, 3, 1000]), rng.choice([0, 0, 0.1, 0.3])
    return [
        Join(rng.randrange(1000), rng.randrange(1000), rng.randrange(ranks), rng.random() >= unlisted)
        for _ in range(count)
    ]


def joined(
    symbols: Sequence[str], joins: Sequence[Join], *, is_possible: Callable[[str], bool] = bool
) -> tuple[list[str], list[list[str]]]:
    """Tokens and merges; joins of what is impossible are left out."""
    tokens, merges = list(symbols), []
    for join in joins:
        left, right = tokens[join.left % len(tokens)], tokens[join.right % len(tokens)]
        if not is_possible(left + right):
            continue
        if left + right not in tokens:
            tokens.append(left + right)
        if join.is_listed:
            merges.append((join.rank, [left, right]))
    return tokens, [merge for _, merge in sorted(merges, key=lambda merge: merge[0])]


def definition_of(vocab: dict[str, int], merges: Sequence[Any], **parts: Any) -> Definition:
    """A `tokenizer.json` with a BPE model; `parts` are of the model where it has such, else of the file."""
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None}
    model |= {"end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False}
    whole: Definition = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": []}
    whole |= dict.fromkeys(("normalizer", "pre_tokenizer", "post_processor", "decoder"))
    model |= {name: part for name, part in parts.items() if name in model}
    whole |= {name: part for name, part in parts.items() if name not in model}
    return whole | {"model": model | {"vocab": vocab, "merges": list(merges)}}


def numbered(tokens: Sequence[str], shuffle: int = 0) -> dict[str, int]:
    """A vocabulary in the order of its tokens, or in another one."""
    numbers = list(range(len(tokens)))
    if shuffle:
        random.Random(shuffle).shuffle(numbers)
    return dict(zip(tokens, numbers, strict=True))


def byte_level(*, use_regex: bool = True, add_prefix_space: bool = False) -> Definition:
    """The pre-tokenizer of that name."""
    options = {"add_prefix_space": add_prefix_space, "trim_offsets": True, "use_regex": use_regex}
    return {"type": "ByteLevel"} | options


def byte_level_bpe(
    joins: Sequence[Join] = (),
    *,
    alphabet: str = ALPHABET,
    tokens: Sequence[str] = (),
    missing: str = "",
    shuffle: int = 0,
    **parts: Any,
) -> Definition:
    """A byte-level BPE.

    Args:
        joins: What is merged.
        alphabet: Joins begin with the bytes of these characters.
        tokens: Texts that are in the vocabulary, too, without merges.
        missing: Bytes of this text are not in the vocabulary.
        shuffle: Seed for the order of ids.
        parts: As in `definition_of`.
    """
    without = set(letters_of(missing))
    symbols = [letter for letter in sorted(set(letters_of(alphabet))) if letter not in without]
    made, merges = joined(symbols, joins, is_possible=may_be_in_text)
    all_tokens = [letter for letter in LETTERS if letter not in without]
    all_tokens += [token for token in made if token not in BYTES]
    all_tokens += [token for token in map(letters_of, tokens) if token not in all_tokens]
    parts = {"pre_tokenizer": byte_level(), "decoder": byte_level()} | parts
    return definition_of(numbered(all_tokens, shuffle), merges, **parts)


def byte_fallback_bpe(
    joins: Sequence[Join] = (), *, known: str = MARK + "aé中😀", shuffle: int = 0, **parts: Any
) -> Definition:
    """A SentencePiece-like BPE whose characters are `known`; all others fall apart into bytes."""
    made, merges = joined(sorted(set(known)), joins)
    tokens = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *made]
    parts = {"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True} | parts
    return definition_of(numbered(tokens, shuffle), merges, **parts)


def metaspace(prepend_scheme: str, *, split: bool = True, replacement: str = MARK) -> Definition:
    """The pre-tokenizer of that name."""
    return {"type": "Metaspace", "replacement": replacement, "prepend_scheme": prepend_scheme, "split": split}


def prepend_and_replace() -> Definition:
    """Llama's normalizer: a mark in front, and one for every space."""
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": MARK}
    return {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": MARK}, replace]}


def added_token(token_id: int, content: str, **flags: bool) -> Definition:
    """An entry of `added_tokens`."""
    names = ("single_word", "lstrip", "rstrip", "normalized", "special")
    return {"id": token_id, "content": content} | dict.fromkeys(names, False) | flags


def both(definition: Definition, folder: Path) -> tuple[Tokenizer, bloomdata.Tokenizer]:
    """The package's tokenizer and ours."""
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(definition))
    return Tokenizer.from_file(str(path)), bloomdata.Tokenizer(path)


def ids_of(theirs: Tokenizer, text: str, *, add_special_tokens: bool = True) -> list[int] | None:
    """The ids of the package; nothing where it panics."""
    try:
        return theirs.encode(text, add_special_tokens=add_special_tokens).ids
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        return None
