"""Compressed files: garbage, truncated and flipped bytes are refused; frames and members of every kind are read."""

from __future__ import annotations

import gzip
import json
import random
import struct
import subprocess
import sys

import numpy as np
import pytest
import zstandard

from hostile import MANY, TEN, TIMEOUT, cuts, gz, jsonl, write, zstd

# --- garbage, truncated, flipped -------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".gz", ".zst"])
@pytest.mark.parametrize(
    "content",
    [
        b"\0",
        b"\x1f",
        b"\x28\xb5\x2f",
        b"\0" * 100,
        b"garbage " * 100,
        jsonl(TEN),
        random.Random(1).randbytes(1000),
        b"\x1f\x8b" + random.Random(2).randbytes(1000),
        b"\x1f\x8b\x08\x00" + random.Random(3).randbytes(1000),
        b"\x28\xb5\x2f\xfd" + random.Random(4).randbytes(1000),
        b"\x28\xb5\x2f\xfd",
        b"\x50\x2a\x4d\x18",
        b"\x50\x2a\x4d\x18\xff\xff\xff\xff",
        b"BZh91AY&SY" + bytes(100),
        b"PK\x03\x04" + bytes(100),
    ],
    ids=range(15),
)
def test_garbage_under_a_compressed_name_is_corrupt(ending, content, pack, shard, tmp_path):
    path = write(tmp_path / f"a.jsonl{ending}", content)
    for call in (pack, shard):
        assert f"{path}: offset " in call(path).refused("CorruptDataError")


def test_one_compression_under_the_name_of_the_other_is_refused(pack, tmp_path):
    data = jsonl(TEN)
    assert "zst" in pack(write(tmp_path / "a.jsonl", zstd(data))).refused("UnsupportedFormatError")
    assert "gz" in pack(write(tmp_path / "b.jsonl", gz(data))).refused("UnsupportedFormatError")
    pack(write(tmp_path / "c.jsonl.gz", zstd(data))).refused("CorruptDataError", "UnsupportedFormatError")
    pack(write(tmp_path / "d.jsonl.zst", gz(data))).refused("CorruptDataError", "UnsupportedFormatError")
    pack(write(tmp_path / "e.jsonl.gz", gz(gz(data)))).refused("CorruptDataError", "UnsupportedFormatError")


PARTS = [jsonl(MANY[:100]), jsonl(MANY[100:200]), jsonl(MANY[200:])]
COMPRESSED = {
    "one gzip member.jsonl.gz": [gz(jsonl(MANY))],
    "three gzip members.jsonl.gz": [gz(part) for part in PARTS],
    "one frame.jsonl.zst": [zstd(jsonl(MANY))],
    "three frames.jsonl.zst": [zstd(part) for part in PARTS],
    "frame without size.jsonl.zst": [zstd(jsonl(MANY), size=False)],
    "three frames without size.jsonl.zst": [zstd(part, size=False) for part in PARTS],
    "text.txt.zst": [zstd("\n".join(MANY).encode())],
    "text.txt.gz": [gz("\n".join(MANY).encode())],
    "array.json.zst": [zstd(json.dumps([{"text": text} for text in MANY]).encode())],
}


@pytest.mark.parametrize("name", COMPRESSED)
def test_a_compressed_file_truncated_anywhere_is_refused(name, pack, tmp_path):
    parts = COMPRESSED[name]
    data = b"".join(parts)
    boundaries = np.cumsum([len(part) for part in parts]).tolist()
    path = write(tmp_path / name, data)
    assert pack(path).texts == MANY
    for length in cuts(len(data), *boundaries[:-1]):
        outcome = pack(write(path, data[:length]))
        if length in boundaries:
            # Whole members or frames: nothing in the file says that more followed.
            assert outcome.texts == MANY[: 100 * (boundaries.index(length) + 1)]
        else:
            assert f"{path}: offset " in outcome.refused("CorruptDataError"), length


@pytest.mark.parametrize("name", COMPRESSED)
def test_a_flipped_byte_in_a_compressed_file_is_refused_or_harmless(name, pack, tmp_path):
    data = b"".join(COMPRESSED[name])
    rng = random.Random(name)
    places = {*range(20), *rng.sample(range(len(data)), 40), *range(len(data) - 9, len(data))}
    refused = 0
    for place in sorted(places):
        damaged = bytearray(data)
        damaged[place] ^= rng.randint(1, 255)
        outcome = pack(write(tmp_path / name, bytes(damaged)))
        if outcome.error is None:
            # The time in a gzip header, say.
            assert outcome.texts == MANY, place
        else:
            outcome.refused("CorruptDataError")
            refused += 1
    assert refused > len(places) / 2


