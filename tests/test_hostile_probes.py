"""The probes that rivals fail: one bad line or one cut file must not cost any other document."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from hostile import TEN, jsonl, write, zstd

if TYPE_CHECKING:
    from pathlib import Path


def test_probe_clean_file_gives_all_ten_documents(pack, shard, tmp_path):
    path = write(tmp_path / "a.jsonl", jsonl(TEN))
    assert pack(path).texts == TEN
    assert b"\n".join(shard(path).lines) + b"\n" == jsonl(TEN)


def check_bad_fifth_line(bad: bytes, reason: str, pack: Any, tmp_path: Path) -> None:
    """Refused with file, line and offset, or set aside with its bytes; the other nine are kept."""
    lines = jsonl(TEN).splitlines(keepends=True)
    lines[4] = bad + b"\n"
    offset = sum(len(line) for line in lines[:4])
    path = write(tmp_path / "a.jsonl", b"".join(lines))
    message = pack(path).refused("CorruptDataError")
    assert f"{path}: line 5: offset {offset}: " in message
    assert "quarantine" in message
    outcome = pack(path, on_bad_record="quarantine")
    assert outcome.texts == TEN[:4] + TEN[5:]
    [entry] = outcome.quarantine
    raw = entry["raw"].encode() if "raw" in entry else bytes.fromhex(entry["raw_hex"])
    assert (entry["file"], entry["line"], entry["offset"], entry["reason"], raw) == (str(path), 5, offset, reason, bad)


def test_probe_malformed_fifth_line_loses_no_other(pack, tmp_path):
    check_bad_fifth_line(b'{"text": "broken', "malformed JSON", pack, tmp_path)


def test_probe_fifth_line_without_text_loses_no_other(pack, tmp_path):
    check_bad_fifth_line(b'{"content": "x"}', "missing field", pack, tmp_path)


def test_probe_fifth_line_with_null_text_loses_no_other(pack, tmp_path):
    check_bad_fifth_line(b'{"text": null}', "null field", pack, tmp_path)


def test_probe_fifth_line_with_invalid_utf8_loses_no_other(pack, tmp_path):
    check_bad_fifth_line(b'{"text": "caf\xe9"}', "invalid UTF-8", pack, tmp_path)


def test_probe_clean_zst_gives_all_ten_documents(pack, tmp_path):
    assert pack(write(tmp_path / "a.jsonl.zst", zstd(jsonl(TEN)))).texts == TEN


def test_probe_two_zstd_frames_give_all_twenty_documents(pack, tmp_path):
    assert pack(write(tmp_path / "a.jsonl.zst", zstd(jsonl(TEN)) * 2)).texts == TEN * 2


@pytest.mark.parametrize("on_bad_record", ["raise", "quarantine"])
def test_probe_truncated_zst_of_four_hundred_documents_is_refused(on_bad_record, pack, tmp_path):
    data = zstd(jsonl([f"document {number} {random.Random(number).random()}" for number in range(400)]))
    path = write(tmp_path / "a.jsonl.zst", data[: len(data) // 2])
    message = pack(path, on_bad_record=on_bad_record).refused("CorruptDataError")
    assert f"{path}: offset {len(data) // 2}" in message
