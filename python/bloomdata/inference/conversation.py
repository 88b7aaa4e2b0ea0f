"""A conversation as the text that a model continues, by the templates that made the training text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from bloomdata.errors import ConfigError
from bloomdata.inference.messages import Passage, date_preamble, messages_of, stops_of, takes_two_turns
from bloomdata.inference.windows import fit_turns
from bloomdata.options.checks import check_choice
from bloomdata.tokenizers.chat_template import ChatTemplate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from bloomdata.inference.streaming import TextTokenizer

    Clock = Callable[[], datetime]
    Message = dict[str, str]


class Conversation:
    r"""Turns of a user and an assistant.

    `prompt()` is how the text begins that `pack` makes of the same turns and an answer with the same template.

    Args:
        template: A `ChatTemplate`, or what it takes: a name, such as `human_bot`, Jinja source, a file or a folder.
            None where a server renders the turns: there is no `prompt` then.
        system: System text; None for none.
        clock: Gives the time for a preamble of date and time before the system text, as OpenChatKit writes it; it is
            read when the conversation begins, and at each `reset`. None for no preamble.
        context_tokens: Tokens of retrieved passages, at most.
        truncation_mark: What is added to an answer that was cut, as OpenChatKit does with `...`.

    Raises:
        ConfigError: The template does not exist, is invalid, or lacks a variable.

    Attributes:
        messages: The turns, each `{"role": "user" or "assistant", "content": …}`, without the system text.
        system: The system text.
        context: Retrieved passages for the last turn of the user. The next turn starts without.

    Example:
        >>> conversation = bloomdata.inference.Conversation("human_bot")
        >>> conversation.add("user", "Hi")
        >>> conversation.prompt()
        '<human>: Hi\n<bot>:'
    """

    def __init__(
        self,
        template: ChatTemplate | str | None,
        *,
        system: str | None = None,
        clock: Clock | None = None,
        context_tokens: int = 512,
        truncation_mark: str = "",
    ) -> None:
        self.template = template if isinstance(template, ChatTemplate | None) else ChatTemplate(template)
        self.system = system
        self.context_tokens = context_tokens
        self.truncation_mark = truncation_mark
        self.messages: list[Message] = []
        self.context: Sequence[Passage] = ()
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Removes all turns; the system text stays, and the preamble is written anew."""
        self._preamble = None if self._clock is None else date_preamble(self._clock())
        self.messages = []
        self.context = ()

    def add(self, role: Literal["user", "assistant"], content: str) -> None:
        """Adds a turn. A turn of the user discards the passages of the one before."""
        check_choice("role", role, "user", "assistant")
        if role == "user":
            self.context = ()
        self.messages.append({"role": role, "content": content})

    def undo(self) -> str | None:
        """Removes the last turn of the user and what follows it; its text, or None if there was none."""
        while self.messages:
            message = self.messages.pop()
            if message["role"] == "user":
                self.context = ()
                return message["content"]
        return None

    def to_record(self) -> dict[str, list[Message]]:
        """The conversation as a record that `pack` reads, with preamble and system text as its first message."""
        return {"messages": [*self._head(), *self.messages]}

    def _head(self) -> list[Message]:
        head = "\n".join(part for part in (self._preamble, self.system) if part is not None)
        return [{"role": "system", "content": head}] if head else []

    def load(self, record: object) -> None:
        """Takes the turns of a record with `messages`, as `to_record` and `prepare` write it, and its system text.

        Raises:
            ConfigError: The record has no messages, or one of another role. The conversation is as it was, then.
        """
        turns = messages_of(record)
        self.reset()
        if turns and turns[0]["role"] == "system":
            self._preamble, self.system = None, turns.pop(0)["content"]
        self.messages = turns

    def prompt(self) -> str:
        """The text that the model continues: it ends where the answer begins.

        Raises:
            ConfigError: The template rejects the turns, such as a system text that it has no place for.
        """
        return self._render(self.messages, self.context)

    def text(self) -> str:
        """The conversation as a text: the prompt, if the last turn waits for an answer.

        Raises:
            ConfigError: As for `prompt`.
        """
        waits = not self.messages or self.messages[-1]["role"] == "user"
        return self._render(self.messages, self.context, add_generation_prompt=waits)

    def prompt_ids(
        self,
        tokenizer: TextTokenizer,
        max_tokens: int | None = None,
        *,
        truncation: Literal["turns", "last-ids"] = "turns",
        truncate_turn: Literal["left"] | None = None,
    ) -> list[int]:
        """The ids of the prompt, at most `max_tokens` of them.

        Args:
            tokenizer: Encodes, as it did for training: the template writes all special tokens.
            max_tokens: Size of the window without what the answer needs; None for no limit.
            truncation: What is left out if the prompt is too long: `turns` leaves out the oldest whole turns, each
                with its answer, then the last passages of the context; the system text stays. `last-ids` keeps the
                last ids, wherever they begin, as Open-Llama's `chat_server.py` does.
            truncate_turn: What to do if the last turn alone is too long: `left` cuts the beginning of its text. By
                default it is an error.

        Raises:
            MismatchError: The last turn alone is too long; the message gives both counts.
            ConfigError: The template rejects the turns.
        """
        check_choice("truncation", truncation, "turns", "last-ids")
        check_choice("truncate_turn", truncate_turn, "left", None)

        def encode(messages: Sequence[Message], context: Sequence[Passage]) -> list[int]:
            return [int(token) for token in tokenizer.encode(self._render(messages, context), add_special_tokens=False)]

        self.context = self._within_budget(tokenizer)
        if max_tokens is None or truncation == "last-ids":
            ids = encode(self.messages, self.context)
            return ids if max_tokens is None else ids[max(0, len(ids) - max_tokens) :]
        fitted = fit_turns(self.messages, self.context, encode, max_tokens, cuts_last=truncate_turn == "left")
        self.context = self.context[: fitted.num_passages]
        return fitted.ids

    def _within_budget(self, tokenizer: TextTokenizer) -> list[Passage]:
        """The first passages that have `context_tokens` together, at most."""
        kept, left = [], self.context_tokens
        for passage in self.context:
            left -= len(tokenizer.encode(passage.text, add_special_tokens=False))
            if left < 0:
                break
            kept.append(passage)
        return kept

    def turns(self) -> list[Message]:
        """All messages as the template gets them: preamble and system text, turns, and the context before the last."""
        return self._turns(self.messages, self.context)

    def _turns(self, messages: Sequence[Message], context: Sequence[Passage]) -> list[Message]:
        turns = [*self._head(), *messages]
        if context and messages and messages[-1]["role"] == "user":
            found = "\n\n".join(passage.text for passage in context)
            asked = turns.pop()["content"]
            contents = [found, asked] if takes_two_turns(self.template) else [f"{found}\n\n{asked}"]
            turns += [{"role": "user", "content": content} for content in contents]
        return turns

    def _render(
        self, messages: Sequence[Message], context: Sequence[Passage], *, add_generation_prompt: bool = True
    ) -> str:
        if self.template is None:
            raise ConfigError("template: expected one, found none: a server renders its conversations itself")
        return self.template.render(self._turns(messages, context), add_generation_prompt=add_generation_prompt)

    def stops(self) -> tuple[str, ...]:
        """Strings that end an answer; see `stops_of`."""
        return () if self.template is None else stops_of(self.template)
