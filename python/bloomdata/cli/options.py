"""Options that several verbs share, and values that need parsing."""

from __future__ import annotations

import argparse
import json
from typing import Any

FORMATS = ".jsonl .ndjson .json .txt (each plain, .gz or .zst), .parquet; files, folders or patterns"


def parse_splits(text: str) -> dict[str, float]:
    """`train=0.98,dev=0.01,test=0.01` or `dev=1000,test=1000`."""
    splits: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = part.partition("=")
        try:
            splits[name] = int(share) if share.isdigit() else float(share)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{part!r} is not NAME=SHARE") from None
    if any(isinstance(share, float) for share in splits.values()):
        return {name: float(share) for name, share in splits.items()}
    return splits


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """What is read, and where it goes."""
    parser.add_argument("inputs", nargs="+", help=FORMATS)
    parser.add_argument("--output", "-o", required=True, help="folder to write; new, empty, or of an earlier run")


def add_shards(parser: argparse.ArgumentParser, *, seed: str) -> None:
    """Shards, the order of their lines and which split each line is of. `seed` says what the seed is for."""
    parser.add_argument("--max-lines", type=int, default=16_384, help="lines in a shard")
    parser.add_argument("--compression", choices=("zstd", "gzip", "none"), default="zstd", help="of the shards")
    parser.add_argument("--level", type=int, default=3, help="compression level")
    parser.add_argument("--prefix", default="part", help="first part of shard names")
    parser.add_argument("--shuffle", action="store_true", help="shuffle all lines, in bounded memory")
    parser.add_argument("--seed", type=int, default=0, help=seed)
    parser.add_argument(
        "--splits",
        type=parse_splits,
        help="shares (train=0.98,dev=0.01,test=0.01) or numbers of lines (dev=1000,test=1000)",
    )


def add_bad_records(parser: argparse.ArgumentParser) -> None:
    """What a record does that cannot become a document."""
    parser.add_argument(
        "--on-bad-record",
        choices=("raise", "quarantine"),
        default="raise",
        help="stop at the first bad record, or keep bad records in quarantine.jsonl and count them",
    )


def add_running(
    parser: argparse.ArgumentParser,
    *,
    threads: bool = True,
    overwrite: bool = True,
    html: bool = True,
    prints: bool = False,
) -> None:
    """How the program runs; nothing that changes outputs."""
    group = parser.add_argument_group("running")
    if threads:
        group.add_argument("--num-threads", type=int, help="threads; one per processor if not given")
    if overwrite:
        group.add_argument("--overwrite", action="store_true", help="discard what an earlier run left in the output")
    quiet = "show no progress" if prints else "print errors only"
    group.add_argument("--quiet", "-q", action="store_true", help=quiet)
    group.add_argument("--json", action="store_true", help="print the report as one line of JSON")
    if html:
        group.add_argument("--html", metavar="FILE", help="write the report as a web page, too; not into the output")


def add_tokenizer(parser: argparse.ArgumentParser) -> None:
    """Which tokenizer."""
    parser.add_argument("--tokenizer", required=True, help="a tokenizer.json, a folder that holds one, or 'bytes'")


def add_records(parser: argparse.ArgumentParser, *, several: str) -> None:
    """What a record is, and where its text."""
    parser.add_argument(
        "--record",
        choices=("text", "prompt_completion", "messages"),
        default="text",
        help="what a record is: an object with text, pairs of prompt and completion, or a conversation",
    )
    parser.add_argument(
        "--text-field",
        default=["text"],
        action="extend",
        nargs="+",
        help=f"field that holds the text, a.b for one inside another; several {several}",
    )


def add_special_tokens(parser: argparse.ArgumentParser, *, append_eos: bool) -> None:
    """Tokens around texts."""
    parser.add_argument("--eos-token", help="token that ends a document, if the tokenizer's files do not say")
    parser.add_argument(
        "--add-special-tokens",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="keep tokens that the tokenizer adds itself (a leading <s>)",
    )
    parser.add_argument("--special-tokens", nargs="+", metavar="TOKEN", help="tokens to add to the vocabulary")
    parser.add_argument(
        "--append-eos",
        action=argparse.BooleanOptionalAction,
        default=append_eos,
        help="end every document with the end token",
    )


def add_pairs(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """How pairs of prompt and completion are read."""
    group = parser.add_argument_group("pairs of prompt and completion")
    group.add_argument("--prompt-keyword", default="prompt", help="key of the prompt")
    group.add_argument("--completion-keyword", default="completion", help="key of the completion")
    group.add_argument(
        "--space-separator",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="put one space in front of completions, and none behind prompts",
    )
    group.add_argument("--prompt-prefix", help="in front of prompts that are not empty")
    group.add_argument("--prompt-postfix", help="behind prompts that are not empty")
    group.add_argument(
        "--keep-prompt-only-sequences", action="store_true", help="keep pairs and rows on which nothing is trained"
    )
    return group


def add_chats(parser: argparse.ArgumentParser, *, defaults: bool = True) -> None:
    """How conversations become text. Without defaults, options that are not given are None."""
    group = parser.add_argument_group("conversations")
    group.add_argument(
        "--template",
        help="name of a chat template (human_bot, chatml, llama3, ...), a .jinja file, or a tokenizer_config.json; "
        "the tokenizer's own if not given",
    )
    add_template_values(group)
    group.add_argument(
        "--train-on",
        choices=("all", "last"),
        default="all" if defaults else None,
        help="all answers, or the last one",
    )
    group.add_argument(
        "--messages-keyword", default="messages" if defaults else None, help="key of the list of messages"
    )
    group.add_argument(
        "--source",
        type=parse_source,
        metavar="NAME",
        help="source whose records these are, as for prepare; with options: "
        """'{"source": "sharegpt", "turns": "separate"}'""",
    )


def add_template_values(group: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """What a template is given beside messages."""
    group.add_argument(
        "--template-variables", type=parse_json_object, metavar="JSON", help="what else the template may use"
    )
    group.add_argument("--template-date", metavar="DATE", help="what the template's strftime_now says")


def parse_source(text: str) -> str | dict[str, Any]:
    """The name of a source, or a JSON object with its name and its options."""
    return parse_json_object(text) if text.startswith("{") else text


def parse_json_object(text: str) -> dict[str, Any]:
    """A JSON object."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is no JSON object")
    return value


def add_rows_of_pairs(group: argparse._ArgumentGroup) -> None:
    """What rows of pairs hold besides."""
    group.add_argument("--category-keyword", default="category", help="key of the category")
    group.add_argument("--categories", metavar="FILE", help="JSON list of names; adds category_ids to the rows")
    boundaries = ("jsonl", "prompt_completion_pair")
    group.add_argument(
        "--attention-boundary", choices=boundaries, default="jsonl", help="what ends with a token of type 3"
    )
    group.add_argument("--packing-boundary", choices=boundaries, default="jsonl", help="what packing keeps together")
