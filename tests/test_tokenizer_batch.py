"""Many texts at once have the ids of each by itself, from lists and from Arrow; what is no text is refused."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from tokenizer_families import BACKENDS, FAMILIES, SPECIAL, TEMPLATES, WORDS, corpus

TEXTS = ["the quick", "", "été 文字\n😀", "</s>", " ", "a" * 300, "\0", "it's 1234"]
ARROW_TYPES = [pa.string(), pa.large_string(), pa.string_view()]
SURROGATE = "half of a pair: \ud800"


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request, folder_of):
    """The package's tokenizer of each family, and ours."""
    theirs, folder = folder_of(request.param, "bos and eos")
    ours = bloomdata.Tokenizer(folder)
    assert ours.backend == BACKENDS[request.param]
    return theirs, ours


@pytest.fixture(scope="module")
def ours(folder_of):
    return bloomdata.Tokenizer(folder_of("byte-level BPE", "bos and eos")[1])


def parts_of(result):
    """Ids of each text, after a look at both arrays."""
    ids, offsets = result
    assert (ids.dtype, ids.ndim, ids.flags.writeable) == (np.uint32, 1, False)
    assert (offsets.dtype, offsets.ndim, offsets[0], offsets[-1]) == (np.int64, 1, 0, len(ids))
    return [ids[start:end].tolist() for start, end in itertools.pairwise(offsets.tolist())]


def one_by_one(tokenizer, texts, **options):
    return [tokenizer.encode(text, **options).tolist() for text in texts]


# --- ids -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_has_the_ids_of_the_package(family, template, special, folder_of):
    theirs, folder = folder_of(family, template)
    ours = bloomdata.Tokenizer(folder)
    texts = TEXTS + corpus()[:50]
    expected = [encoding.ids for encoding in theirs.encode_batch(texts, add_special_tokens=special)]
    assert parts_of(ours.encode_batch(texts, add_special_tokens=special)) == expected
    assert one_by_one(ours, texts, add_special_tokens=special) == expected
    counts = ours.count_tokens(texts, add_special_tokens=special)
    assert (counts.dtype, counts.tolist()) == (np.int64, [len(ids) for ids in expected])
    assert [ours.count_tokens(text, add_special_tokens=special) for text in texts] == counts.tolist()


@settings(max_examples=200)
@given(texts=st.lists(st.lists(st.sampled_from([*WORDS, *SPECIAL]) | st.text(max_size=9)).map("".join)))
def test_any_batch_is_its_texts_one_by_one_and_back(texts, pair):
    theirs, ours = pair
    ids, offsets = ours.encode_batch(texts)
    assert parts_of((ids, offsets)) == one_by_one(ours, texts)
    for skip in (False, True):
        decoded = ours.decode_batch(ids, offsets, skip_special_tokens=skip)
        assert decoded == ours.decode_batch(parts_of((ids, offsets)), skip_special_tokens=skip)
        assert decoded == theirs.decode_batch(parts_of((ids, offsets)), skip_special_tokens=skip)


def test_nothing_and_texts_of_nothing(pair):
    for nothing in ([], (), pa.array([], pa.string()), pa.chunked_array([], pa.string())):
        assert parts_of(pair[1].encode_batch(nothing)) == []
        assert pair[1].count_tokens(nothing).shape == (0,)
    assert pair[1].decode_batch([]) == []
    assert pair[1].decode_batch([], [0]) == []
    assert pair[1].decode_batch([], [0, 0]) == [""]
    for size in (1, 5, 1000):
        bare = pair[1].encode_batch([""] * size, add_special_tokens=False)
        assert parts_of(bare) == [[]] * size
        assert parts_of(pair[1].encode_batch([""] * size)) == [pair[0].encode("").ids] * size


@pytest.mark.parametrize("threads", [0, -1])
def test_less_than_one_thread_is_refused(threads, ours):
    with pytest.raises(bloomdata.ConfigError, match="num_threads"):
        ours.encode_batch(["a"], num_threads=threads)


# --- what texts may be -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [tuple, iter, dict.fromkeys, lambda texts: np.array(texts, object), np.array],
    ids=["tuple", "iterator", "keys of a dict", "array of objects", "array of str"],
)
def test_anything_that_lists_texts(kind, ours):
    texts = [text for text in TEXTS if "\0" not in text]
    assert parts_of(ours.encode_batch(kind(texts))) == one_by_one(ours, texts)


