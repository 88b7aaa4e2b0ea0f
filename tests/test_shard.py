"""`shard`: lines grouped as the reference says, stored so that any program reads them, the same in every run."""

import gzip
import json
import struct

import pytest
import zstandard

import bloomdata
from files import everything_in, write
from reference import jsonl
from reference.shard import shard as reference_shard
from sharding import CONTENT, contents_of, shard


@pytest.fixture
def source(tmp_path):
    return write(tmp_path / "in" / "a.jsonl", CONTENT)


@pytest.mark.parametrize("compression", ["zstd", "gzip", "none"])
@pytest.mark.parametrize("max_lines", [1, 5, 23, 100])
def test_only_the_last_shard_is_short(max_lines, compression, source, tmp_path):
    report = shard(source, tmp_path / "out", max_lines=max_lines, compression=compression)
    contents, _ = reference_shard([("a.jsonl", CONTENT)], max_lines=max_lines)
    assert contents_of(tmp_path / "out") == contents
    assert [output["lines"] for output in report.outputs] == [
        content.count(b"\n") for _, content in sorted(contents.items())
    ]
    assert [output["content_bytes"] for output in report.outputs] == [
        len(content) for _, content in sorted(contents.items())
    ]


def test_lines_are_counted_across_inputs_and_an_input_without_a_last_newline_merges_with_nothing(tmp_path):
    """Open-Llama joins the last line of such an input with the first one of the next (SYSTEMS.md 3.1)."""
    inputs = [write(tmp_path / f"{name}.jsonl", name.encode().join([b'{"text":"', b'"}'])) for name in "abc"]
    shard(inputs, tmp_path / "out", max_lines=2)
    assert contents_of(tmp_path / "out") == {
        "part-00000.jsonl": b'{"text":"a"}\n{"text":"b"}\n',
        "part-00001.jsonl": b'{"text":"c"}\n',
    }


def test_lines_are_copied_byte_for_byte(tmp_path):
    line = b' {"text" : "\\u00e9 \xc3\xa9 \xe2\x80\xa8", "n": 1.50e+00, "text": "x"} \r'
    shard(write(tmp_path / "a.jsonl", b"\xef\xbb\xbf" + line + b"\n\r\n"), tmp_path / "out")
    assert contents_of(tmp_path / "out") == {"part-00000.jsonl": line + b"\n"}


def test_elements_of_json_arrays_become_a_line_each_with_the_bytes_of_strings_and_numbers(tmp_path):
    content = b'[ {"text" : "a\\u00e9  \xc3\xa9", "n" : [1.50e+00 ,\n 2 ]},\r\n{"text":"]"} ]'
    shard(write(tmp_path / "a.json", content), tmp_path / "out")
    expected = b'{"text":"a\\u00e9  \xc3\xa9","n":[1.50e+00,2]}\n{"text":"]"}\n'
    assert contents_of(tmp_path / "out") == {"part-00000.jsonl": expected}
    assert reference_shard([("a.json", content)])[0] == {"part-00000.jsonl": expected}


def test_lines_of_txt_files_become_objects_with_one_key(tmp_path):
    content = 'plain\r\n"\\ \t\x00\x7fé\u2028\n\n'.encode()
    shard(write(tmp_path / "a.txt", content), tmp_path / "out", text_field="content")
    lines = contents_of(tmp_path / "out")["part-00000.jsonl"].decode().split("\n")[:-1]
    assert [json.loads(line) for line in lines] == [{"content": "plain"}, {"content": '"\\ \t\x00\x7fé\u2028'}]
    assert contents_of(tmp_path / "out") == reference_shard([("a.txt", content)], text_field="content")[0]


