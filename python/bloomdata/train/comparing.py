"""`compare`: the first step at which two runs differ."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    import os


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The losses of two runs, step by step.

    Attributes:
        steps: Steps that both logs have.
        first_difference: The first step with another loss; None if all are equal.
        largest: The largest absolute difference of losses.
        largest_step: Its step; None if all are equal.
    """

    steps: int
    first_difference: int | None
    largest: float
    largest_step: int | None

    def __str__(self) -> str:
        if self.first_difference is None:
            return f"{self.steps:,} steps, all losses equal"
        return (
            f"{self.steps:,} steps: the first to differ is {self.first_difference:,}; largest difference "
            f"{self.largest:.3g} at step {self.largest_step:,}"
        )


def compare(first: str | os.PathLike[str], second: str | os.PathLike[str]) -> Comparison:
    """Compares the losses of two runs, as their logs have them.

    Args:
        first: Folder of a run.
        second: Folder of another.

    Raises:
        ConfigError: A folder has no log, or the logs have no step in common.
    """
    from bloomdata.train.journal import losses_of

    logs = []
    for folder in (first, second):
        losses = losses_of(Path(folder) / "log.jsonl")
        if not losses:
            raise ConfigError(f"{Path(folder)}: expected a run with losses in log.jsonl, found none")
        logs.append(losses)
    common = sorted(set(logs[0]) & set(logs[1]))
    if not common:
        raise ConfigError(f"{Path(first)}, {Path(second)}: expected steps in common, found none")
    differences = {step: abs(logs[0][step] - logs[1][step]) for step in common if logs[0][step] != logs[1][step]}
    largest = max(differences, key=lambda step: differences[step], default=None)
    return Comparison(
        steps=len(common),
        first_difference=min(differences, default=None),
        largest=differences[largest] if largest is not None else 0.0,
        largest_step=largest,
    )