@pytest.mark.parametrize("kind", ARROW_TYPES, ids=str)
def test_arrow_strings(kind, ours):
    expected = one_by_one(ours, TEXTS)
    array = pa.array(TEXTS, kind)
    chunks = pa.chunked_array([array[:3], array[3:3], array[3:]])
    nested = pa.table({"text": chunks}).column("text")
    for texts in (array, chunks, nested, pa.chunked_array([array]), pa.array([*TEXTS, None], kind)[:-1]):
        assert parts_of(ours.encode_batch(texts)) == expected
        assert ours.count_tokens(texts).tolist() == [len(ids) for ids in expected]
    for start, end in itertools.combinations(range(len(TEXTS) + 1), 2):
        assert parts_of(ours.encode_batch(array[start:end])) == expected[start:end]
    assert parts_of(ours.encode_batch(chunks.slice(2, 4))) == expected[2:6]


@pytest.mark.parametrize("kind", ARROW_TYPES, ids=str)
def test_a_null_is_refused_with_its_place(kind, ours):
    array = pa.array(["a", "b", None, "d"], kind)
    for texts, at in ((array, 2), (array[1:], 1), (pa.chunked_array([array[:1], array[:2], array[2:]]), 3)):
        for call in (ours.encode_batch, ours.count_tokens):
            with pytest.raises(ValueError, match=f"text {at} is null"):
                call(texts)


NO_TEXTS = [pa.array([1]), pa.array([b"a"]), pa.array(["a"]).dictionary_encode(), pa.array([["a"]]), pa.nulls(1)]


@pytest.mark.parametrize("array", NO_TEXTS, ids=lambda array: str(array.type))
def test_arrow_arrays_of_something_else_are_refused(array, ours):
    for texts in (array, pa.chunked_array([array])):
        with pytest.raises(TypeError, match="not of strings"):
            ours.encode_batch(texts)


def test_damaged_arrow_arrays_are_refused(ours):
    def array(offsets, content):
        return pa.StringArray.from_buffers(2, pa.py_buffer(np.array(offsets, "<i4").tobytes()), pa.py_buffer(content))

    good = array([0, 2, 3], "éa".encode())
    assert parts_of(ours.encode_batch(good)) == one_by_one(ours, ["é", "a"])
    # A cut inside a character, offsets that go back, and bytes that are no UTF-8; pyarrow looks at none of it.
    for damaged in (array([0, 1, 3], "éa".encode()), array([0, 3, 2], "éa".encode()), array([0, 2, 3], b"\xff\xfea")):
        with pytest.raises(ValueError, match=r"(?i)offset|utf"):
            ours.encode_batch(damaged)


@pytest.mark.parametrize("wrong", [5, None, b"bytes", ["a"], 1.5, pa.scalar("a")], ids=repr)
def test_what_is_no_text_is_refused_with_its_place(wrong, ours):
    for texts, at in (([wrong], 0), (["a", "", wrong, "b", wrong], 2)):
        for call in (ours.encode_batch, ours.count_tokens):
            with pytest.raises(TypeError, match=f"text {at}"):
                call(texts)


@pytest.mark.parametrize("wrong", ["a text", b"bytes", 5, None])
def test_what_lists_no_texts_is_refused(wrong, ours):
    with pytest.raises(TypeError):
        ours.encode_batch(wrong)


def test_half_of_a_surrogate_pair_is_refused_with_its_place(pair):
    with pytest.raises(UnicodeEncodeError, match="surrogates"):
        pair[1].encode(SURROGATE)
    for call in (pair[1].encode_batch, pair[1].count_tokens):
        with pytest.raises(UnicodeEncodeError, match="surrogates") as caught:
            call(["a", "b", SURROGATE, "c"])
        assert "text 2" in caught.value.__notes__


def test_ids_and_offsets_that_do_not_fit_are_a_mismatch(ours):
    ids, offsets = ours.encode_batch(["the quick", "fox"])
    for wrong in ([], [0, 5, 2], [-1, 2], [0, len(ids) + 1]):
        with pytest.raises(bloomdata.MismatchError, match="offsets"):
            ours.decode_batch(ids, wrong)
    with pytest.raises(bloomdata.MismatchError, match="token id"):
        ours.decode_batch([[0], [ours.vocab_size]])
    assert ours.decode_batch(ids, offsets[1:]) == [ours.decode(ours.encode("fox"))]
