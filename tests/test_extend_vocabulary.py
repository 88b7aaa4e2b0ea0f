"""Vocabularies grow behind their last id, and what is said to be reached is."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from tests.reference.sentencepiece_bpe import pieces_of
from tokenizers import Tokenizer

import bloomdata
from bloomdata.errors import ConfigError, CorruptDataError, MismatchError, UnsupportedFormatError
from bloomdata.tokenizers.sentencepiece_model import read_sentencepiece
from bloomdata.verbs.convert_sentencepiece import convert_sentencepiece
from bloomdata.verbs.extend_vocabulary import extend_vocabulary
from sentencepiece_files import (
    BYTES,
    CONTROL,
    SPECIAL,
    UNKNOWN,
    bytes_field,
    llama_like,
    model_bytes,
    piece_field,
    scored,
)
from small_tokenizers import LETTERS

# Open-Llama's own files: `llama_tokenizer` and what `4w_cn_vocab_wudao15` has besides.
OPEN_LLAMA = Path(__file__).parents[2] / "shared" / "data" / "tokenizers" / "open-llama"


def write(path, content):
    path.write_bytes(content)
    return path


# --- models of SentencePiece -----------------------------------------------------------------------------------


def test_pieces_go_behind_those_of_the_base_as_they_are(tmp_path):
    more = bytes_field(7, b"something of a later version")
    ours, theirs = llama_like(["ab", "a", "b"]), [*SPECIAL, ("<pad>", 0.0, CONTROL), *BYTES, *scored(["bc", "ab", "c"])]
    base = write(tmp_path / "base.model", model_bytes(ours, byte_fallback=True, more=more))
    extra = write(tmp_path / "extra.model", model_bytes(theirs, byte_fallback=True))
    report = extend_vocabulary(base, extra, tmp_path / "new" / "out.model")
    added = [("<pad>", 0.0, CONTROL), ("bc", 0.0), ("c", -2.0)]
    pieces = b"".join(piece_field(*piece) for piece in added)
    end = sum(len(piece_field(*piece)) for piece in ours)
    assert report.path.read_bytes() == base.read_bytes()[:end] + pieces + base.read_bytes()[end:]
    assert (report.num_base, report.num_added, report.num_unreachable) == (len(ours), 3, 0)
    assert [piece.text for piece in read_sentencepiece(report.path).pieces[-3:]] == ["<pad>", "bc", "c"]


def test_a_piece_is_unreachable_exactly_if_no_text_becomes_it(tmp_path):
    rng = random.Random(1)
    seen = 0
    for _ in range(60):
        texts = list("abc")
        for _ in range(12):
            text = rng.choice(texts) + rng.choice(texts)
            if len(text) < 6 and text not in texts:
                texts.append(text)
        rng.shuffle(texts)
        middle = rng.randrange(len(texts))
        base = write(tmp_path / "base.model", model_bytes([*SPECIAL, *scored(texts[:middle])]))
        extra = write(tmp_path / "extra.model", model_bytes([*SPECIAL, *scored(texts[middle:])]))
        report = extend_vocabulary(base, extra, tmp_path / "out.model", overwrite=True)
        pieces = {piece.text: piece.score for piece in read_sentencepiece(report.path).pieces[len(SPECIAL) :]}
        samples = [*texts, *("".join(rng.choices("abc", k=12)) for _ in range(300))]
        made = {part for sample in samples for part in pieces_of(sample, pieces, add_dummy_prefix=False)}
        # Every reached token is made from its own text.
        assert report.num_unreachable == len(set(texts[middle:]) - made)
        seen += report.num_unreachable
    assert seen


def test_an_extended_model_converts_and_uses_the_new_pieces(tmp_path):
    base = write(tmp_path / "base.model", model_bytes(llama_like(["▁a", "▁", "a"]), byte_fallback=True))
    extra = write(tmp_path / "extra.model", model_bytes(llama_like(["中文", "中", "文"]), byte_fallback=True))
    extend_vocabulary(base, extra, tmp_path / "out.model")
    tokenizers = []
    for name in ("base", "out"):
        convert_sentencepiece(tmp_path / f"{name}.model", tmp_path / name)
        tokenizers.append(bloomdata.Tokenizer(tmp_path / name))
    ids = [tokenizer.encode("a中文").tolist() for tokenizer in tokenizers]
    assert ids[0][0] == ids[1][0]
    assert [len(part) for part in ids] == [7, 2]
    assert tokenizers[1].id_to_token(ids[1][1]) == "中文"


def test_models_that_do_not_fit_are_refused(tmp_path):
    plain = write(tmp_path / "plain.model", model_bytes([*SPECIAL, ("a", 0.0)]))
    with_bytes = write(tmp_path / "bytes.model", model_bytes(llama_like(["a"]), byte_fallback=True))
    unigram = write(tmp_path / "unigram.model", model_bytes(SPECIAL, model_type=1))
    output = tmp_path / "out.model"
    with pytest.raises(MismatchError, match="found byte_fallback"):
        extend_vocabulary(plain, with_bytes, output)
    with pytest.raises(UnsupportedFormatError, match="unigram"):
        extend_vocabulary(plain, unigram, output)
    with pytest.raises(MismatchError, match=r"expected two \.model files"):
        extend_vocabulary(plain, write(tmp_path / "tokenizer.json", b"{}"), output)
    with pytest.raises(CorruptDataError, match="offset 0"):
        extend_vocabulary(plain, write(tmp_path / "bad.model", b""), output)
    with pytest.raises(ConfigError, match=r"extra: expected a file, got "):
        extend_vocabulary(plain, tmp_path / "none.model", output)
    assert not output.exists()
    with pytest.raises(ConfigError, match="overwrite=True"):
        extend_vocabulary(plain, plain, with_bytes)


def test_the_unknown_piece_of_another_name_is_left_out(tmp_path):
    base = write(tmp_path / "base.model", model_bytes([*SPECIAL, ("a", 0.0)]))
    extra = write(tmp_path / "extra.model", model_bytes([("[UNK]", 0.0, UNKNOWN), ("b", 0.0)]))
    report = extend_vocabulary(base, extra, tmp_path / "out.model")
    assert [piece.text for piece in read_sentencepiece(report.path).pieces][-2:] == ["a", "b"]


@pytest.mark.skipif(not OPEN_LLAMA.is_dir(), reason="Open-Llama's models are not beside this checkout")
def test_open_llamas_extended_model_is_made_byte_for_byte(tmp_path):
    base, extra = OPEN_LLAMA / "llama_tokenizer.model", OPEN_LLAMA / "4w_cn_vocab_wudao15.model"
    report = extend_vocabulary(base, extra, tmp_path / "out.model")
    assert report.path.read_bytes() == (OPEN_LLAMA / "llama_tokenizer_extended.model").read_bytes()
    assert (report.num_base, report.num_added, report.num_unreachable) == (32_000, 36_762, 2)


# --- tokenizer.json --------------------------------------------------------------------------------------------


def definition(folder, tokens, merges, *, added=(), byte_fallback=False, **model):
    """A folder with a BPE of bytes, or of characters; merges are pairs of tokens."""
    first = [f"<0x{byte:02X}>" for byte in range(256)] if byte_fallback else LETTERS
    vocab = {token: number for number, token in enumerate([*first, *tokens])}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    ids = {token: vocab.get(token, len(vocab) + place) for place, token in enumerate(added)}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    content = {
        "version": "1.0",
        "added_tokens": [{"id": number, "content": token, **flags} for token, number in ids.items()],
        "pre_tokenizer": None if byte_fallback else level,
        "model": {"type": "BPE", "byte_fallback": byte_fallback, "vocab": vocab, "merges": merges, **model},
    }
    folder.mkdir()
    (folder / "tokenizer.json").write_text(json.dumps(content), "utf-8")
    return folder


def test_tokens_and_the_merges_that_make_them_go_behind_those_of_the_base(tmp_path):
    base = definition(tmp_path / "base", ["ab", "abc"], ["a b", "ab c"], added=["<eos>"])
    (base / "tokenizer_config.json").write_text('{"eos_token": "<eos>"}')
    extra = definition(
        tmp_path / "extra", ["bc", "ab", "abd", "abcd", "<x>"], [["b", "c"], ["a", "b"], ["ab", "d"]], added=["<x>"]
    )
    report = extend_vocabulary(base, extra, tmp_path / "out")
    made = json.loads(report.path.read_text("utf-8"))["model"]
    # The added token of the base was behind its vocabulary and keeps its id.
    assert [made["vocab"][token] for token in ("abc", "<eos>", "bc", "abd", "abcd")] == [257, 258, 259, 260, 261]
    assert made["merges"] == [["a", "b"], ["ab", "c"], ["b", "c"], ["ab", "d"]]
    assert "<x>" not in made["vocab"]
    # No merge makes "abcd".
    assert (report.num_base, report.num_added, report.num_unreachable) == (259, 3, 1)
    tokenizer = bloomdata.Tokenizer(tmp_path / "out")
    assert tokenizer.eos_token_id == 258
    assert tokenizer.encode("abcbc<eos>abd").tolist() == [257, 259, 258, 260]


@pytest.mark.parametrize("byte_fallback", [False, True])
def test_unreachable_tokens_are_those_that_the_package_never_makes(tmp_path, byte_fallback):
    rng = random.Random(2)
    seen = 0
    for number in range(30):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name in ("base", "extra"):
            tokens, merges = list("abc"), []
            for _ in range(8):
                left, right = rng.choice(tokens), rng.choice(tokens)
                if len(left + right) < 6 and [left, right] not in merges:
                    merges.append([left, right])
                    tokens += [left + right] if left + right not in tokens else []
            rng.shuffle(merges)
            definition(folder / name, tokens if byte_fallback else tokens[3:], merges, byte_fallback=byte_fallback)
        report = extend_vocabulary(folder / "base", folder / "extra", folder / "out")
        package = Tokenizer.from_file(str(report.path))
        base = Tokenizer.from_file(str(folder / "base" / "tokenizer.json"))
        assert base.get_vocab().items() <= package.get_vocab().items()
        new = sorted(package.get_vocab().keys() - base.get_vocab().keys())
        samples = [*new, *("".join(rng.choices("abc", k=12)) for _ in range(300))]
        made = {token for sample in samples for token in package.encode(sample).tokens}
        assert (report.num_added, report.num_unreachable) == (len(new), len(set(new) - made))
        ours = bloomdata.Tokenizer(folder / "out")
        assert all(ours.encode(sample).tolist() == package.encode(sample).ids for sample in samples)
        seen += report.num_unreachable
    assert seen


def test_a_whole_word_needs_no_merge_where_the_base_looks_it_up(tmp_path):
    base = definition(tmp_path / "base", ["ab"], ["a b"], ignore_merges=True)
    extra = definition(tmp_path / "extra", ["abcd"], [])
    assert extend_vocabulary(base, extra, tmp_path / "out").num_unreachable == 0
    assert bloomdata.Tokenizer(tmp_path / "out", "abcd").encode("abcd").tolist() == [257]


def test_definitions_that_do_not_fit_are_refused(tmp_path):
    of_bytes = definition(tmp_path / "bytes", ["ab"], ["a b"])
    of_characters = definition(tmp_path / "characters", ["a"], [], byte_fallback=True)
    words = definition(tmp_path / "words", [], [], type="WordLevel")
    prefixed = definition(tmp_path / "prefixed", [], [], continuing_subword_prefix="##")
    with pytest.raises(MismatchError, match=r"expected a BPE of bytes .*, found characters that fall back to bytes"):
        extend_vocabulary(of_bytes, of_characters, tmp_path / "out")
    with pytest.raises(UnsupportedFormatError, match="expected BPE, found WordLevel"):
        extend_vocabulary(of_bytes, words, tmp_path / "out")
    with pytest.raises(UnsupportedFormatError, match="continuing_subword_prefix: expected none, found '##'"):
        extend_vocabulary(of_bytes, prefixed, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="overwrite=True"):
        extend_vocabulary(of_bytes, of_bytes, of_bytes)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"model": {"vocab": []}}',
        '{"model": 1}',
        "[" * 100_000,
        '{"model": {"vocab": {"\\ud800": 1}, "merges": []}}',
        '{"model": {"vocab": {"a": 1}, "merges": ["a"]}}',
    ],
)
def test_a_damaged_definition_is_refused(content, tmp_path):
    base = definition(tmp_path / "base", [], [])
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(CorruptDataError, match=r"tokenizer\.json"):
        extend_vocabulary(base, path, tmp_path / "out")
