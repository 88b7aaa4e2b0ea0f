"""Rendering conversations beside `transformers.apply_chat_template`, at equal texts.

Needs a Python that has `transformers` and `zstandard`, and our package on its path:
`PYTHONPATH=python PEERS/bin/python benchmarks/bench_templates.py FOLDER`, where FOLDER holds Dolly
(`dolly_15k.jsonl.zst`), trees of OASST (`oasst1_en_validation_trees.jsonl.zst`) and conversations of ShareGPT
(`sharegpt_dummy_fastchat.jsonl.zst`).
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zstandard
from measure import claim, machine, refuse_debug_build
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

import bloomdata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parent.parent
BUILTIN = ROOT / "rust/bloomdata-core/src/templates/builtin"
VARIABLES = {"bos_token": "<s>", "eos_token": "</s>"}
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
Chat = list[dict[str, Any]]


def records(path: Path) -> Iterator[Any]:
    with path.open("rb") as file:
        for line in io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), "utf-8"):
            yield json.loads(line)


def message(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}


def dolly(path: Path) -> list[Chat]:
    """Questions, with their context, and answers."""
    return [
        [
            message("user", "\n\n".join(filter(None, (one["context"], one["instruction"])))),
            message("assistant", one["response"]),
        ]
        for one in records(path)
    ]


def oasst(path: Path) -> list[Chat]:
    """The first way through each tree."""
    chats = []
    for tree in records(path):
        node, chat = tree["prompt"], []
        while node is not None:
            chat.append(message("user" if node["role"] == "prompter" else "assistant", node["text"]))
            node = next(iter(node["replies"]), None)
        chats.append(chat)
    return chats


def sharegpt(path: Path) -> list[Chat]:
    """Conversations as they are."""
    roles = {"human": "user", "gpt": "assistant"}
    return [[message(roles[turn["from"]], turn["value"]) for turn in one["conversations"]] for one in records(path)]


def rate(chats: list[Chat], render: Callable[[Chat], str], repeat: int) -> float:
    """Conversations a second, the median of some runs."""
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        for chat in chats:
            render(chat)
        seconds.append(time.perf_counter() - start)
    return len(chats) / statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the files are")
    parser.add_argument("--repeat", type=int, default=5, help="runs of each; medians are reported")
    parser.add_argument("--most", type=int, default=2000, help="conversations of each file")
    options = parser.parse_args()
    refuse_debug_build()
    print(machine(Path("/tmp")), "\n")
    data = {
        "Dolly": dolly(options.folder / "dolly_15k.jsonl.zst")[: options.most],
        "OASST": oasst(options.folder / "oasst1_en_validation_trees.jsonl.zst")[: options.most],
        "ShareGPT": sharegpt(options.folder / "sharegpt_dummy_fastchat.jsonl.zst")[: options.most],
    }
    templates = {
        "chatml": ("chatml", (BUILTIN / "chatml.jinja").read_text(), None),
        "llama3": ("llama3", (BUILTIN / "llama3.jinja").read_text(), None),
    }
    for name in ("thinking", "tools_and_date"):
        source = (ROOT / f"tests/golden/templates/{name}.jinja").read_text()
        templates[name] = (source, source, None)
        templates[f"{name}, a tool"] = (source, source, [TOOL])
    peer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), **VARIABLES)
    print(
        "| template | conversations | ours /s | ours, as JSON /s | with what is trained on /s | transformers /s | times | times, as JSON |"  # noqa: E501
    )
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    ratios = []
    today = time.strftime("%Y-%m-%d")
    for name, (ours, theirs, tools) in templates.items():
        template = bloomdata.ChatTemplate(ours, variables=VARIABLES, date=today)
        for kind, chats in data.items():

            def by_us(chat: Chat, template: Any = template, tools: Any = tools) -> str:
                return template.render(chat, tools=tools)

            def by_them(chat: Chat, theirs: str = theirs, tools: Any = tools) -> str:
                return peer.apply_chat_template(chat, tools=tools, chat_template=theirs, tokenize=False)

            assert all(by_us(chat) == by_them(chat) for chat in chats), (name, kind)
            lines = [json.dumps({"messages": chat} | ({"tools": tools} if tools else {})) for chat in chats]
            core = template._core
            ours_rate = rate(chats, by_us, options.repeat)
            json_rate = rate(lines, lambda line, core=core: core.render(line, False), options.repeat)
            both_rate = rate(lines, lambda line, core=core: trained(core, line), options.repeat)
            their_rate = rate(chats, by_them, options.repeat)
            ratios.append(ours_rate / their_rate)
            print(
                f"| {name} | {len(chats)} of {kind} | {ours_rate:,.0f} | {json_rate:,.0f} | {both_rate:,.0f} | {their_rate:,.0f} "  # noqa: E501
                f"| {ours_rate / their_rate:.1f} | {json_rate / their_rate:.1f} |",
                flush=True,
            )
    claim("rendering from Python, slowest beside transformers", min(ratios), "times", at_least=20)


def trained(core: Any, line: str) -> Any:
    try:
        return core.render_trained(line)
    except bloomdata.errors.ConfigError:
        return None


if __name__ == "__main__":
    main()
