"""The commands of a chat. The first line of each docstring is its line in `/help`."""

from __future__ import annotations

import difflib
import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomdata.cli.terminal import plain
from bloomdata.errors import BloomdataError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bloomdata.inference.session import ChatSession

_KINDS: dict[str, Callable[[str], Any]] = {
    "temperature": float,
    "top_p": float,
    "top_k": int,
    "repetition_penalty": float,
    "max_new_tokens": int,
    "seed": int,
    "stop": lambda text: tuple(json.loads(text)) if text.startswith("[") else (text,),
}


class Leave(Exception):  # noqa: N818 - no error
    """The user leaves."""


class Commands:
    """What a line does: a turn, or a command behind a slash.

    Args:
        session: The chat.
        answer: Shows an answer.
        say: Shows a line.
    """

    def __init__(
        self, session: ChatSession, answer: Callable[[Iterator[str]], None], say: Callable[[str], None]
    ) -> None:
        self._session = session
        self._answer = answer
        self._say = say
        self._own_files: set[Path] = set()

    def run(self, line: str) -> None:
        """Does what a line says; errors are shown."""
        try:
            if not line.startswith("/"):
                self.say(line)
                return
            name, _, rest = line[1:].partition(" ")
            names = self._names()
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1)
                meant = f" Did you mean /{near[0]}?" if near else " /help lists all."
                self._say(plain(f"There is no command /{name}.{meant}"))
                return
            names[name](rest.strip())
        except (BloomdataError, OSError, UnicodeError) as error:
            self._say(plain(f"error: {error}"))

    def _names(self) -> dict[str, Callable[[str], None]]:
        methods = inspect.getmembers(self, inspect.ismethod)
        found = {name: method for name, method in methods if not name.startswith("_") and name != "run"}
        return {**found, "?": self.help}

    def say(self, text: str) -> None:
        """TEXT: Say something, also what begins with a slash."""
        self._show(self._session.reply(text))

    def raw_say(self, text: str) -> None:
        """TEXT: Continue a plain text, without the conversation."""
        self._answer(self._session.complete(text))

    def raw_prompt(self, _: str) -> None:
        """Show the conversation as the model gets it."""
        self._say(plain(self._session.conversation.text()))

    def reset(self, _: str) -> None:
        """Begin a new conversation."""
        self._session.reset()
        self._say("This is a new conversation.")

    def retry(self, _: str) -> None:
        """Answer the last turn again."""
        self._show(self._session.retry())

    def undo(self, _: str) -> None:
        """Remove the last turn and its answer."""
        removed = self._session.undo()
        self._say("There is nothing to remove." if removed is None else plain(f"Removed: {removed}"))

    def hyperparameters(self, _: str) -> None:
        """Show all settings of answers."""
        for name in _KINDS:
            value = getattr(self._session.settings, name)
            self._say(f"{name:<20}{'as the model says' if value is None else value}")

    def set(self, text: str) -> None:
        """KEY VALUE: Change a setting; none leaves it to the model."""
        name, _, value = text.partition(" ")
        name = name.replace("-", "_")
        if name not in _KINDS:
            near = difflib.get_close_matches(name, _KINDS, n=1)
            raise ConfigError(
                f"set: there is no setting {name!r}; {f'did you mean {near[0]}?' if near else list(_KINDS)}"
            )
        try:
            chosen = None if value.strip() == "none" else _KINDS[name](value.strip())
        except (ValueError, TypeError):
            raise ConfigError(f"set: {name}: expected a number or none, got {value!r}") from None
        self._session.settings = self._session.settings.set(name, chosen)

    def system(self, text: str) -> None:
        """TEXT: Change the system text; without a text, there is none."""
        self._session.conversation.system = text or None

    def template(self, name: str) -> None:
        """NAME: Change the chat template; the turns stay."""
        backend: Any = self._session.backend
        if not hasattr(backend, "template"):
            raise ConfigError("template: a server uses that of its model")
        self._session.conversation.template = backend.template(name)

    def save(self, text: str) -> None:
        """FILE: Write the conversation as a line of JSONL, which pack reads."""
        path = Path(text).expanduser()
        if path.exists() and path.resolve() not in self._own_files:
            raise ConfigError(f"save: {path} exists, and was not written by this chat; name another file")
        record = self._session.conversation.to_record()
        path.write_text(json.dumps(record, ensure_ascii=False) + "\n", "utf-8", "backslashreplace")
        self._own_files.add(path.resolve())
        self._say(plain(f"Saved {len(record['messages'])} messages to {path}."))

    def load(self, text: str) -> None:
        """FILE: Continue the conversation of a file that /save wrote."""
        path = Path(text).expanduser()
        try:
            record = json.loads(path.read_text("utf-8").split("\n", 1)[0])
        except ValueError as error:
            raise ConfigError(f"load: {path}: expected a line of JSON: {error}") from None
        self._session.conversation.load(record)
        self._say(plain(f"Loaded {len(record['messages'])} messages from {path}."))

    def retrieval(self, text: str) -> None:
        """WHAT: Put passages before turns: on, off, or k=3 for three of them."""
        if self._session.retrieval is None:
            raise ConfigError("retrieval: this chat has no index; start it with retrieval=...")
        word, _, count = text.partition("=")
        if text in {"on", "off"}:
            self._session.num_passages = 3 if text == "on" else 0
        elif word.strip() == "k" and count.strip().isdigit():
            self._session.num_passages = int(count)
        else:
            raise ConfigError(f"retrieval: expected on, off or k=3, got {text!r}")
        self._say(f"Passages for each turn: {self._session.num_passages}.")

    def tokens(self, _: str) -> None:
        """Show how many tokens the conversation has, and the last answer."""
        used, window = self._session.backend.num_tokens(self._session.conversation)
        counts = "not known" if used is None else f"{used:,} of {'any number' if window is None else f'{window:,}'}"
        self._say(f"Conversation: {counts} tokens.")
        if (last := self._session.last) is not None:
            rate = "" if not last.ending.num_tokens else f", {last.ending.num_tokens / last.seconds:.1f} tokens/s"
            self._say(f"Last answer: {last.ending.num_tokens} tokens in {last.seconds:.1f} s{rate}.")

    def help(self, _: str) -> None:
        """List the commands."""
        for name, method in sorted(self._names().items()):
            words = (method.__doc__ or "").split("\n", 1)[0].rstrip(".")
            what, colon, does = words.partition(": ")
            self._say(f"  {f'/{name} {what}' if colon else f'/{name}':<30}{does if colon else words}")

    def quit(self, _: str) -> None:
        """Leave; so does Ctrl-D."""
        raise Leave

    def _show(self, pieces: Iterator[str]) -> None:
        """Shows an answer, and what there is to say about it."""
        self._answer(pieces)
        last = self._session.last
        if last is None:
            return
        if last.ending.reason == "length":
            self._say(f"(cut after {last.ending.num_tokens} tokens; /set max_new_tokens N allows more)")
        elif last.ending.reason == "stopped":
            self._say("(stopped)")
        if last.sources:
            self._say(plain(f"(sources: {', '.join(last.sources)})"))
