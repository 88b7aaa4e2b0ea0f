"""`shard`: lines grouped as the reference says, stored so that any program reads them, the same in every run."""

import gzip
import json
import os
import re
import struct

import pytest
import zstandard

import bloomdata
from bloomdata.errors import ConfigError, CorruptDataError, MismatchError, UnsupportedFormatError
from damaged_corpus import write_corpus
from reference import jsonl
from reference.shard import shard as reference_shard

LINES = [b'{"text":"line %d"}' % number for number in range(23)]
CONTENT = b"".join(line + b"\n" for line in LINES)
MEBIBYTE = 1 << 20
DECOMPRESS = {
    ".zst": lambda data: zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read(),
    ".gz": gzip.decompress,
    ".jsonl": bytes,
}
SUFFIX = {"zstd": ".zst", "gzip": ".gz", "none": ""}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return str(path)


def shard(inputs, output, **options):
    return bloomdata.shard(inputs, output, **({"num_threads": 2} | options))


def contents_of(folder):
    """Decompressed content of every shard by name, without the suffix of the compression."""
    found = {}
    for path in sorted(folder.rglob("part-*")):
        name = path.relative_to(folder).as_posix().removesuffix(".zst").removesuffix(".gz")
        found[name] = DECOMPRESS[path.suffix](path.read_bytes())
    return found


