"""Checks of options. Every error names its option."""

from __future__ import annotations

import os
import re
from typing import Any

from bloomdata.errors import ConfigError


def check_counts(**options: Any) -> None:
    """Checks that options are whole numbers from 0 to 2^64 - 1, or None."""
    for name, value in options.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 64):
            raise ConfigError(f"{name}: expected a whole number from 0 to 2^64 - 1, got {value!r}")


def check_choice(name: str, value: Any, *choices: Any) -> None:
    """Checks that an option has one of the allowed values."""
    if value not in choices:
        raise ConfigError(f"{name}: expected one of {list(choices)}, got {value!r}")


_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def byte_count(name: str, value: int | str) -> int:
    """A number of bytes: as a number, or as text such as `500MB` or `1.5GiB`."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63:
        return value
    if isinstance(value, str) and (found := re.fullmatch(r"(\d+(?:\.\d+)?) ?([kmgt]i?)?b?", value.strip().lower())):
        count = float(found[1]) * _UNITS[found[2] or ""]
        if count < 1 << 63:
            return int(count)
    raise ConfigError(f"{name}: expected a number of bytes such as 500MB, got {value!r}")


def thread_count(num_threads: int | None) -> int:
    """The number of threads: as given, or one per processor that this process may use."""
    if num_threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if num_threads < 1:
        msg = f"num_threads: expected 1 or more, got {num_threads}"
        raise ConfigError(msg)
    return num_threads


def check_key(name: str, key: Any) -> str | None:
    """Requires a text that is not empty, or None; returns it."""
    if key is None or (isinstance(key, str) and key):
        return key
    raise ConfigError(f"{name}: expected a key, got {key!r}")
