"""Records that are not JSON: what is told, where, and that NaN matters only where it is read."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata.texts import read_texts

GOOD = b'{"text": "before"}\n'
CHATML = "{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}"


def refused(path, **options):
    with pytest.raises(bloomdata.CorruptDataError) as error:
        bloomdata.count(path, tokenizer="bytes", **options)
    return str(error.value)


@pytest.mark.parametrize(
    ("record", "place", "told"),
    [
        ('{"text": NaN, "id": 1}', "NaN", 'NaN is not JSON, under "text"'),
        ('{"text": "x", "m": {"w": [1, None]}}', "None", 'None is Python\'s word: JSON has null, under "m.w[1]"'),
        ('{"text": "x", "a": 1,}', "}", "a comma stands before the closing }"),
        ("{'text': 'x'}", "'", "single quotes, as Python prints a dictionary"),
        ('{"text": "x"} {"text": "y"}', '{"text": "y"', "a second record begins here: a line break is missing"),
        ('{"text": "x" "id": 1}', '"id"', 'a comma is missing before "'),
        ('{"text": "a\tb"}', "\t", 'a tab in a string: JSON has it as \\t, under "text"'),
        ('{"text": "a\\qb"}', "\\q", "\\q in a string, which is no escape of JSON"),
        ('{"text": "he said "hi""}', "hi", "expected a comma or } behind a string, found 'h'"),
        ('{"text": "x", "n": 007}', "007", '007 is not a number of JSON, under "n"'),
        ('{text: "x"}', "text", 'expected a key in double quotes, found "text"'),
    ],
)
def test_a_fault_is_told_with_its_byte_in_the_file_and_its_key(record, place, told, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD + record.encode() + b"\n" + GOOD)
    message = refused(path)
    at = len(GOOD) + record.index(place)
    assert message.startswith(f"{path}: line 2: offset {len(GOOD)}: malformed JSON at byte {at} of the file: {told}")
    assert " line 1" not in message
    assert "column" not in message
    bloomdata.shard(path, tmp_path / "out", on_bad_record="quarantine")
    entry = json.loads((tmp_path / "out" / "quarantine.jsonl").read_text())
    assert entry["detail"].startswith(f"malformed JSON at byte {at} of the file: {told}")


@pytest.mark.parametrize(
    "content", ['{\n  "text": "x"\n}\n', '[\n  {"text": "x"}\n]\n', '[{"text": "x"},\n{"text": "y"}]\n']
)
def test_a_document_over_several_lines_is_to_be_named_json(content, tmp_path):
    path = tmp_path / "pretty.jsonl"
    path.write_text(content)
    assert "one JSON document over several lines is to be named .json" in refused(path)
    bloomdata.shard(path, tmp_path / "out", on_bad_record="quarantine", allow_empty=True)
    details = [json.loads(line)["detail"] for line in (tmp_path / "out" / "quarantine.jsonl").read_text().splitlines()]
    assert all("is to be named .json" in detail for detail in details)
    path.rename(tmp_path / "pretty.json")
    assert bloomdata.count(tmp_path / "pretty.json", tokenizer="bytes").documents >= 1


def test_one_array_on_one_line_is_to_be_named_json(tmp_path):
    path = tmp_path / "array.jsonl"
    path.write_text('[{"text": "x"}, {"text": "y"}]\n')
    assert "not a JSON object but a list: a file that is one JSON array is to be named .json" in refused(path)


def test_a_record_that_was_cut_and_half_a_pair_are_told(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD + b'{"text": "the end is mis')
    assert 'it ends inside a string, under "text": the record was cut off' in refused(path)
    path.write_bytes(GOOD + b'{"text": "a\\ud83d"}\n')
    assert 'field "text" holds \\ud83d, half of a surrogate pair' in refused(path)
    path.write_bytes(GOOD + b'{"text": "caf\xe9"}\n')
    assert f"invalid UTF-8 at byte {len(GOOD) + 13} of the file" in refused(path)


def test_elements_of_json_files_are_told_by_their_own_bytes(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('[{"text": "x"},\n {"text": NaN}]')
    message = refused(path)
    assert (
        f'{path}: line 2: offset 17: malformed JSON at byte 8 of the record: NaN is not JSON, under "text"' in message
    )


# --- NaN -------------------------------------------------------------------------------------------------------

numbers = st.floats(allow_nan=True, allow_infinity=True)
values = st.recursive(
    st.one_of(numbers, st.none(), st.text('NaInfty"\\é', max_size=6)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text('aN"', max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    st.lists(
        st.tuples(st.dictionaries(st.text("bcN", min_size=1, max_size=3), values, max_size=3), st.text(max_size=9)),
        max_size=6,
    )
)
@settings(max_examples=100, deadline=None)
def test_nan_in_fields_that_are_not_read_is_read_as_python_reads_it(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("nan")
    path = folder / "a.jsonl"
    path.write_text("".join(json.dumps({**fields, "text": text, "z": fields}) + "\n" for fields, text in rows))
    texts = [json.loads(line)["text"] for line in path.read_text().splitlines()]
    kept = [text for text in texts if text]
    assert list(read_texts(str(path), "auto", "text")) == texts
    counts = bloomdata.count(path, tokenizer="bytes")
    assert (counts.documents, counts.tokens) == (len(kept), sum(len(text.encode()) for text in kept))


def test_shard_copies_nan_only_if_it_is_allowed(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "x", "score": NaN}\n{"text": "y", "score": [-Infinity]}\n')
    with pytest.raises(bloomdata.CorruptDataError, match=r'NaN is not JSON, under "score" \(allow_nan=True copies'):
        bloomdata.shard(path, tmp_path / "refused")
    bloomdata.shard(path, tmp_path / "out", compression="none", allow_nan=True)
    (shard,) = (tmp_path / "out").glob("*.jsonl")
    assert shard.read_bytes() == path.read_bytes()
    assert math.isnan(json.loads(shard.read_text().splitlines()[0])["score"])
    assert bloomdata.count(tmp_path / "out", tokenizer="bytes").documents == 2
    assert bloomdata.dedup(tmp_path / "out", tmp_path / "clean", exact="document").ledger["documents_kept"] == 2


def test_nan_in_what_a_template_reads_is_told_with_its_place(tmp_path):
    path = tmp_path / "a.jsonl"
    turns = '{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"%s}'
    path.write_text('{"score": NaN, "messages": [' + turns % "" + "]}\n")
    assert bloomdata.count(path, tokenizer="bytes", template=CHATML).documents == 1
    path.write_text('{"messages": [' + turns % ', "score": NaN' + "]}\n")
    assert 'NaN is not JSON, under "messages[1].score"' in refused(path, template=CHATML)


def test_prepare_reads_past_nan(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"instruction": "i", "context": "", "response": "r", "category": "c", "w": -Infinity}\n')
    assert bloomdata.prepare("dolly", path, tmp_path / "out").ledger["documents_kept"] == 1
    path.write_text('{"instruction": "i", "input": "", "output": NaN}\n')
    with pytest.raises(bloomdata.CorruptDataError, match='NaN is not JSON, under "output"'):
        bloomdata.prepare("alpaca", path, tmp_path / "other")
