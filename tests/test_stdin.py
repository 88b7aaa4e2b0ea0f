"""The standard input as an input: one pass, lines of JSON, compressed or not."""

from __future__ import annotations

import bz2
import gzip
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import zstandard

import bloomdata

LINES = b"".join(b'{"text": "line %d"}\n' % number for number in range(50))


def run(*words, stdin=LINES, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "bloomdata", *map(str, words)], input=stdin, capture_output=True, cwd=cwd, timeout=60
    )


def test_pack_of_the_standard_input_equals_pack_of_a_file(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(LINES)
    bloomdata.pack(path, tmp_path / "file", tokenizer="bytes", sequence_length=16)
    options = ["--tokenizer", "bytes", "--sequence-length", "16", "-q"]
    for number, (name, stored) in enumerate(
        [("-", LINES), ("/dev/stdin", zstandard.compress(LINES)), ("-", bz2.compress(LINES))]
    ):
        output = tmp_path / f"out{number}"
        done = run("pack", name, "-o", output, *options, stdin=stored)
        assert done.returncode == 0, done.stderr
        manifest = json.loads((output / "manifest.json").read_text())
        expected = json.loads((tmp_path / "file" / "manifest.json").read_text())
        assert manifest["fingerprint"] == expected["fingerprint"]
        assert manifest["ledger"] == expected["ledger"]
        assert manifest["inputs"][0]["path"] == "<stdin>"
        assert manifest["inputs"][0]["content_bytes"] == len(LINES)
    again = run("pack", "-", "-o", tmp_path / "out0", *options)
    assert again.returncode == 0, again.stderr
    other = run("pack", "-", "-o", tmp_path / "out0", *options, stdin=LINES + b'{"text": "more"}\n')
    assert other.returncode != 0
    assert b"content of input <stdin>" in other.stderr


def test_shard_prepare_and_count_read_it(tmp_path):
    done = run("shard", "-", "-o", tmp_path / "s", "-q", stdin=gzip.compress(LINES))
    assert done.returncode == 0, done.stderr
    assert bloomdata.count(tmp_path / "s", tokenizer="bytes").documents == 50
    dolly = b'{"instruction": "i", "context": "", "response": "r", "category": "c"}\n'
    done = run("prepare", "dolly", "-", "-o", tmp_path / "p", "-q", stdin=dolly)
    assert done.returncode == 0, done.stderr
    done = run("count", "-", "--tokenizer", "bytes", "--json")
    assert json.loads(done.stdout)["documents"] == 50


def test_what_is_wrong_is_told_of_stdin(tmp_path):
    bad = LINES + b'{"text": NaN}\n'
    done = run("shard", "-", "-o", tmp_path / "s", "-q", stdin=bad)
    assert (
        f"<stdin>: line 51: offset {len(LINES)}: malformed JSON at byte {len(LINES) + 9} of the file".encode()
        in done.stderr
    )
    done = run("shard", "-", "-o", tmp_path / "t", "-q", stdin=gzip.compress(LINES)[:-9])
    assert b"<stdin>: offset " in done.stderr
    assert b"truncated gzip member" in done.stderr
    done = run("shard", "-", "-o", tmp_path / "u", "-q", stdin=b"")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("verb", ["dedup", "decontaminate"])
def test_verbs_that_read_more_than_once_say_so(verb, tmp_path):
    options = {"evaluations": [str(tmp_path)]} if verb == "decontaminate" else {}
    with pytest.raises(bloomdata.ConfigError, match="the standard input can be read once only"):
        getattr(bloomdata, verb)("-", tmp_path / "out", **options)
    with pytest.raises(bloomdata.ConfigError, match="exact"):
        bloomdata.pack("-", tmp_path / "packed", tokenizer="bytes", sequence_length=8, exact="document")


def test_a_stream_that_gives_nothing_is_left_at_once_when_the_run_is_stopped(tmp_path):
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "bloomdata", "shard", "-", "-o", str(tmp_path / "out"), "-q"],
        stdin=reader,
        stderr=subprocess.PIPE,
    )
    os.close(reader)
    os.write(writer, LINES)
    deadline = time.monotonic() + 30
    while not (tmp_path / "out" / "journal.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130 or process.returncode == -signal.SIGINT
    assert time.monotonic() - start < 5
    os.close(writer)
