"""Everything that can go wrong, one class for each party that must act.

Errors of the operating system (`FileNotFoundError`, `PermissionError`, a full disk as `OSError`) stay what they are,
and Ctrl-C is `KeyboardInterrupt`.
"""


class BloomdataError(Exception):
    """Base of all errors of this library; raised itself only for defects of the library."""


class ConfigError(BloomdataError, ValueError):
    """An option has a value that cannot work."""


class CorruptDataError(BloomdataError):
    """A file's bytes break the rules of its format, or a record cannot become a document."""


class UnsupportedFormatError(BloomdataError):
    """A file is in a format that is not read here."""


class MismatchError(BloomdataError):
    """Two things that must agree do not: a rerun with other options, a tokenizer, a changed file."""
