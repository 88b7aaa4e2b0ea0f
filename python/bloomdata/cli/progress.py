"""How far a run is: a bar with rate and time left on terminals, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bloomdata.reports.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bloomdata.options.inputs import OnProgress

# Between plain lines.
LINE_SECONDS = 10.0


@contextmanager
def progress(verb: str, *, quiet: bool, unit: str = "documents") -> Iterator[OnProgress]:
    """Yields a callback for `on_progress`, which counts documents, or what else `unit` says."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with _bar(verb, unit) as callback:
            yield callback
    else:
        yield _lines(verb, unit)


@contextmanager
def _bar(verb: str, unit: str) -> Iterator[OnProgress]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TextColumn("{task.fields[documents]:,} " + unit),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(verb, total=None, documents=0)

        def update(total: int, read: int, documents: int, _written: int) -> None:
            bar.update(task, total=total or None, completed=min(read, total) if total else read, documents=documents)

        yield update


def _lines(verb: str, unit: str) -> OnProgress:
    start = last = time.monotonic()

    def update(total: int, read: int, documents: int, _written: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < LINE_SECONDS:
            return
        last = now
        rate = read / (now - start)
        share = f" ({read / total:.0%}, {(total - read) / rate:.0f} s left)" if total and rate else ""
        line = f"{verb}: {format_bytes(read)} read{share}, {documents:,} {unit}, {format_bytes(rate)}/s"
        print(line, file=sys.stderr, flush=True)  # noqa: T201

    return update