GARBAGE = [b"\n", b"xyz", b"garbage " * 50, b"\x1f\x8b", b"\x28\xb5\x2f\xfd"]


# Zeros behind gzip are padding: see below.
@pytest.mark.parametrize(
    ("ending", "garbage"),
    [*((ending, garbage) for ending in (".gz", ".zst") for garbage in GARBAGE), (".zst", b"\0"), (".zst", b"\0" * 4)],
)
def test_garbage_behind_compressed_data_is_refused(ending, garbage, pack, tmp_path):
    data = (gz if ending == ".gz" else zstd)(jsonl(TEN))
    path = write(tmp_path / f"a.jsonl{ending}", data + garbage)
    assert f"{path}: offset " in pack(path).refused("CorruptDataError")


@pytest.mark.parametrize("count", [1, 511, 70_000])
def test_zeros_after_a_gzip_member_are_padding_as_for_python(count, pack, shard, tmp_path):
    padded = b"".join(gz(part) + bytes(count) for part in PARTS)
    assert gzip.decompress(padded) == jsonl(MANY)
    path = write(tmp_path / "a.jsonl.gz", padded)
    assert pack(path).texts == MANY
    assert b"\n".join(shard(path).lines) + b"\n" == jsonl(MANY)
    for behind in (b"x", b"\x1f\x8b"):
        outcome = pack(write(path, padded + behind))
        assert f"{path}: offset " in outcome.refused("CorruptDataError")
    # Zeros before the first member are no file of gzip.
    pack(write(path, bytes(count) + padded)).refused("CorruptDataError")


# --- frames and members of every kind --------------------------------------------------------------------------


@pytest.mark.parametrize("size", [True, False], ids=["with size", "without size"])
def test_ten_thousand_frames_of_one_line_keep_every_line(size, pack, shard, tmp_path):
    texts = [f"line {number}" for number in range(10_000)]
    compressor = zstandard.ZstdCompressor(level=1, write_content_size=size)
    path = write(tmp_path / "a.jsonl.zst", b"".join(compressor.compress(jsonl([text])) for text in texts))
    assert pack(path).texts == texts
    assert b"\n".join(shard(path).lines) + b"\n" == jsonl(texts)


def test_ten_thousand_gzip_members_of_one_line_keep_every_line(pack, tmp_path):
    texts = [f"line {number}" for number in range(10_000)]
    path = write(tmp_path / "a.jsonl.gz", b"".join(gzip.compress(jsonl([text]), 1, mtime=0) for text in texts))
    assert pack(path).texts == texts


@pytest.mark.parametrize("size", [True, False], ids=["with size", "without size"])
def test_one_giant_frame_keeps_every_document(size, pack, tmp_path):
    texts = [f"{number} " + "x" * 100_000 for number in range(700)]
    path = write(tmp_path / "a.jsonl.zst", zstd(jsonl(texts), level=1, size=size))
    assert pack(path).texts == texts


@pytest.mark.parametrize("compress", [gz, zstd, lambda data: zstd(data, size=False)], ids=["gz", "zst", "zst-no-size"])
def test_members_and_frames_may_end_anywhere_even_inside_a_character(compress, pack, tmp_path):
    data = b"\xef\xbb\xbf" + jsonl(TEN[:3]) + b"\r\n" + jsonl(TEN[3:5])
    ending = ".gz" if compress is gz else ".zst"
    for place in [*range(12), *range(12, len(data), 5)]:
        parts = [data[:place], b"", data[place : place + 1], data[place + 1 :]]
        path = write(tmp_path / f"a.jsonl{ending}", b"".join(compress(part) for part in parts))
        outcome = pack(path)
        assert outcome.texts == TEN[:5], f"cut at {place}: {outcome.message}"


def skippable(data: bytes, number: int = 0) -> bytes:
    return struct.pack("<II", 0x184D2A50 + number, len(data)) + data


def test_skippable_frames_are_skipped_wherever_they_stand(pack, tmp_path):
    first, second = zstd(jsonl(TEN[:5])), zstd(jsonl(TEN[5:]))
    for number in range(16):
        extra = skippable(b"anything", number)
        data = extra + first + extra + skippable(b"") + second + extra
        assert pack(write(tmp_path / "a.jsonl.zst", data)).texts == TEN
    large = skippable(random.Random(1).randbytes(20 << 20))
    assert pack(write(tmp_path / "b.jsonl.zst", large + first + large + second)).texts == TEN
    assert pack(write(tmp_path / "c.jsonl.zst", skippable(b"nothing else"))).texts == []
    # One that says that it is longer than the file.
    lie = first + struct.pack("<II", 0x184D2A50, 1000) + second
    pack(write(tmp_path / "d.jsonl.zst", lie)).refused("CorruptDataError")


