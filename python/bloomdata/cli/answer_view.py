"""Answers on the terminal: with colours and Markdown by rich, or as plain text elsewhere."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bloomdata.cli.terminal import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def view(*, is_terminal: bool) -> Iterator[Callable[[str], None]]:
    """Yields a function that shows a piece of an answer."""
    if is_terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb":
        with _markdown() as show:
            yield show
        return

    def write(piece: str) -> None:
        sys.stdout.write(plain(piece))
        sys.stdout.flush()

    yield write
    sys.stdout.write("\n")
    sys.stdout.flush()


@contextmanager
def _markdown() -> Iterator[Callable[[str], None]]:
    """Shows the last lines as they come, then all of it as Markdown."""
    from rich.console import Console
    from rich.live import Live
    from rich.markdown import Markdown
    from rich.text import Text

    console, pieces = Console(), list[str]()
    with Live(console=console, transient=True, auto_refresh=False) as live:

        def show(piece: str) -> None:
            pieces.append(plain(piece))
            # No more than fits: all of a long answer would be wrapped again for each piece.
            tail = "".join(pieces)[-console.width * console.height :]
            lines = Text(tail).wrap(console, console.width)[1 - console.height :]
            live.update(Text("\n").join(lines), refresh=True)

        try:
            yield show
        finally:
            live.update(Text(""))
    console.print(Markdown("".join(pieces)))
