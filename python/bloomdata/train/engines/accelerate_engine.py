"""Whatever `accelerate launch` sets up. On CPUs that is DDP, whatever its settings say."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError
from bloomdata.train.engines.torch_engine import TorchEngine
from bloomdata.train.optimizers import build_optimizers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bloomdata.train.recipe import Stage

_PRECISIONS = {"float32": "no", "bfloat16": "bf16"}


class AccelerateEngine(TorchEngine):
    """Model and optimizers as Accelerate prepares them; checkpoints as those of `torch`, which it can resume."""

    def __init__(self, stage: Stage) -> None:
        try:
            from accelerate import Accelerator
        except ImportError as error:
            raise ConfigError("engine: accelerate is not installed: pip install accelerate") from error
        if stage.precision.compute not in _PRECISIONS:
            raise ConfigError("engine: accelerate computes in bfloat16 or float32 here; float16 needs engine torch")
        if stage.optimizer.name == "muon":
            raise ConfigError("engine: accelerate does not work with muon, which is two optimizers")
        super().__init__(stage, is_sharded=False)
        self._accelerator = Accelerator(
            mixed_precision=_PRECISIONS[stage.precision.compute], cpu=self.device.type == "cpu"
        )
        kind = str(self._accelerator.distributed_type).split(".")[-1]
        if kind in {"FSDP", "DEEPSPEED", "MEGATRON_LM"}:
            raise ConfigError(f"engine: expected accelerate with DDP, found {kind}: use engine fsdp2 or deepspeed")

    def prepare(self, model: Any) -> None:
        """Wraps the model and its optimizer."""
        optimizer = build_optimizers(model, self._stage.optimizer)[0]
        self.model, prepared = self._accelerator.prepare(model, optimizer)
        self.optimizers = [prepared.optimizer]

    @contextlib.contextmanager
    def computing(self, *, is_last: bool) -> Iterator[None]:
        """Accelerate's precision, and gradients summed over ranks after the last microbatch only."""
        with contextlib.ExitStack() as stack:
            if not is_last:
                stack.enter_context(self._accelerator.no_sync(self.model))
            stack.enter_context(self._accelerator.autocast())
            yield

    def backward(self, loss: Any) -> None:
        """Adds the gradient of a loss; Accelerate takes the mean over ranks."""
        self._accelerator.backward(loss * self.world_size)
