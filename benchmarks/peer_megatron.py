"""One job of `bench_datasets_megatron.py`, by ours or by Megatron-core, in a process of its own.

`peer_megatron.py JOB WHOSE PREFIX NUMBER [THREADS]` prints one line of JSON: seconds, the memory that the job added,
and a hash of its result. Jobs: `index` builds the three indices over NUMBER samples of 2,048 (0: one epoch) in memory,
`files` into files; `rows` reads NUMBER random samples in batches of 8; `open` opens NUMBER pairs and reads a batch.
"""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
import sys
import time
import warnings
from pathlib import Path

import numpy as np

LENGTH, BATCH, SEED = 2048, 8, 1234


def memory_mb() -> float:
    """Resident memory now."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1000


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def hash_of(arrays) -> str:
    state = hashlib.blake2b()
    for array in arrays:
        state.update(f"{array.dtype} {array.shape}".encode())
        state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()[:16]


def ours_files(prefix: str, num_samples: int, threads: int) -> dict:
    return ours_index(prefix, num_samples, threads, cache_folder=f"{prefix}-ours")


def ours_index(prefix: str, num_samples: int, threads: int, cache_folder: str | None = None) -> dict:
    import bloomdata

    _ = bloomdata.GPTDataset
    before, begin = memory_mb(), time.perf_counter()
    options = {"num_samples": num_samples or None, "seed": SEED, "split": None, "cache_folder": cache_folder}
    dataset = bloomdata.GPTDataset(prefix, sequence_length=LENGTH, num_threads=threads, **options)
    seconds, added = time.perf_counter() - begin, peak_mb() - before
    arrays = (dataset.document_index, dataset.sample_index, dataset.shuffle_index)
    found = {"seconds": seconds, "added_mb": added, "hash": hash_of(arrays)}
    if cache_folder is not None:
        shutil.rmtree(cache_folder)
    return found


def theirs_index(prefix: str, num_samples: int, _threads: int) -> dict:
    """What `GPTDataset._build_document_sample_shuffle_indices` does when nothing is cached, without writing files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from megatron.core.datasets import gpt_dataset, helpers
        from megatron.core.datasets.indexed_dataset import IndexedDataset

    before, begin = memory_mb(), time.perf_counter()
    indexed = IndexedDataset(prefix)
    lengths = indexed.sequence_lengths
    documents = np.arange(len(lengths), dtype=np.int32)
    per_epoch = int(np.sum(lengths[documents]))
    epochs = max(1, -(-(num_samples * LENGTH + 1) // per_epoch))
    separate, before_last = False, 0
    if epochs > 1:
        before_last = ((epochs - 1) * per_epoch - 1) // LENGTH
        separate = num_samples - before_last < int(0.8 * ((per_epoch - 1) // LENGTH))
    random = np.random.RandomState(SEED)
    document_index = gpt_dataset._build_document_index(documents, epochs, random, separate)
    helper_begin = time.perf_counter()
    sample_index = helpers.build_sample_idx(lengths.copy(), document_index, LENGTH, epochs, per_epoch)
    helper_seconds = time.perf_counter() - helper_begin
    total = len(sample_index) - 1
    shuffle_index = gpt_dataset._build_shuffle_index(before_last if separate else total, total, random)
    seconds, added = time.perf_counter() - begin, peak_mb() - before
    result = {"seconds": seconds, "helper_seconds": helper_seconds, "added_mb": added}
    return result | {"hash": hash_of((document_index, sample_index, shuffle_index))}


def order_of_rows(count: int, length: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, length, count)


def ours_rows(prefix: str, count: int, _threads: int) -> dict:
    import bloomdata

    results = {}
    for name, columns in {
        "ids and labels": ("input_ids", "labels"),
        "all columns": ("input_ids", "labels", "loss_weights", "position_ids", "cu_seqlens"),
    }.items():
        for order in ("megatron", "sequential"):
            dataset = bloomdata.GPTDataset(
                prefix, sequence_length=LENGTH, seed=SEED, split=None, columns=columns, order=order
            )
            rows = order_of_rows(count, len(dataset)).reshape(-1, BATCH)
            for batch in rows[:100]:
                dataset.read_batch(batch)
            begin = time.perf_counter()
            for batch in rows:
                dataset.read_batch(batch)
            results[f"{order}, {name}"] = count / (time.perf_counter() - begin)
            if order == "megatron":
                first = dataset.read_batch(rows[0])
                found = hash_of([first["input_ids"], first["labels"]])
    return {"rows_per_second": results, "hash": found}


def theirs_rows(prefix: str, count: int, _threads: int) -> dict:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig
        from megatron.core.datasets.indexed_dataset import IndexedDataset
        from megatron.core.datasets.utils import Split

    class Tokenizer:
        vocab_size = eod = eos = 65_535
        unique_identifiers = ()

    options = {"random_seed": SEED, "sequence_length": LENGTH, "create_attention_mask": False}
    options |= {"reset_position_ids": False, "reset_attention_mask": False, "eod_mask_loss": False}
    config = GPTDatasetConfig(
        blend=([prefix], None), split="1", tokenizer=Tokenizer(), path_to_cache=f"{prefix}-cache", **options
    )
    indexed = IndexedDataset(prefix)
    documents = np.arange(len(indexed), dtype=np.int32)
    dataset = GPTDataset(indexed, prefix, documents, None, Split.train, config)
    rows = order_of_rows(count, len(dataset)).reshape(-1, BATCH)

    def collate(batch):
        samples = [dataset[int(index)] for index in batch]
        return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}

    for batch in rows[:100]:
        collate(batch)
    begin = time.perf_counter()
    for batch in rows:
        collate(batch)
    rate = count / (time.perf_counter() - begin)
    first = collate(rows[0])
    return {
        "rows_per_second": {"GPTDataset": rate},
        "hash": hash_of([first["tokens"].numpy(), first["labels"].numpy()]),
    }


def ours_open(prefix: str, count: int, _threads: int) -> dict:
    import bloomdata

    _ = bloomdata.GPTDataset
    seconds = {}
    for order in ("sequential", "megatron"):
        begin = time.perf_counter()
        prefixes = [f"{prefix}-{number:04}" for number in range(count)]
        dataset = bloomdata.GPTDataset(prefixes, sequence_length=LENGTH, split=None, order=order)
        dataset.read_batch(order_of_rows(BATCH, len(dataset)))
        seconds[order] = time.perf_counter() - begin
    return {"seconds": seconds}


if __name__ == "__main__":
    job, whose, prefix, number, *threads = sys.argv[1:]
    function = globals()[f"{whose}_{job}"]
    print(json.dumps(function(prefix, int(number), int(threads[0]) if threads else 1)))
