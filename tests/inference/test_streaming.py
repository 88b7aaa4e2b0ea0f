"""Text of answers while they come: nothing of a stop string, never half a character, nothing lost at the end."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from small_models import write_tokenizer

import bloomdata
from bloomdata.errors import ConfigError
from bloomdata.inference import IncrementalDecoder, StopFilter
from bloomdata.inference.streaming import read_all, stripped
from small_tokenizers import MARK, both, byte_fallback_bpe, prepend_and_replace

PIECES = st.lists(st.text("ab<", max_size=4), max_size=8)


def text_before(text, strings):
    """The reference: the text before the first stop string."""
    return text[: min((at for string in strings if (at := text.find(string)) >= 0), default=len(text))]


@given(PIECES, st.lists(st.text("ab<", min_size=1, max_size=5), max_size=3))
@settings(max_examples=600)
@example(["<hu", "man", "kind>"], ["<human>"])
@example(["ab", "a"], ["abc", "b"])
def test_output_is_the_text_before_the_first_stop_string_for_any_pieces(pieces, strings):
    stop = StopFilter(strings)
    output = "".join(stop.feed(piece) for piece in pieces) + stop.finish()
    text = "".join(pieces)
    assert output == text_before(text, strings)
    assert stop.stopped == any(string in text for string in strings)


@given(PIECES, st.lists(st.text("ab<", min_size=1, max_size=5), max_size=3))
@settings(max_examples=300)
def test_only_what_may_become_a_stop_string_is_held_back(pieces, strings):
    stop, fed, shown = StopFilter(strings), "", ""
    for piece in pieces:
        fed, shown = fed + piece, shown + stop.feed(piece)
        if not stop.stopped:
            held = fed[len(shown) :]
            assert held == "" or any(string.startswith(held[: len(string)]) for string in strings)


def test_a_stop_string_is_found_at_every_cut_into_two_and_three():
    text, strings = "Hello <human>: you", ["<human>:", "you"]
    for first in range(len(text) + 1):
        for second in range(first, len(text) + 1):
            stop = StopFilter(strings)
            pieces = (text[:first], text[first:second], text[second:])
            assert "".join(map(stop.feed, pieces)) + stop.finish() == "Hello "


@pytest.mark.parametrize("strings", [["a", ""], "a"])
def test_stop_strings_that_cannot_be_meant_are_refused(strings):
    with pytest.raises(ConfigError, match="stop: expected"):
        StopFilter(strings)


# As Llama's tokenizers decode.
SENTENCEPIECE = {
    "normalizer": prepend_and_replace(),
    "decoder": {
        "type": "Sequence",
        "decoders": [
            {"type": "Replace", "pattern": {"String": MARK}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ],
    },
}


@pytest.fixture(scope="module", params=["bytes", "byte-level BPE", "byte-fallback BPE"])
def tokenizer(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    if request.param == "bytes":
        return bloomdata.Tokenizer("bytes")
    if request.param == "byte-level BPE":
        return write_tokenizer(folder)
    return both(byte_fallback_bpe(**SENTENCEPIECE), folder)[1]


TEXTS = st.text(st.sampled_from("aé漢😀 \n\u0301👩‍🚀�<"), max_size=12)


@given(TEXTS, TEXTS)
@settings(max_examples=200)
def test_pieces_are_whole_characters_and_all_of_the_text(tokenizer, prompt, text):
    before = tokenizer.encode(prompt, add_special_tokens=False).tolist()
    ids = tokenizer.encode(text, add_special_tokens=False).tolist()
    decoder = IncrementalDecoder(tokenizer, before)
    pieces = [decoder.feed(token) for token in ids]
    pieces.append(decoder.finish())
    assert "".join(pieces) == tokenizer.decode([*before, *ids])[len(tokenizer.decode(before)) :]
    # SentencePiece writes a blank before a text, and none where a text begins.
    assert "".join(pieces) in {text, f" {text}", text.removeprefix(" ")}
    # A part of a character would have come out as U+FFFD.
    assert sum(piece.count("�") for piece in pieces) == text.count("�")


def test_ids_that_only_the_model_has_are_no_text():
    decoder = IncrementalDecoder(bloomdata.Tokenizer("bytes"), [10**6])
    assert [decoder.feed(token) for token in (97, 10**6, 98)] == ["a", "", "b"]


@given(st.lists(st.integers(0, 255), max_size=12))
def test_bytes_that_are_no_text_come_out_as_the_decoder_writes_them(ids):
    tokenizer = bloomdata.Tokenizer("bytes")
    decoder = IncrementalDecoder(tokenizer)
    output = "".join(decoder.feed(token) for token in ids) + decoder.finish()
    assert output == bytes(ids).decode("utf-8", "replace")


def test_special_tokens_are_left_out_and_change_nothing_around_them(tmp_path):
    tokenizer = write_tokenizer(tmp_path)
    ids = [*tokenizer.encode("It is a.").tolist(), tokenizer.eos_token_id, *tokenizer.encode(" It").tolist()]
    decoder = IncrementalDecoder(tokenizer)
    assert "".join(decoder.feed(token) for token in ids) + decoder.finish() == "It is a. It"


@given(st.lists(st.text(" \na", max_size=3), max_size=8))
def test_white_space_is_stripped_at_both_ends_only(pieces):
    def answer():
        yield from pieces
        return "end"

    assert read_all(stripped(answer())) == ("".join(pieces).strip(), "end")
