"""Arrays of a batch as torch tensors. Torch is imported when the first batch needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bloomdata.datasets.samples import Batch


def to_tensors(batch: Batch, *, pin_memory: bool) -> dict[str, Any]:
    """Tensors that share the memory of the arrays, or copies in pinned memory."""
    import torch

    tensors = {name: torch.from_numpy(values) for name, values in batch.items()}
    return {name: tensor.pin_memory() for name, tensor in tensors.items()} if pin_memory else tensors


def to_device(tensors: dict[str, Any], device: Any) -> dict[str, Any]:
    """Tensors on a device; copies from pinned memory overlap with computation."""
    return {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}


def pins(device: Any) -> bool:
    """Whether batches for the device use pinned memory: true for an available CUDA device."""
    import torch

    return bool(torch.device(device).type == "cuda" and torch.cuda.is_available())


def group() -> tuple[int, int]:
    """Rank and number of ranks of torch's process group; (0, 1) without one. Does not import torch."""
    import sys

    torch = sys.modules.get("torch")
    distributed = getattr(torch, "distributed", None)
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return 0, 1
    return int(distributed.get_rank()), int(distributed.get_world_size())
