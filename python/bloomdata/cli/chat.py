"""`bloomdata-cli chat`: lines of the user, answers as they come, and commands that begin with a slash."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomdata.cli.answer_view import view
from bloomdata.cli.chat_commands import Commands, Leave
from bloomdata.cli.moderation import add_moderation, take_moderation

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from bloomdata.inference.session import ChatSession

_QUOTES = '"""'
_HISTORY = ".bloomdata_history"
_MOST_LINES = 1000


def add_chat(parser: argparse.ArgumentParser) -> None:
    """A server needs no model."""
    for action in parser._actions:
        if action.dest == "model":
            action.nargs, action.required = "?", False
    add_moderation(parser)
    parser.usage = "bloomdata-cli chat (MODEL | --url URL) [options]"


def main(options: argparse.Namespace) -> int:
    """Chats until the end of the input. Exit status."""
    from bloomdata.inference.chatting import open_chat

    with opening(options) as given:
        session = open_chat(**given)
    return Chat(session, is_quiet=options.quiet).run()


@contextmanager
def opening(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Options of `open_chat` that are given, moderation among them; what it has to say goes to the standard error."""
    import logging

    from bloomdata.cli.train import hide_bars

    given = {
        name: value
        for name, value in vars(options).items()
        if value is not None and name not in {"verb", "quiet", "json"}
    }
    given["moderation"] = take_moderation(given)
    notices = logging.StreamHandler()
    logging.getLogger("bloomdata.inference").addHandler(notices)
    if options.url is None:
        hide_bars()
    try:
        yield given
    finally:
        logging.getLogger("bloomdata.inference").removeHandler(notices)


class Chat:
    """A chat in a terminal, or with lines of a file or a pipe.

    Args:
        session: The chat.
        is_quiet: Whether to show nothing but answers.
    """

    def __init__(self, session: ChatSession, *, is_quiet: bool = False) -> None:
        self._session = session
        self._is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
        self._is_quiet = is_quiet
        self._commands = Commands(session, self._answer, self._say)

    def run(self) -> int:
        """Reads and answers until the end of the input or `/quit`. Exit status."""
        if self._is_terminal and not self._is_quiet:
            self._say(f"Chat with {self._session.backend.name}. /help lists commands, Ctrl-D leaves.")
        with _line_editing(is_wanted=self._is_terminal), _interruptible(self._session):
            while True:
                try:
                    line = self._read()
                    if line is None:
                        return 0
                    self._commands.run(line)
                except Leave:
                    return 0
                except KeyboardInterrupt:
                    self._say("")

    def _read(self) -> str | None:
        """A line, or several between triple quotes; None at the end of the input."""
        line = self._read_line(">>> ")
        if line is None or not line.lstrip().startswith(_QUOTES):
            return line
        lines = [line.lstrip().removeprefix(_QUOTES)]
        while not lines[-1].rstrip().endswith(_QUOTES):
            more = self._read_line("... ")
            if more is None:
                break
            lines.append(more)
        return "\n".join(lines).rstrip().removesuffix(_QUOTES)

    def _read_line(self, prompt: str) -> str | None:
        if self._is_terminal:
            try:
                return input(prompt)
            except EOFError:
                self._say("")
                return None
        line = sys.stdin.buffer.readline()
        if not line:
            return None
        try:
            return line.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError as error:
            self._say(f"error: the line is not UTF-8 (byte {error.start}); it was skipped")
            return self._read_line(prompt)

    def _answer(self, pieces: Iterator[str]) -> None:
        """Shows an answer as it comes, and how it ended. Ctrl-C ends it, and nothing else."""
        with view(is_terminal=self._is_terminal) as show:
            for piece in pieces:
                show(piece)

    def _say(self, text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


@contextmanager
def _interruptible(session: ChatSession) -> Iterator[None]:
    """Ctrl-C ends an answer, or discards a line that is being typed."""

    def interrupt(*_: object) -> None:
        if session.is_answering:
            session.stop()
        else:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _line_editing(*, is_wanted: bool) -> Iterator[None]:
    """Arrow keys, Ctrl-R, and the lines of earlier chats."""
    readline: Any = None
    if is_wanted:
        with suppress(ImportError):  # some builds of Python are without
            import readline
    if readline is None:
        yield
        return
    path = Path.home() / _HISTORY
    with suppress(OSError):
        readline.read_history_file(path)
    try:
        yield
    finally:
        readline.set_history_length(_MOST_LINES)
        with suppress(OSError):
            path.touch(mode=0o600)
            readline.write_history_file(path)
