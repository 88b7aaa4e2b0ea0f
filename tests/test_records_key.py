"""Records under a key of a JSON file."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata.errors import ConfigError, CorruptDataError, UnsupportedFormatError

values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=6)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["data", "a", 'é"', "x.y"]), inner, max_size=3)
    ),
    max_leaves=8,
)
rows = st.lists(st.dictionaries(st.sampled_from(["data", "b"]), values, max_size=2), max_size=4)


@given(
    st.lists(st.tuples(rows, st.dictionaries(st.sampled_from(["c", "datas", "Data"]), values, max_size=3)), max_size=3),
    st.sampled_from([None, 2]),
    st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_the_elements_under_a_key_are_what_python_finds_there(tmp_path_factory, documents, indent, is_nested):
    folder = tmp_path_factory.mktemp("records")
    path = folder / "a.json"
    wrapped = [{**others, "data": found, "z": others} for found, others in documents]
    wrapped = [{"page": 1, "inner": one, "data": 7} if is_nested else one for one in wrapped]
    path.write_text("\n".join(json.dumps(one, indent=indent) for one in wrapped))
    bloomdata.shard(path, folder / "out", compression="none", records="inner.data" if is_nested else "data")
    lines = [line for file in sorted((folder / "out").glob("*.jsonl")) for line in file.read_text().splitlines()]
    assert [json.loads(line) for line in lines] == [row for found, _ in documents for row in found]


def test_every_verb_that_reads_once_takes_a_key(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"n": 2, "data": [{"text": "x", "instruction": "i", "output": "o"}, {"text": "yz"}]}')
    assert bloomdata.count(path, tokenizer="bytes", records="data").tokens == 3
    report = bloomdata.pack(path, tmp_path / "packed", tokenizer="bytes", sequence_length=8, records="data")
    assert report.ledger["documents_kept"] == 2
    assert report.manifest["config"]["records"] == "data"
    assert "records" not in bloomdata.shard(path, tmp_path / "s", records="data").manifest["inputs"][0]
    report = bloomdata.prepare("alpaca", path, tmp_path / "p", records="data", on_bad_record="quarantine")
    assert report.ledger["documents_kept"] == 1


def test_one_object_around_one_list_proposes_its_key(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"version": "1.1", "data": [{"text": "x"}, {"text": "y"}]}')
    with pytest.raises(UnsupportedFormatError, match=r'under "data".*records="data" reads that list') as error:
        bloomdata.shard(path, tmp_path / "refused")
    assert str(path) in str(error.value)
    report = bloomdata.shard(path, tmp_path / "as-it-is", records=".", compression="none")
    assert report.ledger["documents_kept"] == 1
    path.write_text('{"messages": [{"role": "user", "content": "x"}]}')
    assert bloomdata.shard(path, tmp_path / "chat").ledger["documents_kept"] == 1


def test_a_key_that_is_not_there_is_told(tmp_path):
    path = tmp_path / "a.json"
    for content, told in [
        ('{"rows": [], "n": 1}', 'has nothing under "data"; its keys are: rows, n'),
        ('{"data": {"x": []}}', 'expected a list of records under "data"'),
        ("[1]", 'expected an object with the records under "data"'),
        ('{"data": [{"text": "x"}', "truncated"),
    ]:
        path.write_text(content)
        with pytest.raises((ConfigError, CorruptDataError), match=told):
            bloomdata.count(path, tokenizer="bytes", records="data")
    other = tmp_path / "b.jsonl"
    other.write_text('{"text": "x"}\n')
    with pytest.raises(ConfigError, match=r"records: .*is a key of \.json files"):
        bloomdata.count(other, tokenizer="bytes", records="data")
    with pytest.raises(ConfigError, match="records: expected a key"):
        bloomdata.count(path, tokenizer="bytes", records="")


def test_elements_that_are_bad_are_told_by_their_place(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"data": [{"text": "x"}, {"text": 7}]}')
    with pytest.raises(CorruptDataError, match=r'a\.json: line 2: offset 25: field "text" is not a string'):
        bloomdata.count(path, tokenizer="bytes", records="data")
