"""Signs of life: small files beside the parts of a run, for people and progress bars. No decision hangs on them.

`part-00017-of-00064.heartbeat` says how far a part is, `.error` why it stopped. `finish` removes them; they are in no
hash, and a clock that is wrong only makes them look old.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bloomdata.errors import ConfigError
from bloomdata.manifest import JOURNAL_NAME
from bloomdata.parts.sharing import PLAN_NAME, part_name

if TYPE_CHECKING:
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


# Between two heartbeats.
BEAT_SECONDS = 2.0
_NAME = re.compile(r"(part-\d{5,}-of-\d{5,})\.(heartbeat|error)")
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
        root: The folder that holds the parts.
        number: Number of the part.
        parts: Number of parts.
    """

    def __init__(self, root: str | os.PathLike[str], number: int, parts: int) -> None:
        self._root = Path(root)
        self._parts = parts
        self._name = part_name(number, parts)
        self._started = time.time()
        self._last = -math.inf

    def beat(self, on_progress: OnProgress) -> OnProgress:
        """`on_progress` that leaves a heartbeat now and then, too."""

        def update(total: int, read: int, documents: int, written: int) -> None:
            now = time.monotonic()
            if now - self._last >= BEAT_SECONDS and self._is_at_work():
                self._last = now
                progress = Progress(total, read, documents, written)
                self._leave("heartbeat", {"started": self._started, "seen": time.time(), **progress._asdict()})
                self._remove("error")
            if on_progress is not None:
                on_progress(total, read, documents, written)

        return update

    def failed(self, error: BaseException) -> None:
        """Says why the part stopped. A call that does not fit the plan that is there leaves nothing."""
        with contextlib.suppress(ConfigError):
            if planned_parts(self._root) == self._parts:
                self._leave("error", {"kind": type(error).__name__, "error": str(error)})

    def remove(self) -> None:
        """Removes them."""
        self._remove("heartbeat")
        self._remove("error")

    def _is_at_work(self) -> bool:
        """Whether the part has begun: a call that is refused is not to look like one that runs."""
        return (self._root / self._name / JOURNAL_NAME).exists()

    def _remove(self, kind: str) -> None:
        # Whoever may not write here has left none.
        with contextlib.suppress(OSError):
            (self._root / f"{self._name}.{kind}").unlink(missing_ok=True)

    def _leave(self, kind: str, sign: dict[str, Any]) -> None:
        sign |= {"host": socket.gethostname(), "process": os.getpid()}
        path = self._root / f"{self._name}.{kind}"
        # A full disk is the run's own error to report.
        with contextlib.suppress(OSError):
            path.write_text(json.dumps(sign) + "\n")


def planned_parts(root: Path) -> int | None:
    """How many parts the plan in a folder has; None for a folder without a plan.

    Raises:
        ConfigError: The file is no plan.
    """
    path = root / PLAN_NAME
    if not path.exists():
        return None
    try:
        return int(json.loads(path.read_text())["parts"])
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{path}: expected a plan of bloomdata") from None


def read_signs(root: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """The signs in a folder: by their kind, then by the part's name."""
    found: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in _HOLDS}
    for path, part, kind in _sign_files(root):
        # One that is just being written, or is gone again.
        with contextlib.suppress(OSError, ValueError):
            sign = json.loads(path.read_text())
            if isinstance(sign, dict) and all(isinstance(sign.get(key), of) for key, of in _HOLDS[kind].items()):
                found[kind][part] = sign
    return found


def remove_signs(root: Path) -> None:
    """Removes the signs of all parts in a folder."""
    for path, _, _ in _sign_files(root):
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _sign_files(root: Path) -> list[tuple[Path, str, str]]:
    """All signs in a folder: file, part, and kind."""
    with contextlib.suppress(OSError), os.scandir(root) as entries:
        named = [(entry, _NAME.fullmatch(entry.name)) for entry in entries]
        return [(Path(entry.path), match[1], match[2]) for entry, match in named if match]
    return []
