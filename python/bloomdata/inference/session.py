"""A chat: a conversation, and where its answers come from."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bloomdata.errors import ConfigError
from bloomdata.inference.messages import Passage
from bloomdata.inference.streaming import Ending, read_all, stripped

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from bloomdata.inference.backends import Backend, Retrieval
    from bloomdata.inference.conversation import Conversation
    from bloomdata.inference.moderation import Moderation
    from bloomdata.inference.presets import Settings


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The last answer.

    Attributes:
        text: As it was shown.
        ending: How it ended.
        sources: Ids of the passages in its prompt.
        seconds: Until its end.
        first_seconds: Until its first piece; None if there was none.
    """

    text: str
    ending: Ending
    sources: tuple[str, ...]
    seconds: float
    first_seconds: float | None


class ChatSession:
    """A chat.

    Args:
        backend: Where answers come from.
        conversation: The turns so far. The session changes it.
        settings: Of answers. Can be replaced between answers.
        moderation: What is refused.
        retrieval: Finds passages for each turn; any object with `context(query, k)`.
        num_passages: Passages for each turn; 0 for none.

    Attributes:
        last: The last answer, with its ending and its sources.
        is_answering: Whether an answer is on its way, which `stop` would end.
    """

    def __init__(
        self,
        backend: Backend,
        conversation: Conversation,
        settings: Settings,
        *,
        moderation: Moderation | None = None,
        retrieval: Retrieval | None = None,
        num_passages: int = 3,
    ) -> None:
        self.backend = backend
        self.conversation = conversation
        self.settings = settings
        self.moderation = moderation
        self.retrieval = retrieval
        self.num_passages = num_passages
        self.last: Answer | None = None
        self.is_answering = False
        self._stopped = threading.Event()
        self._retries = 0

    def reply(self, text: str) -> Iterator[str]:
        """Yields the answer to a turn of the user, piece by piece; then both are part of the conversation.

        An answer that `stop` ended stays as far as it came. If an error ends it, if the caller does not read it to its
        end, or if it is refused, the conversation is as it was.

        Raises:
            MismatchError: The turn does not fit the window.
            ConfigError: The template rejects the turn.
            OSError: The server cannot be reached, or answers with an error.
        """
        self._retries = 0
        return self._reply(text)

    def retry(self) -> Iterator[str]:
        """Yields another answer to the last turn of the user, in place of the one before.

        Raises:
            ConfigError: There is no turn to answer.
        """
        before = list(self.conversation.messages)
        text = self.conversation.undo()
        if text is None:
            raise ConfigError("retry: expected a conversation with a turn, found an empty one")
        self._retries += 1

        def answered() -> Iterator[str]:
            try:
                yield from self._reply(text)
            finally:
                if len(self.conversation.messages) < len(before):
                    self.conversation.messages = before

        return answered()

    def complete(self, text: str) -> Iterator[str]:
        """Yields the continuation of a plain text; the conversation stays as it is."""
        self._stopped.clear()
        self.is_answering = True
        try:
            yield from self.backend.complete(text, self.settings, self._stopped)
        finally:
            self.is_answering = False

    def stop(self) -> None:
        """Ends a running answer, after its current token; from any thread."""
        self._stopped.set()

    def undo(self) -> str | None:
        """Removes the last turn of the user and its answer; its text, or None if there was none."""
        return self.conversation.undo()

    def reset(self) -> None:
        """Removes all turns."""
        self.conversation.reset()

    def _reply(self, text: str) -> Iterator[str]:
        self._stopped.clear()
        conversation, shown, first = self.conversation, list[str](), None
        started = time.monotonic()
        conversation.add("user", text)
        is_answered, self.is_answering = False, True
        try:
            if self.retrieval is not None and self.num_passages:
                found = self.retrieval.context(text, self.num_passages)
                conversation.context = [Passage(*passage) for passage in found]
            pieces = self._pieces(text)
            while True:
                try:
                    piece = next(pieces)
                except StopIteration as end:
                    ending: Ending = end.value
                    break
                first = time.monotonic() - started if first is None else first
                shown.append(piece)
                yield piece
            answer = "".join(shown)
            sources = tuple(passage.id for passage in conversation.context)
            seconds = time.monotonic() - started
            self.last = Answer(text=answer, ending=ending, sources=sources, seconds=seconds, first_seconds=first)
            if ending.reason != "refused":
                conversation.add("assistant", answer)
                is_answered = True
        finally:
            self.is_answering = False
            if not is_answered:
                conversation.undo()

    def _pieces(self, text: str) -> Generator[str, None, Ending]:
        """The answer as it is shown: moderated, without white space around it, marked where it was cut."""
        moderation = self.moderation
        if moderation is not None and moderation.refuses(text, "prompt"):
            yield moderation.refusal
            return Ending("refused")
        settings = self.settings.but(seed=self.settings.seed + self._retries)
        pieces = stripped(self.backend.stream(self.conversation, settings, self._stopped))
        if moderation is not None and moderation.checks_answers:
            # Nothing is shown before all of it has been judged.
            answer, ending = read_all(pieces)
            if moderation.refuses(answer, "answer"):
                yield moderation.refusal
                return Ending("refused")
            yield answer
        else:
            ending = yield from pieces
        if ending.reason == "length" and self.conversation.truncation_mark:
            yield self.conversation.truncation_mark
        return ending
