"""`bloomdata-cli prepare`: its options, and the list of sources."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from bloomdata.cli.options import FORMATS, add_bad_records, add_running, add_shards, add_template_values

if TYPE_CHECKING:
    from collections.abc import Sequence

PREPARE_EXAMPLES = """\
examples:
  bloomdata-cli prepare --list
  bloomdata-cli prepare oasst1 oasst1.jsonl.gz --output chats.jsonl.zst --option end_on=assistant
  bloomdata-cli prepare bloomchat oasst1.jsonl.gz dolly.jsonl --output oasst1_dolly.jsonl --style completion
  bloomdata-cli prepare oig unified_*.jsonl --output oig/ --max-rows-per-input 100000 --shuffle \\
      --repeat unified_basic.jsonl=1001
"""


class _List(argparse.Action):
    """Shows all sources and exits."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from bloomdata.prepare_sources import SOURCES

        for source in SOURCES.values():
            options = ", ".join(f"{name}={json.dumps(value)}" for name, value in source.options.items())
            lines = [f"{source.name}: {source.title} ({source.origin})", f"    reads    {source.schema}"]
            lines += [f"    options  {options}"] if options else []
            sys.stdout.write("\n".join([*lines, f"    licence  {source.licence}", ""]))
        parser.exit()


class _Pairs(argparse.Action):
    """Collects NAME=VALUE; values are JSON where they can be."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: object) -> None:
        pairs: dict[str, Any] = getattr(namespace, self.dest) or {}
        given: Sequence[str] = values if isinstance(values, list) else [values]
        for text in given:
            name, equals, value = text.partition("=")
            if not equals:
                parser.error(f"{text!r} is not NAME=VALUE")
            try:
                pairs[name] = json.loads(value)
            except ValueError:
                pairs[name] = value
        setattr(namespace, self.dest, pairs)


def add_prepare(parser: argparse.ArgumentParser) -> None:
    """All options of `prepare`."""
    parser.add_argument("--list", action=_List, nargs=0, dest=argparse.SUPPRESS, help="show all sources and exit")
    parser.add_argument("source", metavar="SOURCE", help="where the records come from; --list shows all")
    parser.add_argument("inputs", nargs="+", help=FORMATS)
    parser.add_argument(
        "--output", "-o", required=True, help="folder for shards, or one file (.jsonl, .jsonl.gz, .jsonl.zst)"
    )
    parser.add_argument("--option", action=_Pairs, metavar="NAME=VALUE", help="option of the source; may be repeated")
    parser.add_argument(
        "--style",
        choices=("auto", "messages", "prompt_completion", "completion", "text"),
        default="auto",
        help="form of the lines: messages, pairs, or rendered text",
    )
    parser.add_argument("--template", help="chat template of styles that hold text; human_bot if not given")
    add_template_values(parser)
    parser.add_argument("--ensure-ascii", action="store_true", help="escape everything but ASCII")
    parser.add_argument("--max-rows-per-input", type=int, help="records taken of each input")
    parser.add_argument(
        "--sampling", choices=("head", "reservoir"), default="head", help="which records: the first, or a sample"
    )
    parser.add_argument("--repeat", action=_Pairs, metavar="NAME=TIMES", help="write the lines of an input so often")
    parser.add_argument(
        "--missing", choices=("raise", "report"), default="raise", help="what an input does that is not there"
    )
    add_shards(parser, seed="of the shuffle, of samples, and of splits by ratio")
    add_bad_records(parser)
    add_running(parser)
