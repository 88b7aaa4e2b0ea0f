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


class BadRecordError(CorruptDataError):
    """A record of an input that cannot become a document.

    Attributes:
        path: The input, as it was named.
        line: Line (or element, or row) of the record, from 1.
        offset: Start of the record in the decompressed input in bytes.
        reason: Why.
    """

    def __init__(
        self, path: str, line: int, offset: int, reason: str, way_out: str = 'on_bad_record="quarantine"'
    ) -> None:
        super().__init__(path, line, offset, reason, way_out)
        self.path, self.line, self.offset, self.reason, self._way_out = path, line, offset, reason, way_out

    def __str__(self) -> str:
        return (
            f"{self.path}: line {self.line}: offset {self.offset}: {self.reason} "
            f"({self._way_out} sets such records aside)"
        )


class UnsupportedFormatError(BloomdataError):
    """A file has a format that this library cannot read."""


class MismatchError(BloomdataError):
    """Two things that must match do not: the options of a rerun, a tokenizer, a file that has changed."""
