"""Claims: 60,000 random rows a second of 2,048 tokens with labels and boundaries on one thread, 5 times Megatron-core's
GPTDataset, h5py rows and `datasets`; open and first batch of 1,000 shards under 100 ms; a seek to sample 10^9 under
1 ms; memory that stays flat over a million rows in 4 forked workers.

All contenders read the same tokens in batches of 8, each in a process of its own, warm, on one thread. Those that read
rows by number must give the same rows before they are timed; Megatron-core cuts documents in an order of its own.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from measure import Bench, bench, claim, in_child

if TYPE_CHECKING:
    import argparse

LENGTH, ROWS = 2048, 10_000
TARGET_ROWS, TARGET_TIMES, TARGET_OPEN, TARGET_SEEK, TARGET_GROWTH = 60_000, 5, 100, 1, 10
WORKERS, WORKER_ROWS = 4, 250_000


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--peers-python", default=sys.executable, help="a Python with megatron-core, torch, datasets")
    parser.add_argument("--rows", type=int, default=ROWS, help="rows of the files")


def write_files(folder: Path, num_rows: int) -> None:
    """Documents of log-normal lengths, end to end, as HDF5 rows in three layouts and as a Megatron pair."""
    import h5py
    import numpy as np

    rng = np.random.default_rng(0)
    total = num_rows * LENGTH
    lengths = np.maximum(2, rng.lognormal(np.log(400), 1.3, total // 200)).astype(np.int64)
    ends = np.cumsum(lengths)
    ends = np.append(ends[ends < total], total)
    ids = rng.integers(1, 50_000, total, dtype=np.int32)
    ids[ends - 1] = 0
    types = np.ones(total, np.int32)
    types[ends - 1] = 3
    # Chunks as h5py makes them of files that grow, which is how generative_data_prep writes them.
    grows = {"shape": (0, LENGTH), "maxshape": (None, LENGTH), "dtype": "<i4"}
    layouts = {"contiguous": None, "chunked": grows, "gzip": {**grows, "compression": "gzip"}}
    for name, options in layouts.items():
        with h5py.File(folder / f"{name}.hdf5", "w") as file:
            for column, values in (("input_ids", ids), ("token_type_ids", types)):
                rows = values.reshape(num_rows, LENGTH)
                if options is None:
                    file.create_dataset(column, data=rows)
                    continue
                dataset = file.create_dataset(column, **options)
                dataset.resize(num_rows, axis=0)
                dataset[:] = rows
    (folder / "pair.bin").write_bytes(ids.astype("<u2").tobytes())
    sizes = np.diff(ends, prepend=0).astype("<i4")
    count = len(sizes)
    pointers = (np.concatenate([[0], np.cumsum(sizes[:-1], dtype=np.int64)]) * 2).astype("<i8")
    header = b"MMIDIDX\0\0" + (1).to_bytes(8, "little") + bytes([8])
    header += count.to_bytes(8, "little") + (count + 1).to_bytes(8, "little")
    documents = np.arange(count + 1, dtype="<i8")
    (folder / "pair.idx").write_bytes(header + sizes.tobytes() + pointers.tobytes() + documents.tobytes())


def contend(run: Bench, python: str, case: str, *more: str) -> dict | None:
    """What one contender prints; nothing where it cannot be imported."""
    script = str(Path(__file__).with_name("peer_loader.py"))
    command = [python, script, case, str(run.scratch), "--rows", str(run.options.rows), "--length", str(LENGTH), *more]
    done = subprocess.run(command, capture_output=True, text=True, env=run.environment, cwd=run.scratch, check=False)
    if done.returncode:
        if "ModuleNotFoundError" in done.stderr:
            return None
        sys.exit(f"{case}: failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def rates(run: Bench) -> None:
    peers = run.options.peers_python
    contenders = {
        "ours": (sys.executable, "ours"),
        "ours, with weights and positions": (sys.executable, "ours", "--all"),
        "ours, with these, int32": (sys.executable, "ours", "--all", "--dtype", "int32"),
        "ours, with these, DataLoader.batch": (sys.executable, "ours_loader"),
        "h5py, contiguous": (sys.executable, "h5py"),
        "h5py, chunked": (sys.executable, "h5py", "--file", "chunked"),
        "`datasets`, NumPy format": (sys.executable, "datasets"),
        "Megatron-core GPTDataset": (peers, "megatron"),
        "Megatron-core, reset positions": (peers, "megatron", "--file", "reset"),
        "ours, gzip": (sys.executable, "ours", "--file", "gzip"),
        "h5py, gzip": (sys.executable, "h5py", "--file", "gzip"),
    }
    found = {name: contend(run, *arguments) for name, arguments in contenders.items()}
    other_order = {"ours, with these, DataLoader.batch", "Megatron-core GPTDataset", "Megatron-core, reset positions"}
    hashes = {result["hash"] for name, result in found.items() if result and name not in other_order}
    if len(hashes) != 1:
        sys.exit("contenders read different rows")
    print("checked: the same rows\n")
    print("| contender | rows/s, median (3 runs) | rows per second of CPU time | M tokens/s of it | ours is |")
    print("| --- | ---: | ---: | ---: | ---: |")
    mine = statistics.median(found["ours"]["cpu_rates"])
    for name, result in found.items():
        if result is None:
            print(f"| {name} | not installed | | | |")
            continue
        rate = statistics.median(result["cpu_rates"])
        walls = result["rates"]
        spread = f"{statistics.median(walls):,.0f} ({min(walls):,.0f} to {max(walls):,.0f})"
        print(f"| {name} | {spread} | {rate:,.0f} | {rate * LENGTH / 1e6:.0f} | {mine / rate:.1f} x |")
    print("\nOne thread: on a machine that is not busy, rows/s are rows per second of CPU time.\n")
    what = "random rows with labels and boundaries, one thread"
    claim(what, statistics.median(found["ours"]["rates"]), "rows/s", at_least=TARGET_ROWS)
    claim(f"{what}, of CPU time", mine, "rows/s", at_least=TARGET_ROWS)
    for name in ("h5py, contiguous", "`datasets`, NumPy format", "Megatron-core GPTDataset"):
        if result := found[name]:
            times = mine / statistics.median(result["cpu_rates"])
            claim(f"beside {name}, by CPU time", times, "times", at_least=TARGET_TIMES)


def open_shards(folder: Path) -> None:
    """Opening 1,000 files and reading a batch, in a process that has imported everything; and seeking."""
    import bloomdata

    texts = folder / "texts.jsonl"
    texts.write_text("".join(json.dumps({"text": "x" * 63}) + "\n" for _ in range(8_000)))
    bloomdata.pack(str(texts), folder / "shards", tokenizer="bytes", sequence_length=64, rows_per_file=8)
    files = len(list((folder / "shards").glob("*.hdf5")))
    times, seeks = [], []
    for _ in range(5):
        begin = time.perf_counter()
        dataset = bloomdata.open(folder / "shards")
        loader = bloomdata.DataLoader(dataset, batch_size=8)
        loader.batch(0)
        times.append(1e3 * (time.perf_counter() - begin))
    loader = bloomdata.DataLoader(dataset, batch_size=8, epochs=None, num_threads=0)
    for place in range(10**9, 10**9 + 9):
        begin = time.perf_counter()
        loader.load_state_dict({**loader.state_dict(), "consumed_samples": place})
        next(iter(loader))
        seeks.append(1e3 * (time.perf_counter() - begin))
    print(f"{files:,} shards: open and first batch {min(times):.1f} to {max(times):.1f} ms; seek {min(seeks):.3f} ms\n")
    claim("open and first batch of 1,000 shards, slowest of 5", max(times), "ms", at_most=TARGET_OPEN)
    claim("seek to sample 10^9, with its batch, median", statistics.median(seeks), "ms", at_most=TARGET_SEEK)


def resident() -> float:
    """MB of memory that belongs to the process: not those of mapped files, which the system takes back at will."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) / 1000


