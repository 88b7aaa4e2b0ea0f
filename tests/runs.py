"""Commands on a corpus that is the same every time: run to the end or killed, and their folders compared."""

from __future__ import annotations

import gzip
import json
import random
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import zstandard

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SEED = 20_260

QUARANTINE = ["--on-bad-record", "quarantine"]
MEGATRON = ["pack", "--tokenizer", "bytes", "--format", "megatron", "--text-field", "text", "title", *QUARANTINE]
HDF5 = ["pack", "--tokenizer", "bytes", *QUARANTINE]
PAIRS = ["--record", "prompt_completion", "--prompt-keyword", "title", "--completion-keyword", "text"]

DEDUP = ["dedup", "--near", "--threshold", "0.6", *QUARANTINE]

# On about 10 MB, a second or less each.
COMMANDS = {
    "shard": ["shard", "--max-lines", "600", *QUARANTINE],
    "dedup": [*DEDUP, "--max-lines", "600"],
    "decontaminate": ["decontaminate", "--action", "cut", "--max-lines", "600", *QUARANTINE],
    "shuffle": ["shard", "--max-lines", "600", "--shuffle", "--seed", "3", *QUARANTINE],
    "splits": ["shard", "--max-lines", "600", "--splits", "train=0.8,dev=0.15,test=0.05", *QUARANTINE],
    "megatron": [*MEGATRON, "--checkpoint-seconds", "0"],
    "hdf5": [*HDF5, "--sequence-length", "512", "--rows-per-file", "600"],
    "hdf5-gzip": [*HDF5, "--sequence-length", "512", "--rows-per-file", "1500", "--compression", "gzip"],
    "best-fit": [
        *[*HDF5, "--sequence-length", "512", "--rows-per-file", "600"],
        *["--packing", "best_fit", "--window-tokens", "700000"],
    ],
    "pairs": [
        *HDF5,
        *PAIRS,
        "--sequence-length",
        "512",
        "--rows-per-file",
        "600",
        "--packing",
        "greedy::truncate_left",
    ],
}

# The same on some 20 kB: few enough system calls to stop at every one of them.
SMALL_COMMANDS = {
    "shard": ["shard", "--max-lines", "150", *QUARANTINE],
    "dedup": [*DEDUP, "--max-lines", "150"],
    "dedup-report": [*DEDUP, "--report-only"],
    "dedup-passages": [*DEDUP, "--exact", "none", "--substring", "--substring-words", "3", "--max-lines", "150"],
    "signatures": ["signatures", *QUARANTINE],
    "decontaminate": ["decontaminate", "--action", "drop", "--max-lines", "150", *QUARANTINE],
    "shuffle": ["shard", "--max-lines", "150", "--shuffle", *QUARANTINE],
    "splits": ["shard", "--max-lines", "150", "--splits", "train=0.6,dev=0.2,test=0.2", *QUARANTINE],
    "megatron": [*MEGATRON, "--checkpoint-seconds", "0"],
    "hdf5": [*HDF5, "--sequence-length", "64", "--rows-per-file", "200"],
    "hdf5-gzip": [*HDF5, "--sequence-length", "64", "--rows-per-file", "200", "--compression", "gzip"],
    "best-fit": [
        *[*HDF5, "--sequence-length", "64", "--rows-per-file", "50"],
        *["--packing", "best_fit", "--window-tokens", "5000"],
    ],
    "pairs": [*HDF5, *PAIRS, "--sequence-length", "64", "--rows-per-file", "50", "--packing", "greedy"],
    "exact": [*HDF5, "--sequence-length", "64", "--rows-per-file", "50", "--exact", "document"],
    "exact-megatron": [*MEGATRON, "--exact", "document", "--exact-normalize", "fold", "--checkpoint-seconds", "0"],
    "pairs-megatron": [
        *["pack", "--tokenizer", "bytes", "--format", "megatron", *PAIRS, *QUARANTINE],
        *["--checkpoint-seconds", "0"],
    ],
}

# Options of calls from Python.
SHARD = {"max_lines": 10}
PACK_HDF5 = {"tokenizer": "bytes", "sequence_length": 8, "rows_per_file": 20}
PACK_MEGATRON = {"tokenizer": "bytes", "format": "megatron", "checkpoint_seconds": 0}


