"""ZeRO 1 to 3 by DeepSpeed. It clips gradients within its own step, so their norm is known only after it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError, CorruptDataError
from bloomdata.train.engines.engine import join_group, leave_group
from bloomdata.train.optimizers import build_optimizers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bloomdata.train.recipe import Stage

_TAG = "deepspeed"


class DeepSpeedEngine:
    """Model and optimizer in DeepSpeed's engine; its checkpoints resume on as many ranks as wrote them.

    Args:
        stage: Its precision, optimizer and `[engine]` count.
    """

    def __init__(self, stage: Stage) -> None:
        try:
            import deepspeed
        except ImportError as error:
            raise ConfigError("engine: deepspeed is not installed: pip install deepspeed ninja") from error
        if stage.precision.compute == "float16":
            raise ConfigError("engine: deepspeed computes in bfloat16 or float32 here; float16 needs engine torch")
        self.rank, self.world_size, self.device, self._owns_group = join_group()
        deepspeed.init_distributed(dist_backend="nccl" if self.device.type == "cuda" else "gloo", verbose=False)
        self._stage = stage
        self.model: Any = None
        self.optimizers: list[Any] = []

    def prepare(self, model: Any) -> None:
        """Hands model and optimizer to DeepSpeed."""
        import deepspeed

        options = self._stage
        zero: dict[str, Any] = {"stage": options.engine.zero_stage}
        if options.engine.offload:
            zero["offload_optimizer"] = {"device": "cpu"}
        config = {
            "train_micro_batch_size_per_gpu": 1,
            "gradient_accumulation_steps": 1,
            "gradient_clipping": options.optimizer.clip_norm,
            "zero_optimization": zero,
            "zero_allow_untested_optimizer": True,
            "zero_force_ds_cpu_optimizer": False,
            "bf16": {"enabled": options.precision.compute == "bfloat16"},
        }
        self.optimizers = build_optimizers(model, options.optimizer)
        self.model, *_ = deepspeed.initialize(model=model, optimizer=self.optimizers[0], config=config)

    @contextlib.contextmanager
    def computing(self, *, is_last: bool) -> Iterator[None]:
        """Tells DeepSpeed which microbatch ends the step."""
        self.model.set_gradient_accumulation_boundary(is_last)
        yield

    def backward(self, loss: Any) -> None:
        """Adds the gradient of a loss; DeepSpeed takes the mean over ranks. What follows a microbatch follows here."""
        self.model.backward(loss * self.world_size)
        if not self.model.is_gradient_accumulation_boundary():
            self.model.step()

    def clip(self, max_norm: float, scale: float) -> float | None:  # noqa: ARG002 - the interface of engines
        """None: DeepSpeed clips within `step`."""
        return None

    def step(self) -> float | None:
        """Updates the weights; returns the norm of the gradients before they were clipped."""
        self.model.step()
        norm = self.model.get_global_grad_norm()
        return None if norm is None else float(norm)

    def zero_grad(self) -> None:
        """Forgets the gradients, also of a step that was left out."""
        self.model.zero_grad()
        self.model.optimizer.zero_grad()

    def save(self, folder: Path, *, asynchronous: bool) -> None:  # noqa: ARG002 - the interface of engines
        """Writes DeepSpeed's own files."""
        self.model.save_checkpoint(str(folder), tag=_TAG, save_latest=False)

    def load(self, folder: Path, *, weights_only: bool) -> None:
        """Reads what `save` wrote on as many ranks."""
        try:
            found, _ = self.model.load_checkpoint(str(folder), tag=_TAG, load_module_only=weights_only)
        except (RuntimeError, OSError, ValueError, EOFError, AssertionError) as error:
            raise CorruptDataError(f"{folder}: {error}") from error
        if found is None:
            raise CorruptDataError(f"{folder}: expected a checkpoint of DeepSpeed, found none")

    def full_state(self) -> dict[str, Any]:
        """All weights on rank 0."""
        if self._stage.engine.zero_stage == 3:
            state = self.model._zero3_consolidated_16bit_state_dict()
        else:
            state = self.model.module.state_dict()
        return {name: tensor.cpu() for name, tensor in (state or {}).items()} if self.rank == 0 else {}

    def close(self) -> None:
        """Leaves the process group."""
        leave_group(is_own=self._owns_group)
