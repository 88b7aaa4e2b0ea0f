"""Chat templates: render conversations to text, and mark the parts that are trained on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from bloomdata import _core
from bloomdata.errors import ConfigError
from bloomdata.options.checks import check_choice
from bloomdata.options.template_options import template_options

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from bloomdata.tokenizers.tokenizer import Tokenizer

_ENCODER = json.JSONEncoder(ensure_ascii=False)


class RenderedChat(NamedTuple):
    """The text of a conversation, and the parts that are trained on: (start, end) in characters, in order."""

    text: str
    trained: list[tuple[int, int]]


class EncodedChat(NamedTuple):
    """The ids of a conversation, and for each id whether it is trained on."""

    ids: list[int]
    trained: list[bool]


class ChatTemplate:
    r"""A chat template.

    The built-in templates are `human_bot` (`<human>: …`, `<bot>: …`, of BLOOMChat and OpenChatKit), `user_system` (of
    Open-Llama), `alpaca`, `chatml`, `llama2`, `llama3`, `zephyr` and `mistral`. Any other Jinja template renders the
    same text as `transformers.apply_chat_template`, or is rejected.

    Known differences from Jinja2: filters, methods and operators that no known chat template uses are rejected (`%`
    between strings, `truncate`, `casefold`, …), and so are integers of more than 64 bits, and `+` with `safe`, where
    Jinja2 escapes HTML. Some errors of Jinja2 are allowed here: looping over none, ordering values of different types.
    A dot also finds keys with the names of dictionary methods (`spec.items` without brackets), and Python objects print
    differently (`range(3)`, a generator). `~` and `join` write very large and very small floats in full.

    For every template, with or without `{% generation %}` blocks, the assistant's messages and the token that ends each
    are trained on. A conversation for which these cannot be determined is rejected.

    Args:
        template: Name of a built-in template; source of a Jinja template; a `.jinja` file; or a
            `tokenizer_config.json`, or a folder that holds one.
        tokenizer: Tokenizer whose files define the special tokens; an answer ends with the first of its added tokens
            that follows. Required by `encode`.
        variables: Further variables of the template: `bos_token`, `eos_token`, its own switches.
        date: Date that `strftime_now` returns, such as `2026-01-31` or `2026-01-31T12:00:00`. A template that uses the
            date is rejected without it, since data must not depend on the day it was made.
        train_on: Whether to train on `all` answers or the `last` one. What `pack(train_on="each")` makes of a
            conversation are its beginnings up to each answer, rendered with `last`.
        tool_arguments: What the template gets of `arguments` of tool calls that are a text: the text (`given`), or the
            object whose JSON it is (`parsed`).

    Raises:
        ConfigError: The template does not exist, is invalid, or lacks a variable.

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
        tool_arguments: Literal["given", "parsed"] = "given",
    ) -> None:
        check_choice("train_on", train_on, "all", "last")
        self.tokenizer = _tokenizer(tokenizer)
        options = template_options(
            template,
            tokenizer=None if self.tokenizer is None else self.tokenizer.path,
            variables=variables,
            date=date,
            train_on=train_on,
            tool_arguments=tool_arguments,
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
            messages: Messages `{"role": …, "content": …}`, with any other keys that the template uses.
            tools: Descriptions of tools, for templates that use them.
            documents: Documents to answer from, for templates that use them.
            add_generation_prompt: Whether to end with the prompt for an answer.

        Raises:
            ConfigError: The template rejects the conversation.
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
        """The text of a conversation, and the parts of it that are trained on.

        Raises:
            ConfigError: The template rejects the conversation, or the trained parts are empty or cannot be determined.
        """
        return RenderedChat(*self._core.render_trained(_record(messages, tools, documents)))

    def encode(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
    ) -> EncodedChat:
        """The ids of a conversation, and which are trained on: those with at least one trained character.

        Special tokens that messages hold are tokens here, as `apply_chat_template` has it; `pack` makes them text.

        Raises:
            ConfigError: As for `render_trained`; or no tokenizer was given.
        """
        if self.tokenizer is None:
            raise ConfigError("tokenizer: expected a tokenizer of the template, got None")
        text, spans = self.render_trained(messages, tools=tools, documents=documents)
        ids, ends = self.tokenizer.encode_ends(text)
        trained, start, last, span = [], 0, 0, 0
        for end in ends:
            # Tokens with the same end are parts of one character.
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
