"""Inputs of every odd kind, and the worker process that reads them.

A hang, a crash or a panic of the worker is a failed test and not the end of all tests. What was written is read back
here without the library.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import select
import shutil
import struct
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zstandard

import bloomdata

if TYPE_CHECKING:
    from pathlib import Path

# Longer than this is a hang.
TIMEOUT = 60
DOCUMENTED = {
    "ConfigError",
    "CorruptDataError",
    "UnsupportedFormatError",
    "MismatchError",
    "FileNotFoundError",
    "PermissionError",
    "OSError",
}
END_OF_DOCUMENT = 258
TEN = [f"document {number}: naïve 文字 \U0001f600" for number in range(10)]
MANY = [f"document {number} {random.Random(number).random()}" for number in range(300)]


def serve() -> None:
    """The worker: one call per line of stdin, one answer per line of stdout."""
    for line in sys.stdin:
        call = json.loads(line)
        try:
            if call["verb"] == "tokenizer":
                tokenizer = bloomdata.Tokenizer(call["inputs"])
                answer: dict[str, Any] = {"ids": tokenizer.encode(call["options"]["text"]).tolist()}
            else:
                function = getattr(bloomdata, call["verb"])
                answer = {"manifest": function(call["inputs"], call["output"], **call["options"]).manifest}
        except BaseException as error:  # a panic is no Exception
            answer = {"error": type(error).__name__, "message": str(error)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


@dataclass
class Outcome:
    """What became of one call."""

    error: str | None = None
    message: str = ""
    ledger: dict[str, Any] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    # Texts of all documents, in order.
    texts: list[str] = field(default_factory=list)
    # Lines of all shards, in order.
    lines: list[bytes] = field(default_factory=list)
    quarantine: list[dict[str, Any]] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)

    def refused(self, *errors: str) -> str:
        """Checks that the call ended in one of `errors`; what it said."""
        assert self.error in errors, f"{self.error}: {self.message}" if self.error else f"accepted: {self.ledger}"
        assert "please report" not in self.message
        return self.message


class Worker:
    """Calls the library in another process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self._process: subprocess.Popen[str] | None = None

    def ask(self, verb: str, inputs: Any, **options: Any) -> Outcome:
        """Calls `verb` with a fresh output folder."""
        if self._process is None:
            # A file, not a pipe: nobody reads while the process works, and a backtrace would fill a pipe and stop it.
            self._errors = (self._folder / "stderr.txt").open("w+", encoding="utf-8")
            self._process = subprocess.Popen(
                [sys.executable, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
            )
        self._number += 1
        output = self._folder / f"output-{self._number}"
        inputs = [os.fspath(path) for path in inputs] if isinstance(inputs, list) else os.fspath(inputs)
        call = {"verb": verb, "inputs": inputs, "output": str(output), "options": options}
        self._process.stdin.write(json.dumps(call) + "\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], TIMEOUT)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            self._process.kill()
            errors = self.close()
            pytest.fail(f"{verb} {inputs}: " + (f"crashed: {errors[-2000:]}" if ready else "hangs"))
        outcome = _read(json.loads(line), output)
        shutil.rmtree(output, ignore_errors=True)
        return outcome

    def close(self) -> str:
        """Ends the process; what it said on stderr."""
        if self._process is None:
            return ""
        self._process.communicate(timeout=10)
        self._process = None
        with self._errors:
            self._errors.seek(0)
            return self._errors.read()


def _read(answer: dict[str, Any], output: Path) -> Outcome:
    """Reads what was written, and checks that it fits the answer."""
    if "error" in answer:
        assert answer["error"] in DOCUMENTED, answer
        assert not (output / "manifest.json").exists(), f"refused, but finished: {answer}"
        return Outcome(error=answer["error"], message=answer["message"])
    if "ids" in answer:
        return Outcome(ids=answer["ids"])
    manifest = answer["manifest"]
    outcome = Outcome(ledger=manifest["ledger"], ignored=manifest["ignored_inputs"])
    if manifest["verb"] == "pack":
        outcome.texts = read_documents(output)
    else:
        outcome.lines = read_shards(output, manifest)
    if (output / "quarantine.jsonl").exists():
        quarantine = (output / "quarantine.jsonl").read_bytes().splitlines()
        outcome.quarantine = [json.loads(line) for line in quarantine]
    ledger = outcome.ledger
    assert ledger["documents_kept"] == len(outcome.texts) + len(outcome.lines)
    assert sum(ledger["documents_quarantined"].values()) == len(outcome.quarantine)
    assert Counter(entry["reason"] for entry in outcome.quarantine) == ledger["documents_quarantined"]
    dropped = sum(ledger["documents_dropped"].values())
    assert ledger["documents_in"] == ledger["documents_kept"] + dropped + len(outcome.quarantine)
    return outcome


def read_documents(folder: Path) -> list[str]:
    """Texts of a Megatron pair of the byte tokenizer."""
    [path] = folder.glob("*.idx")
    index = path.read_bytes()
    version, code, sequences, documents = struct.unpack_from("<QBQQ", index, 9)
    assert (index[:9], version, code) == (b"MMIDIDX\0\0", 1, 8)
    lengths = np.frombuffer(index, "<i4", sequences, 34)
    bounds = np.frombuffer(index, "<i8", documents, 34 + 12 * sequences)
    assert bounds.tolist() == list(range(sequences + 1))
    tokens = np.fromfile(path.with_suffix(".bin"), "<u2")
    assert len(tokens) == lengths.sum()
    texts = []
    for document in np.split(tokens, np.cumsum(lengths)[:-1]) if sequences else []:
        assert document[-1] == END_OF_DOCUMENT
        texts.append(document[:-1].astype(np.uint8).tobytes().decode())
    return texts


def read_shards(folder: Path, manifest: dict[str, Any]) -> list[bytes]:
    """Lines of all shards."""
    lines = []
    for entry in manifest["outputs"]:
        if entry["path"].endswith(".zst"):
            with (folder / entry["path"]).open("rb") as file:
                content = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True).read()
            lines += content.removesuffix(b"\n").split(b"\n")
    return lines


def jsonl(texts: list[str]) -> bytes:
    return b"".join(json.dumps({"text": text}, ensure_ascii=False).encode() + b"\n" for text in texts)


def zstd(data: bytes, *, level: int = 3, size: bool = True, checksum: bool = True) -> bytes:
    """One frame."""
    return zstandard.ZstdCompressor(level=level, write_content_size=size, write_checksum=checksum).compress(data)


def gz(data: bytes) -> bytes:
    """One member."""
    return gzip.compress(data, mtime=0)


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def cuts(size: int, *also: int) -> list[int]:
    """Some 40 lengths below `size`: all short ones, all long ones, and some between."""
    return sorted({*range(1, 15), *range(15, size, max(1, size // 16)), *range(size - 10, size), *also})


if __name__ == "__main__":
    serve()
