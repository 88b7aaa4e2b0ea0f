"""Judged answers as rows: the prompt with each answer in ChatML, a byte a token; long prompts lose their start."""

from __future__ import annotations

from typing import Any

from reference.articles import COMPLETION, PADDING, PROMPT, SEPARATOR

Messages = list[dict[str, str]]
Row = tuple[list[int], list[int]]
PAD, EOS = 256, 258


def tokens_of(prompt: Messages, answer: Messages) -> tuple[list[int], list[int], int]:
    """Tokens, their types, and how many of them are the prompt."""
    data, types = [], []
    for number, message in enumerate([*prompt, *answer]):
        is_trained = number >= len(prompt) and message["role"] == "assistant"
        head = f"<|im_start|>{message['role']}\n".encode()
        body = f"{message['content']}<|im_end|>".encode()
        data += [*head, *body, ord("\n")]
        types += [PROMPT] * len(head) + [COMPLETION if is_trained else PROMPT] * len(body) + [PROMPT]
    # The line end behind the last answer makes way for the end token.
    data[-1], types[-1] = EOS, SEPARATOR
    return data, types, types.index(COMPLETION)


def rows(prompt: Messages, answers: list[Messages], length: int) -> tuple[list[Row], int] | None:
    """A row for each answer, and how many tokens of prompts were cut; none if an answer has no room."""
    articles = [tokens_of(prompt, answer) for answer in answers]
    room = length - max(len(data) - size for data, _, size in articles)
    if room < 1:
        return None
    made, cut = [], 0
    for data, types, size in articles:
        lost = max(0, size - room)
        cut += lost
        padding = length - len(data) + lost
        made.append((data[lost:] + [PAD] * padding, types[lost:] + [PADDING] * padding))
    return made, cut


def outcome(record: dict[str, Any]) -> str | None:
    """Why a record in the plain form, a prompt and two answers in messages, is dropped."""
    answers = [record["chosen"], record["rejected"]]
    for answer in answers:
        if not any(one["role"] == "assistant" and one["content"].strip() for one in answer):
            return "empty answer"
    return "chosen equals rejected" if answers[0] == answers[1] else None
