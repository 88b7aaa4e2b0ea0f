"""`prepare` and what it cannot use: bad records are named or set aside byte for byte, damaged files are errors."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bloomdata
from bloomdata.errors import BloomdataError, ConfigError, CorruptDataError
from files import write
from hostile import cuts, gz, zstd
from preparing import check, quarantine_in, write_files
from sharding import contents_of
from test_prepare import chats

DOLLY = b'{"instruction": "Hi", "context": "", "response": "Hello"}\n'
LINE = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
BAD = [
    (b'{"instruction": "Hi"', "malformed JSON"),
    (b'{"instruction": "Hi", "context": ""}', "missing field"),
    (b'{"instruction": "Hi", "context": "", "response": null}', "null field"),
    (b'{"instruction": "Hi", "context": "", "response": 1}', "field is not a string"),
    (b'[{"instruction": "Hi"}]', "not a JSON object"),
    (b'{"instruction": "\xff", "context": "", "response": ""}', "invalid UTF-8"),
    (b'{"instruction": "\\ud800", "context": "", "response": ""}', "malformed JSON"),
]


def message(name, parent=None, role="prompter", text="x", **more):
    return json.dumps({"message_id": name, "parent_id": parent, "role": role, "text": text, **more}).encode()


def lines_in(folder):
    return [json.loads(line) for content in contents_of(folder).values() for line in content.splitlines()]


@pytest.mark.parametrize(("raw", "reason"), BAD, ids=[reason for _, reason in BAD])
def test_a_bad_record_is_named_by_file_line_and_offset(raw, reason, tmp_path):
    path = write(tmp_path / "a.jsonl", DOLLY + b"\n" + raw + b"\n" + DOLLY)
    with pytest.raises(CorruptDataError, match=rf"a\.jsonl: line 3: offset {len(DOLLY) + 1}: .+"):
        bloomdata.prepare("dolly", path, tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()
    report = bloomdata.prepare("dolly", path, tmp_path / "kept", on_bad_record="quarantine")
    assert report.ledger["documents_quarantined"] == {reason: 1}


def test_the_quarantine_holds_the_raw_bytes_of_bad_records_and_nothing_else(tmp_path):
    content = b"".join(DOLLY + raw + b"\n" for raw, _ in BAD)
    report = check("dolly", [("a.jsonl", content, ".gz")], tmp_path)
    raw = [
        entry["raw"].encode() if "raw" in entry else bytes.fromhex(entry["raw_hex"])
        for entry in quarantine_in(report.folder)
    ]
    assert raw == [raw for raw, _ in BAD]
    assert report.ledger["documents_kept"] == len(BAD)


def test_a_record_is_bad_as_a_whole_if_one_of_its_documents_is(tmp_path):
    """Nothing of it is written, whatever came before the document that cannot be written."""
    template = "{% for message in messages %}{% if 'bad' in message['content'] %}{{ raise_exception('no') }}"
    template += "{% endif %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    speakers = [("human", "a"), ("gpt", "b"), ("human", "bad"), ("gpt", "d")]
    record = {"conversations": [{"from": name, "value": text} for name, text in speakers]}
    path = write(tmp_path / "a.jsonl", json.dumps(record).encode() + b"\n" + chats(1, turns=1))
    how = {"turns": "separate", "style": "text", "template": template}
    report = bloomdata.prepare("sharegpt", path, tmp_path / "out", on_bad_record="quarantine", **how)
    assert lines_in(report.folder) == [{"text": "user: 0.0\nassistant: 0.1\n"}]
    assert sum(report.ledger["documents_quarantined"].values()) == 1
    with pytest.raises(CorruptDataError, match=r"line 1: offset 0: .*no"):
        bloomdata.prepare("sharegpt", path, tmp_path / "raised", **how)


@pytest.mark.parametrize(
    ("rows", "line", "what"),
    [
        ([message("a"), message("b", "nowhere")], 2, "parent_id"),
        ([message("a"), message("a")], 2, "occurs before"),
        ([message("a"), message("b", "c"), message("c", "b")], 2, "above itself"),
        ([message("a"), message("b", "b")], 2, "above itself"),
        ([message("a"), message("b", "a", "system")], 2, "role"),
        ([message("a"), b'{"message_id": "b"'], 2, "malformed JSON"),
    ],
    ids=["missing parent", "twice", "cycle", "own parent", "role", "malformed"],
)
def test_bad_messages_of_trees_are_named_or_set_aside(rows, line, what, tmp_path):
    path = write(tmp_path / "in" / "a.jsonl", b"\n".join(rows))
    offset = sum(len(row) + 1 for row in rows[: line - 1])
    with pytest.raises(CorruptDataError, match=rf"a\.jsonl: line {line}: offset {offset}: .*{what}"):
        bloomdata.prepare("oasst1", path, tmp_path / "raised")
    report = check("oasst1", [("a.jsonl", b"\n".join(rows), "")], tmp_path)
    raw = {entry["line"]: entry["raw"].encode() for entry in quarantine_in(report.folder)}
    assert raw[line] == rows[line - 1]
    assert len(lines_in(report.folder)) == 1


def test_the_rows_of_trees_cannot_be_limited(tmp_path):
    path = write(tmp_path / "a.jsonl", message("a"))
    for source in ("oasst1", "bloomchat"):
        with pytest.raises(ConfigError, match="max_rows_per_input"):
            bloomdata.prepare(source, path, tmp_path / "out", max_rows_per_input=1)


def test_lines_of_text_are_no_records_of_a_source(tmp_path):
    path = write(tmp_path / "a.txt", b"hello\n\nthere\n")
    with pytest.raises(CorruptDataError, match=r"a\.txt: line 1: offset 0: a line of text"):
        bloomdata.prepare("pile", path, tmp_path / "raised")
    report = bloomdata.prepare("pile", path, tmp_path / "out", on_bad_record="quarantine", allow_empty=True)
    assert report.ledger["documents_quarantined"] == {"not of the source's form": 2}
    assert report.ledger["documents_dropped"] == {"blank line": 1}


@pytest.mark.parametrize("content", [b"", b"\n\n \t\n", b"\xef\xbb\xbf", b"\r\n"])
def test_files_without_records_give_nothing_and_are_counted(content, tmp_path):
    report = check("dolly", [("a.jsonl", content, ""), ("b.jsonl", DOLLY, "")], tmp_path)
    assert lines_in(report.folder) == [LINE]
    empty = bloomdata.prepare("dolly", str(tmp_path / "in" / "a.jsonl"), tmp_path / "empty")
    assert contents_of(empty.folder) == {}
    assert empty.manifest["details"]["lines"] == 0
    bloomdata.verify(empty.folder)


@pytest.mark.parametrize("pack", [gz, zstd], ids=["gz", "zst"])
def test_a_truncated_archive_is_an_error_wherever_it_ends(pack, tmp_path):
    whole = pack(DOLLY * 40)
    suffix = {gz: ".gz", zstd: ".zst"}[pack]
    for size in cuts(len(whole)):
        path = write(tmp_path / f"a.jsonl{suffix}", whole[:size])
        with pytest.raises(BloomdataError, match=r"a\.jsonl"):
            bloomdata.prepare("dolly", path, tmp_path / str(size), on_bad_record="quarantine")
        assert not (tmp_path / str(size) / "manifest.json").exists()


def test_records_may_be_elements_of_an_array_with_any_white_space(tmp_path):
    records = [json.loads(DOLLY)] * 3
    path = write(tmp_path / "a.json", json.dumps(records, indent=2).encode())
    report = bloomdata.prepare("dolly", path, tmp_path / "out")
    assert lines_in(report.folder) == [LINE] * 3
    [alone] = [json.dumps([records[0]] * 2).encode()]
    zipped = write(tmp_path / "b.json.gz", gzip.compress(alone))
    assert lines_in(bloomdata.prepare("dolly", zipped, tmp_path / "out-2").folder) == [LINE] * 2


def test_tables_hold_the_records_that_files_of_lines_hold(tmp_path):
    conversations = [json.loads(line)["conversations"] for line in chats(50).splitlines()]
    table = pa.table({"conversations": conversations, "id": list(range(50))})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=7)
    [expected] = contents_of(
        bloomdata.prepare(
            "sharegpt", write(tmp_path / "a.jsonl", chats(50)), tmp_path / "lines", turns="separate"
        ).folder
    ).values()
    for name, inputs in (("parquet", tmp_path / "a.parquet"), ("arrow", table)):
        report = bloomdata.prepare("sharegpt", inputs, tmp_path / name, turns="separate")
        assert contents_of(report.folder) == {"part-00000.jsonl": expected}
        assert report.ledger["documents_kept"] == 50


def test_a_bad_row_of_a_table_is_set_aside_too(tmp_path):
    table = pa.table({"instruction": ["Hi", None], "context": ["", ""], "response": ["Hello", "x"]})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(CorruptDataError, match=r"a\.parquet: line 2: .*is null"):
        bloomdata.prepare("dolly", tmp_path / "a.parquet", tmp_path / "raised")
    report = bloomdata.prepare("dolly", tmp_path / "a.parquet", tmp_path / "out", on_bad_record="quarantine")
    assert lines_in(report.folder) == [LINE]
    [entry] = quarantine_in(report.folder)
    assert json.loads(entry["raw"])["response"] == "x"


def test_texts_without_roles_are_refused_by_styles_that_need_them(tmp_path):
    for style in ("messages", "prompt_completion"):
        report = check("oig", [("a.jsonl", b'{"text": "x"}\n', "")], tmp_path / style, style=style)
        assert report.ledger["documents_quarantined"] == {"not of the source's form": 1}
        with pytest.raises(CorruptDataError, match=r"line 1: offset 0: .*style"):
            bloomdata.prepare(
                "oig",
                write_files(tmp_path, [("a.jsonl", b'{"text": "x"}', "")]),
                tmp_path / f"{style}-raised",
                style=style,
            )
