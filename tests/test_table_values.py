"""Values of tables stay what they are on the way to JSON, or their row is a bad record."""

import json
import math
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata import CorruptDataError, UnsupportedFormatError
from reference import choosing
from sharding import contents_of

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'assistant' %}<a>{% for t in m.tool_calls or [] %}{{ t.function | tojson }}"
    "{% endfor %}{{ m.content or '' }}</a>{% else %}<u>{{ m.content }}</u>{% endif %}{% endfor %}"
)


def shard(inputs, output, **options):
    report = bloomdata.shard(inputs, output, allow_empty=True, **options)
    lines = b"".join(contents_of(output).values()).splitlines()
    return [json.loads(line) for line in lines], report


numbers = st.one_of(st.none(), st.floats(width=32), st.integers(-5, 5).map(float))
values = st.fixed_dictionaries({"x": numbers, "y": st.one_of(st.none(), st.text(max_size=3))})
ROW = pa.schema(
    {
        "text": pa.string(),
        "score": pa.float64(),
        "half": pa.float16(),
        "one": pa.struct({"x": pa.float32(), "y": pa.string()}),
        "many": pa.list_(pa.struct({"x": pa.float64(), "y": pa.string()})),
    }
)
rows = st.fixed_dictionaries(
    {
        "text": st.one_of(st.none(), st.text(max_size=3)),
        "score": numbers,
        "half": st.one_of(st.none(), st.floats(width=16)),
        "one": st.one_of(st.none(), values),
        "many": st.one_of(st.none(), st.lists(st.one_of(st.none(), values), max_size=3)),
    }
)


@settings(max_examples=60, deadline=None)
@given(st.lists(rows, min_size=1, max_size=6), st.sampled_from(["table", "parquet", "arrow"]))
def test_rows_are_what_pyarrow_says_or_bad_records(given_rows, kind):
    table = pa.Table.from_pylist(given_rows, schema=ROW)
    with tempfile.TemporaryDirectory() as folder:
        inputs = table
        if kind == "parquet":
            inputs = f"{folder}/a.parquet"
            pq.write_table(table, inputs)
        elif kind == "arrow":
            inputs = f"{folder}/a.arrow"
            with pa.ipc.new_stream(inputs, table.schema) as writer:
                writer.write_table(table)
        found, report = shard(inputs, Path(folder) / "out", on_bad_record="quarantine")
        good = [row for row in table.to_pylist() if choosing.is_finite(list(row.values()))]
        expected = [{name: choosing.without_null_keys(value) for name, value in row.items()} for row in good]
        assert found == expected
        assert sum(report.ledger["documents_quarantined"].values()) == len(given_rows) - len(good)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_lacks_matters_where_it_is_read(number, tmp_path):
    pq.write_table(pa.table({"text": ["a", "b"], "score": [0.5, number]}), tmp_path / "a.parquet")
    with pytest.raises(CorruptDataError, match=r"a\.parquet: line 2: offset 1: malformed JSON"):
        bloomdata.shard(tmp_path / "a.parquet", tmp_path / "out")
    report = bloomdata.shard(tmp_path / "a.parquet", tmp_path / "out", on_bad_record="quarantine")
    [entry] = [json.loads(line) for line in (tmp_path / "out" / "quarantine.jsonl").read_text().splitlines()]
    assert entry["raw"] == json.dumps({"text": "b", "score": number}, separators=(",", ":"))
    assert report.ledger["documents_kept"] == 1
    packed = bloomdata.pack(tmp_path / "a.parquet", tmp_path / "packed", tokenizer="bytes", sequence_length=8)
    assert packed.ledger["documents_kept"] == 2


def call(name, arguments):
    function = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return [{"role": "user", "content": "q"}, {"role": "assistant", "content": None, "tool_calls": [function]}]


