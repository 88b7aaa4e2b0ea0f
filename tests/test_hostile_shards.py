"""Shards as inputs: read again whatever their prefix, refused where they are not as they were written."""

from __future__ import annotations

import pytest

import bloomdata
from hostile import TEN, jsonl, write


def test_shards_with_any_prefix_are_read_again(shard, tmp_path):
    write(tmp_path / "a.jsonl", jsonl(TEN))
    bloomdata.shard(tmp_path / "a.jsonl", tmp_path / "shards", prefix="_x", max_lines=3)
    report = bloomdata.pack(tmp_path / "shards", tmp_path / "packed", tokenizer="bytes", format="megatron")
    assert report.ledger["documents_kept"] == len(TEN)
    with pytest.raises(bloomdata.ConfigError, match="prefix"):
        bloomdata.shard(tmp_path / "a.jsonl", tmp_path / "hidden", prefix=".x")


@pytest.mark.parametrize("named", ["folder", "file", "pattern"])
def test_shards_that_are_not_as_they_were_written_are_refused(named, tmp_path):
    """A .zst file that is cut between two frames is whole for every decoder: only the manifest knows better."""
    write(tmp_path / "a.jsonl", jsonl(TEN))
    bloomdata.shard(tmp_path / "a.jsonl", tmp_path / "shards", max_lines=4, compression="none")
    shards = tmp_path / "shards"
    inputs = {"folder": shards, "file": shards / "part-00001.jsonl", "pattern": str(shards / "part-*")}[named]

    def packed(number):
        return bloomdata.pack(inputs, tmp_path / f"packed-{number}", tokenizer="bytes", format="megatron")

    packed(0)
    content = (shards / "part-00001.jsonl").read_bytes()
    write(shards / "part-00001.jsonl", content.splitlines(keepends=True)[0])
    with pytest.raises(bloomdata.MismatchError, match=r"part-00001\.jsonl: size"):
        packed(1)
    write(shards / "part-00001.jsonl", content.replace(b"a", b"b"))
    with pytest.raises(bloomdata.MismatchError, match=r"part-00001\.jsonl: content"):
        packed(2)
    (shards / "part-00001.jsonl").unlink()
    if named != "pattern":
        with pytest.raises(FileNotFoundError, match=r"part-00001\.jsonl"):
            packed(3)
    (shards / "manifest.json").unlink()
    if named == "folder":
        assert packed(4).ledger["documents_kept"] == len(TEN) - 4
