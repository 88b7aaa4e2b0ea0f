"""Training: a thin loop over torch and transformers that keeps packed documents apart. Only here is torch imported.

- `running`: `run` and `stages`, from a recipe to an exported model. `results`: what they return. `claiming`: what a
  folder belongs to. `recipe`, `options`: what a recipe says.
- `loop`: the steps. `loss`: sums of losses. `optimizers`, `schedules`, `guards`: by name, by samples, against faults.
- `data`: packed folders as batches by rank. `documents`, `attention`, `bloom_attention`: documents kept apart.
- `canary`: a training run that only a leak makes succeed.
- `building`, `stable_embedding`: models. `engines`: one process, DDP, FSDP2, DeepSpeed, Accelerate.
- `checkpoints`, `exporting`, `generation_marks`, `cooldown`: what is saved and exported, and how it goes on.
- `preflight`, `costs`, `tokens`: what is checked and shown before. `evaluation`, `journal`, `comparing`: what is
  measured and logged. `html_run`: a run as a web page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bloomdata.lazy import lazily

if TYPE_CHECKING:
    from bloomdata.train.attention import packed_inputs as packed_inputs
    from bloomdata.train.canary import isolation_canary as isolation_canary
    from bloomdata.train.comparing import Comparison as Comparison
    from bloomdata.train.comparing import compare as compare
    from bloomdata.train.loss import token_loss as token_loss
    from bloomdata.train.recipe import read_recipe as read_recipe
    from bloomdata.train.results import TrainResult as TrainResult
    from bloomdata.train.running import dry_run as dry_run
    from bloomdata.train.running import run as run
    from bloomdata.train.running import stages as stages

_PLACES = {
    "packed_inputs": "attention",
    "isolation_canary": "canary",
    "Comparison": "comparing",
    "compare": "comparing",
    "token_loss": "loss",
    "read_recipe": "recipe",
    "TrainResult": "results",
    "dry_run": "running",
    "run": "running",
    "stages": "running",
}
__all__ = list(_PLACES)
__getattr__ = lazily(__name__, _PLACES)
