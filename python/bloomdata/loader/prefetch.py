"""Reads items ahead on threads, in order."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from typing import Self

Item = TypeVar("Item")


class Prefetcher(Generic[Item]):
    """Iterates over `read(first)`, `read(first + 1)`, ... and reads ahead.

    An exception of `read` is raised in the place of its item. The threads stop at `close`, at the end, and when the
    last reference is lost. A forked child, which has no threads of its parent, starts reading again at the next item.

    Args:
        read: Reads an item; called in any thread, several at a time.
        first: Number of the first item.
        stop: Number after the last item; `None` for no end.
        num_threads: Threads that read; with 0, items are read on demand.
        depth: Number of items to read ahead.
    """

    def __init__(
        self, read: Callable[[int], Item], first: int, stop: int | None, *, num_threads: int, depth: int
    ) -> None:
        self._read, self._next, self._stop = read, first, stop
        self._num_threads, self._depth = min(num_threads, depth), depth
        self._executor: ThreadPoolExecutor | None = None
        self._waiting: deque[Future[Item]] = deque()
        self._process = os.getpid()
        self._closed = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Item:
        if self._closed or (self._stop is not None and self._next >= self._stop):
            self.close()
            raise StopIteration
        if self._num_threads == 0:
            number, self._next = self._next, self._next + 1
            return self._read(number)
        if self._process != os.getpid():
            self._process, self._executor = os.getpid(), None
            self._waiting.clear()
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self._num_threads, "bloomdata-prefetch")
        while len(self._waiting) <= self._depth:
            number = self._next + len(self._waiting)
            if self._stop is not None and number >= self._stop:
                break
            self._waiting.append(self._executor.submit(self._read, number))
        self._next += 1
        try:
            return self._waiting.popleft().result()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stops the threads, after the items that are being read."""
        self._closed = True
        self._waiting.clear()
        executor, self._executor = self._executor, None
        if executor is not None and self._process == os.getpid():
            executor.shutdown(wait=True, cancel_futures=True)

    def __del__(self) -> None:
        executor = self.__dict__.get("_executor")
        if executor is not None and self._process == os.getpid():
            # Do not wait: this may run in one of the threads.
            executor.shutdown(wait=False, cancel_futures=True)
