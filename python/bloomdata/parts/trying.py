"""Tries a call before what an earlier run has left is removed for it."""

from __future__ import annotations

import contextlib
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bloomdata.errors import ConfigError
from bloomdata.options.paths import is_address, whole_address

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class _BegunError(Exception):
    """All that is checked before any data are read is right."""


def try_call(
    call: Callable[[str, Callable[..., None]], object], begun: str, inputs: Sequence[str], output: str
) -> None:
    """Begins a run in a folder of its own, and stops it there.

    Not where the output lies among the inputs: the call would take what is there for one.

    Args:
        call: Runs it, with a folder for its output and a function for `on_progress`.
        begun: The file in that folder that says that the run has begun.
        inputs: Inputs of the run.
        output: Output of the run.

    Raises:
        ConfigError: The output holds an input.
        Exception: What the call raises before that.
    """
    for path in inputs:
        start = _start(path)
        if is_in(start, output):
            raise ConfigError(f"output: {output} holds the input {path}; nothing was removed")
        if is_in(output, start):
            return
    with tempfile.TemporaryDirectory(prefix="bloomdata-") as folder:

        def stop(*_: int) -> None:
            if (Path(folder) / begun).exists():
                raise _BegunError

        with contextlib.suppress(_BegunError):
            call(folder, stop)


def _start(pattern: str) -> str:
    """The folder or file that all that a pattern matches lies in."""
    base = re.split(r"[*?\[{]", pattern)[0]
    return pattern if base == pattern else base.rpartition("/")[0]


def is_in(path: str, folder: str) -> bool:
    """Whether a path is a folder, or lies in it; both may be addresses."""
    if is_address(path) != is_address(folder):
        return False
    if is_address(path):
        return f"{whole_address(path).rstrip('/')}/".startswith(f"{whole_address(folder).rstrip('/')}/")
    return Path(path).resolve().is_relative_to(Path(folder).resolve())