def with_content_size(frame: bytes, size: int) -> bytes:
    """The frame with another content size in its header (RFC 8878, 3.1.1.1), stored in 8 bytes."""
    descriptor = frame[4]
    single, flag = descriptor >> 5 & 1, descriptor >> 6
    old = [1 if single else 0, 2, 4, 8][flag]
    window = b"" if single else frame[5:6]
    body = frame[5 + len(window) + old :]
    return frame[:4] + bytes([descriptor | 0xC0]) + window + struct.pack("<Q", size) + body


@pytest.mark.parametrize("checksum", [True, False])
@pytest.mark.parametrize("place", ["alone", "first", "last"])
def test_a_frame_that_lies_about_its_size_is_refused(checksum, place, pack, tmp_path):
    data = jsonl(TEN)
    frame = zstd(data, checksum=checksum)
    before, after = {"alone": (b"", b""), "first": (b"", frame), "last": (frame, b"")}[place]
    honest = write(tmp_path / "a.jsonl.zst", before + with_content_size(frame, len(data)) + after)
    assert pack(honest).texts == TEN * (1 if place == "alone" else 2)
    for size in (0, 1, len(data) - 1, len(data) + 1, 1 << 20, 17 << 20, 1 << 40, (1 << 64) - 3):
        path = write(tmp_path / "a.jsonl.zst", before + with_content_size(frame, size) + after)
        outcome = pack(path)
        assert outcome.error is not None, f"{size} instead of {len(data)}: {outcome.ledger}"
        assert f"{path}: offset " in outcome.refused("CorruptDataError")


@pytest.mark.parametrize("window_log", [27, 30, 31])
def test_long_windows_are_read(window_log, pack, tmp_path):
    parameters = zstandard.ZstdCompressionParameters(
        compression_level=1, window_log=window_log, enable_ldm=True, write_content_size=False
    )
    data = zstandard.ZstdCompressor(compression_params=parameters).compress(jsonl(TEN))
    assert pack(write(tmp_path / "a.jsonl.zst", data)).texts == TEN


def test_a_frame_that_needs_a_dictionary_is_refused(pack, tmp_path):
    dictionary = zstandard.ZstdCompressionDict(
        random.Random(1).randbytes(1000), dict_type=zstandard.DICT_TYPE_RAWCONTENT
    )
    trained = zstandard.train_dictionary(2000, [jsonl([text]) for text in MANY])
    for number, kind in enumerate((dictionary, trained)):
        data = zstandard.ZstdCompressor(dict_data=kind).compress(jsonl(MANY))
        outcome = pack(write(tmp_path / f"{number}.jsonl.zst", data))
        if outcome.error is None:
            assert outcome.texts == MANY  # raw content that nothing referred to
        else:
            outcome.refused("CorruptDataError")


PEAK = """
import resource, sys, bloomdata
report = bloomdata.pack(sys.argv[1], sys.argv[2], tokenizer="bytes", format="megatron", num_threads=2)
print(report.ledger["documents_in"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is counted in other units elsewhere")
@pytest.mark.parametrize("line", [b"\n", b"x\n"], ids=["blank lines", "lines of one letter"])
def test_a_small_file_that_decompresses_to_much_is_read_in_bounded_memory(line, tmp_path):
    peaks = []
    for megabytes in (64, 192):
        path = write(tmp_path / f"{megabytes}.txt.zst", zstd(line * (megabytes * 1_000_000 // len(line)), size=False))
        command = [sys.executable, "-c", PEAK, path, tmp_path / f"output-{megabytes}"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT)
        documents, peak = done.stdout.split()
        assert int(documents) == megabytes * 1_000_000 // len(line)
        peaks.append(int(peak))
    assert peaks[1] < 1.5 * peaks[0]


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_a_line_of_a_hundred_megabytes_is_kept(ending, pack, shard, tmp_path):
    texts = ["before", "é" * 50_000_000, "after"]
    compress = {
        "": lambda data: data,
        ".gz": lambda data: gzip.compress(data, 1),
        ".zst": lambda data: zstd(data, level=1),
    }
    path = write(tmp_path / f"a.jsonl{ending}", compress[ending](jsonl(texts)))
    assert pack(path).texts == texts
    assert b"\n".join(shard(path).lines) + b"\n" == jsonl(texts)