def test_every_zstd_frame_stands_alone_and_the_seek_table_says_where_it_is(tmp_path):
    """The table is that of contrib/seekable_format in the zstd repository: a skippable frame at the end."""
    lines = [b'{"text":"%s"}' % (b"%06d" % number * 20_000) for number in range(90)]
    report = shard(write(tmp_path / "a.jsonl", b"\n".join(lines)), tmp_path / "out", max_lines=80)
    data = (tmp_path / "out" / "part-00000.jsonl.zst").read_bytes()
    num_frames, descriptor, magic = struct.unpack("<IBI", data[-9:])
    assert (descriptor, magic) == (0, 0x8F92EAB1)
    table_bytes = 8 * num_frames + 9
    table_at = len(data) - table_bytes - 8
    assert struct.unpack("<II", data[table_at : table_at + 8]) == (0x184D2A5E, table_bytes)
    sizes = list(struct.iter_unpack("<II", data[table_at + 8 : -9]))
    assert len(sizes) == num_frames > 1
    content, at = [], 0
    for stored_bytes, content_bytes in sizes:
        frame = data[at : at + stored_bytes]
        parameters = zstandard.get_frame_parameters(frame)
        assert parameters.has_checksum
        assert parameters.content_size == content_bytes
        content.append(zstandard.ZstdDecompressor().decompress(frame))
        assert len(content[-1]) == content_bytes
        assert content[-1].endswith(b"\n")
        at += stored_bytes
    assert at == table_at
    assert b"".join(content) == b"".join(line + b"\n" for line in lines[:80])
    assert report.outputs[0]["content_bytes"] == sum(size for _, size in sizes)


def test_gzip_shards_consist_of_members_that_stand_alone(tmp_path):
    lines = [b'{"text":"%s"}' % (b"%06d" % number * 20_000) for number in range(50)]
    shard(write(tmp_path / "a.jsonl", b"\n".join(lines)), tmp_path / "out", compression="gzip")
    data, num_members = (tmp_path / "out" / "part-00000.jsonl.gz").read_bytes(), 0
    content = b""
    while data:
        member = gzip.zlib.decompressobj(wbits=31)
        content += member.decompress(data)
        assert member.eof
        data, num_members = member.unused_data, num_members + 1
    assert num_members > 1
    assert content == b"".join(line + b"\n" for line in lines)


@pytest.mark.parametrize("level", [1, 3, 19])
def test_every_level_holds_the_same_content(level, source, tmp_path):
    shard(source, tmp_path / "out", level=level)
    assert contents_of(tmp_path / "out") == {"part-00000.jsonl": CONTENT}


@pytest.mark.parametrize("max_bytes", [1, 16, 17, 25, 26, 28, 29, 57, 58, 1000])
def test_shards_hold_at_most_max_bytes_and_a_longer_line_has_a_shard_of_its_own(max_bytes, tmp_path):
    content = b"".join(b'{"text":"%s"}\n' % (b"x" * length) for length in (5, 0, 45, 46, 200, 1, 1, 1, 1, 90))
    shard(write(tmp_path / "a.jsonl", content), tmp_path / "out", max_bytes=max_bytes, max_lines=3)
    found = contents_of(tmp_path / "out")
    assert found == reference_shard([("a.jsonl", content)], max_bytes=max_bytes, max_lines=3)[0]
    assert all(len(shard) <= max_bytes or shard.count(b"\n") == 1 for shard in found.values())
    assert b"".join(found.values()) == content


def test_names_can_be_those_of_open_llama_v2(source, tmp_path):
    """SYSTEMS.md 3.1: `part-{name}-{n}`, from 1, without zeros in front."""
    report = shard(source, tmp_path / "out", max_lines=10, prefix="part-pile", digits=1, first_index=1)
    names = [output["path"] for output in report.outputs]
    assert names == [f"part-pile-{number}.jsonl.zst" for number in (1, 2, 3)]


