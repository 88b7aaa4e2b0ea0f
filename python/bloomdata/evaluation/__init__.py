"""Evaluation of finished models, by the loss of `bloomdata.train` and the tasks of lm-evaluation-harness.

- `running`: `evaluate`. `packed`: loss over packed folders, sharded over ranks. `tasks`: lm-evaluation-harness.
- `contamination`: which documents of a task `decontaminate` has found in training data. `report`: tables and JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bloomdata.evaluation.running import evaluate as evaluate

__all__ = ["evaluate"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from bloomdata.evaluation import running

    return getattr(running, name)