def test_calls_of_tools_have_the_arguments_that_were_given(tmp_path):
    datasets = pytest.importorskip("datasets")
    chats = [{"messages": call("weather", {"city": "Oslo"})}, {"messages": call("add", {"x": 1, "y": 2})}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(chat) + "\n" for chat in chats))
    dataset = datasets.Dataset.from_list(chats)
    options = {"tokenizer": "bytes", "template": TEMPLATE, "sequence_length": 128}
    of_file = bloomdata.pack(tmp_path / "a.jsonl", tmp_path / "file", **options)
    of_table = bloomdata.pack(dataset, tmp_path / "table", **options)
    assert of_table.fingerprint == of_file.fingerprint
    text = bloomdata.Tokenizer("bytes").decode(bloomdata.open(tmp_path / "table")[0]["input_ids"])
    assert '{"name": "weather", "arguments": {"city": "Oslo"}}' in text


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text(max_size=4)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=6,
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(JSON, st.lists(JSON, max_size=3)), min_size=1, max_size=4), st.sampled_from([None, 1]))
def test_the_json_type_of_datasets_is_values(pairs, indent):
    def column(values, kind):
        return pa.array([json.dumps(value, indent=indent) for value in values], kind)

    lists = [column(many, pa.string()) for _, many in pairs]
    texts = pa.ExtensionArray.from_storage(pa.json_(), column([one for one, _ in pairs], pa.string()))
    flat = pa.ExtensionArray.from_storage(pa.json_(), pa.concat_arrays(lists))
    offsets = [0]
    for many in lists:
        offsets.append(offsets[-1] + len(many))
    listed = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat)
    table = pa.table({"one": texts, "many": listed})
    with tempfile.TemporaryDirectory() as folder:
        pq.write_table(table, f"{folder}/a.parquet")
        expected = [{"one": one, "many": many} for one, many in pairs]
        for number, inputs in enumerate((table, f"{folder}/a.parquet")):
            assert shard(inputs, Path(folder) / f"out-{number}")[0] == expected


def test_json_of_datasets_that_is_none_is_a_bad_record(tmp_path):
    texts = ['{"a": 1}', '1, "b": 2', ""]
    table = pa.table({"one": pa.ExtensionArray.from_storage(pa.json_(), pa.array(texts))})
    found, report = shard(table, tmp_path / "out", on_bad_record="quarantine")
    assert found == [{"one": {"a": 1}}]
    assert report.ledger["documents_quarantined"] == {"malformed JSON": 2}


def test_what_json_cannot_hold_is_refused_at_any_depth(tmp_path):
    image = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    for kind, value in ((image, {"bytes": b"x", "path": "a"}), (pa.list_(image), []), (pa.list_(pa.binary()), [b"x"])):
        table = pa.table({"text": ["a"], "image": pa.array([value], kind)})
        with pytest.raises(UnsupportedFormatError, match='column "image" of type Binary inside'):
            bloomdata.shard(table, tmp_path / "out")
        bloomdata.count(table, tokenizer="bytes")
    twice = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    with pytest.raises(UnsupportedFormatError, match='two columns with the name "text"'):
        bloomdata.shard(twice, tmp_path / "out")


def test_formats_and_transforms_of_a_dataset_are_honoured(tmp_path):
    datasets = pytest.importorskip("datasets")
    dataset = datasets.Dataset.from_dict({"text": ["a", "b"], "secret": ["x", "y"]})
    chosen = dataset.with_format("numpy", columns=["text"])
    assert shard(chosen, tmp_path / "columns")[0] == [{"text": "a"}, {"text": "b"}]
    assert shard(dataset.with_format("numpy"), tmp_path / "numpy")[0] == list(dataset)
    upper = dataset.with_transform(lambda batch: {"text": [text.upper() for text in batch["text"]]})
    found, report = shard(upper, tmp_path / "transform")
    assert found == [{"text": "A"}, {"text": "B"}]
    assert bloomdata.shard(upper, tmp_path / "transform").was_finished
    assert report.ledger["documents_kept"] == 2
