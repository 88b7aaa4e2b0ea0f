"""Parts in processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable


class Processes:
    """An executor of so many processes. One that dies fails what it ran, and nothing else; another takes its place.

    Args:
        count: Number of processes.
    """

    def __init__(self, count: int) -> None:
        # A pool of several processes breaks as a whole when one of them dies.
        self._idle: SimpleQueue[ProcessPoolExecutor] = SimpleQueue()
        self._count = count
        for _ in range(count):
            self._idle.put(_start())
        self._threads = ThreadPoolExecutor(count)

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Starts `function(*args)` in a process that is free."""
        return self._threads.submit(self._run, function, args)

    def _run(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        process = self._idle.get()
        try:
            return process.submit(function, *args).result()
        except BrokenProcessPool:
            process.shutdown()
            process = _start()
            raise
        finally:
            self._idle.put(process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)
        for _process in range(self._count):
            self._idle.get().shutdown()


def _start() -> ProcessPoolExecutor:
    # Not forked: threads of the core would not come along.
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=_end_with_parent)


def _end_with_parent() -> None:
    """Ends this process at once with the one that started it, and at Ctrl-C: a rerun takes up what it leaves."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
