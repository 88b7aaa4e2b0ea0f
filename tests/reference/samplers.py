"""Which samples Megatron's loaders hand to a rank, one micro-batch after the other (SYSTEMS.md 6.6)."""

from __future__ import annotations

import torch


def sequential(num_samples: int, consumed: int, micro_batch: int, rank: int, num_ranks: int) -> list[list[int]]:
    """Blocks of consecutive samples; each rank has its own part of every full block."""
    samples = list(range(consumed, num_samples))
    block = micro_batch * num_ranks
    found = []
    while len(samples) >= block:
        found.append(samples[rank * micro_batch : (rank + 1) * micro_batch])
        samples = samples[block:]
    return found


def cyclic(
    num_samples: int, consumed: int, micro_batch: int, rank: int, num_ranks: int, *, sharded: bool
) -> list[list[int]]:
    """What is left of the epoch in which `consumed` samples end; all ranks have as many micro-batches."""
    block = micro_batch * num_ranks
    active = num_samples - num_samples % block
    epoch, done = divmod(consumed, active)
    generator = torch.Generator()
    generator.manual_seed(epoch)
    if sharded:
        bucket = num_samples // block * micro_batch
        order = torch.randperm(bucket, generator=generator).tolist()
        samples = [rank * bucket + place for place in order][done // num_ranks :]
    else:
        bucket = num_samples // micro_batch * micro_batch
        samples = torch.randperm(bucket, generator=generator).tolist()[done:][rank::num_ranks]
    batches = [samples[at : at + micro_batch] for at in range(0, len(samples), micro_batch)]
    return batches[: (active - done) // block]
