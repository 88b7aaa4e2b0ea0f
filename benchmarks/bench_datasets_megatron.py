"""Claims: Megatron's order is indexed 3 times as fast as by Megatron-core, in a third of the memory.

Random samples come at least 5 times as fast as from its GPTDataset, and 60,000 a second; 1,000 pairs are open, and the
first batch read, in 100 ms.

Indices and samples must be equal first. Memory is what a job adds to that of its process after imports.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from measure import Bench, bench, claim, in_child

if TYPE_CHECKING:
    import argparse

TARGET_INDEX, TARGET_MEMORY, TARGET_ROWS, TARGET_RATE, TARGET_OPEN = 3, 1 / 3, 5, 60_000, 0.1
PEER = Path(__file__).with_name("peer_megatron.py")
SHARDS = 1000


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--documents", type=float, nargs="+", default=[10, 50], help="millions of documents")
    parser.add_argument("--rows", type=int, default=40_000, help="random samples that are read")
    parser.add_argument("--peers-python", default=sys.executable, help="a Python with megatron-core 0.16.1 and torch")


def write_pair(prefix: str, num_documents: int, *, mean: float, has_tokens: bool) -> None:
    """A pair of documents of log-normal lengths; without tokens, `.bin` is a hole of the right size."""
    rng = np.random.default_rng(num_documents)
    lengths = (rng.lognormal(np.log(mean) - 0.845, 1.3, num_documents) + 1).astype("<i4")
    ends = 2 * np.cumsum(lengths, dtype="<i8")
    with Path(f"{prefix}.idx").open("wb") as idx:
        idx.write(b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, 8, num_documents, num_documents + 1))
        idx.write(lengths.data)
        idx.write((ends - 2 * lengths).data)
        idx.write(np.arange(num_documents + 1, dtype="<i8").data)
    with Path(f"{prefix}.bin").open("wb") as tokens:
        if has_tokens:
            tokens.write(rng.integers(0, 50_000, int(ends[-1]) // 2).astype("<u2").data)
        else:
            tokens.truncate(int(ends[-1]))


def job(run: Bench, name: str, whose: str, prefix: str, number: int, threads: int = 1) -> dict:
    python = sys.executable if whose == "ours" else run.options.peers_python
    command = [python, str(PEER), name, whose, prefix, str(number), str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, env=run.environment, check=False)
    if done.returncode:
        sys.exit(f"{name} by {whose}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def compare_indices(run: Bench, millions: float, epochs: int) -> list[bool]:
    num_documents = int(millions * 1e6)
    prefix = str(run.scratch / "index")
    in_child(_write_index_pair, prefix, num_documents)
    tokens = Path(f"{prefix}.bin").stat().st_size // 2
    # Half of the last epoch: it is shuffled by itself.
    wanted = 0 if epochs == 1 else int((epochs - 0.5) * tokens / 2048)
    jobs = {
        "theirs": ("index", "theirs", 1),
        "ours, 1 thread": ("index", "ours", 1),
        "ours, 2 threads": ("index", "ours", 2),
        "ours, 2 threads, into files": ("files", "ours", 2),
    }
    results: dict[str, list[dict]] = {name: [] for name in jobs}
    for _ in range(run.options.repeat):
        for name, (kind, whose, threads) in jobs.items():
            results[name].append(job(run, kind, whose, prefix, wanted, threads))
    if len({done["hash"] for runs in results.values() for done in runs}) != 1:
        sys.exit("the indices differ")
    print(f"{millions:g} M documents, {tokens / 1e9:.1f} G tokens, {epochs} epoch(s); indices are equal\n")
    print("| case | seconds (median) | added memory MB | beside theirs |\n| --- | ---: | ---: | ---: |")
    median = {name: float(np.median([done["seconds"] for done in runs])) for name, runs in results.items()}
    memory = {name: max(done["added_mb"] for done in runs) for name, runs in results.items()}
    for name in results:
        print(f"| {name} | {median[name]:.2f} | {memory[name]:.0f} | {median['theirs'] / median[name]:.2f} |")
    helper = float(np.median([done["helper_seconds"] for done in results["theirs"]]))
    print(f"\ntheir C++ helper alone, one of three steps: {helper:.2f} s\n")
    what = f"index of {millions:g} M documents, {epochs} epoch(s)"
    best, files = median["ours, 2 threads"], memory["ours, 2 threads, into files"]
    return [
        claim(f"{what}, beside Megatron-core", median["theirs"] / best, "times", at_least=TARGET_INDEX),
        claim(f"{what}, memory, into files", files / memory["theirs"], "of theirs", at_most=TARGET_MEMORY),
    ]


def _write_index_pair(prefix: str, num_documents: int) -> None:
    write_pair(prefix, num_documents, mean=740, has_tokens=False)


def _write_rows_pair(prefix: str) -> None:
    write_pair(prefix, 67_640, mean=740, has_tokens=True)


def _write_shards(prefix: str) -> None:
    for number in range(SHARDS):
        write_pair(f"{prefix}-{number:04}", 500, mean=740, has_tokens=True)


def compare_rows(run: Bench) -> list[bool]:
    prefix = str(run.scratch / "rows")
    in_child(_write_rows_pair, prefix)
    rates: dict[str, list[float]] = {}
    hashes = set()
    for _ in range(run.options.repeat):
        for whose in ("theirs", "ours"):
            done = job(run, "rows", whose, prefix, run.options.rows)
            hashes.add(done["hash"])
            for name, rate in done["rows_per_second"].items():
                rates.setdefault(f"{whose}: {name}", []).append(rate)
    if len(hashes) != 1:
        sys.exit("the samples differ")
    print("50 M tokens, samples of 2,048, batches of 8 at random; samples are equal\n")
    print("| case | rows a second (median) | beside theirs |\n| --- | ---: | ---: |")
    median = {name: float(np.median(values)) for name, values in rates.items()}
    theirs = median["theirs: GPTDataset"]
    for name, rate in median.items():
        print(f"| {name} | {rate:,.0f} | {rate / theirs:.1f} |")
    print()
    best = median["ours: megatron, all columns"]
    return [
        claim("random samples in Megatron's order", best, "a second", at_least=TARGET_RATE),
        claim("random samples beside Megatron-core", best / theirs, "times", at_least=TARGET_ROWS),
    ]


def check_open(run: Bench) -> list[bool]:
    prefix = str(run.scratch / "shard")
    in_child(_write_shards, prefix)
    found = [job(run, "open", "ours", prefix, SHARDS)["seconds"] for _ in range(run.options.repeat)]
    seconds = {order: float(np.median([times[order] for times in found])) for order in found[0]}
    print(f"\n1,000 pairs, open and first batch: {', '.join(f'{o} {s * 1e3:.0f} ms' for o, s in seconds.items())}\n")
    return [claim("open 1,000 pairs and read a batch", seconds["sequential"], "s", at_most=TARGET_OPEN)]


def main() -> int:
    with bench(__doc__.split("\n")[0], add_options) as run:
        met = compare_rows(run) + check_open(run)
        for millions in run.options.documents:
            met += compare_indices(run, millions, 1)
        met += compare_indices(run, run.options.documents[0], 3)
        return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
