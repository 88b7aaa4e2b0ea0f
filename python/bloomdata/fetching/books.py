"""`fetched.json`, which lists the files in a folder of `fetch`, and the lock of the folder."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bloomdata.errors import CorruptDataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BOOKS = "fetched.json"
_LOCK = ".fetch.lock"
_ENTRY = {"url": str, "file": str, "size": int, "sha256": str, "checked": str | None}


def write_synced(path: Path, content: bytes) -> None:
    """Writes a file atomically, even if the power fails."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_path(path.parent)


def sync_path(path: Path) -> None:
    """Syncs a file, or a folder, so that renames in it survive a power failure."""
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def to_bytes(value: Any) -> bytes:
    """Indented JSON; equal values give equal bytes."""
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


class Books:
    """The entries of `fetched.json`.

    Attributes:
        files: Entries by name: `url`, `file`, `size`, `sha256`, and for unpacked files `unpacked`: `file`, `size`,
            `sha256`.
        missing: URLs of missing files, by name.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / BOOKS
        self.files: dict[str, dict[str, Any]] = {}
        self.missing: dict[str, str] = {}
        try:
            found = json.loads(self.path.read_bytes())
            self.files = {entry["file"]: entry for entry in found["files"]}
            self.missing = {entry["file"]: entry["url"] for entry in found["missing"]}
            is_whole = all(
                isinstance(entry[key], kind) for entry in self.files.values() for key, kind in _ENTRY.items()
            )
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptDataError(f"{self.path}: expected a list of fetched files: {error}") from error
        if not is_whole:
            raise CorruptDataError(f"{self.path}: expected a list of fetched files, found an invalid entry")

    def save(self) -> None:
        """Writes the file, sorted and without timestamps: the same files give the same bytes."""
        files = [self.files[name] for name in sorted(self.files)]
        missing = [{"url": self.missing[name], "file": name} for name in sorted(self.missing)]
        write_synced(self.path, to_bytes({"version": 1, "files": files, "missing": missing}))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Locks the folder against other runs; a killed run leaves no lock.

    Raises:
        BlockingIOError: Another run is fetching into the folder.
    """
    with (folder / _LOCK).open("ab") as file:
        try:
            import fcntl
        except ImportError:  # Windows: no lock
            yield
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlockingIOError(11, "another run is fetching into this folder", str(folder)) from None
        yield
