"""Records of conversations as `pack` takes them, by plain rules: the messages that are rendered, or a refusal."""

from __future__ import annotations

from typing import Any


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
        found.append({"role": message[role_keyword], "content": content})
    return found


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
