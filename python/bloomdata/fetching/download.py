"""One file: a stream -> `<name>.part` -> `<name>`, resumed after a kill."""

from __future__ import annotations

import json
import os
from contextlib import closing
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError, CorruptDataError
from bloomdata.fetching.books import sync_path, to_bytes, write_synced
from bloomdata.fetching.checksums import Digests
from bloomdata.fetching.opening import open_address
from bloomdata.fetching.remote import Remote, TransientError

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from bloomdata.fetching.checksums import Checksum
    from bloomdata.fetching.names import Item

_BLOCK_BYTES = 256 << 10


class TruncatedError(TransientError):
    """A stream ended before the end of its file."""


class StoppedError(Exception):
    """Another file failed, or the user interrupted."""


class Download:
    """The state of one file. `<name>.part.state` always describes the content of `<name>.part`.

    Attributes:
        item: The file to fetch.
        num_bytes: Bytes fetched so far.
        size: Size of the whole file; None if unknown.
        is_missing: Whether the file does not exist.
    """

    def __init__(self, item: Item, folder: Path, wanted: Checksum | None, *, timeout_seconds: float) -> None:
        self.item = item
        self.num_bytes = 0
        self.size: int | None = None
        self.is_missing = False
        self._path = folder / item.name
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._part = folder / f"{item.name}.part"
        self._state_path = folder / f"{item.name}.part.state"
        self._wanted = wanted
        self._timeout_seconds = timeout_seconds
        # Digests of the first `num_bytes`; None before these are read.
        self._digests: Digests | None = None
        self._is_resumed = False
        self._may_restart = True

    def attempt(self, stop: threading.Event, *, overwrite: bool = False) -> dict[str, Any]:
        """Fetches the remaining bytes and renames the file.

        Args:
            stop: Ends the attempt when set.
            overwrite: Whether to replace an existing file.

        Returns:
            The entry of the file for `fetched.json`. Call `forget` after saving it.

        Raises:
            CorruptDataError: The checksum is wrong; nothing is kept.
            ConfigError: A file of that name exists that `fetch` did not write.
            TransientError: Another attempt can resume here.
            StoppedError: `stop` was set.
            OSError: As for `open_address`, or an error while writing.
        """
        state = self._read_state()
        if self._path.exists() and not overwrite and (entry := self._adopt(state, stop)):
            return entry
        self._read_part(state, stop)
        if self.size is None or self.num_bytes < self.size:
            self._fetch(state, stop)
        assert self._digests is not None
        try:
            self._digests.check(self.item.url)
        except CorruptDataError:
            self.discard()
            if not (self._is_resumed and self._may_restart):
                raise
            # The bytes of an earlier run may be wrong, for example after a power failure.
            self._may_restart = False
            return self.attempt(stop, overwrite=overwrite)
        return self._finish()

    def discard(self) -> None:
        """Removes the unfinished file."""
        self._part.unlink(missing_ok=True)
        self._state_path.unlink(missing_ok=True)
        self.num_bytes, self.size, self._digests = 0, None, None

    def forget(self) -> None:
        """Removes the state, once `fetched.json` lists the file."""
        self._state_path.unlink(missing_ok=True)

    def _read_state(self) -> dict[str, Any]:
        """The state of the fetched bytes; empty if unknown."""
        try:
            state: Any = json.loads(self._state_path.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return state if isinstance(state, dict) and state.get("url") == self.item.url else {}

    def _entry(self, digests: Digests, size: int) -> dict[str, Any]:
        checked = None if self._wanted is None else str(self._wanted)
        return {
            "url": self.item.url,
            "file": self.item.name,
            "size": size,
            "sha256": digests.sha256,
            "checked": checked,
        }

    def _adopt(self, state: dict[str, Any], stop: threading.Event) -> dict[str, Any] | None:
        """The entry of an existing file, left by a run that was killed before it saved `fetched.json`.

        Returns None after removing a file of a killed run that must be fetched again.
        """
        is_ours = "sha256" in state and not self._part.exists()
        if self._wanted is None and not is_ours:
            raise ConfigError(f"{self._path}: expected no file, or one fetched from {self.item.url}; see overwrite")
        digests = hash_file(self._path, self._wanted, stop)
        try:
            digests.check(str(self._path))
        except CorruptDataError:
            if not is_ours:
                raise
        else:
            if self._wanted is not None or digests.sha256 == state["sha256"]:
                self.num_bytes = self.size = self._path.stat().st_size
                return self._entry(digests, self.num_bytes)
        self._path.unlink()
        return None

    def _read_part(self, state: dict[str, Any], stop: threading.Event) -> None:
        """Counts and hashes the bytes that an earlier run left."""
        if self._digests is not None:
            return
        if not state or not self._part.exists():
            self.discard()
            self._digests = Digests(self._wanted)
            return
        self._digests = hash_file(self._part, self._wanted, stop)
        self.num_bytes, self.size = self._part.stat().st_size, state.get("size")
        self._is_resumed = self.num_bytes > 0
        if self.size is not None and self.num_bytes > self.size:
            self.discard()
            self._digests = Digests(self._wanted)

    def _fetch(self, state: dict[str, Any], stop: threading.Event) -> None:
        validator = state.get("validator")
        # Without a validator, only a checksum makes it safe to resume.
        offset = self.num_bytes if validator is not None or self._wanted is not None else 0
        try:
            remote = (self.item.opener or open_address)(
                url=self.item.url,
                offset=offset,
                validator=validator,
                size=self.size,
                timeout_seconds=self._timeout_seconds,
            )
        except FileNotFoundError:
            self.is_missing = True
            raise
        with closing(remote.stream):
            if remote.offset == 0:
                self._begin(remote)
            elif remote.size is not None:
                self.size = remote.size
            self._copy(remote, stop)
        if remote.validator_now is not None and remote.validator_now() != remote.validator:
            self.discard()
            raise TransientError(f"{self.item.url}: the file changed while it was read")
        if self.size is not None and self.num_bytes < self.size:
            raise TruncatedError(f"{self.item.url}: expected {self.size} bytes, the stream has {self.num_bytes}")

    def _begin(self, remote: Remote) -> None:
        """Removes the old bytes, then writes the new state, so that the state never describes other bytes."""
        self.discard()
        self._is_resumed = False
        self.size, self._digests = remote.size, Digests(self._wanted)
        state = {"url": self.item.url, "size": remote.size, "validator": remote.validator}
        write_synced(self._state_path, to_bytes(state))

    def _copy(self, remote: Remote, stop: threading.Event) -> None:
        assert self._digests is not None
        with self._part.open("ab", buffering=0) as part:
            while block := remote.stream.read(_BLOCK_BYTES):
                if stop.is_set():
                    raise StoppedError
                written = 0
                while written < len(block):
                    written += part.write(memoryview(block)[written:])
                self._digests.update(block)
                self.num_bytes += len(block)
                if self.size is not None and self.num_bytes > self.size:
                    break
        if self.size is not None and self.num_bytes > self.size:
            self.discard()
            raise TransientError(f"{self.item.url}: expected {remote.size} bytes, the server sent more")

    def _finish(self) -> dict[str, Any]:
        assert self._digests is not None
        entry = self._entry(self._digests, self.num_bytes)
        with self._part.open("ab") as part:  # creates the part of an empty file
            os.fsync(part.fileno())
        # If the run is killed after the rename, this state identifies the file as ours.
        write_synced(self._state_path, to_bytes(entry))
        self._part.replace(self._path)
        sync_path(self._path.parent)
        return entry


def hash_file(path: Path, wanted: Checksum | None, stop: threading.Event | None = None) -> Digests:
    """Checksums of a file."""
    digests = Digests(wanted)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            if stop is not None and stop.is_set():
                raise StoppedError
            digests.update(block)
    return digests
