"""Where the signs of parts hang: small files in a local folder, or small objects in a store."""

from __future__ import annotations

import contextlib
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from bloomdata.options.paths import is_address, whole_address
from bloomdata.storage.addresses import CONNECTIONS, inside, open_store, with_retries
from bloomdata.storage.uploading import read_object

if TYPE_CHECKING:
    import os

# The part and the kind of a sign.
SIGN_NAME = re.compile(r"(part-\d{5,}-of-\d{5,})\.(heartbeat|error)")


class Board(Protocol):
    """A folder in which signs are left, read and removed. What cannot be left or removed is no error."""

    # Between two heartbeats.
    beat_seconds: float

    def names(self) -> list[str]:
        """Names of all signs."""

    def contents(self) -> dict[str, bytes]:
        """What all signs say, by their names."""

    def write(self, name: str, content: bytes) -> None:
        """Leaves a sign."""

    def remove(self, name: str) -> None:
        """Removes a sign, if it is there."""


def board_of(root: str | os.PathLike[str]) -> Board:
    """The board of a folder."""
    return StoreBoard(whole_address(str(root))) if is_address(root) else LocalBoard(Path(root))


class LocalBoard:
    """Signs in a local folder. A full disk is the run's own error to report."""

    beat_seconds = 2.0

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> list[str]:
        """As `Board`."""
        with contextlib.suppress(OSError):
            return sorted(path.name for path in self._root.iterdir() if SIGN_NAME.fullmatch(path.name))
        return []

    def contents(self) -> dict[str, bytes]:
        """As `Board`."""
        found = {}
        for name in self.names():
            # One that is gone again.
            with contextlib.suppress(OSError):
                found[name] = (self._root / name).read_bytes()
        return found

    def write(self, name: str, content: bytes) -> None:
        """As `Board`."""
        with contextlib.suppress(OSError):
            (self._root / name).write_bytes(content)

    def remove(self, name: str) -> None:
        """As `Board`. Whoever may not write here has left none."""
        with contextlib.suppress(OSError):
            (self._root / name).unlink(missing_ok=True)


class StoreBoard:
    """Signs in a store. Requests cost money and time: there are few, and a heartbeat is not tried again."""

    beat_seconds = 30.0

    def __init__(self, address: str) -> None:
        self._address = address

    def names(self) -> list[str]:
        """As `Board`.

        Raises:
            OSError: The store reports an error.
        """
        store, path = open_store(self._address)
        store.invalidate_cache()
        try:
            found = with_retries(self._address, lambda: store.find(path, maxdepth=1))
        except FileNotFoundError:
            return []
        names = (name.rpartition("/")[2] for name in found)
        return sorted(name for name in names if SIGN_NAME.fullmatch(name))

    def contents(self) -> dict[str, bytes]:
        """As `Board`.

        Raises:
            OSError: The store reports an error.
        """
        names = self.names()
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            contents = list(pool.map(lambda name: read_object(inside(self._address, name)), names))
        return {name: content for name, content in zip(names, contents, strict=True) if content is not None}

    def write(self, name: str, content: bytes) -> None:
        """As `Board`."""
        # Packages of stores have errors of their own.
        with contextlib.suppress(Exception):
            store, path = open_store(inside(self._address, name))
            store.pipe_file(path, content)

    def remove(self, name: str) -> None:
        """As `Board`."""
        address = inside(self._address, name)
        with contextlib.suppress(Exception):
            store, path = open_store(address)
            with_retries(address, lambda: store.rm_file(path))
