"""Tokenizers that are broken, that cannot encode a text, or that do not say what ends a document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from hostile import TEN, jsonl, write

if TYPE_CHECKING:
    from pathlib import Path


def definition(**changes: Any) -> dict[str, Any]:
    """A small tokenizer.json."""
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": 2, "content": "</s>", **special}],
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": word_level(),
        **changes,
    }


def word_level(**vocabulary: Any) -> dict[str, Any]:
    vocab = {"hello": 0, "world": 1, "</s>": 2, "[UNK]": 3, **vocabulary}
    return {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"}


def write_tokenizer(folder: Path, content: Any, **beside: Any) -> Path:
    """A tokenizer's folder; `beside` are the other files of it."""
    folder.mkdir()
    for name, data in {"tokenizer": content, **beside}.items():
        write(folder / f"{name}.json", data if isinstance(data, bytes) else json.dumps(data).encode())
    return folder


BROKEN = {
    "empty": b"",
    "not JSON": b"hello",
    "not UTF-8": b"\xff\xfe",
    "zeros": bytes(100),
    "a list": [],
    "a number": 3,
    "null": None,
    "an empty object": {},
    "truncated": json.dumps(definition()).encode()[:-20],
    "deep": b"[" * 200_000,
    "deep normalizers": json.dumps(definition())
    .replace('"normalizer": null', '"normalizer": ' + '{"type":"Sequence","normalizers":[' * 500 + "]}" * 500)
    .encode(),
    "no model": definition(model=None),
    "unknown model": definition(model={"type": "Nope", "vocab": {}}),
    "vocabulary is a list": definition(model={"type": "WordLevel", "vocab": ["a"], "unk_token": "a"}),
    "id is negative": definition(model=word_level(hello=-1)),
    "id is text": definition(model=word_level(hello="0")),
    "id is a fraction": definition(model=word_level(hello=0.5)),
    "id over 32 bits": definition(model=word_level(hello=1 << 32)),
    "merge of unknown tokens": definition(model={"type": "BPE", "vocab": {"a": 0, "</s>": 2}, "merges": [["x", "y"]]}),
    "empty Unigram": definition(model={"type": "Unigram", "vocab": [], "unk_id": 0}),
    "unknown id outside": definition(model={"type": "Unigram", "vocab": [["a", -1.0]], "unk_id": 10}),
    "broken regular expression": definition(
        pre_tokenizer={"type": "Split", "pattern": {"Regex": "(("}, "behavior": "Isolated", "invert": False}
    ),
    "broken character map": definition(normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
    "garbage character map": definition(normalizer={"type": "Precompiled", "precompiled_charsmap": "////AAAAAAAA"}),
    "template of unknown tokens": definition(
        post_processor={
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [],
            "special_tokens": {},
        }
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_tokenizer_is_refused(name, process, pack, tmp_path):
    tokenizer = write_tokenizer(tmp_path / "tokenizer", BROKEN[name])
    path = write(tmp_path / "a.jsonl", jsonl(["hello world"]))
    for outcome in (process.ask("tokenizer", tokenizer, text="hello"), pack(path, tokenizer=str(tokenizer))):
        message = outcome.refused("CorruptDataError", "ConfigError")
        assert "tokenizer.json" in message


@pytest.mark.parametrize("token_id", [1 << 31, (1 << 32) - 1])
def test_a_token_id_that_no_format_holds_is_refused(token_id, pack, tmp_path):
    tokenizer = write_tokenizer(tmp_path / "tokenizer", definition(model=word_level(hello=token_id)))
    path = write(tmp_path / "a.jsonl", jsonl(["hello world"]))
    for options in ({}, {"format": "hdf5", "sequence_length": 8}):
        pack(path, tokenizer=str(tokenizer), **options).refused("ConfigError", "CorruptDataError")


CANNOT_ENCODE = {
    "WordLevel": {"type": "WordLevel", "vocab": {"hello": 0, "</s>": 2}, "unk_token": "[UNK]"},
    "WordPiece": {
        "type": "WordPiece",
        "vocab": {"hello": 0, "</s>": 2},
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
    },
    "Unigram": {"type": "Unigram", "vocab": [["a", -1.0], ["b", -1.0], ["</s>", 0.0]]},
}


@pytest.mark.parametrize("name", CANNOT_ENCODE)
def test_a_text_that_a_tokenizer_cannot_encode_is_named(name, pack, tmp_path):
    tokenizer = write_tokenizer(tmp_path / "tokenizer", definition(model=CANNOT_ENCODE[name]))
    path = write(tmp_path / "a.jsonl", jsonl(["something unknown"]))
    # The tokenizer is at fault, or the text: not this library.
    message = pack(path, tokenizer=str(tokenizer)).refused("ConfigError", "CorruptDataError")
    assert "tokenizer" in message or "a.jsonl" in message


@pytest.mark.parametrize(
    ("beside", "error", "words"),
    [
        ({}, "ConfigError", ["eos_token", "tokenizer_config.json"]),
        ({"tokenizer_config": {"eos_token": "<nope>"}}, "ConfigError", ["eos_token", "<nope>"]),
        ({"tokenizer_config": {"eos_token": {"content": "<nope>"}}}, "ConfigError", ["eos_token", "<nope>"]),
        ({"special_tokens_map": {"eos_token": "<nope>"}}, "ConfigError", ["eos_token", "<nope>"]),
        ({"tokenizer_config": b"{"}, "CorruptDataError", ["tokenizer_config.json"]),
        ({"tokenizer_config": {"eos_token": None}}, "ConfigError", ["eos_token"]),
        ({"tokenizer_config": {"eos_token": 5}}, "ConfigError", ["eos_token"]),
        ({"tokenizer_config": []}, "ConfigError", ["eos_token"]),
    ],
)
def test_a_tokenizer_folder_that_does_not_say_what_ends_a_document_is_refused(beside, error, words, pack, tmp_path):
    model = {"type": "WordLevel", "vocab": {"hello": 0, "[UNK]": 1}, "unk_token": "[UNK]"}
    tokenizer = write_tokenizer(tmp_path / "tokenizer", definition(model=model, added_tokens=[]), **beside)
    path = write(tmp_path / "a.jsonl", jsonl(["hello"]))
    message = pack(path, tokenizer=str(tokenizer)).refused(error)
    assert all(word in message for word in words), message


def test_a_tokenizer_that_is_not_there_is_a_config_error(pack, tmp_path):
    path = write(tmp_path / "a.jsonl", jsonl(TEN))
    (tmp_path / "folder").mkdir()
    for name in ("missing.json", "folder", "bloom"):
        assert "tokenizer" in pack(path, tokenizer=str(tmp_path / name)).refused("ConfigError")
    pack(path, tokenizer="").refused("ConfigError")
