"""Records become articles: as worked out by hand, and as the reference says; bad ones are refused."""

import json

import pytest

import bloomdata
from article_runs import BYTES, CATEGORIES, PAIR, articles_in, check, line, pack, rows_in, shown
from bloomdata.errors import CorruptDataError
from reference.articles import PADDING, articles
from reference.jsonl import BadRecordError
from reference.shard import Books

A_B, C_D = {"prompt": "a", "completion": "b"}, {"prompt": "c", "completion": "d"}
NOTHING = {"prompt": "n", "completion": ""}
RECORDS = [
    (A_B, {}, "a0 _1 b1 E3"),
    ({"completion": "b"}, {}, "_1 b1 E3"),
    ({"prompt": None, "completion": "b"}, {}, "_1 b1 E3"),
    ({"prompt": "", "completion": "b"}, {"prompt_prefix": "<", "prompt_postfix": ">"}, "_1 b1 E3"),
    # The space between prompt and completion.
    ({"prompt": " a  ", "completion": "  b "}, {}, "_0 a0 _1 b1 _1 E3"),
    ({"prompt": " a  ", "completion": "  b "}, {"space_separator": False}, "_0 a0 _0 _0 _1 _1 b1 _1 E3"),
    ({"prompt": "a\t", "completion": "\tb"}, {}, "a0 \t0 _1 \t1 b1 E3"),
    ({"completion": "   "}, {}, "_1 E3"),
    # Around the prompt, once its spaces are gone.
    ({"prompt": "a ", "completion": "b"}, {"prompt_prefix": "<", "prompt_postfix": " >"}, "<0 a0 _0 >0 _1 b1 E3"),
    ({"prompt": "  ", "completion": "b"}, {"prompt_prefix": "<"}, "_1 b1 E3"),
    ({"prompt": " ", "completion": "b"}, {"prompt_prefix": "<", "space_separator": False}, "<0 _0 b1 E3"),
    # Pairs without a completion.
    (NOTHING, {}, ""),
    (NOTHING, {"keep_prompt_only_sequences": True}, "n0 E3"),
    ({"completion": ""}, {"keep_prompt_only_sequences": True}, ""),
    ([], {}, ""),
    ([], {"keep_prompt_only_sequences": True}, ""),
    ([NOTHING, NOTHING], {}, ""),
    ([NOTHING, A_B], {}, "a0 _1 b1 E3"),
    ([NOTHING, A_B], {"keep_prompt_only_sequences": True}, "n0 E1 a0 _1 b1 E3"),
    # Boundaries.
    ([A_B, C_D], {}, "a0 _1 b1 E1 c0 _1 d1 E3"),
    ([A_B, C_D], {"attention_boundary": PAIR}, "a0 _1 b1 E3 c0 _1 d1 E3"),
    ([A_B, C_D], {"packing_boundary": PAIR}, "a0 _1 b1 E1 | c0 _1 d1 E3"),
    ([A_B, C_D], {"packing_boundary": PAIR, "attention_boundary": PAIR}, "a0 _1 b1 E3 | c0 _1 d1 E3"),
    ([A_B, NOTHING], {}, "a0 _1 b1 E3"),
    ([A_B, NOTHING], {"packing_boundary": PAIR}, "a0 _1 b1 E1"),
    ([NOTHING, A_B], {"packing_boundary": PAIR}, "a0 _1 b1 E3"),
    ([A_B], {"packing_boundary": PAIR}, "a0 _1 b1 E3"),
    # Other keywords.
    (
        {"q": "a", "a": "b", "prompt": 1, "completion": 2},
        {"prompt_keyword": "q", "completion_keyword": "a"},
        "a0 _1 b1 E3",
    ),
]
TEXT_LINES = [
    (b"a b \n", "a1 _1 b1 _1 \n1 E3"),
    (b" a\n\n \t\nb", "_1 a1 \n1 E3 | \n1 E3 | _1 \t1 \n1 E3 | b1 E3"),
    (b"a\r\nb\r\n", "a1 \n1 E3 | b1 \n1 E3"),
    (b"", ""),
]


@pytest.mark.parametrize(("value", "options", "expected"), RECORDS)
def test_articles_of_the_reference_are_those_worked_out_by_hand(value, options, expected):
    assert shown(articles(value, encode=BYTES.encode, eos=BYTES.eos, bos=BYTES.bos, **options)) == expected


@pytest.mark.parametrize(("value", "options", "expected"), RECORDS)
def test_articles_are_those_worked_out_by_hand(value, options, expected, tmp_path):
    report = pack([("a.jsonl", line(value))], tmp_path / "out", sequence_length=20, packing="single::drop", **options)
    rows = [[token for token in row if token[1] != PADDING] for row in rows_in(report.folder)]
    assert shown(rows) == expected
    assert report.metrics["articles"] == len(rows)
    assert report.ledger["documents_kept"] == bool(expected)
    assert sum(report.ledger["documents_dropped"].values()) == (not expected)


