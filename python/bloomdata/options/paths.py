"""Paths on this machine, and addresses in stores."""

from __future__ import annotations

import os
import re

from bloomdata.errors import ConfigError

# One slash is enough: `Path("s3://bucket")` collapses the two.
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
# Files of a folder that are named by themselves: pairs, also without a suffix, and rows.
_IN_FOLDER = re.compile(r"/[^/]*(_document|_token_types|\.bin|\.idx|\.hdf5|\.h5)$")


def is_address(path: object) -> bool:
    """Whether a path is the address of an object or a folder in a store, such as `s3://bucket/folder`."""
    # Datasets of the hub are those of its local cache.
    if not isinstance(path, (str, os.PathLike)) or str(path).startswith("hf:"):
        return False
    return _URL.match(os.fspath(path)) is not None


def whole_address(text: str) -> str:
    """An address with both slashes, of which `Path` leaves one; other texts as they are."""
    return re.sub(r":/(?!/)", "://", text, count=1) if is_address(text) else text


def output_path(path: str | os.PathLike[str], option: str = "output") -> str:
    """The local path of an output.

    Raises:
        ConfigError: The path is a URL, which would become a local folder named `s3:`, or is not UTF-8.
    """
    text = utf8_path(path, option)
    if scheme := _URL.match(text):
        raise ConfigError(
            f"{option}: expected a path on this machine, got {text!r}; writing to {scheme[1]}: is not supported, "
            "write to a local folder and upload it"
        )
    return text


def finished_path(path: str | os.PathLike[str], option: str) -> str:
    """The local path of a finished folder, or of a file in it.

    Raises:
        ConfigError: The path is a URL; the error says how to bring it here.
    """
    text = os.fspath(path)
    if _URL.match(text):
        raise ConfigError(f"{option}: expected a path on this machine, got {text}; {how_to_fetch(text)}")
    return text


def how_to_fetch(text: str) -> str:
    """What brings a folder of a store here."""
    address = _IN_FOLDER.sub("", re.sub(r":/(?!/)", "://", text, count=1).rstrip("/"))
    name = address.rpartition("/")[2]
    call = f"bloomdata.fetch({address!r}, {name!r})"
    return f"bring it here first, by {call} or bloomdata-cli fetch {address} --output {name}/"


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
