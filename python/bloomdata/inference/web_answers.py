"""What the web page shows for a message: an answer that grows, its sources, or an error. Needs no gradio.

The page keeps the history of a tab and hands it over with each message, as text. Nothing of a tab is kept here.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bloomdata.errors import BloomdataError
from bloomdata.inference.session import ChatSession

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bloomdata.inference.conversation import Conversation
    from bloomdata.inference.moderation import Moderation
    from bloomdata.inference.presets import Settings
    from bloomdata.inference.session import Backend

_log = logging.getLogger("bloomdata.web")
# Fields of the page, in order.
FIELDS = ("system", "retrieval", "temperature", "top_p", "top_k", "repetition_penalty", "max_new_tokens")


class WebAnswers:
    """Answers messages of any number of tabs.

    Args:
        backend: Where answers come from. It is shared: it answers one request after the other.
        new_conversation: Makes a conversation without turns.
        settings: Of answers, where a tab does not say otherwise.
        moderation: What is refused.
        retrieval: An open index, or None.
        num_passages: Passages for each message.
        is_single_turn: Whether each message is answered without those before.
        seed: Of every answer; by default another one each time, so that a retry gives another answer.
    """

    def __init__(
        self,
        backend: Backend,
        new_conversation: Callable[[], Conversation],
        settings: Settings,
        *,
        moderation: Moderation | None = None,
        retrieval: Any = None,
        num_passages: int = 3,
        is_single_turn: bool = False,
        seed: int | None = None,
    ) -> None:
        self._backend, self._new_conversation, self._settings = backend, new_conversation, settings
        self._moderation, self._retrieval, self._num_passages = moderation, retrieval, num_passages
        self._is_single_turn, self._seed = is_single_turn, seed

    @property
    def has_retrieval(self) -> bool:
        """Whether there is an index to look in."""
        return self._retrieval is not None

    def answer(self, text: str, history: Sequence[dict[str, Any]], *values: Any) -> Iterator[list[dict[str, Any]]]:
        """Yields all messages of the answer, each time it has grown.

        Args:
            text: The message.
            history: The messages before it, as gradio keeps them. Those with a title are not the model's.
            *values: Of `FIELDS`; None for the default.
        """
        fields = dict(zip(FIELDS, values, strict=True))
        system, wants_passages = fields.pop("system"), fields.pop("retrieval")
        retrieval = _Hits(self._retrieval) if wants_passages and self.has_retrieval else None
        try:
            seed = secrets.randbelow(1 << 31) if self._seed is None else self._seed
            settings = self._settings.but(seed=seed, **fields)
            conversation = self._new_conversation()
            conversation.system = (system or "").strip() or None
            conversation.messages = [] if self._is_single_turn else turns_of(history)
            session = ChatSession(
                self._backend,
                conversation,
                settings,
                moderation=self._moderation,
                retrieval=retrieval,
                num_passages=self._num_passages,
            )
            if getattr(self._backend, "is_busy", False):
                yield [_note("Waiting", "Another answer is being written; yours comes next.")]
            shown = ""
            for piece in session.reply(text):
                shown += piece
                yield [{"role": "assistant", "content": shown}]
            used = session.last.sources if session.last is not None else ()
            sources = [hit for hit in (retrieval.found if retrieval else ()) if hit.id in used]
            yield [{"role": "assistant", "content": shown}, *([_sources(sources)] if sources else [])]
        except (BloomdataError, OSError) as error:
            yield [_note("Error", str(error))]
        # A page cannot show a traceback: the log has it, and the reader of the page a line.
        except Exception as error:
            _log.exception("the answer failed")
            yield [_note("Error", f"{type(error).__name__}: {error}")]


class _Hits:
    """Retrieval that remembers what it found, for the list of sources."""

    def __init__(self, index: Any) -> None:
        self._index = index
        self.found: list[Any] = []

    def context(self, query: str, k: int) -> list[tuple[str, str]]:
        """Ids and texts of the best passages."""
        self.found = self._index.query(query, k=k).hits
        return [(hit.id, hit.text) for hit in self.found]


def turns_of(history: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """The turns that a history of gradio stands for: messages of the user that have an answer, and these answers."""
    turns: list[dict[str, str]] = []
    for message in history:
        if (message.get("metadata") or {}).get("title"):
            continue
        turn = {"role": message["role"], "content": text_of(message["content"])}
        if turns and turns[-1]["role"] == turn["role"]:
            # A message without an answer, since that was an error.
            turns.pop()
        turns.append(turn)
    return turns[: len(turns) // 2 * 2]


def text_of(content: Any) -> str:
    """The text of a message, which gradio keeps as parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, Sequence) else [content]
    return "".join(str(part.get("text", "")) if isinstance(part, dict) else str(part) for part in parts)


def _note(title: str, text: str) -> dict[str, Any]:
    """A message of the page itself."""
    return {"role": "assistant", "content": text, "metadata": {"title": title}}


def _sources(hits: Sequence[Any]) -> dict[str, Any]:
    lines = (f"[{hit.id}] {hit.source}, line {hit.line}\n{hit.text.strip()}" for hit in hits)
    return _note("Sources", "\n\n".join(lines))
