"""Every kind of record and file, good and bad, against golden vectors; damaged files are refused."""

import gzip
import itertools
import json
import re
import tomllib
from pathlib import Path

import pytest
import zstandard

import bloomdata
from bloomdata.errors import CorruptDataError, UnsupportedFormatError
from reference import jsonl
from reference.shard import key, mix

GOLDEN = Path(__file__).parent / "golden"
VECTORS = tomllib.loads((GOLDEN / "records.toml").read_text("utf-8"))
FROZEN = tomllib.loads((GOLDEN / "frozen.toml").read_text("utf-8"))
DROPPED = ("blank line", "empty text")
SUFFIXES = ("", ".gz", ".zst")
MEBIBYTE = 1 << 20


def raw_of(vector):
    return bytes.fromhex(vector["hex"]) if "hex" in vector else vector.get("raw", vector.get("content")).encode()


def name_of(vector):
    return f"{vector.get('name', vector.get('field', 'text'))} {raw_of(vector)!r}"[:100]


# One bad record for each reason.
BAD = {
    vector.get("reason"): vector for vector in VECTORS["record"] if vector.get("reason", "blank line") not in DROPPED
}


def pack(inputs, output, **options):
    return bloomdata.pack(
        str(inputs), output, tokenizer="bytes", format="megatron", num_threads=2, **({"allow_empty": True} | options)
    )


def texts_in(folder):
    return [document[:-1].astype("u1").tobytes().decode("utf-8") for document in bloomdata.open(folder)]


def quarantine_in(folder):
    path = folder / "quarantine.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]] if path.exists() else []


def write(path, content):
    path.write_bytes(content)
    return path


def entry_of(path, line, offset, reason, raw):
    """What the quarantine must say, but for `detail`, whose wording is free."""
    try:
        return {"file": str(path), "line": line, "offset": offset, "reason": reason, "raw": raw.decode("utf-8")}
    except UnicodeDecodeError:
        return {"file": str(path), "line": line, "offset": offset, "reason": reason, "raw_hex": raw.hex()}


def without_detail(entries):
    assert all(entry.pop("detail") for entry in entries)
    return entries


def nested(field, text):
    for part in reversed(field.split(".")):
        text = {part: text}
    return json.dumps(text).encode()


@pytest.fixture(scope="module")
def packed_records(tmp_path_factory):
    """All records packed at once, a mark behind each: (texts before its mark, entry of the quarantine) for each."""
    found = {}
    for field in {vector.get("field", "text") for vector in VECTORS["record"]}:
        vectors = [vector for vector in VECTORS["record"] if vector.get("field", "text") == field]
        lines = [line for n, vector in enumerate(vectors) for line in (raw_of(vector), nested(field, f"mark {n}"))]
        folder = tmp_path_factory.mktemp("records")
        path = write(folder / "a.jsonl", b"\n" + b"\n".join(lines))
        pack(path, folder / "packed", text_field=field, on_bad_record="quarantine")
        texts = iter(texts_in(folder / "packed"))
        entries = {entry["line"]: entry for entry in without_detail(quarantine_in(folder / "packed"))}
        for number, vector in enumerate(vectors):
            line, offset = 2 * number + 2, 1 + sum(len(line) + 1 for line in lines[: 2 * number])
            before_mark = [*itertools.takewhile(lambda text, n=number: text != f"mark {n}", texts)]
            entry = entries.get(line)
            expected = entry_of(path, line, offset, vector.get("reason"), raw_of(vector))
            found[id(vector)] = (before_mark, entry, expected)
    return found


@pytest.mark.parametrize("vector", VECTORS["record"], ids=name_of)
def test_pack_finds_the_text_or_the_reason_of_a_record(vector, packed_records):
    texts, entry, expected = packed_records[id(vector)]
    reason = vector.get("reason")
    assert texts == ([vector["text"]] if reason is None else [])
    assert entry == (expected if reason and reason not in DROPPED else None)


