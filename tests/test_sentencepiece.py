"""`.model` files are read as SentencePiece reads them, and converted ones give its ids."""

from __future__ import annotations

import base64
import contextlib
import json
import struct
import time
import tomllib
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.sentencepiece_bpe import ids_of, pieces_of

import bloomdata
from bloomdata.errors import BloomdataError, ConfigError, CorruptDataError, UnsupportedFormatError
from bloomdata.tokenizers.sentencepiece_model import MAX_FILE_BYTES, PieceType, read_sentencepiece
from bloomdata.verbs.convert_sentencepiece import convert_sentencepiece
from sentencepiece_files import (
    BYTES,
    CONTROL,
    SPECIAL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    bytes_field,
    llama_like,
    model_bytes,
    number_field,
    piece_field,
    scored,
    varint,
)

GOLDEN = tomllib.loads((Path(__file__).parent / "golden" / "sentencepiece.toml").read_text("utf-8"))["model"]
LETTERS = list("ab▁中")
TINY = model_bytes(llama_like(["ab", "▁a", *LETTERS]), byte_fallback=True)


def write(folder, content):
    path = folder / "tokenizer.model"
    path.write_bytes(content)
    return path


def golden(folder, name):
    vector = next(vector for vector in GOLDEN if vector["name"] == name)
    return write(folder, zlib.decompress(base64.b64decode(vector["content"])))


# --- reading ---------------------------------------------------------------------------------------------------


def test_a_model_is_read_with_all_that_it_says(tmp_path):
    more = number_field(24, 1) + bytes_field(47, "<end>") + number_field(43, -1)
    rules = bytes_field(1, "nmt_nfkc") + bytes_field(2, b"\1\2\3") + number_field(3, 0)
    pieces = [
        ("<unk>", 0.0, UNKNOWN),
        ("<end>", 0.0, CONTROL),
        ("<pad>", 0.5, CONTROL),
        ("▁中", -1.5),
        ("x", 1.0, UNUSED),
    ]
    model = read_sentencepiece(write(tmp_path, model_bytes(pieces, model_type=1, trainer=more, normalizer=rules)))
    found = [(piece.text, piece.score, piece.type) for piece in model.pieces]
    assert found == [(text, score, PieceType(*kind or (1,))) for text, score, *kind in pieces]
    assert (model.model_type, model.byte_fallback, model.treat_whitespace_as_suffix) == ("unigram", False, True)
    assert model.special_ids == {"unk": 0, "eos": 1, "pad": 2}
    assert (model.normalizer_name, model.precompiled_charsmap) == ("nmt_nfkc", b"\1\2\3")
    assert (model.add_dummy_prefix, model.remove_extra_whitespaces, model.escape_whitespaces) == (False, True, True)
    assert model.data[model.pieces[3].start : model.pieces[3].end] == piece_field("▁中", -1.5)


def test_fields_that_are_not_known_and_messages_that_come_twice_are_as_protobuf_has_them(tmp_path):
    twice = bytes_field(3, number_field(3, 0)) + number_field(200, 1 << 63) + varint(201 << 3 | 1) + bytes(8)
    model = read_sentencepiece(write(tmp_path, TINY + twice))
    assert (model.add_dummy_prefix, model.remove_extra_whitespaces) == (False, False)


@pytest.mark.parametrize("vector", GOLDEN, ids=lambda vector: vector["name"])
def test_models_of_the_library_are_read(vector, tmp_path):
    model = read_sentencepiece(golden(tmp_path, vector["name"]))
    assert model.model_type == "bpe"
    assert model.byte_fallback == (vector["name"] == "llama_like")
    assert model.pieces[model.special_ids["eos"]].text == "</s>"


