"""Evaluation of finished models, by the loss of `bloomdata.train` and the tasks of lm-evaluation-harness.

- `running`: `evaluate`. `packed`: loss over packed folders, sharded over ranks. `tasks`: lm-evaluation-harness.
- `contamination`: which documents of a task `decontaminate` has found in training data. `report`: tables and JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bloomdata.lazy import lazily

if TYPE_CHECKING:
    from bloomdata.evaluation.running import evaluate as evaluate

_PLACES = {"evaluate": "running"}
__all__ = list(_PLACES)
__getattr__ = lazily(__name__, _PLACES)
