"""Engines: how a model is spread over ranks. The loop knows only `Engine`.

- `engine`: the interface, and what all have in common: the process group, sums over ranks.
- `torch_engine`: one process, DDP and FSDP2, with checkpoints by torch's distributed checkpoint (DCP).
- `deepspeed_engine`: ZeRO 1 to 3. `accelerate_engine`: whatever `accelerate launch` sets up, DDP on CPUs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from bloomdata.train.engines.engine import Engine
    from bloomdata.train.recipe import Stage

ENGINES = ("torch", "fsdp2", "deepspeed", "accelerate")


def build_engine(name: str, stage: Stage) -> Engine:
    """An engine by name.

    Raises:
        ConfigError: The name is unknown, or the engine does not work with an option of the stage.
    """
    if name not in ENGINES:
        raise ConfigError(f"engine: expected one of {', '.join(ENGINES)}, got {name!r}")
    eight_bit = stage.optimizer.name == "adamw_8bit"
    if name == "fsdp2" and eight_bit:
        raise ConfigError("engine: fsdp2 does not work with adamw_8bit: bitsandbytes does not know sharded tensors")
    if name in {"fsdp2", "deepspeed"} and stage.model.lora:
        raise ConfigError(f"engine: {name} does not work with model.lora: an adapter is merged from whole weights")
    if name in {"fsdp2", "deepspeed"} and stage.optimizer.name == "muon":
        raise ConfigError(f"engine: {name} does not work with muon, which needs whole matrices: ranks hold parts")
    if name == "deepspeed":
        if stage.model.compile:
            raise ConfigError("engine: deepspeed does not work with model.compile")
        from bloomdata.train.engines.deepspeed_engine import DeepSpeedEngine

        return DeepSpeedEngine(stage)
    if name == "accelerate":
        from bloomdata.train.engines.accelerate_engine import AccelerateEngine

        return AccelerateEngine(stage)
    from bloomdata.train.engines.torch_engine import TorchEngine

    return TorchEngine(stage, is_sharded=name == "fsdp2")
