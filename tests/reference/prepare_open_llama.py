"""Records of Open-Llama's data become documents as SYSTEMS.md 3.2 says."""

from __future__ import annotations

from typing import Any

from reference.prepare_chats import ROLES
from reference.prepare_record import WRONG, BadError, a_list, an_object, chat, one, parse_object, text

PAIRS = {
    "self_instruct": ("prompt", "completion"),
    "belle": ("instruction", "output"),
    "instruct_to_code": ("instruction", "answer"),
    "xp3": ("inputs", "targets"),
    "camel": ("message_1", "message_2"),
    "grade_school_math": ("INSTRUCTION", "RESPONSE"),
}


def turn(source: str, prompt: str, completion: str) -> tuple[str, str]:
    if source == "self_instruct" and prompt.endswith("Output:"):
        prompt = prompt[:-7]
    if source in ("belle", "instruct_to_code"):
        return prompt.replace("\\n", ""), completion.replace("\\n", "")
    return prompt.strip(), completion.strip()


def of_turns(turns: list[tuple[str, str]], options: dict[str, Any]) -> dict[str, Any]:
    if not turns:
        return {"dropped": "no valid turn"}
    if options.get("turns") == "separate":
        return {"documents": [chat(*turn) for turn in turns]}
    return one(chat(*[content for turn in turns for content in turn]))


def multiturn(chats: str) -> list[tuple[str, str]]:
    pieces = [piece.split("Assistant:") for piece in chats.split("Human:") if piece.strip()]
    return [(parts[0].strip(), parts[1].strip()) for parts in pieces if len(parts) == 2]


def messages_of(value: dict[str, Any]) -> list[tuple[str, str]]:
    return [(text(an_object(message), "from"), text(message, "value")) for message in a_list(value, "conversations")]


def sharegpt(value: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """All messages as one conversation; upstream's couples for separate turns."""
    messages = messages_of(value)
    if options.get("turns") == "separate":
        return of_turns(couples(messages), options)
    found: list[dict[str, Any]] = []
    for name, content in messages:
        role = ROLES.get(name.strip().lower())
        if role is None:
            raise BadError(WRONG)
        if found and found[-1]["role"] == role != "tool":
            found[-1]["content"] += "\n" + content.strip()
        else:
            found.append({"role": role, "content": content.strip()})
    if not {"user", "assistant"} <= {message["role"] for message in found}:
        return {"dropped": "no valid turn"}
    return one({"messages": found, "strip": False})


def couples(messages: list[tuple[str, str]]) -> list[tuple[str, str]]:
    if messages and messages[0][0] != "human":
        messages = messages[1:]
    turns = []
    for at in range(0, len(messages) - 1, 2):
        (human, prompt), (gpt, completion) = messages[at : at + 2]
        if (human, gpt) == ("human", "gpt"):
            turns.append((prompt.strip(), completion.strip()))
    return turns


def open_llama(source: str, record: str, options: dict[str, Any]) -> dict[str, Any]:
    """What becomes of one record."""
    value = parse_object(record)
    if source == "wudao":
        return one({"text": text(value, "title") + "\n" + text(value, "content")})
    if source == "pile":
        return one({"text": text(value, "text")})
    if source == "belle_multiturn":
        return of_turns(multiturn(text(value, "instruction") + text(value, "output")), options)
    if source == "sharegpt":
        return sharegpt(value, options)
    if source in PAIRS:
        prompt, completion = (text(value, key) for key in PAIRS[source])
        return one(chat(*turn(source, prompt, completion)))
    for known in ("self_instruct", "belle", "instruct_to_code", "sharegpt", "xp3", "camel", "grade_school_math"):
        if known == "sharegpt":
            if "conversations" in value:
                return of_turns(couples(messages_of(value)), options)
        elif all(key in value for key in PAIRS[known]):
            prompt, completion = (text(value, key) for key in PAIRS[known])
            if known == "belle" and "Human:" in prompt:
                return of_turns(multiturn(prompt + completion), options)
            return one(chat(*turn(known, prompt, completion)))
    raise BadError(WRONG)
