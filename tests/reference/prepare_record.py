"""A record's fields as the sources' scripts see them, and what becomes of a record, in plain Python.

Outcomes are what `_core.read_records` says, but for the wording of details: `{"documents": [...]}`, `{"joined": True}`,
`{"dropped": reason}` or `{"bad": reason}`.
"""

from __future__ import annotations

import json
from typing import Any


class BadError(Exception):
    """A record that is not of its source's form; the reason is the message."""


WRONG = "not of the source's form"


class Constant:
    """NaN, Infinity or -Infinity, which matter only where they are read."""

    def __init__(self, name: str) -> None:
        self.name = name


def parse(record: str) -> Any:
    """JSON as RFC 8259 has it, but for NaN; the last of equal keys."""
    try:
        return json.loads(record, parse_constant=Constant)
    except ValueError:
        raise BadError("malformed JSON") from None


def parse_object(record: str) -> dict[str, Any]:
    value = parse(record)
    if not isinstance(value, dict):
        raise BadError("not a JSON object")
    return value


def text(value: dict[str, Any], key: str) -> str:
    if key not in value:
        raise BadError("missing field")
    found = value[key]
    if found is None:
        raise BadError("null field")
    if isinstance(found, Constant):
        raise BadError("malformed JSON")
    if not isinstance(found, str):
        raise BadError("field is not a string")
    if any("\ud800" <= letter <= "\udfff" for letter in found):
        raise BadError("malformed JSON")
    return found


def text_or(value: dict[str, Any], key: str, other: str) -> str:
    return other if value.get(key) is None else text(value, key)


def a_list(value: dict[str, Any], key: str) -> list[Any]:
    if key not in value:
        raise BadError("missing field")
    if value[key] is None:
        raise BadError("null field")
    if isinstance(value[key], Constant):
        raise BadError("malformed JSON")
    if not isinstance(value[key], list):
        raise BadError(WRONG)
    return value[key]


def an_object(value: Any) -> dict[str, Any]:
    """An element of a list that must be an object."""
    if not isinstance(value, dict):
        raise BadError(WRONG)
    return value


def chat(*contents: str, strip: bool = False) -> dict[str, Any]:
    """A conversation that the user begins and in which nobody speaks twice."""
    roles = ("user", "assistant")
    messages = [{"role": roles[at % 2], "content": content} for at, content in enumerate(contents)]
    return {"messages": messages, "strip": strip}


def one(document: dict[str, Any]) -> dict[str, Any]:
    return {"documents": [document]}


def outcomes(convert: Any, records: list[str]) -> list[dict[str, Any]]:
    """What `convert` makes of each record alone."""
    found = []
    for record in records:
        try:
            found.append(convert(record))
        except BadError as bad:
            found.append({"bad": str(bad)})
    return found
