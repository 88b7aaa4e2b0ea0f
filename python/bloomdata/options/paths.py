"""Output paths, which must be local."""

from __future__ import annotations

import os
import re

from bloomdata.errors import ConfigError

# One slash is enough: `Path("s3://bucket")` collapses the two. Datasets of the hub are those of its local cache.
_ADDRESS = re.compile(r"(?!hf:)([A-Za-z][A-Za-z0-9+.-]+):/")


def is_address(path: object) -> bool:
    """Whether a path is the address of an object or a folder in a store, such as `s3://bucket/folder`."""
    return isinstance(path, (str, os.PathLike)) and _ADDRESS.match(os.fspath(path)) is not None


def whole_address(text: str) -> str:
    """An address with both slashes, of which `Path` leaves one; other texts as they are."""
    return re.sub(r":/(?!/)", "://", text, count=1) if is_address(text) else text


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
