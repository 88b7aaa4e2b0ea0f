"""Paths of outputs: on this machine, or an error."""

from __future__ import annotations

import os
import re

from bloomdata.errors import ConfigError


def output_path(path: str | os.PathLike[str], option: str = "output") -> str:
    """The path of something to be written on this machine.

    Raises:
        ConfigError: A URL, which would become a local folder named `s3:`; or a name that is not UTF-8.
    """
    text = utf8_path(path, option)
    # `Path("s3://bucket")` has one slash.
    if scheme := re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/", text):
        raise ConfigError(
            f"{option}: expected a path on this machine, got {text!r}: nothing is written to {scheme[1]}: directly; "
            "write to a folder, then upload that"
        )
    return text


def utf8_path(path: str | os.PathLike[str], option: str) -> str:
    """A path as text.

    Raises:
        ConfigError: Its name is not UTF-8.
    """
    text = os.fspath(path)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{option}: the name {text!r} is not UTF-8") from None
    return text
