"""Brings what is read to local files, ahead of who reads it, within a limit of bytes on disk."""

from __future__ import annotations

import os
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bloomdata.errors import MismatchError
from bloomdata.storage.addresses import CONNECTIONS, fresh_facts, open_store, with_retries
from bloomdata.storage.listing import tag_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from bloomdata.storage.listing import Object

    # Objects, a local folder for them, and what brings them there: as the core takes them.
    Objects = tuple[Sequence[Object], str, "Staging"]

# Bytes of one request.
CHUNK_BYTES = 8 << 20
# Bytes on disk at most, unless others are asked for.
SCRATCH_LIMIT = "16GB"
# Small ones would leave the link idle between two requests.
SHARES_AT_A_TIME = 2
# Who waits for a share looks so often whether the run was interrupted.
_LOOK_SECONDS = 0.1


class Share(NamedTuple):
    """What is brought of an object: bytes `start` to `end`, at their offsets in a local file of the whole size."""

    address: str
    size: int
    start: int
    end: int
    local: Path


class Staging:
    """A store as the core reads it.

    Args:
        objects: All objects, whose tags must not change. Their last bytes are in every local file: readers of tables
            look there first.
        limit: Bytes on disk at most; a larger share is there alone.
    """

    def __init__(self, objects: Sequence[Object], limit: int) -> None:
        self._tags = {address: tag for address, _, tag, *_ in objects}
        self._ends = {address: end for address, _, _, end, *_ in objects if end}
        self._limit = limit
        self._shares: list[Share] = []
        self._brought: dict[int, int] = {}
        # Shares that were begun, and the first one that anybody asked for: a run that resumes needs none before.
        self._begun: set[int] = set()
        self._first: int | None = None
        self._at = 0
        self._held = 0
        self._error: BaseException | None = None
        self._closed = False
        self._change = threading.Condition()
        self._pool = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="staging")
        self._threads: list[threading.Thread] = []

    def begin(self, shares: Sequence[tuple[str, int, int, int, str]]) -> None:
        """Says what will be read, in order."""
        self._shares = [Share(address, size, start, end, Path(local)) for address, size, start, end, local in shares]
        for _ in range(SHARES_AT_A_TIME):
            thread = threading.Thread(target=self._bring_all, name="staging", daemon=True)
            self._threads.append(thread)
            thread.start()

    def is_there(self, file: int) -> bool:
        """Waits a moment for a share; whether it is there.

        Raises:
            OSError: The store reports an error, or the disk is full.
            MismatchError: An object changed since it was listed.
        """
        with self._change:
            if self._first is None or file < self._first:
                self._first = self._at = file
                self._change.notify_all()
            self._change.wait_for(lambda: file in self._brought or self._error is not None, timeout=_LOOK_SECONDS)
            if file not in self._brought and self._error is not None:
                raise self._error
            return file in self._brought

    def extend(self, file: int, end: int) -> None:
        """Brings what follows a share, up to byte `end` of the object."""
        share, start = self._shares[file], self._brought[file]
        if end > start:
            self._bring(share._replace(start=start, end=end))
            self._brought[file] = end

    def release(self, file: int) -> None:
        """Removes the local file of a share."""
        share = self._shares[file]
        share.local.unlink(missing_ok=True)
        with self._change:
            self._held -= share.end - share.start
            self._change.notify_all()

    def _bring_all(self) -> None:
        try:
            while (file := self._next()) is not None:
                self._bring(self._shares[file])
                with self._change:
                    self._brought[file] = self._shares[file].end
                    self._change.notify_all()
        except BaseException as error:
            with self._change:
                self._error = error
                self._change.notify_all()

    def _next(self) -> int | None:
        """Waits until there is a share to bring, and room for it; None once nobody needs any more."""
        with self._change:
            while not self._closed:
                while self._at in self._begun:
                    self._at += 1
                file = self._at
                if self._first is not None and file < len(self._shares) and self._has_room(file):
                    self._begun.add(file)
                    self._held += self._shares[file].end - self._shares[file].start
                    return file
                self._change.wait()
            return None

    def _has_room(self, file: int) -> bool:
        """Whether a share fits. One before others is let in at once: those that read the others wait for it."""
        size = self._shares[file].end - self._shares[file].start
        return self._held == 0 or self._held + size <= self._limit or file < max(self._begun, default=0)

    def _bring(self, share: Share) -> None:
        """Brings bytes of an object, in several requests at a time."""
        share.local.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(share.local, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.truncate(descriptor, share.size)
            end = self._ends.get(share.address, b"")
            _write(descriptor, end, share.size - len(end))
            starts = range(share.start, share.end, CHUNK_BYTES)
            chunks = [
                self._pool.submit(self._bring_chunk, share, descriptor, start, min(start + CHUNK_BYTES, share.end))
                for start in starts
            ]
            wait(chunks)
        finally:
            os.close(descriptor)
        for chunk in chunks:
            chunk.result()
        self._check(share)

    def _bring_chunk(self, share: Share, descriptor: int, start: int, end: int) -> None:
        if self._closed:
            return
        store, path = open_store(share.address)

        def request() -> bytes:
            content: bytes = store.cat_file(path, start=start, end=end)
            if len(content) != end - start:
                raise OSError(f"{share.address}: expected {end - start} bytes from {start} on, found {len(content)}")
            return content

        _write(descriptor, with_retries(share.address, request), start)

    def _check(self, share: Share) -> None:
        """Compares an object with what it was when it was listed, after its bytes were read."""
        facts = fresh_facts(share.address)
        for what, then, now in (
            ("size in bytes", share.size, int(facts["size"])),
            ("ETag or last change", self._tags[share.address], tag_of(facts)),
        ):
            if then != now:
                raise MismatchError(
                    f"{share.address}: {what} (changed since it was listed): expected {then}, found {now}"
                )

    def close(self) -> None:
        """Stops, and removes all local files."""
        with self._change:
            self._closed = True
            self._change.notify_all()
        for thread in self._threads:
            thread.join()
        self._pool.shutdown(wait=True, cancel_futures=True)
        for share in self._shares:
            share.local.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _write(descriptor: int, content: bytes, at: int) -> None:
    left = memoryview(content)
    while left:
        count = os.pwrite(descriptor, left, at)
        left, at = left[count:], at + count


def scratch_folder(scratch: str | os.PathLike[str] | None) -> Path:
    """The local folder for what comes from a store, or goes there."""
    return Path(tempfile.gettempdir()) / "bloomdata-scratch" if scratch is None else Path(scratch)


def staging_folder(scratch: Path) -> Path:
    """A folder in it for one run, of which a process may have several."""
    return scratch / f"inputs-{os.getpid()}-{threading.get_ident()}"