@pytest.mark.parametrize(("content", "expected"), TEXT_LINES)
def test_a_line_of_a_text_file_is_a_completion_that_keeps_its_newline(content, expected, tmp_path):
    found = articles_in([("a.txt", content)], BYTES, Books(), {})
    assert shown(found) == expected
    options = {"prompt_prefix": "<", "categories": CATEGORIES, "packing_boundary": PAIR, "attention_boundary": PAIR}
    report = check([("a.txt", content)], tmp_path / "out", sequence_length=9, packing="single::drop", **options)
    assert report.metrics["articles"] == len(found)


def test_a_text_is_a_completion_and_loses_its_newline(tmp_path):
    files = [("a.jsonl", line({"text": " a "}) + line({"text": ""})), ("b.txt", b"b\nc\r\n")]
    report = check(files, tmp_path / "out", record="text", sequence_length=4, packing="single::drop")
    assert shown(rows_in(report.folder)) == "_1 a1 _1 E3 | b1 E3 P2 P2 | c1 E3 P2 P2"


def test_every_token_of_a_pair_has_the_category_of_its_pair(tmp_path):
    value = [A_B | {"category": "prose"}, C_D, A_B | {"category": "code"}, A_B | {"category": ""}]
    options = {"sequence_length": 17, "packing": "full", "categories": CATEGORIES}
    report = check([("a.jsonl", line(value))], tmp_path / "out", **options)
    (row,) = rows_in(report.folder)
    assert [category for _, _, category in row] == 4 * [1] + 4 * [-1] + 4 * [0] + 4 * [2] + [-1]
    dataset = bloomdata.open(report.folder)
    assert dataset[0]["category_ids"].dtype == dataset[0]["input_ids"].dtype == "int32"


def test_the_category_can_have_another_keyword_and_a_null_is_none(tmp_path):
    value = [A_B | {"kind": "prose", "category": 7}, A_B | {"kind": None}]
    options = {"category_keyword": "kind", "categories": CATEGORIES}
    report = check([("a.jsonl", line(value))], tmp_path / "out", sequence_length=4, packing="full", **options)
    assert [row[0][2] for row in rows_in(report.folder)] == [1, -1]


def test_without_categories_nobody_looks_for_one(tmp_path):
    content = line(A_B | {"category": "prose"}) + line(A_B | {"category": 7})
    report = check([("a.jsonl", content)], tmp_path / "out", sequence_length=4, packing="full")
    assert sorted(bloomdata.open(report.folder)[0]) == ["input_ids", "token_type_ids"]
    assert report.ledger["documents_kept"] == 2


BAD_RECORDS = [
    (b'{"prompt":"a"}', "missing field"),
    (b'{"completion":null}', "null field"),
    (b'{"completion":1}', "field is not a string"),
    (b'{"completion":["a"]}', "field is not a string"),
    (b'{"prompt":1,"completion":"a"}', "field is not a string"),
    (b'{"prompt":{},"completion":"a"}', "field is not a string"),
    (b'{"completion":"a","category":1}', "field is not a string"),
    (b'{"completion":"a","category":"poetry"}', "unknown category"),
    (b'{"completion":"a","category":"Code"}', "unknown category"),
    (b'{"completion":"\\ud800"}', "malformed JSON"),
    (b'{"completion":"a"', "malformed JSON"),
    (b'[{"completion":"a"}', "malformed JSON"),
    (b'{"completion":"\xff"}', "invalid UTF-8"),
    (b"1", "not a JSON object"),
    (b'"text"', "not a JSON object"),
    (b"[1]", "not a JSON object"),
    (b'[{"completion":"a"},null]', "not a JSON object"),
    (b'[[{"completion":"a"}]]', "not a JSON object"),
    (b'[{"completion":"a"},{"prompt":"a"}]', "missing field"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD_RECORDS)
def test_a_bad_record_stops_the_reference(bad, reason):
    with pytest.raises(BadRecordError, match=f"^{reason}$"):
        articles(bad, encode=BYTES.encode, eos=BYTES.eos, categories=CATEGORIES)


@pytest.mark.parametrize(("bad", "reason"), BAD_RECORDS)
def test_a_bad_record_stops_the_run_or_is_set_aside_and_counted(bad, reason, tmp_path):
    files = [("a.jsonl", line(A_B) + bad + b"\n" + line(C_D))]
    options = {"sequence_length": 4, "packing": "full", "categories": CATEGORIES}
    with pytest.raises(CorruptDataError, match=rf"a\.jsonl: line 2: offset {len(line(A_B))}: "):
        pack(files, tmp_path / "out", **options)
    report = check(files, tmp_path / "quarantine", **options)
    assert report.ledger["documents_quarantined"] == {reason: 1}
    (entry,) = (json.loads(found) for found in (report.folder / "quarantine.jsonl").read_text("utf-8").splitlines())
    raw = entry["raw"].encode() if "raw" in entry else bytes.fromhex(entry["raw_hex"])
    assert (entry["line"], entry["reason"], raw) == (2, reason, bad)
    assert shown(rows_in(report.folder)) == "a0 _1 b1 E3 | c0 _1 d1 E3"
