"""What conversations are made of: messages, passages, a preamble, and what ends an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from datetime import datetime

    from bloomdata.tokenizers.chat_template import ChatTemplate

# Contents that no template contains.
_MARKS = ("QQ1", "AA1", "QQ2", "AA2")


class Passage(NamedTuple):
    """A retrieved text, and its id for citations."""

    id: str
    text: str


def date_preamble(now: datetime) -> str:
    """Date and time as OpenChatKit's bot writes them before a conversation: 24 hours, and AM or PM as well."""
    return f"Current Date: {now:%Y-%m-%d}\nCurrent Time: {now:%H:%M:%S %p %Z}\n"


def messages_of(record: object) -> list[dict[str, str]]:
    """The messages of a record, as `prepare` writes it: texts of user and assistant, the first one of system too.

    Raises:
        ConfigError: The record has no messages, or others.
    """
    messages = record.get("messages") if isinstance(record, dict) else None
    if not isinstance(messages, list):
        raise ConfigError("messages: expected a record with a list of messages, found none")
    turns: list[dict[str, str]] = []
    for number, message in enumerate(messages):
        role, content = (message.get(key) if isinstance(message, dict) else None for key in ("role", "content"))
        if not isinstance(content, str) or role not in ("system" if number == 0 else None, "user", "assistant"):
            raise ConfigError(
                f"messages: message {number}: expected a text of user or assistant, or of system as the first, got "
                f"{message!r}"
            )
        turns.append({"role": str(role), "content": content})
    return turns


def takes_two_turns(template: ChatTemplate | None) -> bool:
    """Whether two turns of the user may follow each other: then a context can be one, as OpenChatKit writes it."""
    if template is None:
        return False
    try:
        template.render([{"role": "user", "content": "a"}] * 2, add_generation_prompt=True)
    except ConfigError:
        return False
    return True


def stops_of(template: ChatTemplate) -> tuple[str, ...]:
    """Strings that end an answer: what the template ends answers with, such as `<|im_end|>`.

    If it ends them with nothing, it is what begins the next turn, such as `<human>:`. A template that does not let its
    answers be found has none.
    """
    roles = ("user", "assistant", "user", "assistant")
    turns = [{"role": role, "content": mark} for role, mark in zip(roles, _MARKS, strict=True)]
    try:
        text, trained = template.render_trained(turns)
    except ConfigError:
        return ()
    end = text.index("AA1") + len("AA1")
    closing = next((text[end:last].strip() for start, last in trained if start < end <= last), "")
    opening = text[end : text.index("QQ2")].strip()
    return tuple(string for string in (closing or opening,) if string)
