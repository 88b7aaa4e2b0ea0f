"""Every compression: what Python's modules write is read, also in pieces and padded; what is cut is refused."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import struct

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata.texts import read_texts

TEXTS = [f"Zeile {number} äöü 文字 {number * 7919 % 1009}" for number in range(400)]


def lines(texts):
    return b"".join(json.dumps({"text": text}, ensure_ascii=False).encode() + b"\n" for text in texts)


def lz4_frame(content):
    """A frame of stored blocks, as the format's description has it: header, sizes with the highest bit, end mark."""
    blocks = [content[at : at + 1000] for at in range(0, len(content), 1000)]
    stored = b"".join(struct.pack("<I", len(block) | 1 << 31) + block for block in blocks)
    return bytes.fromhex("04224d18604082") + stored + bytes(4)


def gzipped(content):
    """Without the time of day, so that the names of tests are the same in every process."""
    return gzip.compress(content, mtime=0)


COMPRESS = {
    ".gz": gzipped,
    ".zst": zstandard.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".lz4": lz4_frame,
}
suffixes = pytest.mark.parametrize("suffix", COMPRESS)


def kept(path, output):
    report = bloomdata.shard(path, output, compression="none")
    written = sorted(output.glob("*.jsonl"))
    return report, b"".join(file.read_bytes() for file in written)


def test_there_is_a_test_for_each_compression():
    assert set(bloomdata._core.compressions()) == set(COMPRESS)


@suffixes
def test_members_behind_each_other_are_one_file(suffix, tmp_path):
    path = tmp_path / f"a.jsonl{suffix}"
    parts = [TEXTS[:1], [], TEXTS[1:150], TEXTS[150:]]
    path.write_bytes(b"".join(COMPRESS[suffix](lines(part)) for part in parts))
    report, written = kept(path, tmp_path / "out")
    assert written == lines(TEXTS)
    assert report.manifest["inputs"][0]["content_bytes"] == len(written)
    if suffix != ".lz4":  # a package that need not be there
        assert list(read_texts(str(path), "auto", "text")) == TEXTS


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".lz4"])
def test_zeros_behind_members_are_padding(suffix, tmp_path):
    path = tmp_path / f"a.jsonl{suffix}"
    member = COMPRESS[suffix](lines(TEXTS))
    path.write_bytes(member + bytes(512) + member + bytes(7))
    assert kept(path, tmp_path / "out")[1] == 2 * lines(TEXTS)


def test_frames_that_are_to_be_skipped_are_skipped(tmp_path):
    skipped = b"\x5a\x2a\x4d\x18" + struct.pack("<I", 3) + b"abc"
    path = tmp_path / "a.jsonl.lz4"
    path.write_bytes(skipped + lz4_frame(lines(TEXTS)) + skipped + skipped)
    assert kept(path, tmp_path / "out")[1] == lines(TEXTS)
    path.write_bytes(lz4_frame(lines(TEXTS)) + skipped[:-1])
    with pytest.raises(bloomdata.CorruptDataError, match="truncated"):
        bloomdata.count(path, tokenizer="bytes")


@suffixes
def test_a_file_that_is_cut_anywhere_is_truncated_at_its_end(suffix, tmp_path):
    whole = COMPRESS[suffix](lines(TEXTS[:40]))
    path = tmp_path / f"a.jsonl{suffix}"
    for size in [*range(1, 30), *range(30, len(whole), 61), len(whole) - 1]:
        path.write_bytes(whole + whole[:size])
        with pytest.raises(bloomdata.CorruptDataError, match=r"a\.jsonl\.\w+: offset \d+: ") as error:
            bloomdata.count(path, tokenizer="bytes")
        if size > 20 and suffix != ".zst":
            assert f"offset {len(whole) + size}: truncated" in str(error.value)
            assert f"member that starts at {len(whole)}" in str(error.value)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_changed_byte_is_an_error_or_changes_nothing(tmp_path_factory, data):
    suffix = data.draw(st.sampled_from([".gz", ".bz2", ".xz"]))
    stored = bytearray(COMPRESS[suffix](lines(TEXTS[:40])))
    at = data.draw(st.integers(0, len(stored) - 1))
    stored[at] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.mktemp("changed") / f"a.jsonl{suffix}"
    path.write_bytes(stored)
    refused, counts = None, None
    try:
        counts = bloomdata.count(path, tokenizer="bytes")
    except bloomdata.CorruptDataError as error:
        refused = str(error)
    # What changes nothing is a time stamp and the like.
    assert f"{path}: offset " in refused if refused else counts.documents == 40


