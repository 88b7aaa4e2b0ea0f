"""Documents are cut into passages that are their text; hits reach as far as the reference says."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bloomdata.errors import CorruptDataError
from bloomdata.retrieval.hash_encoder import HashEncoder
from bloomdata.retrieval.neighbours import extend
from bloomdata.retrieval.passages import Passage, PassageFile, cut, read_passages, to_frame
from bloomdata.retrieval.search import Scan
from reference.neighbours import extended

TEXTS = st.text(st.sampled_from("ab \n\u2028\u3000世界ไ\U0001f600."), max_size=60)


@given(TEXTS, st.integers(0, 5))
def test_passages_behind_each_other_are_the_text(text, words):
    passages = cut(text, words)
    assert "".join(passages) == (text if text.strip() else "")
    assert all(passage.strip() for passage in passages)


def test_passages_have_so_many_words():
    assert cut("one two  three\nfour five", 2) == ["one two  ", "three\nfour ", "five"]
    assert cut("  one two", 0) == ["  one two"]
    assert cut(" \n", 3) == []


def test_a_character_is_a_word_where_no_blanks_are():
    assert cut("世界您好 hello", 3) == ["世界您", "好 hello"]
    assert [len(passage) for passage in cut("x" * 1000, 4)] == [256, 256, 256, 232]


@given(
    st.integers(0, 19),
    st.integers(0, 7),
    st.lists(st.sampled_from([0.2, 0.5, 0.500001, 0.9]), min_size=20, max_size=20),
    st.lists(st.integers(0, 2), min_size=20, max_size=20),
)
def test_hits_reach_as_far_as_the_reference(centre, neighbours, cosines, documents):
    documents = sorted(documents)

    def is_near(row):
        return 0 <= row < 20 and documents[row] == documents[centre] and cosines[row] > 0.5

    first, last = extend(centre, neighbours, is_near)
    assert list(range(first, last + 1)) == extended(centre, neighbours, 0.5, cosines, documents)


def test_documents_are_read_with_their_lines(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps({"text": text}) for text in ("a b c", "", "d")) + "\n")
    books = dict.fromkeys(("documents_in", "documents_kept", "text_bytes"), 0)
    found = list(read_passages([str(path)], text_field="text", words=2, books=books))
    assert [(passage.id, passage.line, passage.text) for passage in found] == [
        (f"{path}:1#0", 1, "a b "),
        (f"{path}:1#1", 1, "c"),
        (f"{path}:3#0", 3, "d"),
    ]
    assert books == {"documents_in": 3, "documents_kept": 2, "text_bytes": 6}


def test_any_passages_can_be_read_alone(tmp_path):
    name = "a\u2028b"
    passages = [Passage(document=n // 7, number=n % 7, source=name, line=n, text=f"\u2028{n}") for n in range(150)]
    frames = [to_frame(passages[start : start + 64]) for start in range(0, 150, 64)]
    path = tmp_path / "passages.jsonl.zst"
    path.write_bytes(b"".join(frames))
    offsets = np.cumsum([0, *map(len, frames)])
    file = PassageFile(path, offsets)
    for first, last in ((0, 0), (63, 64), (60, 149), (149, 149)):
        assert file.read(first, last) == passages[first : last + 1]
    damaged = bytearray(path.read_bytes())
    damaged[offsets[1] + 3 : offsets[1] + 40] = bytes(37)
    path.write_bytes(damaged)
    with pytest.raises(CorruptDataError, match=f"offset {offsets[1]}: damaged frame"):
        PassageFile(path, offsets).read(64, 64)
    path.write_bytes(damaged[:-1])
    with pytest.raises(CorruptDataError, match=r"expected .* bytes, found"):
        PassageFile(path, offsets)


@given(st.integers(1, 30), st.integers(0, 40), st.sampled_from([np.float32, np.float16]), st.randoms())
def test_a_scan_finds_what_sorting_finds(count, k, dtype, random):
    # Few values, so that there are many ties.
    vectors = np.array([[random.choice([-1, 0, 1]) for _ in range(3)] for _ in range(count)], dtype)
    query = np.array([1, -1, 1], np.float32)
    scores = [float(vector.astype(np.float32) @ query) for vector in vectors]
    rows = sorted(range(count), key=lambda row: (-scores[row], row))[:k]
    assert Scan(vectors).search(query, k) == [(row, scores[row]) for row in rows]


def test_hashed_vectors_do_not_change():
    vectors = HashEncoder().encode(["Hello world", "hello  WORLD ", "世界", "", "a"])
    assert vectors.dtype == np.float32
    assert np.array_equal(vectors[0], vectors[1])
    assert np.allclose(np.linalg.norm(vectors, axis=1), [1, 1, 1, 0, 1])
    assert np.flatnonzero(vectors[2]).tolist() == GOLDEN_BUCKETS


# Of the first release: other numbers would make every index that was built before useless.
GOLDEN_BUCKETS = [207, 290, 507]
