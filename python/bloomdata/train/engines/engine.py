"""The interface of engines, and the process group that they share."""

from __future__ import annotations

import datetime
import os
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

# A rank that died makes the others wait for so long at most.
_TIMEOUT = datetime.timedelta(minutes=10)


class Forward(Protocol):
    """A model that computes on one rank of several: what an evaluation needs of an engine."""

    rank: int
    world_size: int
    device: Any
    model: Any

    def computing(self, *, is_last: bool) -> AbstractContextManager[Any]:
        """Surrounds a microbatch: its precision, and whether gradients are summed over the ranks after it."""


class Engine(Forward, Protocol):
    """What the loop needs of an engine."""

    optimizers: list[Any]

    def prepare(self, model: Any) -> None:
        """Takes the model over and builds its optimizers."""

    def backward(self, loss: Any) -> None:
        """Adds the gradient of a loss."""

    def clip(self, max_norm: float, scale: float) -> float | None:
        """Divides gradients by the loss scale and limits their norm; returns the norm before, over all ranks.

        None if the engine does that within `step`.
        """

    def step(self) -> float | None:
        """Updates the weights; returns the norm if `clip` did not."""

    def zero_grad(self) -> None:
        """Forgets the gradients."""

    def save(self, folder: Path, *, asynchronous: bool) -> Any:
        """Writes weights and optimizers; returns a future when asynchronous."""

    def load(self, folder: Path, *, weights_only: bool) -> None:
        """Reads what `save` wrote, also on another number of ranks."""

    def full_state(self) -> dict[str, Any]:
        """All weights, in memory of the CPU of rank 0; empty on other ranks."""

    def close(self) -> None:
        """Leaves the process group, if the engine made it."""


def join_group() -> tuple[int, int, Any, bool]:
    """Joins the process group that torchrun describes.

    Returns:
        Rank, number of ranks, this rank's device, and whether the group was made here.
    """
    import torch

    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    if world_size == 1:
        return 0, 1, device, False
    is_new = not torch.distributed.is_initialized()
    if is_new:
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        torch.distributed.init_process_group(backend, timeout=_TIMEOUT)
    return torch.distributed.get_rank(), torch.distributed.get_world_size(), device, is_new


def leave_group(*, is_own: bool) -> None:
    """Leaves the process group, if it was made here."""
    import torch

    if is_own and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def sum_over_ranks(tensor: Any) -> Any:
    """The sum of a tensor over all ranks, in place."""
    import torch

    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(tensor)
    return tensor


def wait_for_ranks() -> None:
    """Returns once all ranks are here."""
    import torch

    if torch.distributed.is_initialized():
        torch.distributed.barrier()


def from_rank_0(value: Any) -> Any:
    """A small value of rank 0, on all ranks."""
    import torch

    if not torch.distributed.is_initialized():
        return value
    values = [value]
    torch.distributed.broadcast_object_list(values)
    return values[0]


def first_of_ranks(value: Any) -> Any:
    """The value of the first rank that has one other than None, on all ranks."""
    import torch

    if not torch.distributed.is_initialized():
        return value
    values: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(values, value)
    return next((one for one in values if one is not None), None)
