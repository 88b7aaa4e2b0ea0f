"""Chat templates as `transformers` 5 renders them: Jinja2 in a sandbox, and the blocks that mark what the model says.

Written from the behaviour of `transformers` 5.23 (`apply_chat_template`, `return_assistant_tokens_mask`); the test of
`peers` compares both.
"""

from __future__ import annotations

import datetime
import functools
import json
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes, pass_eval_context
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = datetime.datetime(2026, 1, 31, 12, 5, 9)
# What a text never holds: stands where a generation block begins and ends.
BEGIN, END = "\U000ffffe", "\U000fffff"


class Generation(Extension):
    """`{% generation %}`: renders what is inside as a value of its own, between marks if asked."""

    tags = {"generation"}  # noqa: RUF012 - as Jinja2 has it

    def parse(self, parser: Any) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_mark"), [], [], body).set_lineno(line)

    @pass_eval_context
    def _mark(self, context: Any, caller: Any) -> str:
        text = caller()
        return BEGIN + text + END if self.environment.globals["marks_generation"] else text


def refuse(message: object) -> NoReturn:
    raise TemplateError(str(message))


def to_json(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


@functools.cache
def environment(*, marks_generation: bool) -> ImmutableSandboxedEnvironment:
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    made.filters["tojson"] = to_json
    made.globals |= {"raise_exception": refuse, "strftime_now": NOW.strftime, "marks_generation": marks_generation}
    return made


@functools.cache
def compiled(source: str, *, marks_generation: bool = False) -> Any:
    return environment(marks_generation=marks_generation).from_string(source)


def render(source: str, messages: Any, *, add_generation_prompt: bool = False, **given: Any) -> str:
    """The text of a conversation; any exception is a refusal."""
    given = {"tools": None, "documents": None} | given
    return compiled(source).render(messages=messages, add_generation_prompt=add_generation_prompt, **given)


def render_trained(source: str, messages: Any, **given: Any) -> tuple[str, list[tuple[int, int]]]:
    """The text, and the generation blocks in it, in characters, as `return_assistant_tokens_mask` counts them."""
    given = {"tools": None, "documents": None} | given
    marked = compiled(source, marks_generation=True).render(messages=messages, add_generation_prompt=False, **given)
    text, spans = "", []
    for number, part in enumerate(marked.split(BEGIN)):
        inside, _, behind = part.partition(END) if number else ("", "", part)
        if number:
            spans.append((len(text), len(text) + len(inside)))
        text += inside + behind
    return text, spans


def trained_tokens(spans: list[tuple[int, int]], offsets: list[tuple[int, int]]) -> list[bool]:
    """Which tokens hold a character of a span."""
    return [any(max(start, first) < min(end, stop) for first, stop in spans) for start, end in offsets]


def places(source: str, messages: list[dict[str, Any]], **given: Any) -> tuple[str, list[tuple[int, int]]]:
    """The text, and where what the assistant says stands in it: found by marks around it.

    For templates that put messages in as they are, or stripped of what is not there.
    """

    def marked(message: dict[str, Any]) -> dict[str, Any]:
        return message | {"content": BEGIN + message["content"] + END}

    chat = [marked(message) if message["role"] == "assistant" else message for message in messages]
    text, spans = "", []
    for number, part in enumerate(render(source, chat, **given).split(BEGIN)):
        inside, _, behind = part.partition(END) if number else ("", "", part)
        if number:
            spans.append((len(text), len(text) + len(inside)))
        text += inside + behind
    return text, spans