def test_outputs_are_listed_in_the_order_of_their_lines(source, tmp_path):
    report = shard(source, tmp_path / "out", max_lines=2, digits=1)
    contents = contents_of(tmp_path / "out")
    names = [output["path"].removesuffix(".zst") for output in report.outputs]
    assert names == [f"part-{number}.jsonl" for number in range(12)]
    assert b"".join(contents[name] for name in names) == CONTENT


def test_without_validation_lines_are_copied_unread(tmp_path):
    content = b'no json\n\n{"text":\n\xff\xfe\n"x"\n'
    report = shard(write(tmp_path / "a.jsonl", content), tmp_path / "out", validate=False)
    assert contents_of(tmp_path / "out") == {"part-00000.jsonl": content.replace(b"\n\n", b"\n")}
    assert report.ledger["documents_dropped"] == {"blank line": 1}
    assert report.ledger["documents_kept"] == 4


def test_no_line_at_all_makes_a_finished_folder_without_shards(tmp_path):
    report = shard(write(tmp_path / "a.jsonl", b"\n\n"), tmp_path / "out")
    assert report.outputs == []
    assert [*everything_in(tmp_path / "out")] == ["manifest.json"]
    assert bloomdata.verify(tmp_path / "out").files == 0


def test_the_ledger_and_the_quarantine_are_those_of_the_reference(tmp_path):
    files = {
        "a.jsonl": b'\xef\xbb\xbf{"text":"a"}\n\nbad\n{}\n\xff\n"x"\n',
        "b.txt": b"x\n\xffy\n \r\n",
        "c.json": b'[{"text":"a"}, 1, {"a": "b\nc"}]',
    }
    inputs = [write(tmp_path / name, content) for name, content in files.items()]
    report = shard(inputs, tmp_path / "out", on_bad_record="quarantine")
    named = list(zip(inputs, files.values(), strict=True))
    contents, books = reference_shard(named)
    assert contents_of(tmp_path / "out") == contents
    entries = [json.loads(line) for line in (tmp_path / "out" / "quarantine.jsonl").read_text("utf-8").splitlines()]
    assert all(entry.pop("detail") for entry in entries)
    assert entries == books.quarantine
    assert len(entries) == 6
    assert report.ledger == {
        "documents_in": books.documents_in,
        "documents_kept": books.documents_kept,
        "documents_dropped": dict(books.documents_dropped),
        "documents_quarantined": dict(books.documents_quarantined),
        "bytes_in": books.bytes_in,
        "text_bytes": books.text_bytes,
        **{f"tokens_{what}": 0 for what in ("in", "out", "padding", "truncated", "dropped")},
    }


def test_the_quarantine_keeps_json_elements_without_the_white_space_between_their_tokens(tmp_path):
    path = write(tmp_path / "a.json", b'[{"text" : "a  b" , } , {"text":"y"}]')
    shard(path, tmp_path / "out", on_bad_record="quarantine")
    entry = json.loads((tmp_path / "out" / "quarantine.jsonl").read_bytes())
    assert (entry["raw"], entry["line"], entry["offset"]) == ('{"text":"a  b",}', 1, 1)


def test_the_manifest_says_what_was_read_and_written(source, tmp_path):
    (tmp_path / "in" / "notes.csv").write_bytes(b"no format of ours")
    report = shard(str(tmp_path / "in"), tmp_path / "out", max_lines=20)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_bytes())
    assert manifest == report.manifest
    assert [entry["path"] for entry in manifest["inputs"]] == [source]
    assert manifest["inputs"][0]["size"] == manifest["inputs"][0]["content_bytes"] == len(CONTENT)
    assert manifest["ignored_inputs"] == [str(tmp_path / "in" / "notes.csv")]
    assert manifest["config"]["max_lines"] == 20
    for output in manifest["outputs"]:
        assert (tmp_path / "out" / output["path"]).stat().st_size == output["size"]
    # The hash of an output is that of the same file as an input.
    paths = [str(tmp_path / "out" / output["path"]) for output in manifest["outputs"]]
    again = shard(paths, tmp_path / "again").manifest["inputs"]
    assert [entry["hash"] for entry in again] == [output["hash"] for output in manifest["outputs"]]
    assert [entry["content_bytes"] for entry in again] == [output["content_bytes"] for output in manifest["outputs"]]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("compression", ["zstd", "gzip", "none"])