def test_the_package_lz4_and_we_read_the_same(tmp_path):
    frame = pytest.importorskip("lz4.frame")
    for number, options in enumerate(
        [{}, {"block_linked": False}, {"content_checksum": True, "block_checksum": True}, {"block_size": 7}]
    ):
        path = tmp_path / f"{number}.jsonl.lz4"
        path.write_bytes(2 * frame.compress(lines(TEXTS * 50), **options))
        assert kept(path, tmp_path / f"out{number}")[1] == 2 * lines(TEXTS * 50)
        assert len(list(read_texts(str(path), "auto", "text"))) == 2 * 50 * len(TEXTS)


def test_a_dictionary_of_gigabytes_is_refused(tmp_path):
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 16}]
    small = lzma.compress(lines(TEXTS), filters=filters)
    # The byte of the dictionary's size is in the header of the block, which ends with its CRC 32.
    header = bytearray(small[12 : 12 + (small[12] + 1) * 4])
    header[header.index(0x21) + 2] = 40
    header[-4:] = struct.pack("<I", __import__("zlib").crc32(bytes(header[:-4])))
    path = tmp_path / "a.jsonl.xz"
    path.write_bytes(small[:12] + bytes(header) + small[12 + len(header) :])
    with pytest.raises(bloomdata.CorruptDataError, match="memory"):
        bloomdata.count(path, tokenizer="bytes")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.jsonl", bz2.compress(b"x"), "bzip2 data under a name without .bz2"),
        ("a.jsonl", lzma.compress(b"x"), "xz data under a name without .xz"),
        ("a.txt", lz4_frame(b"x"), "lz4 data under a name without .lz4"),
        ("a.jsonl.gz", b'{"text": "x"}\n', "look like text that is not compressed"),
        ("a.jsonl.gz", bz2.compress(b"x"), "found bzip2 data (name it .bz2)"),
        ("a.jsonl.gz", gzipped(gzipped(b"x")), "gzip data under a name without .gz"),
        ("a.jsonl.zst", zstandard.compress('{"text": "x"}'.encode("utf-16")), "UTF-16 text (iconv"),
        ("a.jsonl", '{"text": "x"}'.encode("utf-16-le"), "every other one zero, as UTF-16"),
        ("a.json", '["x"]'.encode("utf-32"), "UTF-32 text"),
        ("a.jsonl", b"PAR1" + bytes(40), "a Parquet file (name it .parquet)"),
        ("a.jsonl", b"PK\x03\x04" + bytes(40), "a zip archive"),
        ("a.csv", b"a,b\n1,2\n", "csv, a table of text (pandas or datasets read it"),
        ("a.tsv", b"a\tb\n", "tsv, a table of text"),
        ("a.xlsx", b"PK\x03\x04", "xlsx, a table of text"),
        ("a.zip", b"PK\x03\x04", "zip, an archive of files (unpack it"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c", "7z, an archive of files"),
        ("a.tar.gz", gzipped(bytes(1024)), "gz, a compression, but no suffix before it"),
        ("a", b"{}", "found no suffix"),
    ],
)
def test_what_a_file_is_and_what_to_do_with_it_is_told(name, content, told, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises((bloomdata.UnsupportedFormatError, bloomdata.CorruptDataError)) as error:
        bloomdata.count(path, tokenizer="bytes")
    assert str(path) in str(error.value)
    assert told in str(error.value)
