"""Samples -> batches, from any step, on any number of ranks, with one integer of state.

- `loader`: `DataLoader`, the public class.
- `stream_order`: position in the stream of samples -> epoch and sample; skipped ranges.
- `epoch_orders`: order of the samples in an epoch: of the data set, keyed, or Megatron's cyclic one.
- `prefetch`: reads batches ahead on threads, in order.
- `tensors`: arrays -> torch tensors.
"""

from __future__ import annotations

from bloomdata.loader.loader import DataLoader

__all__ = ["DataLoader"]
