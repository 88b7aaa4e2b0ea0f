"""`run/config.json`: which recipe and which data a folder belongs to."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError, MismatchError
from bloomdata.fetching.books import write_synced
from bloomdata.train.checkpoints import list_checkpoints
from bloomdata.train.journal import read_log

if TYPE_CHECKING:
    from pathlib import Path

    from bloomdata.train.data import StageData
    from bloomdata.train.recipe import Stage

_FORMAT = 1
# What a rerun may change: it does not change what is computed, or not before the step that it resumes from.
_FREE = {
    ("log",),
    ("engine",),
    ("checkpoint",),
    ("batch", "micro_rows"),
    ("data", "skip"),
    ("model", "activation_checkpointing"),
}


def claim(folder: Path, stage: Stage, data: StageData) -> None:
    """Writes `config.json`, or compares with the one that is there.

    Raises:
        MismatchError: The folder has a run of another recipe or other data.
    """
    import torch
    import transformers

    import bloomdata

    versions = {
        "bloomdata": bloomdata.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    facts = {
        "format": _FORMAT,
        "recipe": stage.to_json(),
        "data_fingerprint": data.dataset.fingerprint,
        "versions": versions,
    }
    path = folder / "config.json"
    # A run that took no step may begin again with another recipe.
    if path.exists() and (list_checkpoints(folder / "checkpoints") or read_log(folder / "log.jsonl")):
        before = json.loads(path.read_text("utf-8"))
        differences = [
            f"{'.'.join(name)}: expected {old!r}, found {new!r}"
            for name, old, new in _differences(before["recipe"], facts["recipe"])
            if not any(name[: len(free)] == free for free in _FREE)
        ]
        if before["data_fingerprint"] != facts["data_fingerprint"] and not differences:
            differences.append("data.sources: expected the files that the run began with, found others")
        if differences:
            raise MismatchError("\n".join([f"{folder}: a run of another recipe is here:", *differences]))
        if before["versions"] != versions:
            sys.stderr.write(f"{folder}: began with {before['versions']}, goes on with {versions}\n")
        return
    if folder.exists() and not path.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder}: expected an empty folder or a run, found other files")
    folder.mkdir(parents=True, exist_ok=True)
    write_synced(path, json.dumps(facts, indent=2).encode())


def _differences(before: Any, now: Any, name: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any, Any]]:
    if isinstance(before, dict) and isinstance(now, dict):
        keys = sorted(set(before) | set(now))
        return [one for key in keys for one in _differences(before.get(key), now.get(key), (*name, key))]
    # JSON has no integers apart from floats.
    return [] if before == now else [(name, before, now)]
