"""A column of a table that is not read is counted as a key of JSON is, without being decoded."""

from __future__ import annotations

import datetime
import decimal
import json

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet

from packing import pack

TABLE = pa.table(
    {
        "text": ["a", "b", "c", "d"],
        "string": ["x", "", None, "y"],
        "large": pa.array(["x", "", None, "y"], pa.large_string()),
        "view": pa.array(["x", "", None, "y"], pa.string_view()),
        "words": pa.array(["x", "", None, "x"]).dictionary_encode(),
        "list": [["x"], [], None, [None]],
        "fixed": pa.array([[1], [2], None, [3]], pa.list_(pa.int64(), 1)),
        "struct": [{"a": "x", "b": None}, {"a": None, "b": None}, None, {"a": "", "b": []}],
        "map": pa.array([[("k", "v")], [], None, [("k", None)]], pa.map_(pa.string(), pa.string())),
        "day": pa.array([datetime.date(2026, 1, 1), None, None, None]),
        "time": pa.array([datetime.datetime(2026, 1, 1), None, None, None]),
        "price": pa.array([decimal.Decimal("1.50"), None, None, None]),
        "int": [1, 2, None, 3],
        "float": [1.0, float("nan"), None, 0.0],
        "flag": [True, False, None, True],
        "none": pa.nulls(4),
    }
)


def test_a_column_that_is_not_read_is_counted_in_every_record_and_not_decoded(tmp_path):
    pyarrow.parquet.write_table(TABLE.drop(["view"]), tmp_path / "a.parquet")
    pyarrow.feather.write_feather(TABLE, tmp_path / "a.arrow", compression="uncompressed")
    options = {"sequence_length": 64, "text_field": "text"}
    # A table in memory becomes JSON as a whole: what is null or empty is no loss.
    exact = pack(TABLE, tmp_path / "memory", **options).unread_keys
    assert exact["string"] == exact["struct"] == 2
    assert not {"int", "float", "flag", "none"} & exact.keys()
    assert pack(str(tmp_path / "a.arrow"), tmp_path / "arrow", **options).unread_keys == dict.fromkeys(exact, 4)
    of_parquet = dict.fromkeys(exact.keys() - {"view"}, 4)
    assert pack(str(tmp_path / "a.parquet"), tmp_path / "parquet", **options).unread_keys == of_parquet
    # Bytes have no JSON; a column of them may be there as long as it is not read, and is counted.
    raw = TABLE.select(["text"]).append_column("raw", pa.array([b"x", b"", None, b"y"]))
    pyarrow.parquet.write_table(raw, tmp_path / "b.parquet")
    assert pack(str(tmp_path / "b.parquet"), tmp_path / "raw", **options).unread_keys == {"raw": 4}


def test_a_value_in_place_of_a_column_that_is_not_read_stands_in_the_quarantine(tmp_path):
    table = pa.table({"text": ["a", None], "title": ["long text", "longer text"]})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    report = pack(str(tmp_path / "a.parquet"), tmp_path / "out", sequence_length=64, on_bad_record="quarantine")
    entry = json.loads((tmp_path / "out/quarantine.jsonl").read_text("utf-8"))
    assert json.loads(entry["raw"]) == {"text": None, "title": "..."}
    assert report.unread_keys == {"title": 1}
