"""Samples -> batches, at any step, on any number of ranks, with one integer of state.

- `loader`: `DataLoader`, what users hold.
- `stream_order`: place in the stream of samples -> epoch and sample; ranges that are skipped.
- `prefetch`: batches ahead of time, in order, by threads.
- `tensors`: arrays -> tensors of torch.
"""

from __future__ import annotations

from bloomdata.loader.loader import DataLoader

__all__ = ["DataLoader"]
