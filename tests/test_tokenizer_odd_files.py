"""Files that nobody writes, or hardly: loaded as the `tokenizers` package does it, or refused where that refuses."""

from __future__ import annotations

import json

import pytest

import bloomdata
from random_tokenizers import METASPACES, sequence, split
from small_tokenizers import (
    Join,
    added_token,
    byte_fallback_bpe,
    byte_level,
    byte_level_bpe,
    metaspace,
    prepend_and_replace,
)
from tokenizer_pairs import BERT, DECODERS, ROBERTA, compare, template


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tokenizer")


BYTES = byte_level_bpe([Join(0, 0), Join(1, 2), Join(3, 3)], alphabet="a b", tokens=["zz"])
PIECES = byte_fallback_bpe([Join(0, 0), Join(1, 2)], normalizer=prepend_and_replace())
NUM = len(BYTES["model"]["vocab"])
FLAGS = {"normalized": True, "special": True}
X, Y = added_token(NUM, "<x>", special=True), added_token(NUM + 1, "<y>", normalized=True)


def of(definition, **parts):
    """The definition with other parts, of the model where it has such."""
    model = {name: part for name, part in parts.items() if name in definition["model"]}
    whole = {name: part for name, part in parts.items() if name not in model}
    return definition | {"model": definition["model"] | model} | whole


def written(part, text, definition=BYTES):
    """The definition as a file in which a part of it is given as it is written."""
    return json.dumps(of(definition, **{part: "@@"})).replace('"@@"', text)


def without(*names, definition=BYTES):
    model = {name: part for name, part in definition["model"].items() if name not in names}
    return {name: part for name, part in definition.items() if name not in names} | {"model": model}


def merging(*merges, more=()):
    vocab = dict.fromkeys([*BYTES["model"]["vocab"], "ab", "bb", "abb", "aa", *more])
    return of(BYTES, vocab={name: number for number, name in enumerate(vocab)}, merges=list(merges))


def gaps(*tokens, **parts):
    """The same with its last token at the first free id, which an added token takes as well."""
    return of(BYTES, vocab=BYTES["model"]["vocab"] | {"zz": NUM}, added_tokens=list(tokens), **parts)