DAMAGED = {
    "empty": (b"", "offset 0: no unknown piece among 0 pieces"),
    "a pointer of Git LFS": (b"version https://git-lfs", "offset 0: wire type 6"),
    "zeros": (bytes(100), "offset 0: field 0"),
    "a number without an end": (b"\x0a", "offset 1: expected a complete number"),
    "a number too long": (b"\xff" * 20, "offset 0: expected a number of at most ten bytes"),
    "a length behind the end": (b"\x0a\xff\xff\xff\xff\x0f", "offset 0: field 1 ends at"),
    "a piece without text": (b"\x0a\x00", "offset 0: expected a piece with text"),
    "text that is not UTF-8": (bytes_field(1, bytes_field(1, b"a\xff")), "offset 5: expected text in UTF-8"),
    "a zero byte": (piece_field("a\0b"), "offset 2: piece 'a.x00b': expected no zero byte"),
    "a long piece": (piece_field("a" * 8000), "expected a piece of less than 8000 bytes, found 8000"),
    "a score of nan": (piece_field("a", float("nan")), "expected a finite score, found nan"),
    "an unknown type": (piece_field("a", 0.0, 9), "expected a type from 1 to 6, found 9"),
    "a score of another wire type": (
        bytes_field(1, bytes_field(1, "a") + number_field(2, 1)),
        "expected a field of 4 bytes",
    ),
    "a piece twice": (
        model_bytes([*SPECIAL, ("a", 0.0), ("a", 1.0)]),
        "piece 4: expected a new text, found 'a' of piece 3",
    ),
    "two unknown pieces": (
        model_bytes([*SPECIAL, ("<u>", 0.0, UNKNOWN)]),
        "expected one unknown piece, found a second",
    ),
    "no unknown piece": (model_bytes([("a", 0.0)]), "no unknown piece among 1 pieces"),
    "bytes without fallback": (model_bytes([*SPECIAL, *BYTES]), "expected no byte without byte_fallback"),
    "a byte is missing": (model_bytes([*SPECIAL, *BYTES[:-1]], byte_fallback=True), "expected a piece <0xFF>"),
    "an unknown model type": (model_bytes(SPECIAL, model_type=9), "model_type: expected one of .*, found 9"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_model_is_refused_with_its_path_and_offset(name, tmp_path):
    content, reason = DAMAGED[name]
    path = write(tmp_path, content)
    with pytest.raises(CorruptDataError, match=reason) as error:
        read_sentencepiece(path)
    assert str(error.value).startswith(f"{path}: offset ")


def test_a_model_cut_off_anywhere_is_refused_or_lacks_only_what_it_need_not_say(tmp_path):
    content = model_bytes([*SPECIAL, *scored(LETTERS)])
    for end in range(len(content)):
        try:
            model = read_sentencepiece(write(tmp_path, content[:end]))
        except CorruptDataError:
            continue
        assert model.data == content[:end]


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "huge.model"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    start = time.monotonic()
    with pytest.raises(CorruptDataError, match=f"offset {MAX_FILE_BYTES}: expected a model of at most"):
        read_sentencepiece(path)
    assert time.monotonic() - start < 10


def test_a_path_that_is_no_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="expected a file"):
        read_sentencepiece(tmp_path)


@given(st.binary(max_size=60), st.integers(0, len(TINY)), st.integers(0, 30))
def test_random_bytes_anywhere_give_a_model_or_an_error_of_ours(tmp_path_factory, noise, at, width):
    path = write(tmp_path_factory.getbasetemp(), TINY[:at] + noise + TINY[at + width :])
    with contextlib.suppress(CorruptDataError):
        assert read_sentencepiece(path).pieces


# --- converting ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", GOLDEN, ids=lambda vector: vector["name"])
def test_ids_of_converted_models_are_those_of_the_library(vector, tmp_path):
    tokenizer = bloomdata.Tokenizer(convert_sentencepiece(golden(tmp_path, vector["name"]), tmp_path / "out").path)
    for case in vector["cases"]:
        assert tokenizer.encode(case["text"]).tolist() == case["ids"], case["text"]


def test_converted_models_of_llama_run_in_our_own_code_and_decode_to_the_text(tmp_path):
    report = convert_sentencepiece(golden(tmp_path, "llama_like"), tmp_path / "out")
    tokenizer = bloomdata.Tokenizer(tmp_path / "out")
    assert tokenizer.backend == "byte-fallback BPE"
    assert (tokenizer.vocab_size, report.vocab_size, tokenizer.eos_token_id) == (600, 600, 2)
    text = "  über 天地玄黄 😀\n"
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_control_pieces_in_a_text_become_their_ids_unlike_in_the_library(tmp_path):
    convert_sentencepiece(write(tmp_path, TINY), tmp_path / "out")
    tokenizer = bloomdata.Tokenizer(tmp_path / "out")
    names = [tokenizer.id_to_token(number) for number in tokenizer.encode("ab</s>a")]
    assert names == ["▁", "ab", "</s>", "▁a"]


@st.composite
def vocabularies(draw):
    """Pieces that are made of others, in any order of scores."""
    texts = list(LETTERS)
    for left, right in draw(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), max_size=20)):
        text = texts[left % len(texts)] + texts[right % len(texts)]
        if len(text) < 7 and text not in texts:
            texts.append(text)
    return draw(st.permutations(texts))


