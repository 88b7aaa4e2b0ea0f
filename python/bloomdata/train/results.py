"""What a stage of training gave, from its log."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError
from bloomdata.train.journal import read_log, sparkline

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a stage gave.

    Attributes:
        stage: Its name.
        folder: Folder with `config.json`, `log.jsonl`, `checkpoints` and `export`.
        steps: Steps done.
        final_loss: Loss of the last step, in nats a target token; None if the log has none.
        log: Lines of the log.
        export: Folder for transformers; None if none was written.
        ended_by: Name of the signal that ended the run early; None at the end of the stage.
    """

    stage: str
    folder: str
    steps: int
    final_loss: float | None
    log: list[dict[str, Any]] = field(repr=False)
    export: str | None
    ended_by: str | None

    def __str__(self) -> str:
        losses = [line["loss"] for line in self.log if "loss" in line]
        ended = f"stopped by {self.ended_by}; the same command resumes" if self.ended_by else "done"
        first = f"{losses[0]:.4f} {sparkline(losses)} {losses[-1]:.4f}" if losses else "no losses logged"
        lines = [f"train {self.stage}: {ended} at step {self.steps:,}; loss {first}"]
        for line in reversed(self.log):
            if "evaluation" in line:
                lines += [f"  {name}: {_numbers(found)}" for name, found in line["evaluation"].items()]
                break
        return "\n".join([*lines, *([f"  export: {self.export}"] if self.export else [])])

    def to_json(self) -> dict[str, Any]:
        """Everything but the log."""
        names = ("stage", "folder", "steps", "final_loss", "export", "ended_by")
        return {name: getattr(self, name) for name in names}


def _numbers(found: dict[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:,.4g}" for name, value in found.items())


def result_of(folder: Path, ended_by: str | None = None) -> TrainResult:
    """The result of a run so far, from its log.

    Raises:
        ConfigError: The folder has no run.
    """
    if not (folder / "config.json").exists():
        raise ConfigError(f"{folder}: expected a run with config.json, found none")
    log = read_log(folder / "log.jsonl")
    losses = [line["loss"] for line in log if "loss" in line]
    export = folder / "export"
    return TrainResult(
        stage=json.loads((folder / "config.json").read_text("utf-8"))["recipe"]["name"],
        folder=str(folder),
        steps=max((line["step"] for line in log), default=0),
        final_loss=losses[-1] if losses else None,
        log=log,
        export=str(export) if export.exists() else None,
        ended_by=ended_by,
    )
