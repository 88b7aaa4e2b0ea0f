"""`--cooldown-from`: the decay of `wsd` from a checkpoint of the stable phase, in a folder of its own."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from bloomdata.errors import ConfigError
from bloomdata.train.checkpoints import list_checkpoints
from bloomdata.train.schedules import samples_of, steps_of

if TYPE_CHECKING:
    from pathlib import Path

    from bloomdata.train.recipe import Stage


def prepare_cooldown(stage: Stage, folder: Path, step: int) -> tuple[Stage, Path, Path]:
    """A stage that ends `cooldown_samples` after a step, its folder, and the checkpoint that it begins with.

    Raises:
        ConfigError: The schedule is not `wsd`, or there is no checkpoint of this step.
    """
    if stage.schedule.name != "wsd":
        raise ConfigError(f"cooldown_from: expected the schedule 'wsd', found {stage.schedule.name!r}")
    found = list_checkpoints(folder / "checkpoints")
    if step not in found:
        raise ConfigError(f"cooldown_from: expected one of the checkpoints {sorted(found)} of {folder}, got {step}")
    end = samples_of(stage.batch, step) + stage.schedule.cooldown_samples
    steps = steps_of(stage.batch, end)
    schedule = dataclasses.replace(stage.schedule, decay_samples=samples_of(stage.batch, steps))
    changed = dataclasses.replace(stage, steps=steps, samples=None, epochs=None, schedule=schedule)
    return changed, folder / f"cooldown-{step:08d}", found[step]
