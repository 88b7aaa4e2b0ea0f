"""Records of every kind, lines and elements of arrays: kept, set aside one by one, or refused."""

from __future__ import annotations

import json
import random

import pytest

from hostile import TEN, cuts, gz, jsonl, write, zstd


@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
@pytest.mark.parametrize(
    "record",
    [
        '{"text": "a", "x": ' + "[" * 1_000_000 + "]" * 1_000_000 + "}",
        '{"text": "a", "x": ' + '{"y":' * 500_000 + "1" + "}" * 500_000 + "}",
        '{"text": ' + "[" * 1_000_000 + "]" * 1_000_000 + "}",
        "[" * 1_000_000 + "]" * 1_000_000,
        '{"text":' * 500_000 + '"a"' + "}" * 500_000,
    ],
    ids=["unread array", "unread object", "text is an array", "bare array", "objects"],
)
def test_deep_nesting_is_kept_or_set_aside_but_never_overflows(suffix, record, pack, shard, tmp_path):
    if suffix == ".json":
        content = f'[{{"text": "before"}},\n{record},\n{{"text": "after"}}]'
    else:
        content = f'{{"text": "before"}}\n{record}\n{{"text": "after"}}\n'
    path = write(tmp_path / f"a{suffix}", content.encode())
    for call in (pack, shard):
        outcome = call(path, on_bad_record="quarantine")
        assert outcome.error is None, outcome.message
        assert outcome.ledger["documents_in"] == 3
        reasons = {entry["reason"] for entry in outcome.quarantine}
        assert reasons <= {"malformed JSON", "field is not a string", "not a JSON object"}
    outcome = pack(path, on_bad_record="quarantine")
    assert [text for text in outcome.texts if text != "a"] == ["before", "after"]


def test_deep_nesting_that_never_ends_is_refused(pack, tmp_path):
    for suffix in (".jsonl", ".json"):
        for opening in ("[", '{"text":'):
            pack(write(tmp_path / f"a{suffix}", opening.encode() * 1_000_000)).refused("CorruptDataError")


def test_nul_bytes_are_text_in_text_files_and_malformed_in_json(pack, tmp_path):
    assert pack(write(tmp_path / "a.txt", b"a\0b\n\0\n")).texts == ["a\0b", "\0"]
    assert pack(write(tmp_path / "a.jsonl", b'{"text": "a\\u0000b"}\n')).texts == ["a\0b"]
    message = pack(write(tmp_path / "b.jsonl", b'{"text": "a\0b"}\n')).refused("CorruptDataError")
    assert "line 1: offset 0: malformed JSON" in message
    outcome = pack(write(tmp_path / "c.jsonl", jsonl(TEN) + b"\0\n" + b"\0" * 4096), on_bad_record="quarantine")
    assert (outcome.texts, len(outcome.quarantine)) == (TEN, 2)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".txt"])
def test_utf_16_is_an_unsupported_format(encoding, suffix, pack, shard, tmp_path):
    text = jsonl(TEN).decode()
    data = ("\ufeff" if encoding.endswith("be") else "").encode(encoding) + text.encode(encoding)
    for call in (pack, shard):
        call(write(tmp_path / f"a{suffix}", data)).refused("UnsupportedFormatError")
        for ending, compress in ((".gz", gz), (".zst", zstd)):
            path = write(tmp_path / f"a{suffix}{ending}", compress(data))
            call(path).refused("UnsupportedFormatError", "CorruptDataError")


def test_text_that_begins_like_an_archive_is_text(pack, tmp_path):
    assert pack(write(tmp_path / "a.txt", b"BZhuang says hello\n")).texts == ["BZhuang says hello"]


SEPARATORS = "a\u2028b\u2029c\x0bd\x0ce\x85f\x1cg\x1eh"


def test_only_newlines_end_lines(pack, shard, tmp_path):
    # U+2028 and others end lines in Python's str.splitlines, not here.
    texts = [SEPARATORS, "x"]
    content = json.dumps([{"text": text} for text in texts], ensure_ascii=False).encode()
    assert pack(write(tmp_path / "a.json", content)).texts == texts
    line = json.dumps({"text": SEPARATORS}, ensure_ascii=False).encode()
    assert pack(write(tmp_path / "a.jsonl", line + b"\n" + line)).texts == [SEPARATORS] * 2
    assert shard(tmp_path / "a.jsonl").lines == [line] * 2
    assert pack(write(tmp_path / "a.txt", "\n".join(texts).encode())).texts == texts
    assert [json.loads(line)["text"] for line in shard(tmp_path / "a.txt").lines] == texts


