"""How a run goes, which never changes what it writes: as the core takes it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bloomdata.errors import ConfigError
from bloomdata.options.checks import thread_count

if TYPE_CHECKING:
    import os

    # Whether nothing may be kept; how many records may be bad: their number, or their share of all.
    Limits = tuple[bool, int | None, float | None]
    # Output, threads, overwrite, seconds between checkpoints, limits.
    Running = tuple[str | os.PathLike[str], int, bool, float, Limits]

NO_LIMITS: Limits = (True, None, None)


def running(
    output: str | os.PathLike[str],
    num_threads: int | None,
    *,
    overwrite: bool,
    checkpoint_seconds: float = 10.0,
    limits: Limits = NO_LIMITS,
) -> Running:
    """The core's description of how a run goes; `output` is local."""
    return output, thread_count(num_threads), overwrite, checkpoint_seconds, limits


def limits_of(*, allow_empty: bool, max_bad: str | float | None, on_bad_record: str) -> Limits:
    """The core's limits of a run."""
    if max_bad is None:
        return allow_empty, None, None
    if on_bad_record == "raise":
        raise ConfigError(f"max_bad: expected only with on_bad_record='quarantine', got {max_bad!r}")
    records, share = _max_bad(max_bad)
    return allow_empty, records, share


def _max_bad(value: str | float) -> tuple[int | None, float | None]:
    """A number of records, or a share of all."""
    if isinstance(value, str) and (found := re.fullmatch(r"(\d+|\d*\.\d+)(\s*%)?", value.strip())):
        if found[2] is None and found[1].isdigit():
            value = int(found[1])
        else:
            value = float(found[1]) / (1 if found[2] is None else 100)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63:
        return value, None
    if isinstance(value, float) and 0 <= value <= 1:
        return None, value
    raise ConfigError(f"max_bad: expected a number of records, or a share such as '0.1%' or 0.001, got {value!r}")
