"""A `tokenizer.json` loaded by us and by the `tokenizers` package: all that can be asked of both, compared."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

import bloomdata
from small_tokenizers import byte_level, ids_of, metaspace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    Definition = dict[str, Any]

TEXTS = [
    "",
    " ",
    "a",
    "hello aa",
    "a b  ab c",
    "<s>a</s><x> <y>",
    "中é\u0301ﬁ ﬁ É Å",
    "▁a <0x41>\n\n12",
    "zz é É\\a/😀",
]
REPLACE, FUSE = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "Fuse"}
STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
DECODERS: list[Definition | None] = [
    None,
    byte_level(),
    metaspace("first"),
    {"type": "WordPiece", "prefix": "##", "cleanup": True},
    {"type": "BPEDecoder", "suffix": "a"},
    {"type": "CTC", "pad_token": "a", "word_delimiter_token": "b", "cleanup": True},
    {"type": "Sequence", "decoders": [REPLACE, {"type": "ByteFallback"}, FUSE, STRIP]},
]
BERT = {"type": "BertProcessing", "sep": ["x", 5], "cls": ["y", 6]}
ROBERTA = BERT | {"type": "RobertaProcessing", "trim_offsets": True, "add_prefix_space": False}


def template(single: str, **tokens: list[int]) -> Definition:
    """A post-processor: `A` is the text, all else are tokens whose ids are given."""
    names = {"A": {"Sequence": {"id": "A", "type_id": 0}}, "B": {"Sequence": {"id": "B", "type_id": 1}}}
    parts = [names.get(name) or {"SpecialToken": {"id": name, "type_id": 0}} for name in single.split()]
    special = {name: {"id": name, "ids": ids, "tokens": [name] * len(ids)} for name, ids in tokens.items()}
    return {"type": "TemplateProcessing", "single": parts, "pair": [*parts, names["B"]], "special_tokens": special}


def outcome(call: Callable[[], Any]) -> Any:
    """What a call gives, or its error; the package panics on some files and texts."""
    try:
        return call()
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        return error


def compare(
    content: Definition | list[Any] | str, folder: Path, texts: Sequence[str] = TEXTS, rng: random.Random | None = None
) -> bloomdata.Tokenizer | bloomdata.CorruptDataError:
    """Compares names, sizes, ids and decoded texts; gives our tokenizer, or our error where both refuse the file."""
    path, rng = folder / "tokenizer.json", rng or random.Random(0)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    theirs = outcome(lambda: Tokenizer.from_file(str(path)))
    ours = outcome(lambda: bloomdata.Tokenizer.from_file(path))
    if isinstance(ours, BaseException):
        assert isinstance(ours, bloomdata.CorruptDataError)
        # The package finds out later what a post-processor cannot do, and never ends where it looks for nothing.
        is_never_done = isinstance(theirs, BaseException) or "empty once it is normalized" in str(ours)
        assert is_never_done or ids_of(theirs, "") is None, ours
        return ours
    assert not isinstance(theirs, BaseException), (theirs, ours.backend)
    added = theirs.get_added_tokens_decoder()
    patterns = [theirs.id_to_token(token_id) for token_id, token in added.items() if token.normalized]
    if len({*patterns}) < len(patterns):
        return ours  # Which of two tokens the package finds is left to chance.
    theirs.no_truncation()
    theirs.no_padding()
    size = max(theirs.get_vocab(with_added_tokens=True).values(), default=-1) + 1
    assert ours.vocab_size == size
    ids = range(size) if size < 1000 else rng.sample(range(size), 1000)
    for token_id in (*ids, size, size + 1):
        assert ours.id_to_token(token_id) == theirs.id_to_token(token_id)
    for text in (*texts, *(token.content for token in [*added.values()][:20])):
        for special in (True, False):
            if (expected := ids_of(theirs, text, add_special_tokens=special)) is not None:
                assert ours.encode(text, add_special_tokens=special).tolist() == expected, text
    for skip in (True, False) * 12 if size else ():
        some = [rng.choice([*added] if added and rng.random() < 0.4 else ids) for _ in range(rng.randrange(9))]
        # Both are called before the loop goes on.
        expected = outcome(lambda: theirs.decode(some, skip_special_tokens=skip))  # noqa: B023
        decoded = outcome(lambda: ours.decode(some, skip_special_tokens=skip))  # noqa: B023
        both_fail = isinstance(expected, BaseException) and isinstance(decoded, bloomdata.ConfigError)
        assert both_fail or decoded == expected, (some, skip)
    return ours