def test_a_lone_carriage_return_ends_no_line(pack, tmp_path):
    assert pack(write(tmp_path / "a.txt", b"a\rb\r\n\rc")).texts == ["a\rb", "\rc"]


def test_arrays_are_read_however_they_are_printed(pack, shard, tmp_path):
    records = [{"text": text, "more": {"a": [1, 2.5, None, True, {}], "b": []}} for text in [*TEN, 'a "quote\\" ,]}']]
    texts = [record["text"] for record in records]
    for number, options in enumerate(
        [{}, {"indent": 4}, {"indent": "\t"}, {"separators": (",", ":")}, {"ensure_ascii": False, "indent": 0}]
    ):
        path = write(tmp_path / f"{number}.json", json.dumps(records, **options).encode())
        assert pack(path).texts == texts
        assert [json.loads(line) for line in shard(path).lines] == records
    values = "\n\n".join(json.dumps(record, indent=2) for record in records)
    assert pack(write(tmp_path / "values.json", values.encode())).texts == texts
    crlf = json.dumps(records, indent=2).replace("\n", "\r\n")
    assert pack(write(tmp_path / "crlf.json", b"\xef\xbb\xbf" + crlf.encode())).texts == texts


def test_an_array_truncated_anywhere_is_refused(pack, shard, tmp_path):
    data = json.dumps([{"text": text, "list": [1]} for text in TEN[:5]], indent=1).encode()
    for length in cuts(len(data)):
        path = write(tmp_path / "a.json", data[:length])
        for call in (pack, shard):
            message = call(path, on_bad_record="quarantine").refused("CorruptDataError")
            assert f"{path}: offset {length}: truncated" in message, length


@pytest.mark.parametrize(
    "content",
    [
        '[{"text": "a"},]',
        '[,{"text": "a"}]',
        '[{"text": "a"},,{"text": "b"}]',
        '[{"text": "a"} {"text": "b"}]',
        '[{"text": "a"}]]',
        '[{"text": "a"}] x',
        '[{"text": "a"}][{"text": "b"}]',
        '[{"text": "a"}}',
        '{"text": "a"}]',
        '{"text": "a"},{"text": "b"}',
        'x[{"text": "a"}]',
        '"text"',
        "12",
        "]",
        "}",
    ],
)
def test_a_broken_array_is_refused_with_the_offset(content, pack, shard, tmp_path):
    path = write(tmp_path / "a.json", content.encode())
    for call in (pack, shard):
        # What follows cannot be trusted, so nothing is quarantined.
        assert f"{path}: offset " in call(path, on_bad_record="quarantine").refused("CorruptDataError")


def test_bad_elements_of_an_array_are_set_aside_one_by_one(pack, tmp_path):
    elements = ['{"text": "a"}', "1", "null", '"s"', "[]", "{}", '{"text": tru}', '{"text": 1}', '{"text": "b"}']
    content = "[" + ",\n ".join(elements) + "]"
    path = write(tmp_path / "a.json", content.encode())
    outcome = pack(path, on_bad_record="quarantine")
    assert outcome.texts == ["a", "b"]
    assert [entry["line"] for entry in outcome.quarantine] == [2, 3, 4, 5, 6, 7, 8]
    starts = [content.index(f" {element}") + 1 for element in elements[1:8]]
    assert [entry["offset"] for entry in outcome.quarantine] == starts
    assert "line 2: offset" in pack(path).refused("CorruptDataError")


def test_mutated_files_never_break_the_books(pack, shard, tmp_path):
    rng = random.Random(5)
    seeds = {
        ".jsonl": jsonl(TEN),
        ".json": json.dumps([{"text": text} for text in TEN], indent=1).encode(),
        ".txt": "\r\n".join(TEN).encode(),
    }
    alphabet = [
        b"\n",
        b'"',
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\0",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\\ud800",
        b"null",
    ]
    for _ in range(150):
        suffix = rng.choice(list(seeds))
        data = bytearray(seeds[suffix])
        for _ in range(rng.randint(1, 6)):
            place = rng.randrange(len(data) + 1)
            data[place : place + rng.choice([0, 0, 1, 5])] = rng.choice(alphabet) * rng.choice([1, 1, 3])
        path = write(tmp_path / f"a{suffix}", bytes(data))
        for call in (pack, shard):
            outcome = call(path, on_bad_record="quarantine")
            if outcome.error is not None:
                outcome.refused("CorruptDataError" if suffix == ".json" else "none")
            elif suffix != ".json":
                lines = bytes(data).removeprefix(b"\xef\xbb\xbf").split(b"\n")
                assert outcome.ledger["documents_in"] == len(lines) - (lines[-1] == b"")
                assert outcome.ledger["bytes_in"] == len(data)
