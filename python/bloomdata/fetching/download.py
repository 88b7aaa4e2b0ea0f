"""One file: a stream -> `<name>.part` -> `<name>`, gone on with after a kill."""

from __future__ import annotations

import json
import os
from contextlib import closing
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError, CorruptDataError
from bloomdata.fetching.books import sync_folder, to_bytes, write_synced
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
    """A stream that ended before its file did."""


class StoppedError(Exception):
    """Another file failed, or the user has had enough."""


class Download:
    """The state of one file. What is in `<name>.part` always belongs to what `<name>.part.state` describes.

    Attributes:
        item: What is fetched.
        num_bytes: Of it, here already.
        size: Of the whole; None if nobody says.
        is_missing: Whether there is no such file.
    """

    def __init__(self, item: Item, folder: Path, wanted: Checksum | None, *, timeout_seconds: float) -> None:
        self.item = item
        self.num_bytes = 0
        self.size: int | None = None
        self.is_missing = False
        self._path = folder / item.name
        self._part = folder / f"{item.name}.part"
        self._state_path = folder / f"{item.name}.part.state"
        self._wanted = wanted
        self._timeout_seconds = timeout_seconds
        # Of the first `num_bytes`; None before they are read.
        self._digests: Digests | None = None
        self._is_resumed = False
        self._may_restart = True

    def attempt(self, stop: threading.Event, *, overwrite: bool = False) -> dict[str, Any]:
        """Fetches what is not here yet, and gives the file its name.

        Args:
            stop: Ends the attempt when it is set.
            overwrite: Whether a file of that name may be replaced.

        Returns:
            The entry of the file for the books; `forget` is to be called when it is in them.

        Raises:
            CorruptDataError: Another checksum than wanted; nothing is kept then.
            ConfigError: A file of that name that is not ours.
            TransientError: Another attempt may go on from here.
            StoppedError: `stop` was set.
            OSError: As `open_address`, and what the system reports of writing.
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
            # The bytes of an earlier run may be the wrong ones, as after a failure of power.
            self._may_restart = False
            return self.attempt(stop, overwrite=overwrite)
        return self._finish()

    def discard(self) -> None:
        """Removes what is unfinished."""
        self._part.unlink(missing_ok=True)
        self._state_path.unlink(missing_ok=True)
        self.num_bytes, self.size, self._digests = 0, None, None

    def forget(self) -> None:
        """The books have the file: its state is needed no more."""
        self._state_path.unlink(missing_ok=True)

    def _read_state(self) -> dict[str, Any]:
        """What the bytes that are here are from; empty if that is not known."""
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
        """A file that has its name: of a run killed before its books were written, or of somebody else.

        That of a killed run is fetched again if it is not what is wanted now.
        """
        is_ours = "sha256" in state and not self._part.exists()
        if self._wanted is None and not is_ours:
            raise ConfigError(f"{self._path}: is there, and was not fetched from {self.item.url}; see overwrite")
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
        """Counts and hashes what an earlier run left."""
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
        # Without anything that tells versions apart, only a checksum makes it safe to go on.
        offset = self.num_bytes if validator is not None or self._wanted is not None else 0
        try:
            remote = open_address(
                self.item.url,
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
            raise TransientError(f"{self.item.url}: changed while it was read")
        if self.size is not None and self.num_bytes < self.size:
            raise TruncatedError(f"{self.item.url}: ended after {self.num_bytes} of {self.size} bytes")

    def _begin(self, remote: Remote) -> None:
        """First the old bytes go, then the state changes, then new bytes come."""
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
            raise TransientError(f"{self.item.url}: sent more than the {remote.size} bytes that it has")

    def _finish(self) -> dict[str, Any]:
        assert self._digests is not None
        entry = self._entry(self._digests, self.num_bytes)
        with self._part.open("ab") as part:  # an empty file has had no part yet
            os.fsync(part.fileno())
        # From here on, a run that is killed is known by this when the file has its name already.
        write_synced(self._state_path, to_bytes(entry))
        self._part.replace(self._path)
        sync_folder(self._path.parent)
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
