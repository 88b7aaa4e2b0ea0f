"""Indices of FAISS find what a scan finds; only here and in `retrieval.search` is FAISS imported."""

from __future__ import annotations

import numpy as np
import pytest

from bloomdata import retrieval
from bloomdata.errors import CorruptDataError
from bloomdata.retrieval.search import FaissSearch, Scan, kind_of, write_index

pytest.importorskip("faiss", reason="faiss-cpu is in the group `train` only")
pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("ignore")]


def unit_vectors(count, dimension=16, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((count, dimension), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_auto_takes_faiss_only_where_it_gives_something():
    assert [kind_of("auto", count, "float32") for count in (1, 200_000, 200_001)] == ["scan", "scan", "ivf"]
    assert [kind_of("auto", count, "float16") for count in (1, 200_001)] == ["flat", "ivf"]
    assert kind_of("flat", 10**6, "float32") == "flat"


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_flat_index_finds_what_a_scan_finds(tmp_path, dtype):
    vectors = unit_vectors(1000).astype(dtype)
    write_index(tmp_path / "knn.index", vectors, "flat")
    flat, scan = FaissSearch(tmp_path / "knn.index", 1000, is_inverted=False), Scan(vectors)
    for query in unit_vectors(50, seed=1):
        ours, theirs = scan.search(query, 5), flat.search(query, 5)
        assert [row for row, _ in ours] == [row for row, _ in theirs]
        assert np.allclose([score for _, score in ours], [score for _, score in theirs], atol=1e-5)
    assert len(flat.search(unit_vectors(1)[0], 2000)) == 1000


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_an_inverted_file_finds_most_and_is_the_same_every_time(tmp_path, dtype):
    # Vectors in clusters, as those of texts are.
    centres = unit_vectors(200, seed=2)
    vectors = centres[np.random.default_rng(3).integers(200, size=12_000)] + 0.15 * unit_vectors(12_000)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(dtype)
    for name in ("a", "b"):
        write_index(tmp_path / name, vectors, "ivf")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    inverted, scan = FaissSearch(tmp_path / "a", 12_000, is_inverted=True), Scan(vectors)
    queries = vectors[:100].astype(np.float32) + 0.05 * unit_vectors(100, seed=4)
    found = sum(inverted.search(query, 1)[0][0] == scan.search(query, 1)[0][0] for query in queries)
    assert found >= 95


@pytest.mark.parametrize("index", ["flat", "ivf"])
def test_an_index_is_built_and_asked(tmp_path, monkeypatch, index):
    monkeypatch.chdir(tmp_path)
    lines = [f'{{"text": "fact {number} is about {chr(97 + number % 26) * 5}"}}\n' for number in range(100)]
    (tmp_path / "docs.jsonl").write_text("".join(lines))
    assert retrieval.build("docs.jsonl", "index", index=index).index == index
    opened = retrieval.open("index")
    assert opened.query("fact 7 is about hhhhh", k=1).hits[0].document == 7
    path = tmp_path / "index" / "knn.index"
    size = path.stat().st_size
    # A new file: the old one is mapped, and threads of FAISS may read it.
    path.unlink()
    path.write_bytes(b"IxFI" + bytes(size - 4))
    with pytest.raises(CorruptDataError, match=r"knn\.index: expected"):
        retrieval.open("index")
