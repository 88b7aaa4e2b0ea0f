"""Token ids are those of the `tokenizers` package, id for id; every document ends once."""

from __future__ import annotations

import json
import pickle
import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import bloomdata

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]
WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "été", "naïve", "Straße", "文字", "это"]
WORDS += ["слово", "123", "4567", "it's", "don't", "", "\n", "\t", "☃", "😀"]


def corpus() -> list[str]:
    rng = random.Random(7)
    return [" ".join(rng.choices(WORDS, k=rng.randint(1, 30))) for _ in range(400)]


def byte_level_bpe() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def metaspace_bpe() -> Tokenizer:
    """As Llama's: words keep their space, unknown characters fall apart into bytes."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    special = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer.train_from_iterator(
        corpus(), trainers.BpeTrainer(vocab_size=700, special_tokens=special, show_progress=False)
    )
    # The bytes are ordinary tokens of the model, not to be found in texts.
    definition = json.loads(tokenizer.to_str())
    definition["added_tokens"] = [token for token in definition["added_tokens"] if token["content"] in SPECIAL]
    return Tokenizer.from_str(json.dumps(definition))


def unigram() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def word_piece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=400, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


FAMILIES: dict[str, Callable[[], Tokenizer]] = {
    "byte-level BPE": byte_level_bpe,
    "metaspace BPE with byte fallback": metaspace_bpe,
    "Unigram": unigram,
    "WordPiece": word_piece,
}
TEMPLATES = {"none": None, "bos": "<s> $A", "eos": "$A </s>", "bos and eos": "<s> $A </s>"}


def with_template(tokenizer: Tokenizer, template: str | None) -> Tokenizer:
    copy = Tokenizer.from_str(tokenizer.to_str())
    if template is not None:
        names = [("<s>", copy.token_to_id("<s>")), ("</s>", copy.token_to_id("</s>"))]
        copy.post_processor = processors.TemplateProcessing(single=template, special_tokens=names)
    return copy


@pytest.fixture(scope="module")
def trained() -> dict[str, Tokenizer]:
    return {name: train() for name, train in FAMILIES.items()}


@pytest.fixture(scope="module")
def folder_of(
    trained: dict[str, Tokenizer], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], tuple[Tokenizer, Path]]:
    """A tokenizer with a template, and the folder that holds it."""
    cache: dict[tuple[str, str], tuple[Tokenizer, Path]] = {}

    def make(family: str, template: str) -> tuple[Tokenizer, Path]:
        if (family, template) not in cache:
            tokenizer = with_template(trained[family], TEMPLATES[template])
            folder = tmp_path_factory.mktemp("tokenizer")
            tokenizer.save(str(folder / "tokenizer.json"))
            cache[family, template] = (tokenizer, folder)
        return cache[family, template]

    return make


# Ordinary text, text of the corpus, and what tokenizers stumble over.
TEXTS = st.one_of(
    st.text(),
    st.lists(st.sampled_from([*WORDS, *SPECIAL, "<0x41>", "▁", "\u200d", "\ufeff", "\x00", "<s", "</", "##ing"])).map(
        "".join
    ),
    st.lists(st.sampled_from(WORDS)).map(" ".join),
)
PROPERTY = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def expected_ids(tokenizer: Tokenizer, text: str, template: str, *, add_special_tokens: bool = True) -> list[int]:
    """Ids by the `tokenizers` package, less an end token that the template has added."""
    ids = tokenizer.encode(text, add_special_tokens=add_special_tokens).ids
    return ids[:-1] if add_special_tokens and template.endswith("eos") else ids


@pytest.mark.parametrize("add_special_tokens", [True, False])
@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("family", FAMILIES)
@PROPERTY
@given(text=TEXTS)
@example(text="")
@example(text="</s>")
@example(text="the quick</s>")
@example(text="</s></s>")
@example(text="<s>the quick</s> brown")
@example(text="a" * 5000)
def test_ids_are_those_of_the_tokenizers_package(family, template, add_special_tokens, folder_of, text):
    theirs, folder = folder_of(family, template)
    ours = bloomdata.Tokenizer(folder, add_special_tokens=add_special_tokens)
    expected = expected_ids(theirs, text, template, add_special_tokens=add_special_tokens)
    assert ours.encode(text).tolist() == expected


@pytest.mark.parametrize("family", FAMILIES)
@PROPERTY
@given(text=TEXTS)
def test_decoded_text_is_that_of_the_tokenizers_package(family, folder_of, text):
    theirs, folder = folder_of(family, "bos")
    ours = bloomdata.Tokenizer(folder)
    ids = theirs.encode(text).ids
    for skip in (True, False):
        assert ours.decode(ids, skip_special_tokens=skip) == theirs.decode(ids, skip_special_tokens=skip)


def packed_documents(inputs: Any, output: Path, **options: Any) -> list[list[int]]:
    bloomdata.pack(inputs, output, format="megatron", **options)
    return [document.tolist() for document in bloomdata.open(output)]


@pytest.mark.parametrize("num_threads", [1, 4])
@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("family", FAMILIES)
def test_packed_documents_are_their_ids_and_one_end_token(family, template, num_threads, folder_of, tmp_path):
    theirs, folder = folder_of(family, template)
    texts = [text for text in [*corpus(), "é" * 3000, "x", " ", "\n"] if text]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    documents = packed_documents(tmp_path / "a.jsonl", tmp_path / "out", tokenizer=folder, num_threads=num_threads)
    end = theirs.token_to_id("</s>")
    expected = [expected_ids(theirs, text, template) for text in texts]
    # A text without tokens is dropped and counted.
    assert documents == [[*ids, end] for ids in expected if ids]
    assert all(document.count(end) == 1 for document in documents)


@pytest.mark.parametrize("template", TEMPLATES)
def test_without_append_eos_documents_are_the_bare_ids(template, folder_of, tmp_path):
    theirs, folder = folder_of("byte-level BPE", template)
    texts = ["the quick brown fox", "a text that ends itself</s>", "</s>in front"]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    documents = packed_documents(tmp_path / "a.jsonl", tmp_path / "out", tokenizer=folder, append_eos=False)
    assert documents == [expected_ids(theirs, text, template) for text in texts]


def test_an_end_token_that_the_text_holds_is_not_the_templates(folder_of, tmp_path):
    # Whether the tokenizer adds a leading <s> says nothing about the end.
    texts = ["the quick</s>", "</s>"]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    for template in ("none", "bos"):
        theirs, folder = folder_of("byte-level BPE", template)
        documents = packed_documents(tmp_path / "a.jsonl", tmp_path / template, tokenizer=folder)
        end = theirs.token_to_id("</s>")
        assert documents == [[*theirs.encode(text).ids, end] for text in texts]


def test_an_empty_field_stays_a_document_without_tokens_whatever_the_template_adds(folder_of, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "the quick", "title": ""}\n{"text": "", "title": "brown fox"}\n')
    for template in TEMPLATES:
        theirs, folder = folder_of("byte-level BPE", template)
        output = tmp_path / template
        bloomdata.pack(tmp_path / "a.jsonl", output, tokenizer=folder, format="megatron", text_field=["text", "title"])
        end = theirs.token_to_id("</s>")
        text, title = (
            [document.tolist() for document in bloomdata.open(output, field=field)] for field in ("text", "title")
        )
        assert text == [[*expected_ids(theirs, "the quick", template), end], []]
        assert title == [[], [*expected_ids(theirs, "brown fox", template), end]]


def test_truncation_and_padding_that_the_file_asks_for_lose_nothing(trained, tmp_path):
    tokenizer = Tokenizer.from_str(trained["byte-level BPE"].to_str())
    plain = [tokenizer.encode(text).ids for text in corpus()[:20]]
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=50, pad_id=0, pad_token="<pad>")
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    ours = bloomdata.Tokenizer(tmp_path)
    assert [ours.encode(text).tolist() for text in corpus()[:20]] == plain


# --- which token ends a document -------------------------------------------------------------------------------


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


def test_two_known_end_tokens_are_refused_by_name(tmp_path):
    folder = write_folder(tmp_path, ["</s>", "<|endoftext|>"])
    with pytest.raises(bloomdata.ConfigError, match="eos_token") as caught:
        bloomdata.Tokenizer(folder)
    assert "</s>" in str(caught.value)
    assert "<|endoftext|>" in str(caught.value)
    assert ids_of(folder, eos_token="</s>") == (3, 3)


def test_no_known_end_token_is_refused(tmp_path):
    with pytest.raises(bloomdata.ConfigError, match="eos_token"):
        bloomdata.Tokenizer(write_folder(tmp_path, ["<other>"]))


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


# --- the object ------------------------------------------------------------------------------------------------


def test_the_vocabulary_ends_behind_its_highest_id(folder_of, tmp_path):
    theirs, folder = folder_of("byte-level BPE", "none")
    assert bloomdata.Tokenizer(folder).vocab_size == max(theirs.get_vocab(with_added_tokens=True).values()) + 1
    # Ids may have gaps.
    definition = json.loads((write_folder(tmp_path, ["</s>"]) / "tokenizer.json").read_text())
    definition["model"]["vocab"]["b"] = 70_000
    (tmp_path / "tokenizer.json").write_text(json.dumps(definition))
    tokenizer = bloomdata.Tokenizer(tmp_path)
    assert (tokenizer.vocab_size, tokenizer.encode("a b").tolist()) == (70_001, [0, 70_000])


@pytest.mark.parametrize("token_id", [-1, 259, 1 << 31, 1 << 32, 1 << 70])
def test_an_id_outside_of_the_vocabulary_is_a_mismatch(token_id):
    with pytest.raises(bloomdata.MismatchError, match="token id"):
        bloomdata.Tokenizer("bytes").decode([104, token_id])


@PROPERTY
@given(text=st.text())
def test_the_byte_tokenizer_gives_the_bytes_of_the_text_and_the_text_back(text):
    tokenizer = bloomdata.Tokenizer("bytes")
    ids = tokenizer.encode(text)
    assert ids.tolist() == list(text.encode())
    assert (tokenizer.decode(ids), ids.dtype, ids.flags.writeable) == (text, np.uint32, False)


def test_a_tokenizer_can_be_pickled_and_shared_by_threads(folder_of):
    theirs, folder = folder_of("metaspace BPE with byte fallback", "bos and eos")
    copy = pickle.loads(pickle.dumps(bloomdata.Tokenizer(folder)))
    texts = corpus()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda text: copy.encode(text).tolist(), texts))
    assert found == [theirs.encode(text).ids[:-1] for text in texts]
