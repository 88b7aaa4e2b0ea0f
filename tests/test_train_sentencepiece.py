"""`train_tokenizer(sentencepiece=True)`: SentencePiece itself, and the slow reference, give the ids of both files."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata import ConfigError
from bloomdata.tokenizers.sentencepiece_model import PieceType, read_sentencepiece
from bloomdata.tokenizers.sentencepiece_writer import sentencepiece_bpe
from reference.sentencepiece_bpe import ids_of, pieces_of

CORPUS = [
    "the other brother gathers feathers in the northern weather, rather than bother the mother",
    "  two  spaces, a\ttab\nand a line 1234 2024 ½ 12345",
    "Съешь же ещё этих мягких французских булок, да выпей чаю; мягких булок",
    "今天天气很好，我们去公园。今天天气不好，我们去公园。",
    "def f(x):\n    return x ** 2  # the other one\n",
    "abababab aab abb bba abab ababab aabb abba",
]
ODD = [
    "",
    " ",
    "a",
    " a",
    "a ",
    "\u2581",
    "\u2581a",
    "▁▁",
    "\n",
    "é e\u0301 \U0001f600\u200d",
    "<s> </s> <0x41> <unk>",
    "zzz\0q",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    source = folder / "texts.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in CORPUS * 3), "utf-8")
    report = bloomdata.train_tokenizer(source, folder / "out", vocab_size=460, family="llama", sentencepiece=True)
    return report


texts = st.lists(st.sampled_from([*CORPUS, *ODD, *"ab▁ t中1é\n", "the", " other"]), max_size=6).map("".join)


def test_the_model_says_what_was_trained(trained):
    model = read_sentencepiece(trained.path.with_name("tokenizer.model"))
    assert (model.model_type, model.byte_fallback, model.normalizer_name) == ("bpe", True, "identity")
    assert (model.add_dummy_prefix, model.remove_extra_whitespaces, model.escape_whitespaces) == (True, False, True)
    assert model.special_ids == {"unk": 0, "bos": 1, "eos": 2}
    assert [piece.type for piece in model.pieces[3:259]] == [PieceType.BYTE] * 256
    assert len(model.pieces) == trained.vocab_size == 460
    vocab = json.loads(trained.path.read_bytes())["model"]["vocab"]
    assert vocab == {piece.text: number for number, piece in enumerate(model.pieces)}
    assert any(len(piece.text) > 4 for piece in model.pieces[259:])


@settings(deadline=None, max_examples=80)
@given(text=texts)
def test_ids_are_those_of_a_slow_sentencepiece(text, trained):
    """Which has no special tokens in texts; ours are found there, as in transformers."""
    tokenizer = bloomdata.Tokenizer(trained.path.parent)
    model = read_sentencepiece(trained.path.with_name("tokenizer.model"))
    if any(piece.text in text for piece in model.pieces[:3]):
        return
    scores = {piece.text: piece.score for piece in model.pieces if piece.type == PieceType.NORMAL}
    vocab = {piece.text: number for number, piece in enumerate(model.pieces)}
    assert tokenizer.encode(text).tolist() == ids_of(pieces_of(text, scores), vocab)


@settings(deadline=None, max_examples=80)
@given(text=texts)
def test_ids_are_those_of_the_package(text, trained):
    sentencepiece = pytest.importorskip("sentencepiece", reason="the package sentencepiece is not installed")
    processor = sentencepiece.SentencePieceProcessor(model_file=str(trained.path.with_name("tokenizer.model")))
    assert (processor.unk_id(), processor.bos_id(), processor.eos_id(), processor.pad_id()) == (0, 1, 2, -1)
    assert processor.vocab_size() == trained.vocab_size
    tokenizer = bloomdata.Tokenizer(trained.path.parent)
    if not any(special in text for special in ("<s>", "</s>", "<unk>")):
        assert processor.encode(text) == tokenizer.encode(text).tolist()
    if "\u2581" not in text:
        assert processor.decode(processor.encode(text)) == text


def test_a_call_that_is_repeated_does_nothing_unless_the_model_is_gone(tmp_path):
    source = tmp_path / "a.jsonl"
    source.write_text(json.dumps({"text": CORPUS[0]}) + "\n")
    options = {"vocab_size": 300, "family": "llama", "sentencepiece": True}
    first = bloomdata.train_tokenizer(source, tmp_path / "out", **options)
    model = tmp_path / "out" / "tokenizer.model"
    content = model.read_bytes()
    assert bloomdata.train_tokenizer(source, tmp_path / "out", **options).to_json() == first.to_json()
    with pytest.raises(ConfigError, match="overwrite"):
        bloomdata.train_tokenizer(source, tmp_path / "out", **options | {"sentencepiece": False})
    model.unlink()
    with pytest.raises(ConfigError, match="overwrite"):
        bloomdata.train_tokenizer(source, tmp_path / "out", **options)
    bloomdata.train_tokenizer(source, tmp_path / "out", **options, overwrite=True)
    assert model.read_bytes() == content


@pytest.mark.parametrize("options", [{"family": "bloom"}, {"family": "llama", "definition": "tokenizer.json"}])
def test_other_families_have_no_model(options, tmp_path):
    (tmp_path / "tokenizer.json").write_text('{"model": {}}')
    if "definition" in options:
        options = options | {"definition": tmp_path / "tokenizer.json"}
    with pytest.raises(ConfigError, match="sentencepiece: expected only with family='llama'"):
        bloomdata.train_tokenizer("raw", tmp_path / "out", vocab_size=600, sentencepiece=True, **options)


@pytest.mark.parametrize(
    ("special", "roles", "pieces", "reason"),
    [
        (["<s>"], {"bos": "<s>"}, ["a"], "unknown characters"),
        (["<unk>"], {"unk": "<unk>"}, ["a\0"], "zero byte"),
        (["<unk>"], {"unk": "<unk>"}, ["a" * 8000], "7999 bytes"),
        (["<unk>", ""], {"unk": "<unk>"}, ["a"], "1 to 7999 bytes"),
    ],
)
def test_pieces_that_sentencepiece_refuses_are_refused(special, roles, pieces, reason):
    with pytest.raises(ConfigError, match=reason):
        sentencepiece_bpe(special, roles, [f"<0x{byte:02X}>" for byte in range(256)], pieces)