def write_corpus(folder: Path, *, num_records: int, words: int, seed: int = SEED) -> Path:
    """Five files, plain, .gz and .zst, with some bad, blank and empty records; the same for the same arguments."""
    rng = random.Random(seed)
    vocabulary = ["".join(rng.choices("abcdefghijklmnopé字", k=rng.randint(1, 9))) for _ in range(500)]

    def record() -> dict[str, str]:
        text = " ".join(rng.choices(vocabulary, k=rng.randint(0, 2 * words)))
        return {"text": text, "title": " ".join(rng.choices(vocabulary, k=rng.randint(0, 3)))}

    def line() -> bytes:
        kind = rng.random()
        if kind < 0.01:
            return b""
        if kind < 0.02:
            return b'{"text": "broken'
        if kind < 0.03:
            return b'{"text": "\xff\xfe", "title": "not UTF-8"}'
        if kind < 0.04:
            return b'{"text": "", "title": ""}'
        return json.dumps(record(), ensure_ascii=rng.random() < 0.5).encode()

    def lines(share: float) -> bytes:
        return b"\n".join(line() for _ in range(int(num_records * share)))

    compressor = zstandard.ZstdCompressor(level=1)
    folder.mkdir(parents=True)
    (folder / "part-1.jsonl").write_bytes(lines(0.3))
    (folder / "part-2.jsonl.gz").write_bytes(gzip.compress(lines(0.2), 1, mtime=0))
    frames = [lines(0.02) + b"\n" for _ in range(10)]
    (folder / "part-3.jsonl.zst").write_bytes(b"".join(compressor.compress(frame) for frame in frames))
    (folder / "part-4.json").write_text(json.dumps([record() for _ in range(int(num_records * 0.2))], indent=1))
    text = "\n".join(record()["text"] for _ in range(int(num_records * 0.1)))
    # Without the size of its content in the frame.
    # In a folder of its own: beside records it would not be data.
    (folder / "texts").mkdir()
    (folder / "texts" / "part-10.txt.zst").write_bytes(
        zstandard.ZstdCompressor(write_content_size=False).compress(text.encode())
    )
    return folder


def write_files(folder: Path, count: int) -> Path:
    """Files of 20 records and of one size, each too small for runs in parts to cut it."""
    folder.mkdir(parents=True)
    for file in range(count):
        lines = [json.dumps({"text": f"line {line} of {file:02}"}) + "\n" for line in range(20)]
        (folder / f"{file:02}.jsonl").write_text("".join(lines))
    return folder


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every file's bytes, and every folder, by relative name."""
    found = {}
    for path in sorted(folder.rglob("*")):
        found[path.relative_to(folder).as_posix()] = None if path.is_dir() else path.read_bytes()
    return found


def differences(found: dict[str, bytes | None], wanted: dict[str, bytes | None]) -> list[str]:
    """What is wrong, in words; whole files do not belong in a test's output."""
    lost = [f"{name}: not there" for name in wanted.keys() - found.keys()]
    extra = [f"{name}: should not be there" for name in found.keys() - wanted.keys()]
    other = [f"{name}: other bytes" for name in wanted.keys() & found.keys() if wanted[name] != found[name]]
    return sorted(lost + extra + other)


def half_written(folder: Path, wanted: dict[str, bytes | None]) -> list[str]:
    """Files of an unfinished folder that look finished and are not."""
    if not folder.exists():
        return []
    return [
        name
        for name, content in tree(folder).items()
        if content is not None
        and not name.endswith(".tmp")
        and not name.startswith(".")  # what an unfinished run has found out
        and not name.endswith(("journal.jsonl", ".heartbeat"))
        and wanted.get(name) != content
    ]


def command_line(command: list[str], corpus: Path, output: Path) -> list[str]:
    """The program's arguments. Inputs come first: `--text-field` takes all that follows it."""
    if command[0] == "prepare":  # its source comes before them
        return [*command[:2], str(corpus), "--output", str(output), "--quiet", *command[2:]]
    rows = sorted(corpus.glob("*part-4.json"))[:1] if command[0] == "decontaminate" else []
    evaluations = ["--evaluations", *map(str, rows)] if rows else []
    return [command[0], str(corpus), "--output", str(output), "--quiet", *command[1:], *evaluations]


@contextmanager
def running(command: list[str], corpus: Path, output: Path) -> Iterator[subprocess.Popen[str]]:
    """The program at work; it does not outlive the block."""
    arguments = [sys.executable, "-m", "bloomdata", *command_line(command, corpus, output)]
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def end(process: subprocess.Popen[str], *, timeout: float = 60) -> tuple[int, str]:
    """Waits for the program; its exit status, and what it said on stderr."""
    try:
        _, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        pytest.fail(f"{' '.join(process.args[2:])} hangs: not done after {timeout} seconds")
    return process.returncode, errors


def run(command: list[str], corpus: Path, output: Path, *, timeout: float = 60) -> tuple[int, str]:
    """Exit status, and what was said on stderr."""
    with running(command, corpus, output) as process:
        return end(process, timeout=timeout)


def finish(command: list[str], corpus: Path, output: Path, wanted: dict[str, bytes | None]) -> None:
    """Runs the command to its end and compares every byte."""
    status, errors = run(command, corpus, output)
    assert status == 0, errors
    assert differences(tree(output), wanted) == []


def wait_for(path: Path, process: subprocess.Popen[str]) -> bool:
    """Waits without a pause until `path` exists; false if the process ended without it."""
    while process.poll() is None:
        if path.exists():
            return True
    return path.exists()


def kill(process: subprocess.Popen[str]) -> bool:
    """Whether the process was still running."""
    process.kill()
    process.communicate()
    return process.returncode == -signal.SIGKILL