def everything_in(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


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


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_a_shuffle_is_the_permutation_that_its_seed_says(seed, source, tmp_path):
    shard(source, tmp_path / "out", shuffle=True, seed=seed, max_lines=10)
    found = contents_of(tmp_path / "out")
    assert found == reference_shard([("a.jsonl", CONTENT)], shuffle=True, seed=seed, max_lines=10)[0]
    lines = b"".join(found.values()).split(b"\n")[:-1]
    assert lines != LINES
    assert sorted(lines) == sorted(LINES)


def test_different_seeds_shuffle_differently(source, tmp_path):
    orders = set()
    for seed in range(5):
        shard(source, tmp_path / f"out-{seed}", shuffle=True, seed=seed)
        orders.add(contents_of(tmp_path / f"out-{seed}")["part-00000.jsonl"])
    assert len(orders) == 5


def test_a_shuffle_of_many_buckets_is_that_of_one(tmp_path):
    """Inputs of 64 MiB and more are scattered to several buckets."""
    lines = [b'{"text":"%d"}' % number for number in range(5000)]
    noise = b'{"noise":"%s"}' % bytes(range(0x30, 0x5B)).hex().encode()
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.write(b"\n".join(lines) + b"\n")
        file.write(b" " * (66 * MEBIBYTE) + b"\n")  # a blank line: bytes that make no line
        file.write(noise)
    shard(str(path), tmp_path / "out", shuffle=True, seed=3)
    kept = [*lines, noise]
    assert contents_of(tmp_path / "out") == reference_shard([("a.jsonl", b"\n".join(kept))], shuffle=True, seed=3)[0]


@pytest.mark.parametrize(
    "splits",
    [
        {"train": 0.6, "dev": 0.2, "test": 0.2},
        {"train": 0.5, "test": 0.5},
        {"train": 1.0},
        {"dev": 1.0},
        {"train": 0.98, "dev": 0.01, "test": 0.01},
        {"dev": 3, "test": 2},
        {"test": 5},
        {"dev": 0, "test": 23},
        {"dev": 100, "test": 20},
        {"dev": 2**63 - 1, "test": 2**63 - 1},
        {"dev": 2**63, "test": 2**63},
    ],
    ids=str,
)
@pytest.mark.parametrize("shuffle", [False, True])
def test_splits_hold_the_lines_that_the_reference_gives_them(splits, shuffle, source, tmp_path):
    report = shard(source, tmp_path / "out", splits=splits, shuffle=shuffle, seed=5, max_lines=4)
    expected, _ = reference_shard([("a.jsonl", CONTENT)], splits=splits, shuffle=shuffle, seed=5, max_lines=4)
    assert contents_of(tmp_path / "out") == expected
    assert sum(output["lines"] for output in report.outputs) == len(LINES)
    bloomdata.verify(tmp_path / "out")


def test_shares_of_many_lines_come_close_to_what_was_asked_for(tmp_path):
    content = b"".join(b'{"text":"%d"}\n' % number for number in range(20_000))
    report = shard(
        write(tmp_path / "a.jsonl", content), tmp_path / "out", splits={"train": 0.9, "dev": 0.08, "test": 0.02}
    )
    counts = dict.fromkeys(("train", "dev", "test"), 0)
    for output in report.outputs:
        counts[output["path"].split("/")[0]] += output["lines"]
    assert counts == pytest.approx({"train": 18_000, "dev": 1_600, "test": 400}, rel=0.15)


def test_counts_of_splits_are_exact(source, tmp_path):
    shard(source, tmp_path / "out", splits={"dev": 3, "test": 2})
    contents = contents_of(tmp_path / "out")
    assert contents["test/part-00000.jsonl"] == b"".join(line + b"\n" for line in LINES[:2])
    assert contents["dev/part-00000.jsonl"] == b"".join(line + b"\n" for line in LINES[2:5])
    assert contents["train/part-00000.jsonl"] == b"".join(line + b"\n" for line in LINES[5:])


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
        folder = tmp_path / f"out-{num_threads}"
        shard(inputs, folder, num_threads=num_threads, on_bad_record="quarantine", **options)
        folders[num_threads] = everything_in(folder)
    assert folders[1] == folders[2] == folders[4]
    assert len(folders[1]) == 15  # 12 of train, one of dev, the quarantine, the manifest


def test_folders_and_patterns_are_read_in_natural_order(tmp_path):
    names = ["part-10.jsonl", "part-9.jsonl", "part-1.jsonl", "B.jsonl", "a.txt", "sub/part-2.jsonl"]
    for name in names:
        text = name.encode() if name.endswith(".txt") else b'{"text":"%s"}' % name.encode()
        write(tmp_path / "in" / name, text + b"\n")
    shard(str(tmp_path / "in"), tmp_path / "folder")
    order = ["B.jsonl", "a.txt", "part-1.jsonl", "part-9.jsonl", "part-10.jsonl", "sub/part-2.jsonl"]
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


def test_a_finished_run_does_nothing_when_it_is_called_again(source, tmp_path):
    first = shard(source, tmp_path / "out", max_lines=7)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "out").iterdir()}
    again = shard(source, tmp_path / "out", max_lines=7, num_threads=4)
    after = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "out").iterdir()}
    assert (first.was_finished, again.was_finished) == (False, True)
    assert again.manifest == first.manifest
    assert before == after


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_lines", 8),
        ("max_bytes", 10_000),
        ("compression", "gzip"),
        ("level", 4),
        ("prefix", "shard"),
        ("digits", 4),
        ("first_index", 1),
        ("text_field", "content"),
        ("validate", False),
        ("on_bad_record", "quarantine"),
        ("shuffle", True),
        ("seed", 1),
        ("splits", {"dev": 1}),
    ],
)
def test_a_rerun_with_another_option_is_refused_and_the_option_is_named(option, value, source, tmp_path):
    shard(source, tmp_path / "out", max_lines=7)
    before = everything_in(tmp_path / "out")
    with pytest.raises(MismatchError, match=rf"\b{option}\b"):
        shard(source, tmp_path / "out", **({"max_lines": 7} | {option: value}))
    assert everything_in(tmp_path / "out") == before
    shard(source, tmp_path / "out", **({"max_lines": 7, "overwrite": True} | {option: value}))
    shard(source, tmp_path / "new", **({"max_lines": 7} | {option: value}))
    assert everything_in(tmp_path / "out") == everything_in(tmp_path / "new")


