"""Signs of life: small files beside the parts of a run, for people and progress bars. No decision hangs on them.

`part-00017-of-00064.heartbeat` says how far a part is, `.error` why it stopped. `finish` removes them; they are in no
hash, and a clock that is wrong only makes them look old.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from bloomdata.options.inputs import OnProgress

# Between two heartbeats.
BEAT_SECONDS = 2.0
_SUFFIXES = (".heartbeat", ".error")


class Progress(NamedTuple):
    """How far runs are: bytes to read, bytes read, documents, bytes written."""

    total: int = 0
    read: int = 0
    documents: int = 0
    written: int = 0

    def __add__(self, other: Any) -> Progress:
        return Progress(*(a + b for a, b in zip(self, other, strict=True)))


def part_name(number: int, parts: int) -> str:
    """Name of the folder of a part."""
    return f"part-{number:05}-of-{parts:05}"


class Signs:
    """The signs of one part.

    Args:
        root: The folder that holds the parts.
        number: Number of the part.
        parts: Number of parts.
    """

    def __init__(self, root: str | os.PathLike[str], number: int, parts: int) -> None:
        self._root = Path(root)
        self._name = part_name(number, parts)
        self._started = time.time()
        self._last = 0.0

    def beat(self, on_progress: OnProgress) -> OnProgress:
        """`on_progress` that leaves a heartbeat now and then, too."""

        def update(total: int, read: int, documents: int, written: int) -> None:
            now = time.monotonic()
            if now - self._last >= BEAT_SECONDS or not self._last:
                self._last = now
                progress = Progress(total, read, documents, written)
                self._leave(".heartbeat", {"started": self._started, **progress._asdict()})
            if on_progress is not None:
                on_progress(total, read, documents, written)

        return update

    def failed(self, error: BaseException) -> None:
        """Says why the part stopped. A part that was never planned leaves nothing."""
        if (self._root / "plan.json").exists():
            self._leave(".error", {"kind": type(error).__name__, "error": str(error)})

    def remove(self) -> None:
        """Removes them."""
        for suffix in _SUFFIXES:
            (self._root / f"{self._name}{suffix}").unlink(missing_ok=True)

    def _leave(self, suffix: str, sign: dict[str, Any]) -> None:
        sign |= {"host": socket.gethostname(), "process": os.getpid()}
        path = self._root / f"{self._name}{suffix}"
        # A full disk is the run's own error to report.
        with contextlib.suppress(OSError):
            path.write_text(json.dumps(sign) + "\n")


def remove_signs(root: Path) -> None:
    """Removes all signs in a folder, also those that were being written when a part was killed."""
    for suffix in _SUFFIXES:
        for path in root.glob(f"part-*-of-*{suffix}"):
            path.unlink(missing_ok=True)


def read_signs(root: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """The signs in a folder: by the suffix without its dot, then by the part's name."""
    found: dict[str, dict[str, dict[str, Any]]] = {suffix[1:]: {} for suffix in _SUFFIXES}
    with contextlib.suppress(OSError), os.scandir(root) as entries:
        for entry in entries:
            stem, suffix = os.path.splitext(entry.name)  # noqa: PTH122 - a folder may hold 100,000 names
            if suffix in _SUFFIXES:
                # One that is just being written, or is gone again.
                with contextlib.suppress(OSError, ValueError):
                    found[suffix[1:]][stem] = json.loads(Path(entry.path).read_text())
    return found
