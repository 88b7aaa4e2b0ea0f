"""The errors of this library, one class for each kind of remedy.

Errors of the operating system (`FileNotFoundError`, `PermissionError`, `OSError` for a full disk) are raised unchanged,
and Ctrl-C raises `KeyboardInterrupt`.
"""


class BloomdataError(Exception):
    """Base class of all errors of this library; raised directly only for bugs in the library."""


class ConfigError(BloomdataError, ValueError):
    """An option has an invalid value."""


class CorruptDataError(BloomdataError):
    """A file violates its format, or a record cannot become a document."""


class UnsupportedFormatError(BloomdataError):
    """A file has a format that this library cannot read."""


class MismatchError(BloomdataError):
    """Two things that must match do not: the options of a rerun, a tokenizer, a file that has changed."""
