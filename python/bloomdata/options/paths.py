"""Output paths, which must be local."""

from __future__ import annotations

import os
import re

from bloomdata.errors import ConfigError


def output_path(path: str | os.PathLike[str], option: str = "output") -> str:
    """The local path of an output.

    Raises:
        ConfigError: The path is a URL, which would become a local folder named `s3:`, or is not UTF-8.
    """
    text = utf8_path(path, option)
    # One slash is enough: `Path("s3://bucket")` collapses the two.
    if scheme := re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/", text):
        raise ConfigError(
            f"{option}: expected a path on this machine, got {text!r}; writing to {scheme[1]}: is not supported, "
            "write to a local folder and upload it"
        )
    return text


def utf8_path(path: str | os.PathLike[str], option: str) -> str:
    """A path as text.

    Raises:
        ConfigError: The path is not UTF-8.
    """
    text = os.fspath(path)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{option}: expected a path in UTF-8, got {text!r}") from None
    return text
