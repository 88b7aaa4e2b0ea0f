"""Planted facts are found, with their neighbours, from Python and from the command line."""

from __future__ import annotations

import json
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

import bloomdata
from bloomdata import retrieval
from bloomdata.cli import main
from bloomdata.errors import ConfigError, MismatchError
from bloomdata.retrieval.hash_encoder import HashEncoder

CITIES = ["Lisbon", "Oslo", "Quito", "Hanoi", "Accra", "Dublin", "Cairo", "Lima", "Riga", "Sofia"]


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """Facts about cities among sentences of noise, in one document."""
    folder = tmp_path_factory.mktemp("retrieval")
    source = random.Random(0)
    noise = ["".join(source.choices("bcdfgaeiou", k=source.randint(3, 9))) for _ in range(300)]
    lines = [{"text": " ".join(source.choices(noise, k=30))} for _ in range(500)]
    for number, city in enumerate(CITIES):
        lines[number * 50] = {"text": f"The archive of {city} was founded in {1500 + number}."}
    path = folder / "docs.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    retrieval.build(path, folder / "index", passage_words=16)
    return folder / "index"


def test_planted_facts_are_found(index):
    opened = retrieval.open(index)
    for number, city in enumerate(CITIES):
        (hit,) = opened.query(f"When was the archive of {city} founded?", k=1).hits
        assert (hit.document, hit.line) == (number * 50, number * 50 + 1)
        assert hit.id == f"{index.parent / 'docs.jsonl'}:{hit.line}#0"
        assert hit.text.endswith(f"founded in {1500 + number}.")
        assert opened.context(f"archive of {city}", 1) == [(hit.id, hit.text)]


def test_hits_reach_to_neighbours_of_their_document_only(tmp_path):
    rows = [
        {"text": "the red fox runs the red fox jumps the red fox sleeps old grey stones"},
        {"text": "the red fox eats"},
    ]
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    retrieval.build(tmp_path / "docs.jsonl", tmp_path / "index", passage_words=4)
    opened = retrieval.open(tmp_path / "index")

    def text(**options):
        return opened.query("the red fox jumps", k=1, **options).hits[0].text

    assert text(neighbours=0) == "the red fox jumps "
    assert text() == "the red fox runs the red fox jumps the red fox sleeps "
    assert text(neighbour_similarity=0.99) == "the red fox jumps "
    assert text(neighbour_similarity=-1.0) == rows[0]["text"]
    hit = opened.query("the red fox eats", k=1, neighbour_similarity=-1.0).hits[0]
    assert (hit.text, hit.first, hit.last) == ("the red fox eats", 0, 0)


def test_queries_are_checked(index):
    opened = retrieval.open(index)
    assert len(opened.query("archive", k=10_000).hits) == len(opened)
    assert opened.query("archive", k=0).hits == []
    with pytest.raises(ConfigError, match="expected words to look for, found none"):
        opened.query(" \n")
    with pytest.raises(ConfigError, match="k: expected a whole number"):
        opened.query("a", k=-1)
    other = HashEncoder()
    other.facts = {"kind": "other", "hash": "0" * 64}
    with pytest.raises(MismatchError, match=r"encoder: expected that of the index, hash with hash .*, found other"):
        opened.with_encoder(other)


def test_threads_share_an_index(index):
    opened = retrieval.open(index)
    queries = [f"archive of {city}" for city in CITIES] * 4
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(opened.query, queries)) == [opened.query(query) for query in queries]


def test_faiss_is_named_where_it_is_missing(index, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with pytest.raises(ConfigError, match=r"FAISS is not installed: pip install 'bloomdata\[retrieval\]'"):
        retrieval.build(index.parent / "docs.jsonl", tmp_path / "flat", index="flat")


def test_the_command_line_builds_and_asks(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs.jsonl").write_text('{"body": {"text": "Paris is the capital of France"}}\n')
    build = ["retrieval", "build", "docs.jsonl", "--output", "index", "--text-field", "body.text", "--json"]
    assert main(build) == 0
    assert json.loads(capsys.readouterr().out)["passages"] == 1
    ask = ["retrieval", "query", "index", "capital of France", "-k", "2", "--neighbours", "1"]
    assert main([*ask, "--neighbour-similarity", "0.4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["hits"][0]["text"] == "Paris is the capital of France"
    assert main(ask) == 0
    assert "docs.jsonl:1#0\n  Paris is" in capsys.readouterr().out
    assert main([*build, "--passage-words", "3"]) == 1
    assert "--overwrite starts anew" in capsys.readouterr().err
    assert main(["retrieval", "query", "missing", "text"]) == 1
    with pytest.raises(SystemExit):
        main(["retrieval", "ask"])
    assert main(["verify", "index"]) == 0
    assert main(["report", "index"]) == 0


def test_examples_of_the_docstrings_run(raw):
    import doctest

    for function in (retrieval.build, retrieval.query):
        names = {"bloomdata": bloomdata}
        test = doctest.DocTestParser().get_doctest(function.__doc__, names, function.__name__, None, 0)
        assert doctest.DocTestRunner().run(test).failed == 0