def test_shard_copies_the_bytes_of_every_json_object_and_of_nothing_else(tmp_path):
    path = write(tmp_path / "a.jsonl", b"\n" + b"".join(raw_of(vector) + b"\n" for vector in VECTORS["record"]))
    bloomdata.shard(str(path), tmp_path / "out", compression="none", on_bad_record="quarantine", num_threads=2)
    good, bad, offset = [], [], 1
    for line, vector in enumerate(VECTORS["record"], start=2):
        raw, reason = raw_of(vector), vector.get("reason")
        if vector.get("object", reason is None):
            good.append(raw)
        elif reason not in DROPPED:
            # A line that is copied is read by others: NaN in any field of it is bad.
            bad.append(entry_of(path, line, offset, reason or "malformed JSON", raw))
        offset += len(raw) + 1
    assert (tmp_path / "out" / "part-00000.jsonl").read_bytes().split(b"\n")[:-1] == good
    assert without_detail(quarantine_in(tmp_path / "out")) == bad


@pytest.mark.parametrize("vector", VECTORS["record"], ids=name_of)
def test_the_reference_agrees_with_the_golden_records(vector):
    raw, reason = raw_of(vector), vector.get("reason")
    if jsonl.is_blank(raw):
        assert reason == "blank line"
    elif reason is None or reason == "empty text":
        assert jsonl.text_of("a.jsonl", raw, vector.get("field", "text")) == vector.get("text", "")
    else:
        with pytest.raises(jsonl.BadRecordError, match=f"^{reason}$"):
            jsonl.text_of("a.jsonl", raw, vector.get("field", "text"))


@pytest.mark.parametrize("vector", BAD.values(), ids=BAD.keys())
def test_a_bad_record_stops_pack_with_file_line_and_offset(vector, tmp_path):
    path = write(tmp_path / "a.jsonl", b'\n{"text":"x","a":{"b":"x"}}\n' + raw_of(vector))
    with pytest.raises(CorruptDataError) as caught:
        pack(path, tmp_path / "packed", text_field=vector.get("field", "text"))
    assert re.search(rf"^{re.escape(str(path))}: line 3: offset 28: ", str(caught.value))


def test_a_bad_record_stops_shard_with_file_line_and_offset(tmp_path):
    path = write(tmp_path / "a.jsonl", b'{"text":"x"}\n{"text":\n')
    with pytest.raises(CorruptDataError, match=rf"^{re.escape(str(path))}: line 2: offset 13: malformed JSON"):
        bloomdata.shard(str(path), tmp_path / "out")


def test_the_first_bad_record_is_the_one_that_is_reported_whatever_comes_later(tmp_path):
    paths = [write(tmp_path / f"{name}.jsonl", content) for name, content in {"a": b"{}\n", "b": b"x\n"}.items()]
    paths.append(write(tmp_path / "c.jsonl.gz", b"\x1f\x8bno gzip"))
    for num_threads in (1, 4):
        with pytest.raises(CorruptDataError, match=r"a\.jsonl: line 1: offset 0: no field"):
            bloomdata.pack(
                [str(path) for path in paths],
                tmp_path / f"packed-{num_threads}",
                tokenizer="bytes",
                sequence_length=8,
                num_threads=num_threads,
            )


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("vector", VECTORS["file"], ids=name_of)
def test_a_file_holds_the_texts_that_its_golden_vector_says(vector, suffix, tmp_path):
    content = raw_of(vector)
    path = write(tmp_path / (vector["name"] + suffix), jsonl.stored(content, suffix))
    ledger = pack(path, tmp_path / "packed", on_bad_record="quarantine").ledger
    assert texts_in(tmp_path / "packed") == vector["texts"]
    entries = quarantine_in(tmp_path / "packed")
    assert [[entry["line"], entry["offset"], entry["reason"]] for entry in entries] == vector["bad"]
    assert sum(ledger["documents_dropped"].values()) == vector["dropped"]
    assert ledger["documents_in"] == len(vector["texts"]) + len(vector["bad"]) + vector["dropped"]
    assert ledger["bytes_in"] == len(content)


