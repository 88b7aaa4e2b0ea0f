"""Alpaca, lists of messages, pairs, OIG and the rest become documents (SYSTEMS.md 1.1, 1.2, 2.9, 5.1, 6.2)."""

from __future__ import annotations

from typing import Any

from reference.prepare_record import (
    WRONG,
    BadError,
    a_list,
    an_object,
    chat,
    one,
    parse,
    parse_object,
    text,
    text_or,
)

ROLES = {
    "system": "system",
    "developer": "system",
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bing", "bard", "claude", "gemini", "bot"), "assistant"),
    **dict.fromkeys(("chatbot", "model", "ai", "function_call", "tool_call"), "assistant"),
    **dict.fromkeys(("tool", "function", "observation", "ipython", "tool_response", "tool_result"), "tool"),
    **dict.fromkeys(("function_response", "function_result"), "tool"),
}
WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
    "response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n"
)
WITHOUT_INPUT = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Response:\n"
)


def filled(template: str, **fields: str) -> str:
    return template.format(**fields)


def dolly(record: str, options: dict[str, Any]) -> dict[str, Any]:
    value = parse_object(record)
    instruction, context, response = (text(value, key) for key in ("instruction", "context", "response"))
    return one(chat(instruction + ("\n" + context if context else ""), response))


def alpaca(record: str, options: dict[str, Any], output: str = "output") -> dict[str, Any]:
    value = parse_object(record)
    instruction, answer = text(value, "instruction"), text(value, output)
    if options.get("compat") == "mindformers":
        if "input" in value:
            return one({"text": filled(WITH_INPUT, instruction=instruction, input=text(value, "input")) + answer})
        return one({"text": filled(WITHOUT_INPUT, instruction=instruction) + answer})
    given = text_or(value, "input", "")
    if options.get("prompt") == "stanford":
        template = WITH_INPUT if given else WITHOUT_INPUT
        return one(chat(filled(template, instruction=instruction, input=given), answer))
    return one(chat(instruction + ("\n" + given if given else ""), answer))


def gpteacher(record: str, options: dict[str, Any]) -> dict[str, Any]:
    return alpaca(record, options, "response")


def general_instruction(record: str, options: dict[str, Any]) -> dict[str, Any]:
    value = parse_object(record)
    instruction, given, answer = (text(value, key) for key in ("instruction", "input", "output"))
    return one(chat(f"{instruction}\n{given}", answer))


def self_instruct_seed_tasks(record: str, options: dict[str, Any]) -> dict[str, Any]:
    value = parse_object(record)
    instruction, documents = text(value, "instruction"), []
    for instance in a_list(value, "instances"):
        given, answer = text(an_object(instance), "input"), text(instance, "output")
        documents.append(chat(instruction + ("\n" + given if given else ""), answer))
    return {"documents": documents} if documents else {"dropped": "no instance"}


def prompt_completion(record: str, options: dict[str, Any]) -> dict[str, Any]:
    value, contents = parse(record), []
    if not isinstance(value, list):
        value = [parse_object(record)]
    for pair in value:
        contents += [text_or(an_object(pair), "prompt", ""), text(pair, "completion")]
    return one(chat(*contents)) if contents else {"dropped": "no valid turn"}


def messages(record: str, options: dict[str, Any]) -> dict[str, Any]:
    value, found = parse(record), []
    if not isinstance(value, list):
        value = a_list(parse_object(record), options.get("messages_keyword", "messages"))
    for message in value:
        name = text(an_object(message), options.get("role_keyword", "role"))
        role = ROLES.get(name.strip().lower())
        if role is None:
            raise BadError(WRONG)
        found.append({"role": role, "content": text(message, options.get("content_keyword", "content"))})
    if not found:
        return {"dropped": "no message"}
    rule = options.get("consecutive", "keep")
    if rule == "last":
        found = gdp(found)
        if all(message["role"] != "assistant" for message in found):
            return {"dropped": "no answer"}
    elif rule != "keep":
        arranged: list[dict[str, Any]] = []
        for message in found:
            if arranged and message["role"] == arranged[-1]["role"] != "tool":
                if rule == "refuse":
                    raise BadError(WRONG)
                arranged[-1]["content"] += "\n" + message["content"]
            else:
                arranged.append(message)
        found = arranged
    return one({"messages": found, "strip": False})


def gdp(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A pair at each answer; the last question since the answer before counts."""
    arranged, prompt = [], ""
    for message in found:
        if message["role"] == "user":
            prompt = message["content"]
        elif message["role"] == "assistant":
            arranged += [{"role": "user", "content": prompt}, message]
            prompt = ""
        else:
            arranged.append(message)
    return arranged


def oig(record: str, options: dict[str, Any]) -> dict[str, Any]:
    value = parse_object(record)
    said = text(value, "text")
    for key in {"meta": ["meta"], "metadata": ["metadata"], "both": ["meta", "metadata"]}[
        options.get("source_key", "meta")
    ]:
        meta = value.get(key)
        if isinstance(meta, dict) and meta.get("source") in options.get("drop_sources", ["prosocial"]):
            return {"dropped": "source left out"}
    if not options.get("parse"):
        return one({"text": said.strip() + "\n"})
    found: list[dict[str, Any]] = []
    for line in said.strip().split("\n"):
        for tag, role in (("<human>:", "user"), ("<bot>:", "assistant")):
            if line.startswith(tag):
                found.append({"role": role, "content": line[len(tag) :].removeprefix(" ")})
                break
        else:
            if not found:
                raise BadError(WRONG)
            found[-1]["content"] += "\n" + line
    return one({"messages": found, "strip": True})
