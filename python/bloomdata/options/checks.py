"""Checks of options, whose errors name the option."""

from __future__ import annotations

import os
from typing import Any

from bloomdata.errors import ConfigError


def check_counts(**options: Any) -> None:
    """Checks that options are whole numbers that are not negative, so that the error names the one that is not."""
    for name, value in options.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 64):
            raise ConfigError(f"{name}: {value!r} is not a whole number from 0 to 2^64 - 1")


def check_choice(name: str, value: Any, *choices: Any) -> None:
    """Checks that an option has one of its values."""
    if value not in choices:
        raise ConfigError(f"{name}: {value!r} is none of {list(choices)}")


def thread_count(num_threads: int | None) -> int:
    """Threads to use: as asked for, else one for each processor that this process may use."""
    if num_threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if num_threads < 1:
        msg = f"num_threads: {num_threads} is less than 1"
        raise ConfigError(msg)
    return num_threads
