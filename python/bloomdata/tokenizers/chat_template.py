"""Chat templates: conversations become text, and it is known which of it is trained on."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from bloomdata import _core
from bloomdata.errors import ConfigError
from bloomdata.options.inputs import check_choice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bloomdata.tokenizers.tokenizer import Tokenizer

_ENCODER = json.JSONEncoder(ensure_ascii=False)
_CONFIG = "tokenizer_config.json"
_SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")


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


def template_options(
    template: str | os.PathLike[str],
    *,
    tokenizer: str | os.PathLike[str] | None = None,
    variables: Mapping[str, Any] | None = None,
    date: str | None = None,
    train_on: str = "all",
) -> dict[str, Any]:
    """The core's description of a template and its use.

    Raises:
        ConfigError: An option that cannot work.
    """
    check_choice("train_on", train_on, "all", "last")
    source = template_source(template)
    _check_numbers(variables or {}, "variables")
    known = special_tokens(tokenizer)
    if date is not None and "T" not in date:
        date += "T00:00:00"
    return {
        "template": source,
        "template_variables": {**known, **(variables or {})},
        "template_date": date,
        "train_on": train_on,
    }


def template_source(template: str | os.PathLike[str]) -> str:
    """A built-in name or a Jinja source as it is, a file's content else.

    Raises:
        ConfigError: A file without a template.
    """
    text = os.fspath(template)
    if "\n" in text or "{" in text:
        return text
    path = Path(text)
    if path.name == "tokenizer.json":
        path = path.parent
    if path.is_dir():
        path = path / "chat_template.jinja" if (path / "chat_template.jinja").exists() else path / _CONFIG
    if not path.is_file():
        return text
    content = path.read_text("utf-8")
    if path.suffix != ".json":
        return content
    try:
        source = json.loads(content).get("chat_template")
    except (ValueError, AttributeError) as error:
        raise ConfigError(f"template: {path} is no JSON object: {error}") from error
    if isinstance(source, list):
        named = {entry.get("name"): entry.get("template") for entry in source if isinstance(entry, dict)}
        source = named.get("default")
    if not isinstance(source, str):
        raise ConfigError(f"template: {path} has no chat_template")
    return source


def own_template(tokenizer: str | os.PathLike[str]) -> str:
    """The chat template that stands beside a tokenizer.

    Raises:
        ConfigError: There is none.
    """
    if os.fspath(tokenizer) == "bytes":
        raise ConfigError(f'template: the tokenizer "bytes" has no chat template; {_WHAT_TO_PASS}')
    folder = Path(tokenizer)
    folder = folder if folder.is_dir() else folder.parent
    if not has_chat_template(folder):
        raise ConfigError(
            f"template: {folder} has no chat template (no chat_template.jinja, and no chat_template in {_CONFIG}); "
            f"{_WHAT_TO_PASS}"
        )
    return template_source(folder)


_WHAT_TO_PASS = (
    'pass template= with a name such as "human_bot" or "chatml", a .jinja file, or the source of a Jinja template'
)


def has_chat_template(tokenizer: str | os.PathLike[str]) -> bool:
    """Whether a chat template stands beside a tokenizer."""
    folder = Path(tokenizer)
    folder = folder if folder.is_dir() else folder.parent
    try:
        source = template_source(folder)
    except ConfigError:
        return False
    return source != os.fspath(folder)


def special_tokens(tokenizer: str | os.PathLike[str] | None) -> dict[str, str]:
    """Special tokens as the files beside a tokenizer name them."""
    if tokenizer is None or os.fspath(tokenizer) == "bytes":
        return {}
    folder = Path(tokenizer)
    folder = folder if folder.is_dir() else folder.parent
    found: dict[str, str] = {}
    for name in ("special_tokens_map.json", _CONFIG):
        path = folder / name
        if not path.is_file():
            continue
        try:
            content = json.loads(path.read_text("utf-8"))
        except ValueError as error:
            raise ConfigError(f"tokenizer: {path} is no JSON: {error}") from error
        for key in _SPECIAL:
            value = content.get(key) if isinstance(content, dict) else None
            token = value.get("content") if isinstance(value, dict) else value
            if isinstance(token, str):
                found[key] = token
    return found


def _check_numbers(value: Any, name: str) -> None:
    """Refuses whole numbers that 64 bits do not hold: they would become others."""
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise ConfigError(f"{name}: {value} is a whole number that 64 bits do not hold")
    if isinstance(value, dict):
        for key, item in value.items():
            _check_numbers(item, f"{name}: {key}")
    elif isinstance(value, list | tuple):
        for item in value:
            _check_numbers(item, name)


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