@settings(max_examples=60)
@given(vocabularies(), st.lists(st.text(" ab▁中é", max_size=14), max_size=12), st.booleans(), st.booleans())
def test_ids_are_those_of_the_reference_for_any_scores_without_ties(tmp_path_factory, texts, samples, prefix, strips):
    folder = tmp_path_factory.getbasetemp()
    rules = number_field(3, prefix) + number_field(4, strips)
    pieces = llama_like(texts)
    path = write(folder, model_bytes(pieces, byte_fallback=True, normalizer=rules))
    report = convert_sentencepiece(path, folder / "converted", overwrite=True)
    assert report.num_tied_pieces == 0
    tokenizer = bloomdata.Tokenizer(report.path)
    vocab = {piece[0]: number for number, piece in enumerate(pieces)}
    scores = {text: score for text, score, _ in scored(texts)}
    for sample in samples:
        parts = pieces_of(sample, scores, add_dummy_prefix=prefix, remove_extra_whitespaces=strips)
        assert tokenizer.encode(sample).tolist() == ids_of(parts, vocab), sample


def test_merges_are_ordered_by_score_then_by_the_longer_left_part(tmp_path):
    path = write(tmp_path, model_bytes([*SPECIAL, ("aaa", -2.0), ("aa", -1.0), ("▁a", -2.0), ("a", -9.0), ("▁", -9.0)]))
    report = convert_sentencepiece(path, tmp_path / "out")
    merges = json.loads(report.path.read_text("utf-8"))["model"]["merges"]
    assert merges == [["a", "a"], ["aa", "a"], ["a", "aa"], ["▁", "a"]]
    assert (report.num_merges, report.num_tied_pieces) == (4, 2)


RULES = bytes_field(1, "nfkc") + bytes_field(2, struct.pack("<I", 4) + bytes(4) + b"\0")
REFUSED = {
    "its type is unigram": model_bytes(SPECIAL, model_type=1),
    "its type is char": model_bytes(SPECIAL, model_type=4),
    "treat_whitespace_as_suffix": model_bytes(SPECIAL, trainer=number_field(24, 1)),
    "escape_whitespaces=false": model_bytes(SPECIAL, normalizer=number_field(5, 0)),
    "the normalization rules 'nfkc'": model_bytes(SPECIAL, normalizer=RULES),
    "rules that rewrite decoded text": model_bytes(SPECIAL, more=bytes_field(5, RULES)),
    "the unused piece 'x'": model_bytes([*SPECIAL, ("x", 0.0, UNUSED)]),
    "the user-defined piece 'x'": model_bytes([*SPECIAL, ("x", 0.0, USER_DEFINED)]),
    "the piece 'ab' needs the piece 'b'": model_bytes([*SPECIAL, *scored(["ab", "a"])]),
    "the piece 'ab' needs the piece 'a'": model_bytes([*SPECIAL, *scored(["ab"])]),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_a_definition_cannot_do_exactly_is_refused_by_name(reason, tmp_path):
    with pytest.raises(UnsupportedFormatError) as error:
        convert_sentencepiece(write(tmp_path, REFUSED[reason]), tmp_path / "out")
    assert reason in str(error.value)
    assert not (tmp_path / "out").exists()


def test_rules_that_rewrite_characters_are_converted_when_that_is_allowed(tmp_path):
    path = write(tmp_path, model_bytes(SPECIAL, normalizer=RULES))
    report = convert_sentencepiece(path, tmp_path / "out", allow_inexact=True)
    stages = json.loads(report.path.read_text("utf-8"))["normalizer"]["normalizers"]
    assert base64.b64decode(stages[0]["precompiled_charsmap"]) == struct.pack("<I", 4) + bytes(4) + b"\0"


def test_a_tokenizer_that_is_there_is_kept_unless_it_may_be_replaced(tmp_path):
    path = write(tmp_path, TINY)
    report = convert_sentencepiece(path, tmp_path / "out")
    before = report.path.read_bytes()
    with pytest.raises(ConfigError, match="overwrite=True"):
        convert_sentencepiece(path, tmp_path / "out")
    assert convert_sentencepiece(path, tmp_path / "out", overwrite=True).path.read_bytes() == before
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert names == {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}


def test_errors_are_of_our_family(tmp_path):
    with pytest.raises(BloomdataError):
        convert_sentencepiece(write(tmp_path, b"{}"), tmp_path / "out")
