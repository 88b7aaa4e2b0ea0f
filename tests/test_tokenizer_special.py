"""Which tokens end and pad a document: the caller's, else those of the files, else the one that is known."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

import bloomdata

if TYPE_CHECKING:
    from pathlib import Path


def write_folder(folder: Path, vocabulary: list[str], **beside: Any) -> Path:
    """A word tokenizer with these special tokens after three words; `beside` are its other files."""
    folder.mkdir(exist_ok=True)
    tokenizer = Tokenizer(
        models.WordLevel({word: at for at, word in enumerate(["a", "b", "[UNK]"])}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(vocabulary)
    tokenizer.save(str(folder / "tokenizer.json"))
    for name, content in beside.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def ids_of(folder: Path, **options: Any) -> tuple[int, int]:
    tokenizer = bloomdata.Tokenizer(folder, **options)
    return tokenizer.eos_token_id, tokenizer.pad_token_id


def test_the_callers_token_comes_before_all_files(tmp_path):
    config = {"eos_token": "<b>", "pad_token": "<c>"}
    folder = write_folder(tmp_path, ["<a>", "<b>", "<c>", "<d>"], tokenizer_config=config)
    assert ids_of(folder) == (4, 5)
    assert ids_of(folder, eos_token="<a>") == (3, 5)
    assert ids_of(folder, eos_token="<a>", pad_token="<d>") == (3, 6)


def test_the_tokenizer_config_comes_before_the_special_tokens_map(tmp_path):
    folder = write_folder(
        tmp_path,
        ["<a>", "<b>", "</s>"],
        tokenizer_config={"eos_token": "<a>"},
        special_tokens_map={"eos_token": "<b>", "pad_token": "<b>"},
    )
    assert ids_of(folder) == (3, 4)


@pytest.mark.parametrize("token", ["<a>", {"content": "<a>", "lstrip": False}])
@pytest.mark.parametrize("name", ["tokenizer_config", "special_tokens_map"])
def test_a_token_is_named_by_a_string_or_an_object(name, token, tmp_path):
    assert ids_of(write_folder(tmp_path, ["<a>", "</s>"], **{name: {"eos_token": token}})) == (3, 3)


def test_a_file_that_says_null_says_nothing(tmp_path):
    folder = write_folder(
        tmp_path, ["<a>", "</s>"], tokenizer_config={"eos_token": None}, special_tokens_map={"eos_token": "<a>"}
    )
    assert ids_of(folder) == (3, 3)


@pytest.mark.parametrize("token", ["</s>", "<|endoftext|>", "<|end_of_text|>", "<eos>", "<|im_end|>", "[SEP]"])
def test_the_one_known_end_token_is_found_without_a_file(token, tmp_path):
    assert ids_of(write_folder(tmp_path, ["<other>", token])) == (4, 4)


@pytest.mark.parametrize("vocabulary", [["</s>", "<|endoftext|>"], ["<other>"]])
def test_an_end_token_that_is_not_known_is_refused_where_it_is_needed(vocabulary, tmp_path):
    folder = write_folder(tmp_path / "tokenizer", vocabulary)
    tokenizer = bloomdata.Tokenizer(folder)
    assert tokenizer.encode("a b").tolist() == [0, 1]
    assert tokenizer.decode([0, 1]) == "a b"
    (tmp_path / "a.jsonl").write_text('{"text": "a b"}\n')
    with pytest.raises(bloomdata.ConfigError, match="eos_token") as asked:
        _ = tokenizer.eos_token_id
    with pytest.raises(bloomdata.ConfigError, match="eos_token") as packed:
        bloomdata.pack(tmp_path / "a.jsonl", tmp_path / "out", tokenizer=folder, format="megatron")
    for caught in (asked, packed):
        assert "tokenizer_config.json" in str(caught.value)
        # The known ones that are there, if there are several.
        assert all((f'"{token}"' in str(caught.value)) == (len(vocabulary) > 1) for token in vocabulary)
    assert not (tmp_path / "out").exists()


def test_one_of_two_known_end_tokens_can_be_named(tmp_path):
    folder = write_folder(tmp_path, ["</s>", "<|endoftext|>"])
    assert ids_of(folder, eos_token="</s>") == (3, 3)
    assert ids_of(folder, eos_token="<|endoftext|>", pad_token="</s>") == (4, 3)


@pytest.mark.parametrize("option", ["eos_token", "pad_token"])
def test_a_token_that_is_not_in_the_vocabulary_is_refused_by_name(option, tmp_path):
    folder = write_folder(tmp_path, ["</s>"])
    with pytest.raises(bloomdata.ConfigError, match=f"{option}.*<nope>"):
        bloomdata.Tokenizer(folder, **{option: "<nope>"})
    write_folder(tmp_path, ["</s>"], tokenizer_config={option: "<nope>"})
    with pytest.raises(bloomdata.ConfigError, match=f"{option}.*<nope>"):
        bloomdata.Tokenizer(folder)


def test_padding_is_the_tokenizers_own_else_the_end_token(tmp_path):
    assert ids_of(write_folder(tmp_path / "a", ["</s>"])) == (3, 3)
    assert ids_of(write_folder(tmp_path / "b", ["</s>", "<p>"], special_tokens_map={"pad_token": "<p>"})) == (3, 4)
    assert ids_of(tmp_path / "a", pad_token="b") == (3, 1)


def test_the_file_and_its_folder_are_the_same_tokenizer(tmp_path):
    folder = write_folder(tmp_path, ["<a>", "</s>"], tokenizer_config={"eos_token": "<a>"})
    file = bloomdata.Tokenizer(folder / "tokenizer.json")
    assert (file.eos_token_id, file.fingerprint) == (3, bloomdata.Tokenizer(folder).fingerprint)
