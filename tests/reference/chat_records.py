"""Records of conversations as `pack` takes them, by plain rules: the messages that are rendered, or a refusal."""

from __future__ import annotations

from typing import Any

from reference.prepare_chats import ROLES

USUAL = ("system", "user", "assistant", "tool")
SWITCHES = ("weight", "train", "training", "trainable", "loss", "loss_mask")


class RefusedError(Exception):
    """Why a record is bad."""


def read(
    record: dict[str, Any], *, role_keyword: str = "role", content_keyword: str = "content"
) -> list[dict[str, Any]]:
    """The messages of a record for a template that writes no calls of tools: each has a `role` and a `content`."""
    found = []
    for number, message in enumerate(record["messages"]):
        if role_keyword not in message:
            raise RefusedError(f"message {number} has no role")
        content = text_of(message.get(content_keyword), number)
        if content is None or any(message.get(key) for key in ("tool_calls", "function_call")):
            raise RefusedError(f"message {number} says nothing, or calls a tool")
        role = message[role_keyword]
        if role not in USUAL:
            role = ROLES.get(role.strip().lower())
        if role is None:
            raise RefusedError(f"message {number} has an unknown role")
        found.append({"role": role, "content": content, "trains": switch_of(message)})
    for key in SWITCHES:
        states = record.get(key)
        if isinstance(states, list) and len(states) != len(found):
            raise RefusedError(f"{key}: not one for each message")
        if not isinstance(states, list):
            said = switch_of({key: states})
            states = [0 if said is False and message["role"] == "assistant" else None for message in found]
        for message, state in zip(found, states, strict=True):
            message["trains"] = both(message["trains"], switch_of({key: state}))
    if any(message["trains"] and message["role"] != "assistant" for message in found):
        raise RefusedError("switched on, but no answer")
    for message in found:
        message["trains"] = message["trains"] is not False
    if any(record.get(key) for key in ("tools", "functions", "history")):
        raise RefusedError("what the template does not write")
    if any(message.get("reasoning_content") for message in record["messages"]):
        raise RefusedError("thoughts")
    for key in ("system", "system_prompt", "system_message"):
        if text := record.get(key):
            if not isinstance(text, str) or (found[0]["role"] == "system" and found[0]["content"] != text):
                raise RefusedError(f"{key}: no text, or a second one")
            if found[0]["role"] != "system":
                found.insert(0, {"role": "system", "content": text, "trains": True})
    return found


def switch_of(message: dict[str, Any]) -> bool | None:
    """What the switches of a message say together."""
    said = None
    for key in SWITCHES:
        value = message.get(key)
        if value is not None and value not in (0, 1):
            raise RefusedError(f"{key}: not understood")
        said = both(said, None if value is None else bool(value))
    return said


def both(one: bool | None, other: bool | None) -> bool | None:
    if one is not None and other is not None and one != other:
        raise RefusedError("a contradiction")
    return other if one is None else one


def text_of(content: Any, number: int) -> str | None:
    """The text of a content; none where there is nothing."""
    if content is None or content == []:
        return None
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    if any(
        not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str)
        for part in parts
    ):
        raise RefusedError(f"message {number}: no text")
    if not isinstance(content, list):
        raise RefusedError(f"message {number}: an object")
    return "".join(part["text"] for part in parts)
