"""An index is built in a stream, with the same bytes wherever a run was killed, and says what is wrong with it."""

from __future__ import annotations

import json
import random
import shutil

import numpy as np
import pytest

import bloomdata
from bloomdata import retrieval
from bloomdata.errors import ConfigError, CorruptDataError, MismatchError
from bloomdata.retrieval import building
from bloomdata.retrieval import folder as folders
from bloomdata.retrieval.growing import GrowingFolder
from bloomdata.retrieval.hash_encoder import HashEncoder


class _KilledError(Exception):
    pass


def write_documents(path, count=300, longest=40, seed=0):
    source = random.Random(seed)
    words = ["".join(source.choices("abcdefgh", k=source.randint(2, 8))) for _ in range(500)]
    texts = [" ".join(source.choices(words, k=source.randint(0, longest))) for _ in range(count)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return texts


def files_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def docs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Small blocks, so that there are several.
    monkeypatch.setattr(building, "_BLOCK_PASSAGES", 128)
    return write_documents(tmp_path / "docs.jsonl")


def build(folder="index", **options):
    return retrieval.build("docs.jsonl", folder, **{"passage_words": 5, **options})


def test_a_folder_has_every_passage_and_its_vector(docs, tmp_path):
    report = build()
    assert report.documents == sum(bool(text) for text in docs)
    assert report.documents + report.documents_empty == len(docs)
    assert bloomdata.verify("index").files == 3
    vectors = np.load("index/vectors.npy")
    index = retrieval.open("index")
    passages = index._passages.read(0, report.passages - 1)
    assert len(index) == len(vectors) == len(passages) == report.passages
    joined = {}
    for passage in passages:
        joined[passage.document] = joined.get(passage.document, "") + passage.text
    assert joined == {number: text for number, text in enumerate(docs) if text}
    assert np.array_equal(vectors, HashEncoder().encode([passage.text for passage in passages]))
    before = files_of(tmp_path / "index")
    assert build().was_finished
    assert files_of(tmp_path / "index") == before
    assert "passages of" in str(report)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_run_that_was_killed_anywhere_gives_the_same_bytes(docs, tmp_path, monkeypatch, dtype):
    options = {"dtype": dtype, "index": "scan"}
    build("whole", **options)
    whole = files_of(tmp_path / "whole")
    blocks = -(-len(np.load("whole/vectors.npy")) // 128)
    assert blocks > 5
    encode = HashEncoder.encode
    for safe in (0, 1, 4, blocks - 1):
        left = safe

        def dying(self, texts):
            nonlocal left
            left -= 1
            if left < 0:
                raise _KilledError
            return encode(self, texts)

        monkeypatch.setattr(HashEncoder, "encode", dying)
        with pytest.raises(_KilledError):
            build(**options)
        monkeypatch.setattr(HashEncoder, "encode", encode)
        # What was begun behind the last checkpoint.
        for name in ("vectors.npy.tmp", "passages.jsonl.zst.tmp", "journal.jsonl"):
            with open(f"index/{name}", "ab") as file:
                file.write(b'{"cut')
        with pytest.raises(ConfigError, match="no manifest"):
            retrieval.open("index")
        report = build(**options)
        assert report.was_resumed == bool(safe)
        assert files_of(tmp_path / "index") == whole
        shutil.rmtree("index")
    monkeypatch.setattr(building, "_finish", lambda *_: (_ for _ in ()).throw(_KilledError()))
    with pytest.raises(_KilledError):
        build(**options)
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert build(**options).was_resumed
    assert files_of(tmp_path / "index") == whole


def test_other_calls_are_refused(docs, tmp_path):
    build()
    with pytest.raises(MismatchError, match="passage_words: got 6, found 5"):
        build(passage_words=6)
    write_documents(tmp_path / "docs.jsonl", seed=1)
    with pytest.raises(MismatchError, match="inputs"):
        build()
    assert build(overwrite=True).passages
    with pytest.raises(ConfigError, match=r"expected a new folder or an index, found docs\.jsonl"):
        build(".")
    bloomdata.shard("docs.jsonl", "shards")
    with pytest.raises(ConfigError, match="found one of `shard`"):
        build("shards")
    with pytest.raises(ConfigError, match="expected an index of `retrieval build`, found one of `shard`"):
        retrieval.open("shards")


def test_bad_inputs_are_refused(docs, tmp_path):
    (tmp_path / "docs.jsonl").write_text('{"text": "a b"}\n{"text": 3}\n')
    with pytest.raises(CorruptDataError, match="line 2"):
        build()
    (tmp_path / "docs.jsonl").write_text('{"text": " "}\n')
    with pytest.raises(ConfigError, match=r"expected documents with text, found none in docs\.jsonl"):
        build("other")
    with pytest.raises(FileNotFoundError):
        retrieval.build("missing.jsonl", "third")
    with pytest.raises(ConfigError, match=r"expected 'hash' or a folder with config\.json"):
        build("third", encoder="missing")
    with pytest.raises(ConfigError, match="dtype"):
        build("third", dtype="int8")


def test_an_encoder_that_fails_is_named_with_the_line(docs, monkeypatch):
    monkeypatch.setattr(HashEncoder, "encode", lambda _, texts: np.full((len(texts), 2), np.nan, np.float32))
    with pytest.raises(CorruptDataError, match=r"docs.jsonl: line 1: the encoder gives a vector that is not finite"):
        build()


def test_a_damaged_index_is_refused(docs, tmp_path):
    build()
    vectors = tmp_path / "index" / "vectors.npy"
    content = vectors.read_bytes()
    vectors.write_bytes(content[:-1])
    with pytest.raises(CorruptDataError, match=r"expected .* bytes, found"):
        retrieval.open("index")
    vectors.unlink()
    for act in (build, lambda: retrieval.open("index")):
        with pytest.raises(CorruptDataError, match=r"vectors.npy: expected \d+ bytes, found None"):
            act()
    vectors.write_bytes(content)
    manifest = tmp_path / "index" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format_version": 1', '"format_version": 99'))
    with pytest.raises(bloomdata.UnsupportedFormatError, match="99"):
        retrieval.open("index")


def test_an_unfinished_file_that_was_cut_is_refused(docs, tmp_path, monkeypatch):
    monkeypatch.setattr(building, "_finish", lambda *_: (_ for _ in ()).throw(_KilledError()))
    with pytest.raises(_KilledError):
        build()
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    vectors = tmp_path / "index" / folders.VECTORS
    vectors.write_bytes(vectors.read_bytes()[:1000])
    with pytest.raises(CorruptDataError, match=r"vectors.npy.tmp: expected \d+ bytes of an unfinished run, found 1000"):
        build()


def test_two_runs_cannot_build_the_same_index(docs, tmp_path):
    (tmp_path / "index").mkdir()
    with GrowingFolder(tmp_path / "index", {}), pytest.raises(BlockingIOError, match="another run builds"):
        GrowingFolder(tmp_path / "index", {}).__enter__()
