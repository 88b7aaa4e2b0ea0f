"""Standard streams that take what is written: closed ones, other encodings, control characters of file names."""

from __future__ import annotations

import io
import os
import re
import sys
from contextlib import suppress

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


def discard_output() -> None:
    """Points standard output at nothing once its reader has gone, so that the last flush does not fail again."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
