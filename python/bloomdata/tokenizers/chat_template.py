"""Chat templates: conversations become text, and it is known which of it is trained on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from bloomdata import _core
from bloomdata.errors import ConfigError
from bloomdata.options.template_options import template_options

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from bloomdata.tokenizers.tokenizer import Tokenizer

_ENCODER = json.JSONEncoder(ensure_ascii=False)


class RenderedChat(NamedTuple):
    """Text of a conversation, and the parts that are trained on: (start, end) in characters, in order."""

    text: str
    trained: list[tuple[int, int]]


class EncodedChat(NamedTuple):
    """Ids of a conversation, and for each id whether it is trained on."""

    ids: list[int]
    trained: list[bool]


class ChatTemplate:
    r"""A chat template.

    Built in are `human_bot` (`<human>: …`, `<bot>: …`, of BLOOMChat and OpenChatKit), `user_system` (of Open-Llama),
    `alpaca`, `chatml`, `llama2`, `llama3`, `zephyr` and `mistral`. Any other Jinja template gives the text that
    `transformers.apply_chat_template` gives, or is refused.

    Known differences from Jinja2 there: filters, methods and operators that no chat template is known to use are
    refused (`%` between texts, `truncate`, `casefold`, …), so are whole numbers that 64 bits do not hold, and `+`
    beside `safe`, where Jinja2 escapes HTML. What Jinja2 refuses may have a meaning here: looping over none, ordering
    values of different kinds. A dot finds keys that are named like methods of Python's dictionaries (`spec.items`
    without brackets), and an object of Python is not printed as in Python (`range(3)`, a generator). `~` and `join`
    write very large and very small floats in full.

    What is trained on is known for every template, with or without `{% generation %}` blocks: the assistant's messages
    and the token that ends each. A conversation for which it cannot be told for sure is refused.

    Args:
        template: The name of one that is built in; the source of a Jinja template; a file that holds one (`.jinja`);
            a `tokenizer_config.json`, or a folder that holds one.
        tokenizer: Its files say what the special tokens are; an answer ends with the first of its added tokens that
            follows. Needed by `encode`.
        variables: What else the template may use: `bos_token`, `eos_token`, switches of its own.
        date: What `strftime_now` says, as `2026-01-31` or `2026-01-31T12:00:00`. A template that asks for the date is
            refused without it: data must not depend on the day it was made.
        train_on: All answers, or the last one.

    Raises:
        ConfigError: No template, a broken one, or one that lacks a variable.

    Origin:
        `apply_chat_template` of huggingface/transformers; the prefix check is ours.

    Example:
        >>> template = bloomdata.ChatTemplate("human_bot")
        >>> template.render([{"role": "user", "content": "Hi"}], add_generation_prompt=True)
        '<human>: Hi\n<bot>:'
    """

    def __init__(
        self,
        template: str | os.PathLike[str],
        *,
        tokenizer: Tokenizer | str | os.PathLike[str] | None = None,
        variables: Mapping[str, Any] | None = None,
        date: str | None = None,
        train_on: Literal["all", "last"] = "all",
    ) -> None:
        self.tokenizer = _tokenizer(tokenizer)
        options = template_options(
            template,
            tokenizer=None if self.tokenizer is None else self.tokenizer.path,
            variables=variables,
            date=date,
            train_on=train_on,
        )
        core = None if self.tokenizer is None else self.tokenizer.core
        self._core = _core.ChatTemplate(json.dumps(options), core)

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = False,
    ) -> str:
        """The text of a conversation.

        Args:
            messages: `{"role": …, "content": …}` and whatever else the template looks at.
            tools: Descriptions of tools, for templates that take them.
            documents: Documents to answer from, for templates that take them.
            add_generation_prompt: Whether to end with what asks for an answer.

        Raises:
            ConfigError: What the template objects to.
        """
        text = self._core.render_plain(messages, _json(tools), _json(documents), add_generation_prompt)
        if text is not None:
            return text
        return self._core.render(_record(messages, tools, documents), add_generation_prompt)

    def render_trained(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
    ) -> RenderedChat:
        """The text of a conversation, and which of it is trained on.

        Raises:
            ConfigError: What the template objects to; nothing to train on; a part that cannot be told for sure.
        """
        return RenderedChat(*self._core.render_trained(_record(messages, tools, documents)))

    def encode(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
    ) -> EncodedChat:
        """Ids of a conversation, and which are trained on: those with at least one trained character.

        Raises:
            ConfigError: As `render_trained`, or no tokenizer was given.
        """
        if self.tokenizer is None:
            raise ConfigError("tokenizer: none was given")
        text, spans = self.render_trained(messages, tools=tools, documents=documents)
        ids, ends = self.tokenizer.encode_ends(text)
        trained, start, last, span = [], 0, 0, 0
        for end in ends:
            # Tokens that end together are parts of one character.
            if end > last:
                start, last = last, end
            while span < len(spans) and spans[span][1] <= start:
                span += 1
            trained.append(span < len(spans) and spans[span][0] < end)
        return EncodedChat(ids, trained)


def _tokenizer(tokenizer: Tokenizer | str | os.PathLike[str] | None) -> Tokenizer | None:
    from bloomdata.tokenizers.tokenizer import Tokenizer

    if tokenizer is None or isinstance(tokenizer, Tokenizer):
        return tokenizer
    return Tokenizer(tokenizer)


def _json(value: Any) -> str | None:
    return None if value is None else _ENCODER.encode(value)


def _record(messages: Any, tools: Any, documents: Any) -> str:
    record = {"messages": messages, "tools": tools, "documents": documents}
    return _ENCODER.encode({key: value for key, value in record.items() if value is not None})