def read_rows(dataset, worker: int, queue) -> None:
    import bloomdata

    loader = bloomdata.DataLoader(dataset, batch_size=8 * WORKERS, rank=worker, world_size=WORKERS, epochs=None)
    begin, first = time.perf_counter(), 0.0
    for step, _ in enumerate(loader, 1):
        if step == WORKER_ROWS // 80:
            first = resident()
        if step == WORKER_ROWS // 8:
            break
    queue.put((resident() - first, WORKER_ROWS / (time.perf_counter() - begin)))


def growth(folder: Path) -> None:
    """Memory of workers after a tenth of their rows, and after all."""
    import bloomdata

    dataset = bloomdata.PackedDataset([folder / "contiguous.hdf5"])
    dataset.read_batch([0])
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    workers = [context.Process(target=read_rows, args=(dataset, worker, queue)) for worker in range(WORKERS)]
    for worker in workers:
        worker.start()
    results = [queue.get() for _ in workers]
    for worker in workers:
        worker.join()
    total = sum(rate for _, rate in results)
    print(f"\n{WORKERS} forked workers, {WORKERS * WORKER_ROWS:,} rows of {LENGTH}: {total:,.0f} rows/s in all\n")
    claim("growth of a worker's own memory, largest", max(mb for mb, _ in results), "MB", at_most=TARGET_GROWTH)


def main() -> None:
    with bench(__doc__.split(";")[0], add_options) as run:
        in_child(write_files, run.scratch, run.options.rows)
        print(f"{run.options.rows:,} rows of {LENGTH:,} tokens\n")
        rates(run)
        open_shards(run.scratch)
        growth(run.scratch)


if __name__ == "__main__":
    main()
