"""Concurrent downloads, with retries after transient errors."""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, Any

from bloomdata.errors import CorruptDataError
from bloomdata.fetching.download import StoppedError, TruncatedError
from bloomdata.fetching.remote import TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bloomdata.fetching.download import Download
    from bloomdata.options.inputs import OnProgress

# Wait before the first retry; it doubles with each further one.
FIRST_WAIT_SECONDS = 1.0
MOST_WAIT_SECONDS = 60.0
_PROGRESS_SECONDS = 0.05
_JOIN_SECONDS = 0.5


def run_downloads(
    downloads: Sequence[Download],
    *,
    num_connections: int,
    num_retries: int,
    overwrite: bool,
    on_done: Callable[[Download, dict[str, Any] | FileNotFoundError], None],
    on_progress: OnProgress,
) -> None:
    """Fetches files. The first error stops all downloads; the next run resumes them.

    Args:
        downloads: Files to fetch, started in this order.
        num_connections: Number of files fetched at a time.
        num_retries: Number of retries for each file that bring no new bytes.
        overwrite: As for `Download.attempt`.
        on_done: Called in this thread with the entry of each file, or with the error of a missing file.
        on_progress: Called in this thread with (total bytes or 0, bytes fetched, files done, bytes fetched).

    Raises:
        BaseException: Whatever an attempt, `on_done` or `on_progress` raises.
    """
    waiting: queue.SimpleQueue[Download] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[Download, Any]] = queue.SimpleQueue()
    stop = threading.Event()
    for download in downloads:
        waiting.put(download)

    def work() -> None:
        while not stop.is_set():
            try:
                download = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((download, _attempts(download, stop, num_retries, overwrite=overwrite)))
            except BaseException as error:
                done.put((download, error))

    # Daemon threads, so that one waiting for a silent server does not keep an interrupted program alive.
    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(num_connections, len(downloads)))]
    for thread in threads:
        thread.start()
    num_done = 0
    try:
        while num_done < len(downloads):
            try:
                download, result = done.get(timeout=_PROGRESS_SECONDS)
            except queue.Empty:
                pass
            else:
                if isinstance(result, BaseException) and not (download.is_missing and isinstance(result, OSError)):
                    raise result
                on_done(download, result)
                num_done += 1
            if on_progress is not None:
                here = sum(each.num_bytes for each in downloads)
                sizes = [each.size for each in downloads if not each.is_missing]
                total = 0 if None in sizes else sum(size or 0 for size in sizes)
                on_progress(total, here, num_done, here)
    finally:
        stop.set()
        until = time.monotonic() + _JOIN_SECONDS
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))


def _attempts(download: Download, stop: threading.Event, num_retries: int, *, overwrite: bool) -> dict[str, Any]:
    """Retries until an attempt succeeds, or `num_retries` in a row brought no new bytes."""
    most_bytes = failures = 0
    while True:
        try:
            return download.attempt(stop, overwrite=overwrite)
        except TransientError as error:
            if download.num_bytes > most_bytes:
                most_bytes, failures = download.num_bytes, 0
            failures += 1
            if failures > num_retries:
                kind = CorruptDataError if isinstance(error, TruncatedError) else OSError
                raise kind(f"{error} (after {failures} attempts without new bytes)") from error
            wait = FIRST_WAIT_SECONDS * 2 ** (failures - 1) if error.wait_seconds is None else error.wait_seconds
            if stop.wait(min(wait, MOST_WAIT_SECONDS)):
                raise StoppedError from None
