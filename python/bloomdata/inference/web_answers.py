"""What the web page shows for a message: an answer that grows, its sources, or an error. Needs no gradio.

The page keeps the history of a tab and hands it over with each message, as text. Nothing of a tab is kept here.
"""

from __future__ import annotations

import copy
import itertools
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bloomdata.errors import BloomdataError
from bloomdata.inference.session import ChatSession

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = logging.getLogger("bloomdata.web")
# Fields of the page, in order.
FIELDS = ("system", "retrieval", "temperature", "top_p", "top_k", "repetition_penalty", "max_new_tokens")


class WebAnswers:
    """Answers messages of any number of tabs.

    Args:
        chat: What each chat begins with: backend, template, settings, moderation, retrieval.
        is_single_turn: Whether each message is answered without those before.
    """

    def __init__(self, chat: ChatSession, *, is_single_turn: bool = False) -> None:
        self.chat = chat
        self._is_single_turn = is_single_turn
        # Each answer has a seed of its own, so that a retry gives another one.
        self._seeds = itertools.count(chat.settings.seed)

    def answer(self, text: str, history: Sequence[dict[str, Any]], *values: Any) -> Iterator[list[dict[str, Any]]]:
        """Yields all messages of the answer, each time it has grown.

        Args:
            text: The message.
            history: The messages before it, as gradio keeps them. Those with a title are not the model's.
            *values: Of `FIELDS`; None for the default.
        """
        fields = dict(zip(FIELDS, values, strict=True))
        system, wants_passages = fields.pop("system"), fields.pop("retrieval")
        try:
            session = self._session(system, history, **fields)
            session.retrieval = self.chat.retrieval if wants_passages else None
            if getattr(session.backend, "is_busy", False):
                yield [_note("Waiting", "Another answer is being written; yours comes next.")]
            shown = ""
            for piece in session.reply(text):
                shown += piece
                yield [{"role": "assistant", "content": shown}]
            passages = session.conversation.context
            sources = "\n\n".join(f"{passage.id}\n{passage.text.strip()}" for passage in passages)
            yield [{"role": "assistant", "content": shown}, *([_note("Sources", sources)] if sources else [])]
        except (BloomdataError, OSError) as error:
            yield [_note("Error", str(error))]
        # A page cannot show a traceback: the log has it, and the reader of the page a line.
        except Exception as error:
            _log.exception("the answer failed")
            yield [_note("Error", f"{type(error).__name__}: {error}")]

    def _session(self, system: str | None, history: Sequence[dict[str, Any]], **settings: Any) -> ChatSession:
        """The chat of a tab."""
        chat = self.chat
        conversation = copy.copy(chat.conversation)
        conversation.reset()
        conversation.system = (system or "").strip() or None
        conversation.messages = [] if self._is_single_turn else turns_of(history)
        return ChatSession(
            chat.backend,
            conversation,
            chat.settings.but(seed=next(self._seeds), **settings),
            moderation=chat.moderation,
            num_passages=chat.num_passages,
        )


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