def test_any_number_of_threads_writes_the_same_bytes(compression, shuffle, tmp_path):
    words = [b"%d" % (number * 2654435761 % 2**32) for number in range(500)]
    lines = [b'{"text":"%s"}' % b" ".join(words[number % 99 : number % 99 + number % 400]) for number in range(3000)]
    content = b"\n".join([*lines, b"bad", b"", *lines[:100]])
    cuts = list(range(50_000, len(content), 300_000))
    inputs = [
        write(tmp_path / f"{number}.jsonl{suffix}", jsonl.stored(content, suffix, cuts if suffix else None))
        for number, suffix in enumerate([".zst", "", ".gz", ".zst"])
    ]
    folders = {}
    for num_threads in (1, 2, 4):
        options = {"compression": compression, "shuffle": shuffle, "max_lines": 1000, "splits": {"dev": 500}}
        options["allow_duplicate_inputs"] = True
        folder = tmp_path / f"out-{num_threads}"
        shard(inputs, folder, num_threads=num_threads, on_bad_record="quarantine", **options)
        folders[num_threads] = everything_in(folder)
    assert folders[1] == folders[2] == folders[4]
    assert len(folders[1]) == 15  # 12 of train, one of dev, the quarantine, the manifest


def test_folders_and_patterns_are_read_in_natural_order(tmp_path):
    names = ["part-10.jsonl", "part-9.jsonl", "part-1.jsonl", "B.jsonl", "a/b.txt", "sub/part-2.jsonl"]
    for name in names:
        text = name.encode() if name.endswith(".txt") else b'{"text":"%s"}' % name.encode()
        write(tmp_path / "in" / name, text + b"\n")
    shard(str(tmp_path / "in"), tmp_path / "folder")
    order = ["B.jsonl", "a/b.txt", "part-1.jsonl", "part-9.jsonl", "part-10.jsonl", "sub/part-2.jsonl"]
    content = contents_of(tmp_path / "folder")["part-00000.jsonl"]
    assert [json.loads(line)["text"] for line in content.splitlines()] == order
    shard(str(tmp_path / "in" / "part-*.jsonl"), tmp_path / "pattern")
    content = contents_of(tmp_path / "pattern")["part-00000.jsonl"]
    assert [json.loads(line)["text"] for line in content.splitlines()] == order[2:5]
    given = [str(tmp_path / "in" / name) for name in names]
    shard(given, tmp_path / "list")
    content = contents_of(tmp_path / "list")["part-00000.jsonl"]
    assert [json.loads(line)["text"] for line in content.splitlines()] == names


def test_shards_of_shards_are_the_same_shards(source, tmp_path):
    shard(source, tmp_path / "once", max_lines=7)
    shard(str(tmp_path / "once"), tmp_path / "twice", max_lines=7)
    once, twice = everything_in(tmp_path / "once"), everything_in(tmp_path / "twice")
    del once["manifest.json"], twice["manifest.json"]
    assert once == twice


def test_rows_of_tables_become_a_line_each(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [{"text": f"é \n\u2028 {number}", "n": number, "meta": {"a": [1, None]}} for number in range(1000)]
    table = arrow.Table.from_pylist(rows)
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=300)
    for name, inputs in {"file": str(tmp_path / "a.parquet"), "stream": table}.items():
        report = shard(inputs, tmp_path / name, max_lines=400, compression="none")
        content = b"".join(contents_of(tmp_path / name).values())
        assert [json.loads(line) for line in content.split(b"\n")[:-1]] == rows
        assert [output["lines"] for output in report.outputs] == [400, 400, 200]
