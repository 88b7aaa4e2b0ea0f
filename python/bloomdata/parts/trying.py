"""Tries a call before what an earlier run has left is removed for it."""

from __future__ import annotations

import contextlib
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

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
        Exception: What the call raises before that.
    """
    if any(_holds(path, output) for path in inputs):
        return
    with tempfile.TemporaryDirectory(prefix="bloomdata-") as folder:

        def stop(*_: int) -> None:
            if (Path(folder) / begun).exists():
                raise _BegunError

        with contextlib.suppress(_BegunError):
            call(folder, stop)


def _holds(pattern: str, output: str) -> bool:
    """Whether what a pattern names may hold the output."""
    if is_address(pattern) != is_address(output):
        return False
    base = re.split(r"[*?\[{]", pattern)[0]
    start = base if base == pattern else base.rpartition("/")[0]
    if is_address(output):
        return whole_address(output).startswith(whole_address(start))
    return Path(output).resolve().is_relative_to(Path(start).resolve())
