"""Standard streams that take what is written: closed ones, other encodings, control characters of file names."""

from __future__ import annotations

import io
import os
import re
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_ARGUMENT = re.compile(r"\b(?P<name>[a-z_]+)=(?P<quote>[\"'])(?P<value>[^\"']+)(?P=quote)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def prepare_streams() -> None:
    """Replaces streams that the caller has closed, and escapes what the encoding of the others lacks."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - open until the end
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def plain(text: str) -> str:
    """Text in which control characters are escaped: a file may be named to rewrite the terminal."""
    return _CONTROL.sub(lambda control: f"\\x{ord(control[0]):02x}", text)


def in_flags(text: str, names: Collection[str]) -> str:
    """An error that speaks of arguments of Python, in flags: `overwrite=True` is `--overwrite`.

    Args:
        text: The error.
        names: Options of the verb.
    """

    def flag(found: re.Match[str], value: str = "") -> str:
        name = found["name"]
        return f"--{name.replace('_', '-')}{value}" if name in names else found[0]

    text = re.sub(r"\b(?P<name>[a-z_]+)=True\b", flag, text)
    text = _ARGUMENT.sub(lambda found: flag(found, f" {found['value']}"), text)
    return re.sub(r"^(?P<name>[a-z_]+)(?=: )", flag, text)


def discard_output() -> None:
    """Points standard output at nothing once its reader has gone, so that the last flush does not fail again."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
