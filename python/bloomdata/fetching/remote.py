"""An open remote file, and its errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class TransientError(OSError):
    """An error that a retry may resolve.

    Attributes:
        wait_seconds: The wait that the server asks for; None if it does not.
    """

    wait_seconds: float | None = None


class FinalError(OSError):
    """An error that a retry cannot resolve."""


class Stream(Protocol):
    """A stream of bytes."""

    def read(self, count: int, /) -> bytes:
        """Reads at most `count` bytes; none at the end."""

    def close(self) -> None:
        """Closes the connection."""


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A remote file, open for reading.

    Attributes:
        stream: Its bytes from `offset`.
        offset: Start of the stream, which may be before the requested offset.
        size: Size of the whole file in bytes; None if unknown.
        validator: A value that changes with the content (an ETag, a modification time); None if unknown.
        validator_now: Fetches the validator again, for streams of several requests; None for a single request.
    """

    stream: Stream
    offset: int
    size: int | None
    validator: str | None
    validator_now: Callable[[], str] | None = None