def test_a_rerun_with_other_inputs_is_refused(source, tmp_path):
    other = write(tmp_path / "b.jsonl", CONTENT)
    shard(source, tmp_path / "out")
    with pytest.raises(MismatchError, match=r"number of inputs"):
        shard([source, other], tmp_path / "out")
    with pytest.raises(MismatchError, match=r"b\.jsonl"):
        shard(other, tmp_path / "out")
    write(tmp_path / "in" / "a.jsonl", CONTENT.replace(b"line 3", b"LINE 3"))
    with pytest.raises(MismatchError, match=r"content of input .*a\.jsonl"):
        shard(source, tmp_path / "out")


def test_a_finished_run_whose_output_is_gone_is_not_called_finished(source, tmp_path):
    shard(source, tmp_path / "out", max_lines=7)
    (tmp_path / "out" / "part-00001.jsonl.zst").unlink()
    with pytest.raises(OSError, match=r"part-00001\.jsonl\.zst"):
        shard(source, tmp_path / "out", max_lines=7)


def test_overwriting_leaves_nothing_of_the_run_before(source, tmp_path):
    shard(source, tmp_path / "out", max_lines=2, splits={"dev": 4})
    shard(source, tmp_path / "out", max_lines=7, overwrite=True)
    assert contents_of(tmp_path / "out") == reference_shard([("a.jsonl", CONTENT)], max_lines=7)[0]


def test_a_run_never_destroys_its_own_inputs(source, tmp_path):
    shard(source, tmp_path / "out", max_lines=7)
    before = everything_in(tmp_path / "out")
    with pytest.raises((ConfigError, MismatchError)):
        shard(str(tmp_path / "out"), tmp_path / "out", max_lines=5, overwrite=True)
    assert everything_in(tmp_path / "out") == before


def test_an_output_inside_of_the_input_folder_is_no_input_of_the_rerun(source, tmp_path):
    inputs = str(tmp_path / "in")
    shard(inputs, tmp_path / "in" / "shards")
    assert shard(inputs, tmp_path / "in" / "shards").was_finished


