"""The errors of this library, one class for each kind of remedy.

Errors of the operating system (`FileNotFoundError`, `PermissionError`, `OSError` for a full disk) are raised unchanged,
and Ctrl-C raises `KeyboardInterrupt`.
"""

from typing import NamedTuple


class BloomdataError(Exception):
    """Base class of all errors of this library; raised directly only for bugs in the library."""


class ConfigError(BloomdataError, ValueError):
    """An option has an invalid value."""


class RecordPlace(NamedTuple):
    """Where a bad record is, and why it is one.

    Attributes:
        path: Its input, as it was named.
        line: Line (or element, or row) of the input, from 1.
        offset: Its start in the decompressed input in bytes.
        reason: What is wrong with it.
    """

    path: str
    line: int
    offset: int
    reason: str


class CorruptDataError(BloomdataError):
    """A file violates its format, or a record cannot become a document.

    Attributes:
        record: The record; None for a file.
    """

    def __init__(self, message: str, record: tuple[str, int, int, str] | None = None) -> None:
        super().__init__(message)
        self.record = None if record is None else RecordPlace(*record)


class UnsupportedFormatError(BloomdataError):
    """A file has a format that this library cannot read."""


class MismatchError(BloomdataError):
    """Two things that must match do not: the options of a rerun, a tokenizer, a file that has changed."""
