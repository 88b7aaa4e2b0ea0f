"""Parquet files, tables, streams and datasets: every text is read, or the input refused."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bloomdata
from hostile import MANY, TEN, cuts, jsonl, read_documents, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def parquet(path: Path, table: pa.Table, **options: Any) -> Path:
    pq.write_table(table, path, **options)
    return path


STRINGS = {
    "string": pa.array(TEN),
    "large_string": pa.array(TEN, pa.large_string()),
    "dictionary": pa.array(TEN).dictionary_encode(),
}


@pytest.mark.parametrize("kind", STRINGS)
def test_text_columns_of_every_kind_are_read(kind, pack, shard, tmp_path):
    table = pa.table({"id": range(10), "text": STRINGS[kind]})
    path = parquet(tmp_path / "a.parquet", table, row_group_size=3)
    assert pack(path).texts == TEN
    assert [json.loads(line) for line in shard(path).lines] == table.to_pylist()


def test_text_in_a_binary_column_is_text_or_refused(pack, tmp_path):
    # Old writers do not mark UTF-8; hexadecimal digits are nobody's text.
    path = parquet(tmp_path / "a.parquet", pa.table({"text": pa.array([text.encode() for text in TEN])}))
    outcome = pack(path)
    if outcome.error is None:
        assert outcome.texts == TEN
    else:
        outcome.refused("CorruptDataError", "ConfigError", "UnsupportedFormatError")


def test_null_texts_of_a_table_are_bad_records(pack, tmp_path):
    path = parquet(tmp_path / "a.parquet", pa.table({"text": ["a", None, "b", None]}))
    assert f"{path}: line 2: offset 1: " in pack(path).refused("CorruptDataError")
    outcome = pack(path, on_bad_record="quarantine")
    assert outcome.texts == ["a", "b"]
    assert [(entry["line"], entry["reason"]) for entry in outcome.quarantine] == [(2, "null field"), (4, "null field")]


def test_a_table_without_the_column_is_a_config_error_that_lists_the_columns(pack, tmp_path):
    path = parquet(tmp_path / "a.parquet", pa.table({"content": ["a"], "id": [1]}))
    message = pack(path).refused("ConfigError")
    assert all(word in message for word in ("text_field", str(path), "content", "id"))


def test_columns_of_other_types_are_bad_records(pack, tmp_path):
    for values in ([1, 2], [1.5], [True], [["a"]], [{"a": "b"}], [b"\xff"]):
        pack(parquet(tmp_path / "a.parquet", pa.table({"text": values}))).refused(
            "CorruptDataError", "ConfigError", "UnsupportedFormatError"
        )


def test_a_field_inside_a_column_is_found(pack, tmp_path):
    table = pa.table({"data": [{"text": "a", "n": 1}, {"text": "b", "n": 2}, None]})
    outcome = pack(parquet(tmp_path / "a.parquet", table), text_field="data.text", on_bad_record="quarantine")
    assert outcome.texts == ["a", "b"]
    assert [entry["reason"] for entry in outcome.quarantine] == ["missing field"]


def test_a_table_of_no_rows_holds_no_documents(pack, tmp_path):
    assert pack(parquet(tmp_path / "a.parquet", pa.table({"text": pa.array([], pa.string())}))).texts == []


def test_a_truncated_parquet_file_is_refused(pack, shard, tmp_path):
    path = parquet(tmp_path / "a.parquet", pa.table({"text": MANY}), row_group_size=50)
    data = path.read_bytes()
    for length in [0, *cuts(len(data))]:
        for call in (pack, shard):
            assert str(path) in call(write(path, data[:length])).refused("CorruptDataError")


def test_a_damaged_parquet_file_never_crashes(pack, tmp_path):
    path = parquet(tmp_path / "a.parquet", pa.table({"text": MANY, "id": range(300)}), row_group_size=50)
    data = path.read_bytes()
    rng = random.Random(3)
    # The footer above all: it says where everything is and how large.
    places = [rng.randrange(len(data)) for _ in range(100)] + [len(data) - 1 - at for at in range(200)]
    for place in places:
        damaged = bytearray(data)
        damaged[place] ^= rng.randint(1, 255)
        outcome = pack(write(path, bytes(damaged)))
        if outcome.error is not None:
            outcome.refused("CorruptDataError", "ConfigError")


def test_parquet_under_another_name_and_others_under_its_name_are_refused(pack, tmp_path):
    table = pa.table({"text": TEN})
    content = parquet(tmp_path / "a.parquet", table).read_bytes()
    pack(write(tmp_path / "b.jsonl", content)).refused("CorruptDataError", "UnsupportedFormatError")
    pack(write(tmp_path / "c.parquet", jsonl(TEN))).refused("CorruptDataError")
    pack(write(tmp_path / "d.txt", content)).refused("CorruptDataError", "UnsupportedFormatError")


def texts_of(inputs: Any, output: Path, **options: Any) -> list[str]:
    """Packs in this process: tables cannot be sent to another."""
    bloomdata.pack(inputs, output, tokenizer="bytes", format="megatron", allow_empty=True, **options)
    return read_documents(output)


def test_tables_and_streams_are_read_without_a_file(tmp_path):
    table = pa.table({"id": range(300), "text": MANY})
    assert texts_of(table, tmp_path / "table") == MANY
    assert texts_of(table.slice(100, 50), tmp_path / "slice") == MANY[100:150]
    assert texts_of(table.to_reader(max_chunksize=7), tmp_path / "reader") == MANY
    assert texts_of(pa.table({"text": pa.array(MANY, pa.string_view())}), tmp_path / "view") == MANY
    assert texts_of(table.to_batches()[0], tmp_path / "batch") == MANY


def test_a_stream_that_breaks_is_an_error(tmp_path):
    batch = pa.record_batch({"text": MANY})

    def batches() -> Iterator[pa.RecordBatch]:
        yield batch
        raise RuntimeError("the network is down")

    reader = pa.RecordBatchReader.from_batches(batch.schema, batches())
    with pytest.raises((bloomdata.BloomdataError, RuntimeError), match="the network is down") as caught:
        texts_of(reader, tmp_path / "output")
    assert "please report" not in str(caught.value)
    assert not (tmp_path / "output" / "manifest.json").exists()


def test_another_table_for_a_finished_folder_is_refused(tmp_path):
    texts_of(pa.table({"text": ["a", "b"]}), tmp_path / "output")
    with pytest.raises(bloomdata.MismatchError):
        texts_of(pa.table({"text": ["something", "else", "entirely"]}), tmp_path / "output")


def test_another_table_for_an_unfinished_folder_is_refused(tmp_path):
    bad = pa.table({"text": [*MANY, None]})
    with pytest.raises(bloomdata.CorruptDataError):
        texts_of(bad, tmp_path / "output", checkpoint_seconds=0.0)
    with pytest.raises(bloomdata.MismatchError):
        texts_of(pa.table({"text": [text.upper() for text in MANY]}), tmp_path / "output", checkpoint_seconds=0.0)


@pytest.fixture(scope="module")
def datasets() -> Any:
    return pytest.importorskip("datasets")


def test_a_dataset_is_read_in_its_own_order(datasets, tmp_path):
    dataset = datasets.Dataset.from_dict({"text": MANY, "id": list(range(300))})
    assert texts_of(dataset, tmp_path / "plain") == MANY
    picked = [5, 3, 299, 3, 0]
    assert texts_of(dataset.select(picked), tmp_path / "select") == [MANY[at] for at in picked]
    shuffled = dataset.shuffle(seed=1)
    assert texts_of(shuffled, tmp_path / "shuffle") == shuffled["text"][:] != MANY
    both = shuffled.select(range(100)).shuffle(seed=2)
    assert texts_of(both, tmp_path / "both") == both["text"][:]
    joined = datasets.concatenate_datasets([dataset.select([1]), dataset.select([0])])
    assert texts_of(joined, tmp_path / "joined") == [MANY[1], MANY[0]]
    assert texts_of(dataset.select([]), tmp_path / "none") == []


def test_datasets_that_are_no_table_are_read_or_refused(datasets, tmp_path):
    dataset = datasets.Dataset.from_dict({"text": TEN})
    assert texts_of(dataset.to_iterable_dataset(), tmp_path / "stream") == TEN
    with pytest.raises(bloomdata.ConfigError, match=r"splits \['train'\]: name one"):
        texts_of(datasets.DatasetDict({"train": dataset}), tmp_path / "splits")


@pytest.mark.parametrize("inputs", [None, 5, {"a": 1}, b"a.jsonl", [1], [["a.jsonl"]], {"a.jsonl"}, object()])
def test_inputs_of_other_types_are_config_errors(inputs, tmp_path):
    with pytest.raises(bloomdata.ConfigError, match="inputs"):
        bloomdata.shard(inputs, tmp_path / "output")
    assert not (tmp_path / "output").exists()
