"""Random rows of one contender, in batches of 8 with labels and boundaries of documents; prints rows a second.

Run by `bench_loader.py`, in an environment that has what the contender needs. All read the same rows, warm, on one
thread, and make int64 arrays of (8, sequence_length). What they make besides is said in `CASES`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
import warnings
from pathlib import Path

import numpy as np

BATCH = 8


def ours(folder: Path, options: argparse.Namespace):
    """ids, labels, cu_seqlens; with `--all`, loss weights and positions, too."""
    import bloomdata

    columns = ("input_ids", "labels", "loss_weights", "position_ids", "cu_seqlens")
    columns = columns if options.all else ("input_ids", "labels", "cu_seqlens")
    dataset = bloomdata.PackedDataset([folder / f"{options.file}.hdf5"])
    dataset = dataset.with_rules(dtype=options.dtype, columns=columns)
    return lambda rows: dataset.read_batch(rows)["input_ids"]


def ours_loader(folder: Path, options: argparse.Namespace):
    """All arrays through `DataLoader.batch`, in its own order."""
    import bloomdata

    dataset = bloomdata.PackedDataset([folder / f"{options.file}.hdf5"])
    loader = bloomdata.DataLoader(dataset, batch_size=BATCH, epochs=None)
    steps = iter(range(1 << 60))
    return lambda _: loader.batch(next(steps))["input_ids"]


def h5py_rows(folder: Path, options: argparse.Namespace):
    """ids and types as they are, labels by a shift; no boundaries."""
    import h5py

    file = h5py.File(folder / f"{options.file}.hdf5", "r")
    ids, types = file["input_ids"], file["token_type_ids"]

    def read(rows):
        tokens = np.stack([ids[row] for row in rows.tolist()]).astype(np.int64)
        kinds = np.stack([types[row] for row in rows.tolist()])
        labels = np.where(np.roll(kinds, -1, 1) == 2, -100, np.roll(tokens, -1, 1))
        labels[:, -1] = -100
        return tokens

    return read


def arrow(folder: Path, options: argparse.Namespace):
    """ids and types of `datasets` in NumPy format, labels by a shift; no boundaries."""
    from datasets import Dataset, Features, Sequence, Value, load_from_disk

    target = folder / "arrow"
    if not target.exists():
        import h5py

        with h5py.File(folder / "contiguous.hdf5", "r") as file:
            columns = {name: list(file[name][:]) for name in ("input_ids", "token_type_ids")}
        kinds = Features(dict.fromkeys(columns, Sequence(Value("int32"), length=options.length)))
        Dataset.from_dict(columns, features=kinds).save_to_disk(str(target))
    dataset = load_from_disk(str(target)).with_format("numpy")

    def read(rows):
        batch = dataset[rows.tolist()]
        tokens, kinds = batch["input_ids"].astype(np.int64), batch["token_type_ids"]
        labels = np.where(np.roll(kinds, -1, 1) == 2, -100, np.roll(tokens, -1, 1))
        labels[:, -1] = -100
        return tokens

    return read


def megatron(folder: Path, options: argparse.Namespace):
    """GPTDataset of Megatron-core: tokens, labels, loss mask, positions; with `reset`, the last two by document."""
    warnings.simplefilter("ignore")
    from megatron.core.datasets.blended_megatron_dataset_builder import BlendedMegatronDatasetBuilder
    from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig

    class Tokenizer:
        eod, vocab_size, unique_identifiers = 0, 50_000, {"class": "none"}

    reset = options.file == "reset"
    config = GPTDatasetConfig(
        random_seed=0,
        sequence_length=options.length,
        blend=([str(folder / "pair")], None),
        split="1",
        path_to_cache=str(folder / "cache"),
        reset_position_ids=reset,
        reset_attention_mask=False,
        eod_mask_loss=reset,
        create_attention_mask=False,
        tokenizer=Tokenizer(),
    )
    dataset = BlendedMegatronDatasetBuilder(GPTDataset, [options.rows - 8, 0, 0], lambda: True, config).build()[0]

    def read(rows):
        samples = [dataset[row % len(dataset)] for row in rows.tolist()]
        columns = {name: np.stack([sample[name].numpy() for sample in samples]) for name in samples[0]}
        return columns["tokens"]

    return read


CASES = {"ours": ours, "ours_loader": ours_loader, "h5py": h5py_rows, "datasets": arrow, "megatron": megatron}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("case", choices=CASES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--file", default="contiguous")
    parser.add_argument("--dtype", default="int64")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--rows", type=int, required=True, help="rows in the file")
    parser.add_argument("--length", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    read = CASES[options.case](options.folder, options)
    read(np.arange(BATCH))
    order = np.random.default_rng(0).permutation(options.rows)
    state = hashlib.blake2b()
    for start in range(0, 25 * BATCH, BATCH):
        state.update(np.ascontiguousarray(read(order[start : start + BATCH]), np.int64).tobytes())
    rates, cpu_rates = [], []
    for _ in range(3):
        begin, begin_cpu, count = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - begin < options.seconds:
            for _ in range(20):
                start = count % (options.rows - BATCH)
                read(order[start : start + BATCH])
                count += BATCH
        rates.append(count / (time.perf_counter() - begin))
        cpu_rates.append(count / (time.process_time() - begin_cpu))
    print(json.dumps({"rates": rates, "cpu_rates": cpu_rates, "hash": state.hexdigest()}))


if __name__ == "__main__":
    main()
