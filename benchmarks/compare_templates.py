"""Stock chat templates beside `transformers`: equal, different, or refused by which of both.

`PYTHONPATH=python PEERS/bin/python benchmarks/compare_templates.py FOLDER` goes over all `*.jinja` files of a folder,
with conversations of several kinds, with and without the prompt for an answer, and names every difference.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import transformers.utils.chat_template_utils as peer

import bloomdata

NOW = "2026-01-31T12:00:00"
VARIABLES = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}


class Clock(datetime.datetime):
    """A clock that stands still."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime.datetime:  # noqa: ARG003 - as the one it stands for
        return cls.fromisoformat(NOW)


def message(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content} | more


def call(arguments: Any) -> dict[str, Any]:
    return {"id": "abc123def", "type": "function", "function": {"name": "get_weather", "arguments": arguments}}


TURNS = [
    message("user", " Hi there \n"),
    message("assistant", "Hello!\n\nHow are you? "),
    message("user", "Fine <think>x</think>"),
]
TURNS += [message("assistant", "<think>\nhmm\n</think>\n\nGood.")]
SYSTEM = [message("system", "You are kind.")]
CITY = {"type": "string", "description": "c", "enum": ["a", "b"]}
SCHEMA = {
    "type": "object",
    "properties": {"city": CITY, "n": {"type": "integer", "default": 1.5}},
    "required": ["city"],
}
TOOLS = [
    {
        "type": "function",
        "function": {"name": "get_weather", "description": 'Weather in "a" city é', "parameters": SCHEMA},
    }
]
CALL = [
    message("user", "Weather?"),
    message("assistant", "", tool_calls=[call({"city": "Zürich", "n": 2, "x": [True, None, 1.0]})]),
]
CALL += [message("tool", '{"t": 1}', tool_call_id="abc123def", name="get_weather"), message("assistant", "Cold.")]
CHATS: dict[str, tuple[list[dict[str, Any]], Any]] = {
    "two messages": (TURNS[:2], None),
    "four messages": (TURNS, None),
    "a system prompt": (SYSTEM + TURNS, None),
    "one message": (TURNS[:1], None),
    "a call of a tool": (SYSTEM + CALL, TOOLS),
    "tools that are not called": (TURNS, TOOLS),
    "a call without tools": (CALL, None),
    "reasoning": ([TURNS[0], message("assistant", "ans", reasoning_content="because"), TURNS[2]], None),
    "parts": (
        [message("user", [{"type": "text", "text": "é 'x'"}]), message("assistant", [{"type": "text", "text": "y"}])],
        None,
    ),
    "small and large numbers": (
        [*CALL[:1], message("assistant", None, tool_calls=[call({"a": 1e-7, "b": 1e22, "c": 2**63})])],
        TOOLS,
    ),
    "odd letters": ([message("user", "\x1c a\u3000\u2028"), message("assistant", "\x1f\u2029b \x85")], None),
}


def compare(source: str) -> tuple[Counter[str], list[str]]:
    """Counts of one template, and what is not equal."""
    counts, remarks = Counter[str](), []
    try:
        compiled = peer._compile_jinja_template(source)
    except Exception as error:  # templates may raise anything: all of it is a refusal
        return Counter({"refused by transformers": 1}), [f"transformers refuses it: {error}"]
    try:
        ours_template = bloomdata.ChatTemplate(source, variables=VARIABLES, date=NOW)
    except bloomdata.errors.ConfigError as error:
        return Counter({"refused by us": 1}), [f"we refuse it: {error}"]
    for name, (messages, tools) in CHATS.items():
        for asks in (False, True):
            ours: str | Exception
            theirs: str | Exception
            given = {"messages": messages, "tools": tools, "documents": None, "add_generation_prompt": asks}
            try:
                theirs = compiled.render(**given, **VARIABLES)
            except Exception as error:  # as above
                theirs = error
            try:
                ours = ours_template.render(messages, tools=tools, add_generation_prompt=asks)
            except bloomdata.errors.ConfigError as error:
                ours = error
            if isinstance(theirs, Exception):
                outcome = "refused by both" if isinstance(ours, Exception) else "refused by transformers"
            elif isinstance(ours, Exception):
                outcome = "refused by us"
            else:
                outcome = "equal" if ours == theirs else "different"
            counts[outcome] += 1
            if outcome in ("different", "refused by us"):
                remarks.append(
                    f"{name}, {'with' if asks else 'without'} prompt: {outcome}: {str(ours)[:200]!r} {str(theirs)[:200]!r}"  # noqa: E501
                )
    return counts, remarks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="with *.jinja files")
    folder = parser.parse_args().folder
    peer.datetime = Clock
    total = Counter[str]()
    paths = sorted(folder.rglob("*.jinja"))
    for path in paths:
        counts, remarks = compare(path.read_text("utf-8"))
        total += counts
        for remark in remarks:
            print(f"{path.name}: {remark}")
    print(f"{len(paths)} templates: " + ", ".join(f"{count} {outcome}" for outcome, count in total.most_common()))
    sys.exit(1 if total["different"] else 0)


if __name__ == "__main__":
    main()
