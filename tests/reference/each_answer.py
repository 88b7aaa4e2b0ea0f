"""One text for each answer: the conversation up to it, as Jinja2 renders it, with the answer alone trained on."""

from __future__ import annotations

from typing import Any, NamedTuple

from reference import chat_template


class Sample(NamedTuple):
    """The text of one answer: what is in front of it, itself with what ends it, and what the template writes behind."""

    prompt: str
    trained: str
    rest: str


def samples(source: str, messages: list[dict[str, Any]], end: str, **given: Any) -> list[Sample]:
    """A sample for each answer that is not switched off; `end` is what ends an answer, nothing if it is no token."""
    found = []
    for number, message in enumerate(messages):
        if message["role"] != "assistant" or message.get("weight") == 0:
            continue
        # No switch reaches the template.
        chat = [{key: value for key, value in one.items() if key != "weight"} for one in messages[: number + 1]]
        text = chat_template.render(source, chat, **given)
        prompt = chat_template.render(source, chat[:-1], add_generation_prompt=True, **given)
        assert text.startswith(prompt), "a template without a prompt for the answer"
        stop = text.rindex(end) + len(end) if end else len(text)
        found.append(Sample(prompt, text[len(prompt) : stop], text[stop:]))
    return found
