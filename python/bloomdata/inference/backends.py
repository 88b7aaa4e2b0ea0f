"""Where answers come from: a model in this process, or a server with OpenAI's routes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from bloomdata.inference.rules import Rules
from bloomdata.inference.running import PrefixCache, answer_pieces
from bloomdata.inference.streaming import Ending

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from bloomdata.inference.conversation import Conversation
    from bloomdata.inference.presets import Settings
    from bloomdata.inference.prompts import Prompting
    from bloomdata.tokenizers.chat_template import ChatTemplate


class Backend(Protocol):
    """Where answers come from. Several sessions may share one; it answers one request after the other.

    Attributes:
        name: Of the model.
    """

    name: str

    def stream(
        self, conversation: Conversation, settings: Settings, stopped: threading.Event
    ) -> Generator[str, None, Ending]:
        """Yields the answer to the last turn, piece by piece, until its end or until the event is set."""

    def complete(self, text: str, settings: Settings, stopped: threading.Event) -> Generator[str, None, Ending]:
        """Yields the continuation of a plain text."""

    def num_tokens(self, conversation: Conversation) -> tuple[int | None, int | None]:
        """Tokens of the conversation as it is, and of the window; None if not known."""


class Retrieval(Protocol):
    """Finds passages."""

    def context(self, query: str, k: int) -> Iterable[tuple[str, str]]:
        """The ids and texts of the k best passages, best first."""


class LocalBackend:
    """A model in this process. It answers one request after the other, and keeps keys and values of the last one.

    Args:
        prompting: The model, and what is left out of a conversation that is too long.

    Attributes:
        name: Of the model.
    """

    def __init__(self, prompting: Prompting) -> None:
        self.name = prompting.model.name
        self.prompting = prompting
        self._memory = PrefixCache()
        self._lock = threading.Lock()

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered: the next one waits."""
        return self._lock.locked()

    def template(self, name: str) -> ChatTemplate:
        """A chat template with the special tokens of the model.

        Raises:
            ConfigError: No template has this name, or it is invalid.
        """
        found = self.prompting.model.template(name)
        assert found is not None
        return found

    def stream(
        self, conversation: Conversation, settings: Settings, stopped: threading.Event
    ) -> Generator[str, None, Ending]:
        """Yields the answer to the last turn; see `Backend`."""
        rules = Rules.of(self.prompting.model, settings, conversation)
        ids = self.prompting.ids_of(conversation, rules.max_new_tokens)
        return self._answer(ids, rules, stopped)

    def complete(self, text: str, settings: Settings, stopped: threading.Event) -> Generator[str, None, Ending]:
        """Yields the continuation of a plain text; see `Backend`."""
        rules = Rules.of(self.prompting.model, settings, None)
        return self._answer(self.prompting.plain_ids(text, rules.max_new_tokens), rules, stopped)

    def num_tokens(self, conversation: Conversation) -> tuple[int, int | None]:
        """Tokens of the conversation, and of the window."""
        return len(conversation.prompt_ids(self.prompting.model.tokenizer)), self.prompting.model.window

    def _answer(self, ids: list[int], rules: Rules, stopped: threading.Event) -> Generator[str, None, Ending]:
        while not self._lock.acquire(timeout=0.1):
            if stopped.is_set():
                return Ending("stopped")
        try:
            return (yield from answer_pieces(self.prompting.model, ids, rules, stopped, self._memory))
        finally:
            self._lock.release()
