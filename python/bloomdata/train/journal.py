"""The log of a run: a line of JSON a step, trackers, and lines or a bar on the terminal."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, TextIO

from bloomdata.errors import ConfigError
from bloomdata.fetching.books import write_synced

if TYPE_CHECKING:
    from pathlib import Path

    from bloomdata.train.options import LogOptions

_BARS = "▁▂▃▄▅▆▇█"


class Journal:
    """Writes `log.jsonl`, and hands numbers to trackers.

    Lines of steps after the one that a run resumes from are removed: they will be written again.

    Args:
        path: The file.
        options: Section `[log]`.
        name: Name of the run in trackers.
        resumes_after: The last step whose lines stay; 0 for a new run.
    """

    def __init__(self, path: Path, options: LogOptions, name: str, resumes_after: int) -> None:
        self._trackers = [_tracker(kind, path.parent, options.project, name) for kind in options.trackers]
        kept = [line for line in read_log(path) if line["step"] <= resumes_after] if resumes_after else []
        write_synced(path, "".join(json.dumps(line) + "\n" for line in kept).encode())
        self._file: TextIO = path.open("a", encoding="utf-8")

    def write(self, line: dict[str, Any]) -> None:
        """Adds a line; a full disk does not stop the run."""
        try:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        except OSError as error:
            sys.stderr.write(f"log.jsonl: {error}\n")
        numbers = {name: value for name, value in _flat(line) if isinstance(value, (int, float))}
        for tracker in self._trackers:
            tracker(line["step"], numbers)

    def close(self) -> None:
        """Closes the file and the trackers."""
        self._file.close()
        for tracker in self._trackers:
            tracker(None, {})


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log. A last line that was cut off by a kill is left out."""
    if not path.exists():
        return []
    lines = path.read_text("utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1] if line]


def losses_of(path: Path) -> dict[int, float]:
    """The loss of each step of a run."""
    return {line["step"]: line["loss"] for line in read_log(path) if "loss" in line}


def sparkline(values: list[float], width: int = 40) -> str:
    """Values as a line of bars, averaged to a width."""
    if not values:
        return ""
    step = max(1, -(-len(values) // width))
    means = [sum(values[i : i + step]) / len(values[i : i + step]) for i in range(0, len(values), step)]
    low, high = min(means), max(means)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BARS[round((mean - low) * scale)] for mean in means)


def _flat(line: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs = []
    for name, value in line.items():
        if isinstance(value, dict):
            pairs += _flat(value, f"{prefix}{name}/")
        else:
            pairs.append((prefix + name, value))
    return pairs


def _tracker(kind: str, folder: Path, project: str, name: str) -> Any:
    """A function that takes a step and numbers; None as a step ends it."""
    try:
        if kind == "tensorboard":
            from torch.utils.tensorboard import SummaryWriter

            writer = SummaryWriter(str(folder / "tensorboard"))

            def write(step: int | None, numbers: dict[str, float]) -> None:
                if step is None:
                    writer.close()
                for key, value in numbers.items():
                    writer.add_scalar(key, value, step)

            return write
        if kind == "wandb":
            import wandb as service
        else:
            import trackio as service
    except ImportError as error:
        raise ConfigError(f"log.trackers: {kind} is not installed: pip install {kind} ({error})") from error
    run = service.init(project=project, name=name)
    # trackio logs through its module.
    target = run if kind == "wandb" else service

    def log(step: int | None, numbers: dict[str, float]) -> None:
        if step is None:
            target.finish()
        else:
            target.log(numbers, step=step)

    return log
