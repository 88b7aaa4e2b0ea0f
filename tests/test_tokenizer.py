"""Token ids and texts are those of the `tokenizers` package, for every family."""

from __future__ import annotations

import functools
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

import bloomdata
from small_tokenizers import both, byte_level_bpe
from tokenizer_families import BACKENDS, FAMILIES, SPECIAL, TEMPLATES, WORDS, corpus

# Ordinary text, text of the corpus, and what tokenizers stumble over.
TEXTS = st.one_of(
    st.text(),
    st.lists(st.sampled_from([*WORDS, *SPECIAL, "<0x41>", "▁", "\u200d", "\ufeff", "\x00", "<s", "</", "##ing"])).map(
        "".join
    ),
    st.lists(st.sampled_from(WORDS)).map(" ".join),
)
# Loading takes longer than a text does.
load = functools.cache(bloomdata.Tokenizer)
PROPERTY = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])


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
def test_ids_are_those_of_the_tokenizers_package(family, template, folder_of, text):
    theirs, folder = folder_of(family, template)
    ours = load(folder)
    assert ours.backend == BACKENDS[family]
    assert ours.encode(text).tolist() == theirs.encode(text).ids
    bare = theirs.encode(text, add_special_tokens=False).ids
    assert ours.encode(text, add_special_tokens=False).tolist() == bare
    # A tokenizer that was told so at the start never adds anything.
    never = load(folder, add_special_tokens=False)
    assert never.encode(text).tolist() == bare
    assert never.encode(text, add_special_tokens=False).tolist() == bare


@pytest.mark.parametrize("family", FAMILIES)
@PROPERTY
@given(text=TEXTS)
def test_decoded_text_is_that_of_the_tokenizers_package(family, folder_of, text):
    theirs, folder = folder_of(family, "bos")
    ours = load(folder)
    ids = theirs.encode(text).ids
    for skip in (True, False):
        assert ours.decode(ids, skip_special_tokens=skip) == theirs.decode(ids, skip_special_tokens=skip)


def test_truncation_and_padding_that_the_file_asks_for_lose_nothing(folder_of, tmp_path):
    tokenizer = Tokenizer.from_str(folder_of("byte-level BPE", "none")[0].to_str())
    plain = [tokenizer.encode(text).ids for text in corpus()[:20]]
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=50, pad_id=0, pad_token="<pad>")
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    ours = bloomdata.Tokenizer(tmp_path)
    assert [ours.encode(text).tolist() for text in corpus()[:20]] == plain


# --- how it is opened, and what it tells -----------------------------------------------------------------------


def test_a_file_of_any_name_is_opened(folder_of, tmp_path):
    theirs, folder = folder_of("byte-level BPE", "bos and eos")
    path = tmp_path / "gpt.json"
    path.write_bytes((folder / "tokenizer.json").read_bytes())
    for ours in (bloomdata.Tokenizer.from_file(path), bloomdata.Tokenizer.from_file(str(path), eos_token="<s>")):
        assert ours.encode("the quick fox").tolist() == theirs.encode("the quick fox").ids
    assert ours.eos_token_id == theirs.token_to_id("<s>")
    for missing in (folder, tmp_path / "nope.json"):
        with pytest.raises(bloomdata.ConfigError, match="expected a file"):
            bloomdata.Tokenizer.from_file(missing)


def test_the_folder_of_a_model_is_opened(folder_of, tmp_path):
    theirs, folder = folder_of("WordPiece", "bos and eos")
    ours = bloomdata.Tokenizer.from_pretrained(folder, add_special_tokens=False)
    expected = theirs.encode("the quick fox", add_special_tokens=False).ids
    assert ours.encode("the quick fox").tolist() == expected
    for other in (folder / "tokenizer.json", "gpt2"):
        with pytest.raises(bloomdata.ConfigError, match="expected a local folder"):
            bloomdata.Tokenizer.from_pretrained(other)
    with pytest.raises(bloomdata.ConfigError, match=r"tokenizer.json does not exist"):
        bloomdata.Tokenizer.from_pretrained(tmp_path)


@pytest.mark.parametrize("family", FAMILIES)
def test_ids_have_the_names_of_the_tokenizers_package(family, folder_of):
    theirs, folder = folder_of(family, "none")
    ours = bloomdata.Tokenizer(folder)
    for token_id in range(ours.vocab_size):
        assert ours.id_to_token(token_id) == theirs.id_to_token(token_id)
    for token_id in (-1, ours.vocab_size, 1 << 31, 1 << 32, 1 << 70):
        assert ours.id_to_token(token_id) is None


def test_the_vocabulary_ends_behind_its_highest_id(folder_of, tmp_path):
    theirs, folder = folder_of("byte-level BPE", "none")
    assert bloomdata.Tokenizer(folder).vocab_size == max(theirs.get_vocab(with_added_tokens=True).values()) + 1
    # Ids may have gaps.
    definition = byte_level_bpe()
    definition["model"]["vocab"]["b"] = 70_000
    theirs, ours = both(definition, tmp_path)
    ids = theirs.encode("ab").ids
    assert (ours.vocab_size, ours.encode("ab").tolist()) == (70_001, ids)
    assert [ours.id_to_token(token_id) for token_id in (ids[0], 70_000, 69_999)] == ["a", "b", None]


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


@pytest.mark.parametrize("family", FAMILIES)
def test_a_tokenizer_can_be_pickled_and_shared_by_threads(family, folder_of):
    theirs, folder = folder_of(family, "bos and eos")
    copy = pickle.loads(pickle.dumps(bloomdata.Tokenizer(folder)))
    texts = corpus()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda text: copy.encode(text).tolist(), texts))
    assert found == [theirs.encode(text).ids for text in texts]


def test_a_pickled_tokenizer_keeps_its_options(folder_of):
    _, folder = folder_of("byte-level BPE", "bos and eos")
    options = {"eos_token": "<s>", "pad_token": "<pad>", "add_special_tokens": False, "special_tokens": ["<x>"]}
    first = bloomdata.Tokenizer(folder, **options)
    copy = pickle.loads(pickle.dumps(first))
    for name in ("eos_token_id", "pad_token_id", "vocab_size", "backend", "backend_reason", "fingerprint"):
        assert getattr(copy, name) == getattr(first, name)
    assert copy.encode("a<x>b").tolist() == first.encode("a<x>b").tolist()
    assert first.vocab_size == bloomdata.Tokenizer(folder).vocab_size + 1