@pytest.mark.parametrize("vector", [vector for vector in VECTORS["file"] if vector.get("oracle", True)], ids=name_of)
def test_the_reference_agrees_with_the_golden_files(vector):
    texts, bad, dropped = [], [], 0
    for record in jsonl.records(vector["name"], raw_of(vector)):
        try:
            if jsonl.is_blank(record.raw):
                dropped += 1
            else:
                texts.append(jsonl.text_of(vector["name"], record.raw, "text"))
        except jsonl.BadRecordError as reason:
            bad.append([record.line, record.offset, str(reason)])
    assert (texts, bad, dropped) == (vector["texts"], vector["bad"], vector["dropped"])


@pytest.mark.parametrize("vector", VECTORS["broken_json"], ids=name_of)
@pytest.mark.parametrize("on_bad_record", ["raise", "quarantine"])
def test_a_json_file_whose_structure_is_broken_is_refused(vector, on_bad_record, tmp_path):
    path = write(tmp_path / "a.json", raw_of(vector))
    with pytest.raises(CorruptDataError, match=rf"^{re.escape(str(path))}: offset \d+: "):
        pack(path, tmp_path / "packed", on_bad_record=on_bad_record)
    assert not (tmp_path / "packed" / "manifest.json").exists()


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
@pytest.mark.parametrize("cuts", [[1], [1, 2], [0, 3]], ids=str)
def test_a_byte_order_mark_is_skipped_wherever_members_and_frames_cut_it(cuts, name, suffix, tmp_path):
    content = b'\xef\xbb\xbf{"text":"a"}\n{"text":"b"}\n'
    path = write(tmp_path / (name + suffix), jsonl.stored(content, suffix, cuts))
    pack(path, tmp_path / "packed")
    assert texts_in(tmp_path / "packed") == ["a", "b"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_lines_around_the_boundaries_of_reads_come_back_whole(suffix, tmp_path):
    """Files are read a mebibyte at a time: lines end just before, on and behind each boundary, and span several."""
    lines = [b'{"text":"start"}']
    for boundary, distance in [(1, -1), (2, 0), (3, 1), (4, 2), (7, -2), (8, 0)]:
        at = sum(len(line) + 1 for line in lines)
        filler = boundary * MEBIBYTE + distance - at - len(b'{"text":""}\n')
        lines.append(b'{"text":"%s"}' % (b"%d" % boundary * filler)[:filler])
    content = b"\n".join(lines)
    cuts = [MEBIBYTE - 1, 2 * MEBIBYTE, 2 * MEBIBYTE + 1, 5 * MEBIBYTE]
    path = write(tmp_path / f"a.jsonl{suffix}", jsonl.stored(content, suffix, cuts if suffix else None))
    pack(path, tmp_path / "packed")
    assert texts_in(tmp_path / "packed") == [json.loads(line)["text"] for line in lines]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("indent", [None, 1])
def test_json_arrays_around_the_boundaries_of_reads_come_back_whole(suffix, indent, tmp_path):
    texts = ["x" * (MEBIBYTE // 2 - 7), '"\\' * 300_000, "short", "é" * 700_000]
    content = json.dumps([{"text": text} for text in texts], ensure_ascii=False, indent=indent).encode()
    path = write(tmp_path / f"a.json{suffix}", jsonl.stored(content, suffix, [MEBIBYTE] if suffix else None))
    pack(path, tmp_path / "packed")
    assert texts_in(tmp_path / "packed") == texts


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_every_truncation_of_a_compressed_file_is_an_error_that_names_it(suffix, tmp_path):
    parts = [b'{"text":"a"}\n{"text":"b"}\n', b'{"text":"c"}\n']
    whole = [jsonl.stored(part, suffix) for part in parts]
    data = b"".join(whole)
    for size in range(len(data)):
        if size == len(whole[0]):
            continue  # a cut between two members or frames leaves a valid file
        path = write(tmp_path / f"{size}.jsonl{suffix}", data[:size])
        with pytest.raises(CorruptDataError, match=rf"^{re.escape(str(path))}: offset \d+: "):
            bloomdata.shard(str(path), tmp_path / f"out-{size}", compression="none", num_threads=1)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_no_flipped_byte_of_a_compressed_file_changes_a_text(suffix, tmp_path):
    content = b"".join(b'{"text":"document %d"}\n' % number for number in range(20))
    data = jsonl.stored(content, suffix, [200])
    for at in range(len(data)):
        path = write(tmp_path / f"{at}.jsonl{suffix}", data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :])
        try:
            bloomdata.shard(str(path), tmp_path / f"out-{at}", compression="none", num_threads=1)
        except CorruptDataError as error:
            assert str(path) in str(error)  # noqa: PT017 - either it is refused, or nothing has changed
            continue
        assert (tmp_path / f"out-{at}" / "part-00000.jsonl").read_bytes() == content


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_an_error_in_compressed_data_says_at_which_byte_of_the_file(suffix, tmp_path):
    first, second = (jsonl.stored(b'{"text":"%s"}\n' % (b"x" * 50), suffix) for _ in range(2))
    damaged = bytearray(first + second)
    damaged[-3] ^= 0xFF  # in the checksum or length at the end
    path = write(tmp_path / f"a.jsonl{suffix}", bytes(damaged))
    with pytest.raises(CorruptDataError) as caught:
        pack(path, tmp_path / "packed")
    offset = int(re.search(r": offset (\d+): ", str(caught.value)).group(1))
    assert len(first) <= offset <= len(damaged)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_compressed_name_over_other_bytes_is_refused(suffix, tmp_path):
    for number, content in enumerate((b"", b'{"text":"x"}\n', b"x")):
        with pytest.raises(CorruptDataError, match=r"offset 0"):
            pack(write(tmp_path / f"{number}.jsonl{suffix}", content), tmp_path / f"packed-{number}")


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(b"{}\n"),
        zstandard.compress(b"{}\n"),
        '{"text":"x"}\n'.encode("utf-16"),
        "\ufeffone".encode("utf-16-be"),
    ],
    ids=["gzip", "zstd", "UTF-16LE", "UTF-16BE"],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.txt", "a.json"])
def test_a_plain_name_over_compressed_or_utf_16_bytes_is_refused(name, content, tmp_path):
    path = write(tmp_path / name, content)
    with pytest.raises(UnsupportedFormatError, match=re.escape(str(path))):
        pack(path, tmp_path / "packed", on_bad_record="quarantine")


def test_skippable_frames_and_empty_members_hold_no_records(tmp_path):
    skippable = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
    frame = zstandard.compress(b'{"text":"a"}\n')
    pack(write(tmp_path / "a.jsonl.zst", skippable + frame + skippable + zstandard.compress(b"")), tmp_path / "zst")
    assert texts_in(tmp_path / "zst") == ["a"]
    members = gzip.compress(b"") + gzip.compress(b'{"text"') + gzip.compress(b"") + gzip.compress(b':"a"}')
    pack(write(tmp_path / "a.jsonl.gz", members), tmp_path / "gz")
    assert texts_in(tmp_path / "gz") == ["a"]


@pytest.mark.parametrize("opening", [b'{"a":', b"["], ids=repr)
def test_nesting_of_any_depth_works(opening, tmp_path):
    depth, closing = 500_000, b"}" if opening.startswith(b"{") else b"]"
    content = b'{"text":"x","a":' + opening * depth + b"1" + closing * depth + b"}\n" + b'{"text":' + opening * depth
    ledger = pack(write(tmp_path / "a.jsonl", content), tmp_path / "packed", on_bad_record="quarantine").ledger
    assert texts_in(tmp_path / "packed") == ["x"]
    assert ledger["documents_quarantined"] == {"malformed JSON": 1}


def lines_of(fifth):
    return [b'{"text":"%d"}' % number for number in range(4)] + [fifth] + [b'{"text":"%d"}' % n for n in range(5, 10)]


@pytest.mark.parametrize(
    ("fifth", "reason"),
    [
        (b'{"text":"4"}', None),
        (b'{"text":', "malformed JSON"),
        (b'{"other":"4"}', "missing field"),
        (b'{"text":null}', "null field"),
        (b'{"text":"\xff"}', "invalid UTF-8"),
    ],
    ids=["clean", "malformed", "lacks text", "null", "invalid UTF-8"],
)
def test_the_probes_that_rivals_fail_keep_every_good_document_or_refuse(fifth, reason, tmp_path):
    """Rows 1 to 5 of the probe table in PEERS.md."""
    path = write(tmp_path / "a.jsonl", b"\n".join(lines_of(fifth)) + b"\n")
    ledger = pack(path, tmp_path / "kept", on_bad_record="quarantine").ledger
    expected = [str(number) for number in range(10) if reason is None or number != 4]
    assert texts_in(tmp_path / "kept") == expected
    assert ledger["documents_quarantined"] == ({reason: 1} if reason else {})
    if reason:
        with pytest.raises(CorruptDataError, match=r"line 5: offset 52: "):
            pack(path, tmp_path / "refused")


def test_the_probes_of_zstd_files_are_read_whole_or_refused(tmp_path):
    """Rows 6 to 8 of the probe table in PEERS.md: a clean file, two frames, a truncated file of 400 documents."""
    content = b"\n".join(lines_of(b'{"text":"4"}')) + b"\n"
    frame = zstandard.compress(content)
    assert pack(write(tmp_path / "a.jsonl.zst", frame), tmp_path / "a").ledger["documents_kept"] == 10
    assert pack(write(tmp_path / "b.jsonl.zst", frame * 2), tmp_path / "b").ledger["documents_kept"] == 20
    many = zstandard.compress(b"".join(b'{"text":"document %d"}\n' % number for number in range(400)))
    path = write(tmp_path / "c.jsonl.zst", many[: len(many) // 2])
    for policy in ("raise", "quarantine"):
        with pytest.raises(CorruptDataError, match=r"truncated"):
            pack(path, tmp_path / f"c-{policy}", on_bad_record=policy)


def test_several_fields_come_from_the_same_record_or_not_at_all(tmp_path):
    content = b'{"a":"1","b":"2"}\n{"a":"3"}\n{"a":"","b":""}\n{"a":"4","b":""}\n'
    path = write(tmp_path / "a.jsonl", content)
    ledger = pack(path, tmp_path / "packed", text_field=["a", "b"], on_bad_record="quarantine").ledger
    first, second = (bloomdata.open(tmp_path / "packed", field=field) for field in "ab")
    assert [document.tolist() for document in first] == [[49, 258], [52, 258]]
    assert [document.tolist() for document in second] == [[50, 258], []]
    assert (ledger["documents_kept"], ledger["documents_dropped"]) == (2, {"empty text": 1})
    assert ledger["documents_quarantined"] == {"missing field": 1}


@pytest.mark.parametrize("vector", FROZEN["key"], ids=lambda vector: vector["key"])
def test_keys_of_the_reference_are_the_frozen_ones(vector):
    assert f"{key(int(vector['seed']), vector['stream'], vector['index']):016x}" == vector["key"]


def test_the_mixer_of_the_reference_is_that_of_splitmix64():
    golden = 0x9E3779B97F4A7C15
    for vector in FROZEN["splitmix64"]:
        outputs = [mix((vector["state"] + step * golden) % 2**64) for step in (1, 2, 3)]
        assert [f"{output:016x}" for output in outputs] == vector["outputs"]


@pytest.mark.parametrize("vector", FROZEN["blake3"], ids=lambda vector: str(vector["length"]))
def test_hashes_in_manifests_are_blake3(vector, tmp_path):
    content = (bytes(range(251)) * (vector["length"] // 251 + 1))[: vector["length"]]
    path = write(tmp_path / "a.jsonl", content)
    manifest = bloomdata.shard(str(path), tmp_path / "out", validate=False).manifest
    assert manifest["inputs"][0]["hash"] == vector["hash"]
    assert manifest["inputs"][0]["size"] == manifest["inputs"][0]["content_bytes"] == len(content)
