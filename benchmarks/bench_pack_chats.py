"""Claim: rendering conversations by a template and telling what is trained on adds at most 15 % to `pack`.

The same conversations, once as messages with a template, once as the texts that it makes of them; both to HDF5 rows of
2048 tokens by `greedy`. It is checked first that both have the same ids, and that what is trained on are the answers.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus import decompress, train_tokenizer
from measure import CLI, MB, Bench, Case, bench, claim, in_child, print_table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

TARGET_TIME = 1.15
TRAINING_CHATS = 5000
# A Jinja template that is not built in, so that it is run for every conversation.
JINJA = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TEMPLATES = {"human_bot": "human_bot", "chatml": "chatml", "Jinja": JINJA}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--chats", type=Path, nargs="+", required=True, help=".jsonl of messages, of `prepare`")
    parser.add_argument("--tokenizer", type=Path, help="a tokenizer.json; trained on the texts if not given")
    parser.add_argument("--limit-mb", type=float, default=100, help="MB of JSONL, by repeating the conversations")


def conversations(paths: list[Path]) -> Iterator[list[dict[str, str]]]:
    for path in paths:
        for line in path.read_bytes().splitlines():
            messages = json.loads(line)["messages"]
            if any(message["role"] == "assistant" and message["content"].strip() for message in messages):
                yield messages


def rendered(messages: list[dict[str, str]], template: str) -> tuple[str, list[str]]:
    """The text of a conversation, and the answers in it, written down once more in plain Python."""
    if template == "human_bot":
        tags = {"system": "", "user": "<human>: ", "assistant": "<bot>: "}
        text = "\n".join(tags[message["role"]] + message["content"] for message in messages)
        return text, [" " + message["content"] for message in messages if message["role"] == "assistant"]
    parts = [f"<|im_start|>{message['role']}\n{message['content']}<|im_end|>\n" for message in messages]
    return "".join(parts), [m["content"] + "<|im_end|>" for m in messages if m["role"] == "assistant"]


def prepare(options: Any, folder: Path) -> tuple[str, dict[str, int]]:
    """Writes the conversations, as messages and as texts of every template, over and over."""
    files = decompress(options.chats, folder) if options.chats[0].suffix == ".zst" else options.chats
    chats = list(conversations(files))
    sizes = {}
    for name, template in {"messages": None, **TEMPLATES}.items():
        records = [{"messages": chat} if template is None else {"text": rendered(chat, template)[0]} for chat in chats]
        content = b"".join(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in records)
        copies = max(1, round(options.limit_mb * MB / sizes.get("once", len(content))))
        sizes.setdefault("once", len(content))
        with (folder / f"{name}.jsonl").open("wb") as file:
            for _ in range(copies):
                file.write(content)
        sizes[name] = copies * len(content)
    if options.tokenizer is not None:
        return str(options.tokenizer.resolve()), sizes
    training = folder / "training.jsonl"
    lines = (folder / "human_bot.jsonl").read_bytes().splitlines(keepends=True)[:TRAINING_CHATS]
    training.write_bytes(b"".join(lines))
    train_tokenizer([training], "text", folder / "tokenizer.json")
    return str(folder / "tokenizer.json"), sizes


def check(chats: Path, texts: Path, source: Path, template: str, tokenizer: str) -> str:
    """Compares two Megatron folders, document for document; what is wrong, or nothing."""
    import bloomdata

    decode = bloomdata.Tokenizer(tokenizer).decode
    ours, plain = (bloomdata.IndexedDataset(str(folder / "data_text_document")) for folder in (chats, texts))
    types = bloomdata.IndexedDataset(str(chats / "data_text_token_types"))
    lines = source.read_bytes().splitlines()
    if not len(ours) == len(plain) == len(types) == len(lines):
        return f"{len(ours)}, {len(plain)}, {len(types)} and {len(lines)} documents"
    # Copies are alike.
    for at in range(min(len(ours), 20_000)):
        tokens, kinds = ours[at][:-1], types[at][:-1]
        if (tokens != plain[at][: len(tokens)]).any():
            return f"document {at}: other ids"
        trained = decode(tokens[kinds == 1].tolist())
        answers = "".join(rendered(json.loads(lines[at])["messages"], template)[1])
        if len(trained) < len(answers):
            return f"document {at}: {trained!r} is trained on, expected {answers!r}"
    return ""


def pack(name: str, template: str | None, tokenizer: str, folder: Path, size: int, **options: str) -> Case:
    out = folder / f"packed-{name}".replace(" ", "-")
    command = [CLI, "pack", str(folder / f"{name.removesuffix(' as text') if template is None else 'messages'}.jsonl")]
    command += ["-o", str(out), "--tokenizer", tokenizer, "-q"]
    command += [part for option, value in options.items() for part in (f"--{option.replace('_', '-')}", value)]
    command += [] if template is None else ["--template", template]
    return Case(name=name, command=command, content_bytes=size, output=out)


def compare(run: Bench, tokenizer: str, sizes: dict[str, int]) -> None:
    rows = {"sequence_length": "2048", "packing": "greedy::truncate_right"}
    for name, template in TEMPLATES.items():
        made = [
            pack(*case, format="megatron")
            for case in (
                (name, template, tokenizer, run.scratch, sizes["messages"]),
                (f"{name} as text", None, tokenizer, run.scratch, sizes[name]),
            )
        ]
        for case in made:
            run.run(case)
        wrong = in_child(check, made[0].output, made[1].output, run.scratch / "messages.jsonl", name, tokenizer)
        if wrong:
            sys.exit(f"{name}: {wrong}")
    print("checked: the same ids, and the answers are trained on\n")
    cases = [
        case
        for name, template in TEMPLATES.items()
        for case in (
            pack(f"{name} as text", None, tokenizer, run.scratch, sizes[name], **rows),
            pack(name, template, tokenizer, run.scratch, sizes["messages"], **rows),
        )
    ]
    results = run.compare(cases)
    print_table(results)
    for number, name in enumerate(TEMPLATES):
        plain, ours = results[2 * number : 2 * number + 2]
        time = ours.wall_seconds / plain.wall_seconds
        print(f"{name}: {ours.cpu_seconds / plain.cpu_seconds:.3f} times the CPU time")
        claim(f"pack with template {name} beside its texts", time, "times its time", at_most=TARGET_TIME)


def main() -> None:
    with bench("pack of conversations", add_options) as run:
        tokenizer, sizes = in_child(prepare, run.options, run.scratch)
        print(f"{sizes['messages'] / MB:.1f} MB of messages; tokenizer {run.options.tokenizer or 'trained on them'}\n")
        compare(run, tokenizer, sizes)


if __name__ == "__main__":
    main()