@pytest.mark.parametrize(
    "options", [{}, {"splits": {"train": 0.7, "dev": 0.2, "test": 0.1}}, {"max_bytes": 2000}], ids=str
)
def test_a_run_that_failed_goes_on_once_its_cause_is_gone_and_writes_the_same_bytes(options, tmp_path):
    """The last input comes back as it should have been: same size, same time, so the same run."""
    good = [b'{"text":"%d"}' % number for number in range(500)]
    contents = [b"\n".join([*good, b"bad", line]) for line in good[:4]]
    inputs = [write(tmp_path / f"{number}.jsonl", content) for number, content in enumerate(contents)]
    options |= {"max_lines": 60, "on_bad_record": "quarantine"}
    shard(inputs, tmp_path / "whole", **options)
    broken = tmp_path / "3.jsonl"
    times = broken.stat().st_atime_ns, broken.stat().st_mtime_ns
    broken.write_bytes(b"\x1f\x8b" + contents[3][2:])
    os.utime(broken, ns=times)
    with pytest.raises(UnsupportedFormatError, match=r"3\.jsonl"):
        shard(inputs, tmp_path / "out", **options)
    assert not (tmp_path / "out" / "manifest.json").exists()
    with pytest.raises(MismatchError, match=r"\bmax_lines\b"):
        shard(inputs, tmp_path / "out", **(options | {"max_lines": 70}))
    broken.write_bytes(contents[3])
    os.utime(broken, ns=times)
    report = shard(inputs, tmp_path / "out", **options)
    assert report.was_resumed
    assert everything_in(tmp_path / "out") == everything_in(tmp_path / "whole")


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.txt"])
def test_a_run_that_failed_inside_of_a_file_goes_on_there(name, suffix, tmp_path):
    """The file comes back as it should have been: same size, same time, so the same run."""
    source = tmp_path / (name + suffix)
    options = {"max_lines": 700, "splits": {"train": 0.8, "dev": 0.15, "test": 0.05}}
    shard(write_corpus(source), tmp_path / "whole", **options)
    with pytest.raises(CorruptDataError, match=re.escape(str(source))):
        shard(write_corpus(source, damaged=True), tmp_path / "out", **options)
    assert [*(tmp_path / "out").rglob("part-*.zst")]
    report = shard(write_corpus(source), tmp_path / "out", **options)
    assert report.was_resumed
    assert everything_in(tmp_path / "out") == everything_in(tmp_path / "whole")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"max_lines": 0}, "max_lines"),
        ({"max_lines": -1}, "max_lines"),
        ({"max_bytes": 0}, "max_bytes"),
        ({"compression": "bzip2"}, "compression"),
        ({"level": 23}, "level"),
        ({"compression": "gzip", "level": 10}, "level"),
        ({"prefix": ""}, "prefix"),
        ({"prefix": "a/b"}, "prefix"),
        ({"digits": 0}, "digits"),
        ({"first_index": -1}, "first_index"),
        ({"on_bad_record": "skip"}, "on_bad_record"),
        ({"seed": -1}, "seed"),
        ({"splits": {"train": 0.5}}, "splits"),
        ({"splits": {"train": 1.5, "dev": -0.5}}, "splits"),
        ({"splits": {"train": float("nan")}}, "splits"),
        ({"splits": {"valid": 0.1, "train": 0.9}}, "splits"),
        ({"splits": {"dev": -1}}, "splits"),
        ({"splits": {"train": 5}}, "splits"),
        ({"num_threads": 0}, "num_threads"),
    ],
    ids=str,
)
def test_an_option_that_cannot_work_is_refused_by_name_before_anything_is_written(options, named, source, tmp_path):
    with pytest.raises(ConfigError, match=rf"\b{named}\b"):
        shard(source, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_inputs_that_cannot_be_read_are_refused_with_their_names(source, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.jsonl"):
        shard(str(tmp_path / "none.jsonl"), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"none\*\.jsonl"):
        shard(str(tmp_path / "none*.jsonl"), tmp_path / "out")
    with pytest.raises(UnsupportedFormatError, match=r"a\.csv"):
        shard(write(tmp_path / "a.csv", b"a,b\n"), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"named twice"):
        shard([source, source], tmp_path / "out")
    with pytest.raises(ConfigError, match=r"none given"):
        shard([], tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"empty"):
        shard(str(tmp_path / "empty"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_ours_is_left_alone(source, tmp_path):
    write(tmp_path / "out" / "thesis.txt", b"years of work")
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match=r"out is not empty"):
            shard(source, tmp_path / "out", overwrite=overwrite)
    assert everything_in(tmp_path / "out") == {"thesis.txt": b"years of work"}


def test_a_failed_run_leaves_no_folder_that_looks_finished(tmp_path):
    source = write(tmp_path / "a.jsonl", CONTENT + b"bad\n")
    with pytest.raises(CorruptDataError):
        shard(source, tmp_path / "out", max_lines=2)
    with pytest.raises(ConfigError, match=r"has not finished"):
        bloomdata.verify(tmp_path / "out")
    with pytest.raises(ConfigError, match=r"has not finished"):
        shard(str(tmp_path / "out"), tmp_path / "other")


def test_what_a_shuffle_left_when_it_was_killed_at_the_very_end_is_removed_by_the_rerun(source, tmp_path):
    """The manifest is written first, then the buckets are removed; a kill in between leaves both."""
    shard(source, tmp_path / "out", shuffle=True)
    write(tmp_path / "out" / ".shuffle" / "bucket-000.tmp", b"")
    shard(source, tmp_path / "out", shuffle=True)
    bloomdata.verify(tmp_path / "out")
    assert not (tmp_path / "out" / ".shuffle").exists()


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
