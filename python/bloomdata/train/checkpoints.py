"""Checkpoints in `run/checkpoints/step-00001000/`: written beside, then renamed; the latest is found by listing."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

from bloomdata.errors import CorruptDataError
from bloomdata.fetching.books import sync_path, write_synced
from bloomdata.train.engines.engine import first_of_ranks, wait_for_ranks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bloomdata.train.engines.engine import Engine
    from bloomdata.train.options import CheckpointOptions

STATE = "bloomdata_state.json"
_FORMAT = 1
_NAME = re.compile(r"step-(\d{8,})")


def list_checkpoints(folder: Path) -> dict[int, Path]:
    """Finished checkpoints of a run by step, in order."""
    found = {}
    if folder.exists():
        for path in folder.iterdir():
            if match := _NAME.fullmatch(path.name):
                found[int(match[1])] = path
    return dict(sorted(found.items()))


def read_state(path: Path) -> dict[str, Any]:
    """The state beside the weights of a checkpoint.

    Raises:
        CorruptDataError: It is missing or damaged; the message names the last good checkpoint before it.
    """
    try:
        state: dict[str, Any] = json.loads((path / STATE).read_text("utf-8"))
        sizes = {name: (path / name).stat().st_size for name in state["files"]}
        found = state["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptDataError(f"{path}: damaged checkpoint: {error}{_advice(path)}") from error
    if found != _FORMAT:
        raise CorruptDataError(f"{path}: expected a checkpoint of format {_FORMAT}, found {found}{_advice(path)}")
    if sizes != state["files"]:
        raise CorruptDataError(f"{path}: expected files of {state['files']} bytes, found {sizes}{_advice(path)}")
    return state


def _advice(path: Path) -> str:
    """Which checkpoint to go back to."""
    for earlier in reversed(list_checkpoints(path.parent).values()):
        if earlier.name < path.name:
            try:
                read_state(earlier)
            except CorruptDataError:
                continue
            return f"; the last good one is {earlier}: remove {path.name} to resume from it"
    return "; there is no good one before it"


class Checkpointer:
    """Saves checkpoints and removes old ones.

    Args:
        folder: `run/checkpoints`.
        engine: Writes weights and optimizers.
        options: Section `[checkpoint]`.
        on_event: Called with a description when a checkpoint could not be written.
    """

    def __init__(
        self, folder: Path, engine: Engine, options: CheckpointOptions, on_event: Callable[[str], None]
    ) -> None:
        self._folder, self._engine, self._options, self._on_event = folder, engine, options, on_event
        self._pending: tuple[Any, int, dict[str, Any]] | None = None
        self._failures = 0
        self.last_step: int | None = None
        if engine.rank == 0:
            folder.mkdir(parents=True, exist_ok=True)
            for half in folder.glob(".writing-*"):
                shutil.rmtree(half)

    def save(self, step: int, state: dict[str, Any], *, wait: bool) -> None:
        """Saves a checkpoint; asynchronous ones are finished by the next call, or by `finish`.

        Raises:
            OSError: As many checkpoints in a row as `max_failures` could not be written.
        """
        self.finish()
        if self.last_step == step:
            return
        future, error = None, None
        wait_for_ranks()
        try:
            path = self._folder / f".writing-{step:08d}"
            future = self._engine.save(path, asynchronous=self._options.asynchronous and not wait)
        # DCP and its threads wrap errors of the operating system in types of their own; all are told and counted.
        except Exception as caught:
            error = str(caught)
        if not self._check(step, error):
            return
        self._pending = (future, step, state)
        if future is None:
            self.finish()

    def finish(self) -> None:
        """Waits for a checkpoint that is being written, and gives it its name."""
        if self._pending is None:
            return
        future, step, state = self._pending
        self._pending, error = None, None
        try:
            if future is not None:
                getattr(future, "upload_completion", future).result()
        # As in `save`.
        except Exception as caught:
            error = str(caught)
        if not self._check(step, error):
            return
        try:
            if self._engine.rank == 0:
                self._seal(step, state)
        except OSError as caught:
            error = str(caught)
        if self._check(step, error):
            self._failures, self.last_step = 0, step

    def _check(self, step: int, error: str | None) -> bool:
        """Whether all ranks succeeded; counts a failure, and removes what was written."""
        error = first_of_ranks(error)
        if error is None:
            return True
        self._failures += 1
        if self._engine.rank == 0:
            shutil.rmtree(self._folder / f".writing-{step:08d}", ignore_errors=True)
        self._on_event(f"checkpoint of step {step} not written ({self._failures} in a row): {error}")
        if self._failures >= self._options.max_failures:
            raise OSError(f"{self._folder}: {self._failures} checkpoints in a row could not be written: {error}")
        return False

    def _seal(self, step: int, state: dict[str, Any]) -> None:
        """Syncs the files, writes the state, renames the folder, removes old ones."""
        path = self._folder / f".writing-{step:08d}"
        sizes = {}
        for file in sorted(path.rglob("*")):
            if file.is_file():
                sync_path(file)
                sizes[file.relative_to(path).as_posix()] = file.stat().st_size
        write_synced(path / STATE, json.dumps({"format": _FORMAT, **state, "files": sizes}).encode())
        final = self._folder / f"step-{step:08d}"
        if final.exists():
            shutil.rmtree(final)
        path.rename(final)
        sync_path(self._folder)
        self._remove_old()

    def _remove_old(self) -> None:
        every = self._options.keep_every
        passing = [path for step, path in list_checkpoints(self._folder).items() if not every or step % every]
        for path in passing[: -self._options.keep] if self._options.keep else ():
            shutil.rmtree(path)