LOWER, NFKC = {"type": "Lowercase"}, {"type": "NFKC"}
ZZ = added_token(0, "zz", normalized=True)
LOADED = {
    "ids that are wrong": of(BYTES, added_tokens=[added_token(2**32 - 1, "<x>"), added_token(5, "<y>")]),
    "listed twice": of(BYTES, added_tokens=[X, X, X | {"special": False}, Y, Y | FLAGS, added_token(1, "<z>")]),
    "an empty token": of(BYTES, added_tokens=[added_token(NUM, ""), X]),
    "all tokens are added": of(BYTES, vocab={}, merges=[], added_tokens=[X, Y, added_token(0, "a")]),
    "no token": of(BYTES, vocab={}, merges=[]),
    "thousands": of(PIECES, added_tokens=[added_token(n, f"<{n}>", special=n % 2 == 0) for n in range(3000)]),
    "normalized": of(BYTES, normalizer=NFKC, added_tokens=[added_token(0, name, **FLAGS) for name in "ﬁÅéa"]),
    "normalized for the decoder": of(PIECES, added_tokens=[added_token(0, name, **FLAGS) for name in ("<x>", "a a")]),
    "a gap that is taken": gaps(X, added_token(0, "zz")),
    "a gap that is taken, and special": gaps(added_token(0, "zz", special=True), X | {"special": False}),
    "a name of the token before": gaps(added_token(0, "É", normalized=True), ZZ, normalizer=LOWER),
    "a name of the token before, raw": gaps(
        added_token(0, "É", normalized=True), added_token(0, "zz"), normalizer=LOWER),
    "nothing that may be left out": without("version", "truncation", "padding", "added_tokens", "normalizer", "decoder",
        "post_processor", "type", "dropout", "unk_token", "fuse_unk", "byte_fallback", "ignore_merges"),
    "no bytes": of(byte_level_bpe(missing="ab"), decoder=byte_level()),
    "truncation": of(BYTES, truncation={"direction": "Left", "max_length": 2, "strategy": "LongestFirst", "stride": 0}),
    "padding": of(BYTES, padding={"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None,
        "pad_id": 1, "pad_type_id": 0, "pad_token": "a"}),
    "a name twice": json.dumps(BYTES).replace('"vocab": {', '"vocab": {"a": 900, "\u0062": 901, '),
    "escapes": written("vocab", json.dumps(BYTES["model"]["vocab"] | {"\U0001f600": NUM, "\\a/\n": NUM + 1})),
    "escaped keys": json.dumps(BYTES).replace('"vocab"', '"\u0076ocab"').replace('"version"', '"\u0076ersion"'),
    "older merges": merging("a b", "b b", "#version: 0.2", "ab b"),
    "a merge twice": merging(["b", "b"], ["a", "b"], ["ab", "b"], ["b", "b"]),
    "a merge that starts as a version": merging(["#version", "b"], ["a", "b"], more=["#version", "#versionb"]),
    "no dropout": of(BYTES, dropout=-0.0),
    "tokens on both sides": of(BYTES, post_processor=template("x yy A yy x", x=[7], yy=[8, 9])),
    "no tokens around": of(PIECES, post_processor=template("x A", x=[])),
    "Bert": of(BYTES, post_processor=BERT),
    "Roberta": of(PIECES, post_processor=ROBERTA),
    "processors in a row": of(PIECES, post_processor={"type": "Sequence", "processors": [byte_level(), ROBERTA]}),
    "Metaspace of old": written("pre_tokenizer", '{"type": "Metaspace", "replacement": "▁", "add_prefix_space": false, '
        '"prepend_scheme": "never", "str_rep": "x"}', without("normalizer", definition=PIECES)),
    "a key that a part does not have": written("decoder", '{"type": "Fuse", "x": [{}]}'),
    "a type twice": written("normalizer", '{"type": "NFC", "type": "Lowercase"}'),
    "no types": written("normalizer", '{"type": "Sequence", "normalizers": [{"prepend": "x"}, {"type": "NFC"}]}'),
    **{f"decoder {n}": of(PIECES, decoder=decoder, added_tokens=[X, Y]) for n, decoder in enumerate(DECODERS)},
}  # fmt: skip
LEFT = {
    "a text twice": (of(BYTES, post_processor=template("A A")), "post-processor"),
    "no text": (of(BYTES, post_processor=template("x", x=[2**32 - 1])), "post-processor"),
    "the text or the token": (of(BYTES, post_processor=template("x A", x=[2**32 - 1])), "post-processor"),
    "a model of another kind": (of(BYTES, type="WordLevel", unk_token="a"), "WordLevel"),
    "a text that is taken away": (of(BYTES, post_processor={"type": "Sequence", "processors": [
        template("x A", x=[7]) | {"pair": []}] * 2}), "post-processor"),
    "no token": (of(BYTES, vocab={}, merges=[], pre_tokenizer=None), "unknown characters"),
    "an empty Prepend": (of(BYTES, normalizer={"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": ""}]}), "Prepend"),
    "two tokens that become one": (of(BYTES, normalizer=LOWER, added_tokens=[
        added_token(0, name, normalized=True) for name in "éÉ"]), "twice"),
    "a key twice": (json.dumps(BYTES)[:-1] + ', "added_tokens": []}', "added_tokens"),
    "a key twice in the model": (json.dumps(BYTES).replace('"merges"', '"merges": [], "merges"'), "merges"),
    "a key of no model": (of(BYTES, model=BYTES["model"] | {"x": 1}), "`x`"),
    "a flag that is null": (of(BYTES, ignore_merges=None), "null"),
    "a far id": (of(BYTES, vocab=BYTES["model"]["vocab"] | {"zz": 9_000_000}), "9000000"),
    "an empty part": (merging(["", "b"], more=[""]), "merge 0"),
    "a merge of bytes": (of(PIECES, vocab=PIECES["model"]["vocab"] | {"<0x41><0x42>": 900},
        merges=[["<0x41>", "<0x42>"]]), "merge 0"),
}  # fmt: skip
PARTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
OPEN = '{"type": "Digits", "individual_digits": null}'
REFUSED = {
    "version 2.0": of(BYTES, version="2.0"),
    "no version": of(BYTES, version=None),
    "a key of no tokenizer": BYTES | {"x": None},
    "a list": [BYTES[name] for name in ("version", "truncation", "padding", "model", "added_tokens")],
    "a list that has it all": ["1.0", None, None, BYTES["model"], [], None, byte_level(), None, None],
    "truncation of a kind": of(BYTES, truncation={}),
    "padding of a kind": of(BYTES, padding=3),
    "a model without a kind": of(BYTES, type=None),
    "unknown characters of a kind": of(BYTES, fuse_unk="x"),
    "merges of both forms": merging("a b", ["b", "b"]),
    "a merge of three": merging("a b b", more=["b b", "ab b"]),
    "a merge with two spaces": merging("a  b"),
    "a merge of nothing": merging("b "),
    "a merge of one": merging(["a"]),
    "a merge that makes nothing": merging(["zz", "zz"]),
    "no merges": without("merges"),
    "an id too many": of(BYTES, vocab=BYTES["model"]["vocab"] | {"zz": 2**32}),
    "an added token without a flag": of(BYTES, added_tokens=[{"id": 1, "content": "<x>"}]),
    "an added token that is a list": of(BYTES, added_tokens=[[NUM, "<x>", False, False, False, False, False]]),
    "null for added tokens": of(BYTES, added_tokens=None),
    "an unknown token around": of(BYTES, post_processor=template("y A")),
    **{f"{part} of no kind": of(BYTES, **{part: {"type": "Nope"}}) for part in PARTS},
    **{f"{part} of no text": written(part, '{"type": "Prepend", "prepend": "\\ud800"}') for part in PARTS},
    **{f"{part} of no number": written(part, '{"type": 1e999}') for part in PARTS},
    **{f"{part} that is cut": written(part, '{"type": @').split("@", 1)[0] for part in PARTS},
    "ByteLevel without flags": of(BYTES, pre_tokenizer={"type": "ByteLevel", "use_regex": True}),
    "a flag that is text": of(BYTES, pre_tokenizer=byte_level() | {"use_regex": "no"}),
    "a flag twice": written("post_processor", json.dumps(byte_level())[:-1] + ', "use_regex": true}'),
    "digits of a kind": of(BYTES, pre_tokenizer=sequence(json.loads(OPEN), byte_level())),
    "a split of two patterns": of(BYTES, pre_tokenizer=sequence(
        split("a") | {"pattern": {"Regex": "a", "String": "b"}}, byte_level())),
    "Metaspace that says both": of(PIECES, pre_tokenizer=METASPACES[0] | {"add_prefix_space": False}),
    "Metaspace of two characters": of(PIECES, pre_tokenizer=metaspace("first", replacement="ab")),
    "pre-tokenizers of nothing": of(PIECES, pre_tokenizer=sequence(None)),
    "a broken character map": of(BYTES, normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
    "more behind it": json.dumps(BYTES) + "x",
    "deep": written("x", "[" * 200 + "]" * 200),
    "deep in the model": written("model", json.dumps(BYTES["model"])[:-1] + ', "x": ' + "[" * 200 + "]" * 200 + "}"),
}  # fmt: skip


@pytest.mark.parametrize("name", LOADED)
def test_an_odd_file_is_loaded(name, folder):
    ours = compare(LOADED[name], folder)
    assert isinstance(ours, bloomdata.Tokenizer)
    assert ours.backend_reason is None


@pytest.mark.parametrize("name", LEFT)
def test_an_odd_file_is_left_to_the_package(name, folder):
    content, reason = LEFT[name]
    ours = compare(content, folder)
    assert isinstance(ours, bloomdata.Tokenizer)
    assert reason in ours.backend_reason


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_package_refuses_is_refused(name, folder):
    assert isinstance(compare(REFUSED[name], folder), bloomdata.CorruptDataError)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (of(BYTES, added_tokens=[Y], normalizer=LOWER | {"type": "Replace", "pattern": {"Regex": ".*"}, "content": ""}),
         "an added token is empty once it is normalized"),
        # The package cuts a prefix off by bytes, and ends the process with an error that is no text.
        (of(BYTES, continuing_subword_prefix="x"), "out of vocabulary"),
        # What panics for other reasons is not JSON first of all.
        (written("decoder", "{]"), "line 1 column"),
    ],
)  # fmt: skip
def test_what_the_package_cannot_refuse_is_refused(content, reason, tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(bloomdata.CorruptDataError, match=reason):
        bloomdata.Tokenizer(path)
