"""A file elsewhere, open for reading, and what can go wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class TransientError(OSError):
    """Something that may go away by itself.

    Attributes:
        wait_seconds: How long the server asks to wait; None if it does not.
    """

    wait_seconds: float | None = None


class FinalError(OSError):
    """An answer that will be the same the next time."""


class Stream(Protocol):
    """What is read from."""

    def read(self, count: int, /) -> bytes:
        """At most so many bytes; none at the end."""

    def close(self) -> None:
        """Frees the connection."""


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A file elsewhere, open for reading.

    Attributes:
        stream: Its bytes from `offset` on.
        offset: Where the stream starts, which may be earlier than asked for.
        size: Bytes of the whole file; None if nobody says.
        validator: Another one means other bytes (an ETag, a time of change); None if nobody says.
        validator_now: Asks for the validator again, where one stream is several requests; None where it is one.
    """

    stream: Stream
    offset: int
    size: int | None
    validator: str | None
    validator_now: Callable[[], str] | None = None
