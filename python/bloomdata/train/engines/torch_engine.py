"""One process, DDP or FSDP2; checkpoints by torch's distributed checkpoint."""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError, CorruptDataError
from bloomdata.train.engines.engine import join_group, leave_group
from bloomdata.train.optimizers import build_optimizers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bloomdata.train.recipe import Stage


class TorchEngine:
    """DDP where there are several ranks, and none where there is one; or FSDP2, which shards weights and optimizers.

    Args:
        stage: Its precision, optimizer and compilation count.
        is_sharded: Whether to use FSDP2.
    """

    def __init__(self, stage: Stage, *, is_sharded: bool) -> None:
        import torch

        self.rank, self.world_size, self.device, self._owns_group = join_group()
        self._stage, self._is_sharded = stage, is_sharded
        self._compute = getattr(torch, stage.precision.compute)
        self.model: Any = None
        self.optimizers: list[Any] = []
        # Ranks agree on a checkpoint in a thread, beside training, which must not take their messages.
        is_beside = stage.checkpoint.asynchronous and self.world_size > 1
        self._saving = torch.distributed.new_group(backend="gloo") if is_beside else None

    def prepare(self, model: Any) -> None:
        """Wraps the model, then builds the optimizers of what it became."""
        import torch

        if self._is_sharded:
            # Moves block by block, so that a device never holds more than its shards and one whole block.
            self._shard(model)
            self.model = model
        elif self.world_size > 1:
            devices = [self.device.index] if self.device.type == "cuda" else None
            # Gradients are views of what is sent: one copy of them, not two.
            wrap = torch.nn.parallel.DistributedDataParallel
            self.model = wrap(model.to(self.device), device_ids=devices, gradient_as_bucket_view=True)
        else:
            self.model = model.to(self.device)
        self.optimizers = build_optimizers(self.model, self._stage.optimizer)
        if self._stage.model.compile:
            self.model.compile()

    def _shard(self, model: Any) -> None:
        import torch
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

        if not torch.distributed.is_initialized():
            raise ConfigError("engine: fsdp2 needs torchrun: torchrun --nproc-per-node N -m bloomdata train ...")
        if self._compute == torch.float16:
            raise ConfigError("engine: fsdp2 computes in bfloat16 or float32, found precision.compute = 'float16'")
        mesh = init_device_mesh(self.device.type, (self.world_size,))
        policy = MixedPrecisionPolicy()
        if self._compute == torch.bfloat16:
            policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
        kinds = set(getattr(model, "_no_split_modules", None) or ())
        for module in model.modules():
            if type(module).__name__ in kinds:
                fully_shard(module, mesh=mesh, mp_policy=policy)
        fully_shard(model, mesh=mesh, mp_policy=policy)

    @contextlib.contextmanager
    def computing(self, *, is_last: bool) -> Iterator[None]:
        """Autocast, and gradients summed over ranks after the last microbatch only."""
        import torch

        with contextlib.ExitStack() as stack:
            if self._is_sharded:
                self.model.set_requires_gradient_sync(is_last)
            elif self.world_size > 1 and not is_last:
                stack.enter_context(self.model.no_sync())
            if self._compute != torch.float32 and not self._is_sharded:
                stack.enter_context(torch.autocast(self.device.type, dtype=self._compute))
            yield

    def backward(self, loss: Any) -> None:
        """Adds the gradient of a loss; DDP and FSDP2 take the mean over ranks, so it counts once for each."""
        (loss * self.world_size).backward()

    def clip(self, max_norm: float, scale: float) -> float | None:
        """The norm of all gradients, which are limited to `max_norm`, if that is not 0."""
        import torch

        parameters = [p for p in self.model.parameters() if p.grad is not None]
        if scale != 1:
            torch._foreach_div_([p.grad for p in parameters], scale)
        norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm or float("inf"))
        return float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)

    def step(self) -> float | None:
        """Updates the weights."""
        for optimizer in self.optimizers:
            optimizer.step()
        return None

    def zero_grad(self) -> None:
        """Forgets the gradients."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)

    def save(self, folder: Path, *, asynchronous: bool) -> Any:
        """Writes DCP files into a folder."""
        import torch.distributed.checkpoint as dcp
        from torch.distributed.checkpoint.state_dict import get_state_dict

        model, optimizers = get_state_dict(self.model, self.optimizers)
        state = {"model": model, "optimizers": optimizers}
        alone = self.world_size == 1
        with _no_hints():
            if asynchronous:
                return dcp.async_save(state, checkpoint_id=folder, process_group=self._saving, no_dist=alone)
            dcp.save(state, checkpoint_id=folder, no_dist=alone)
        return None

    def load(self, folder: Path, *, weights_only: bool) -> None:
        """Reads DCP files; every tensor must be there, in its shape."""
        from torch.distributed.checkpoint.api import CheckpointException

        try:
            with _no_hints():
                self._load(folder, weights_only=weights_only)
        except (CheckpointException, RuntimeError, EOFError, ValueError, OSError) as error:
            raise CorruptDataError(f"{folder}: {error}") from error

    def _load(self, folder: Path, *, weights_only: bool) -> None:
        import torch.distributed.checkpoint as dcp
        from torch.distributed.checkpoint import state_dict as states

        alone = self.world_size == 1
        if weights_only:
            state: dict[str, Any] = {"model": states.get_model_state_dict(self.model)}
            dcp.load(state, checkpoint_id=folder, no_dist=alone)
            states.set_model_state_dict(self.model, state["model"])
            return
        model, optimizers = states.get_state_dict(self.model, self.optimizers)
        state = {"model": model, "optimizers": optimizers}
        dcp.load(state, checkpoint_id=folder, no_dist=alone)
        states.set_state_dict(
            self.model, self.optimizers, model_state_dict=state["model"], optim_state_dict=state["optimizers"]
        )

    def full_state(self) -> dict[str, Any]:
        """All weights on rank 0."""
        from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        state: dict[str, Any] = get_model_state_dict(self.model, options=options)
        return state if self.rank == 0 else {}

    def close(self) -> None:
        """Leaves the process group."""
        leave_group(is_own=self._owns_group)


@contextlib.contextmanager
def _no_hints() -> Iterator[None]:
    """Without the hint of torch that one process is one process."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled, unavailable or uninitialized")
        yield
