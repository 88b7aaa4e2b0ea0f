"""Files of nothing hold no documents, and take none from others."""

from __future__ import annotations

import pytest

import bloomdata
from hostile import TEN, gz, jsonl, write, zstd


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".json", ".txt"])
@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\n", b" \r\n\t\n", b"\xef\xbb\xbf\n"])
@pytest.mark.parametrize("compress", [lambda data: data, gz, zstd], ids=["plain", "gz", "zst"])
def test_a_file_of_nothing_holds_no_documents(suffix, content, compress, pack, shard, tmp_path):
    ending = {"gz": ".gz", "zstd": ".zst"}.get(compress.__name__, "")
    path = write(tmp_path / f"a{suffix}{ending}", compress(content))
    for call in (pack, shard):
        outcome = call(path)
        assert outcome.error is None, outcome.message
        assert outcome.ledger["documents_kept"] == 0
        # Lines are records; white space between JSON values is not.
        blank = 0 if suffix == ".json" else content.count(b"\n")
        assert outcome.ledger["documents_dropped"] == ({"blank line": blank} if blank else {})
        assert outcome.ledger["bytes_in"] == len(content)


def test_an_empty_input_gives_empty_outputs_that_open_and_verify(tmp_path):
    path = write(tmp_path / "a.jsonl", b"")
    for name, options in {
        "megatron": {"format": "megatron"},
        "hdf5": {"sequence_length": 8},
        "gzip": {"sequence_length": 8, "compression": "gzip"},
    }.items():
        bloomdata.pack(path, tmp_path / name, tokenizer="bytes", allow_empty=True, **options)
        bloomdata.verify(tmp_path / name)
        assert len(bloomdata.open(tmp_path / name)) == 0


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".txt"])
@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_compressed_file_of_no_bytes_is_truncated(suffix, ending, pack, tmp_path):
    path = write(tmp_path / f"a{suffix}{ending}", b"")
    assert "offset 0" in pack(path).refused("CorruptDataError")


def test_an_empty_file_between_others_takes_nothing_from_them(pack, tmp_path):
    write(tmp_path / "1.jsonl", jsonl(TEN[:5]).removesuffix(b"\n"))
    write(tmp_path / "2.jsonl", b"")
    write(tmp_path / "3.jsonl.gz", gz(b""))
    write(tmp_path / "4.jsonl", jsonl(TEN[5:]))
    assert pack(tmp_path).texts == TEN
