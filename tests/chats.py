"""Random conversations, and the templates that render them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import strategies as st

import bloomdata

FOLDER = Path(__file__).parent / "golden" / "templates"
BUILTIN_FOLDER = Path(__file__).parent.parent / "rust/bloomdata-core/src/templates/builtin"
OURS = sorted(path.stem for path in BUILTIN_FOLDER.glob("*.jinja"))
SOURCES = {path.stem: path.read_text("utf-8") for path in [*BUILTIN_FOLDER.glob("*.jinja"), *FOLDER.glob("*.jinja")]}
VARIABLES = {"bos_token": "<s>", "eos_token": "</s>"}
DATE = "2026-01-31T12:05:09"

# White space of Python's kinds, tags of roles, ends of answers, things that templates look for.
SPECIAL = [
    " ",
    "\n",
    "\t",
    "\r\n",
    "\x0b",
    "\x1c",
    "\x1f",
    "\x85",
    "\u3000",
    "\u2028",
    "\ufeff",
    "\u200b",
    "<bot>:",
    "<human>: ",
]
SPECIAL += [
    "<|im_end|>",
    "<|im_start|>assistant\n",
    "</s>",
    "<s>",
    "[INST] ",
    "[/INST]",
    "<think>",
    "</think>",
    "<|eot_id|>",
]
SPECIAL += [
    "{{ x }}",
    "{% if %}",
    "{#",
    "\\",
    '"',
    "'",
    "<",
    "&",
    "é",
    "文",
    "😀",
    "\x00",
    "### Response:\n",
    "assistant",
    "user",
    "a",
]
# Letters that are not assigned may be printable elsewhere, or later.
letters = st.text(st.characters(exclude_categories=["Cs", "Cn", "Co"], max_codepoint=0x2FFF), max_size=4)
texts = st.lists(st.one_of(st.sampled_from(SPECIAL), letters), max_size=6).map("".join)
numbers = st.one_of(st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False))
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
arguments = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
objects = st.dictionaries(st.one_of(st.sampled_from(["city", "n", "get", "items"]), texts), arguments, max_size=3)
calls = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["abc123def", "x"]),
        "type": st.just("function"),
        "function": st.fixed_dictionaries({"name": st.sampled_from(["f", "get_é"]), "arguments": objects}),
    }
)
parts = st.lists(
    st.one_of(
        st.fixed_dictionaries({"type": st.just("text"), "text": st.text("ab' \n", max_size=5)}),
        st.just({"type": "image", "image": "x"}),
    ),
    max_size=3,
)
tools = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.just("function"),
            "function": st.fixed_dictionaries(
                {
                    "name": st.sampled_from(["f", "get_é"]),
                    "description": texts,
                    "parameters": st.fixed_dictionaries(
                        {
                            "type": st.just("object"),
                            "properties": st.dictionaries(
                                texts,
                                st.sampled_from(
                                    [
                                        {"type": "string"},
                                        {"type": "array", "items": {"type": "integer"}},
                                        {"type": ["null", "number"]},
                                        {},
                                    ]
                                ),
                                max_size=3,
                            ),
                            "required": st.lists(texts, max_size=2),
                        }
                    ),
                }
            ),
        }
    ),
    min_size=1,
    max_size=2,
)


def message(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


@st.composite
def plain_chats(draw: Any) -> list[dict[str, Any]]:
    """Perhaps a system prompt, then turns that alternate; now and then roles in any order."""
    if draw(st.integers(0, 5)) == 0:
        roles = draw(st.lists(st.sampled_from(["system", "user", "assistant"]), min_size=1, max_size=5))
    else:
        roles = ["system"] * draw(st.integers(0, 1)) + ["user", "assistant"] * draw(st.integers(1, 3))
        roles = roles[: len(roles) - draw(st.integers(0, 1))]
    return [message(role, draw(texts)) for role in roles]


@st.composite
def rich_chats(draw: Any) -> list[dict[str, Any]]:
    """The same with all that messages may have beside texts."""
    chat = draw(plain_chats())
    for at in range(len(chat) - 1, -1, -1):
        extra = draw(st.integers(0, 7))
        if chat[at]["role"] == "assistant" and extra < 3:
            chat[at] |= {"tool_calls": draw(st.lists(calls, min_size=1, max_size=2))}
            chat[at]["content"] = draw(st.sampled_from(["", None, chat[at]["content"]]))
            chat.insert(at + 1, message("tool", draw(texts)) | {"tool_call_id": "abc123def", "name": "f"})
        elif chat[at]["role"] == "assistant" and extra == 3:
            chat[at] |= {"reasoning_content": draw(st.one_of(texts, st.none()))}
        elif extra == 4:
            chat[at]["content"] = draw(st.one_of(parts, st.none()))
        elif extra == 5:
            chat[at] = {key: chat[at][key] for key in ("content", "role")} | {"weight": draw(scalars)}
    return chat


def template_of(name: str, **options: Any) -> bloomdata.ChatTemplate:
    """A template of a file, or the built-in one of that name."""
    options = {"variables": VARIABLES, "date": DATE} | options
    return bloomdata.ChatTemplate(name if name in OURS else SOURCES[name], **options)
