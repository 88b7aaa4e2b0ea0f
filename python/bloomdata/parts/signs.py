"""Signs of life: small files beside the parts of a run, for people and progress bars. No decision hangs on them.

`part-00017-of-00064.heartbeat` says how far a part is, `.error` why it stopped. `finish` removes them; they are in no
hash, and a clock that is wrong only makes them look old.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bloomdata.errors import ConfigError
from bloomdata.manifest import JOURNAL_NAME, MANIFEST_NAME
from bloomdata.options.paths import is_address, whole_address
from bloomdata.parts.boards import board_of
from bloomdata.parts.sharing import PLAN_NAME, part_name
from bloomdata.storage.addresses import inside
from bloomdata.storage.uploading import read_object

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from bloomdata.options.inputs import OnProgress


class Progress(NamedTuple):
    """How far runs are: bytes to read, bytes read, documents, bytes written."""

    total: int = 0
    read: int = 0
    documents: int = 0
    written: int = 0

    def __add__(self, other: Any) -> Progress:
        return Progress(*(a + b for a, b in zip(self, other, strict=True)))


def done_by(manifest: dict[str, Any]) -> Progress:
    """What the run of a manifest did."""
    read = sum(one["size"] for one in manifest["inputs"])
    return Progress(0, read, manifest["ledger"]["documents_in"], sum(one["size"] for one in manifest["outputs"]))


def input_bytes(plan: bytes | None) -> int:
    """Bytes of all inputs of a plan as stored; 0 without one."""
    return sum(one["size"] for one in json.loads(plan)["inputs"]) if plan else 0


# What each holds, by the types of its values.
_HOLDS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "heartbeat": {
        "started": (int, float),
        "seen": (int, float),
        "process": int,
        "host": str,
        **dict.fromkeys(Progress._fields, int),
    },
    "error": {"kind": str, "error": str, "process": int},
}


class Signs:
    """The signs of one part.

    Args:
        root: The folder that holds the parts, or its address.
        number: Number of the part.
        parts: Number of parts.
        work: Local folder in which the part is written, if not `root`.
    """

    def __init__(
        self, root: str | os.PathLike[str], number: int, parts: int, work: str | os.PathLike[str] | None = None
    ) -> None:
        self._board = board_of(root)
        self._work = Path(root if work is None else work)
        self._parts = parts
        self._name = part_name(number, parts)
        self._started = time.time()
        self._last = -math.inf

    def beat(self, on_progress: OnProgress) -> OnProgress:
        """`on_progress` that leaves a heartbeat now and then, too."""

        def update(total: int, read: int, documents: int, written: int) -> None:
            now = time.monotonic()
            if now - self._last >= self._board.beat_seconds and self._is_at_work():
                is_first, self._last = self._last == -math.inf, now
                progress = Progress(total, read, documents, written)
                self._leave("heartbeat", {"started": self._started, "seen": time.time(), **progress._asdict()})
                if is_first:
                    self._remove("error")
            if on_progress is not None:
                on_progress(total, read, documents, written)

        return update

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Says how a part ended that runs inside: that it did, or why it stopped."""
        try:
            yield
        except Exception as error:
            # Whatever it was, `parts` is to show it; it is raised to whoever called.
            self.failed(error)
            raise
        self.remove()

    def failed(self, error: BaseException) -> None:
        """Says why the part stopped. A call that was refused, or that finds the part finished, leaves nothing."""
        if isinstance(error, ConfigError) or (self._work / self._name / MANIFEST_NAME).exists():
            return
        with contextlib.suppress(ConfigError):
            if planned_parts(self._work) == self._parts:
                self._leave("error", {"kind": type(error).__name__, "error": str(error)})

    def remove(self) -> None:
        """Removes them."""
        self._remove("heartbeat")
        self._remove("error")

    def _is_at_work(self) -> bool:
        """Whether the part has begun: a call that is refused is not to look like one that runs."""
        return (self._work / self._name / JOURNAL_NAME).exists()

    def _remove(self, kind: str) -> None:
        self._board.remove(f"{self._name}.{kind}")

    def _leave(self, kind: str, sign: dict[str, Any]) -> None:
        sign |= {"host": socket.gethostname(), "process": os.getpid()}
        self._board.write(f"{self._name}.{kind}", json.dumps(sign).encode() + b"\n")


def read_plan(root: str | os.PathLike[str]) -> bytes | None:
    """The plan in a folder or at an address; None if there is none."""
    if is_address(root):
        return read_object(inside(whole_address(str(root)), PLAN_NAME))
    path = Path(root) / PLAN_NAME
    return path.read_bytes() if path.exists() else None


def planned_parts(root: str | os.PathLike[str]) -> int | None:
    """How many parts the plan in a folder has; None for a folder without a plan.

    Raises:
        ConfigError: The file is no plan.
    """
    plan = read_plan(root)
    if plan is None:
        return None
    try:
        return int(json.loads(plan)["parts"])
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{root}/{PLAN_NAME}: expected a plan of bloomdata") from None


def read_signs(root: str | os.PathLike[str]) -> dict[str, dict[str, dict[str, Any]]]:
    """The signs in a folder: by their kind, then by the part's name."""
    found: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in _HOLDS}
    for name, content in board_of(root).contents().items():
        part, _, kind = name.partition(".")
        # One that is just being written.
        with contextlib.suppress(ValueError):
            sign = json.loads(content)
            if isinstance(sign, dict) and all(isinstance(sign.get(key), of) for key, of in _HOLDS[kind].items()):
                found[kind][part] = sign
    return found


def progress_of(signs: dict[str, dict[str, dict[str, Any]]]) -> dict[str, Progress]:
    """How far the parts are that have heartbeats, by their names."""
    beats = signs["heartbeat"].items()
    return {part: Progress(*(sign[key] for key in Progress._fields)) for part, sign in beats}


def remove_signs(root: str | os.PathLike[str], parts: Container[str] | None = None) -> None:
    """Removes the signs in a folder: of all parts, or of those of these names. A store that fails is no error."""
    board = board_of(root)
    with contextlib.suppress(OSError):
        for name in board.names():
            if parts is None or name.partition(".")[0] in parts:
                board.remove(name)
