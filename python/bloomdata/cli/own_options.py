"""Options of the command line that no Python function has."""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from typing import TYPE_CHECKING, Any

from bloomdata.cli.values import Pairs, parse_pair

if TYPE_CHECKING:
    from collections.abc import Callable

# Verbs whose result is a report of books, which can be a web page.
_BOOKS = {
    "ShardReport",
    "PrepareReport",
    "DedupReport",
    "SignaturesReport",
    "DecontaminateReport",
    "PackReport",
    "MergeReport",
}


def add_running(parser: argparse.ArgumentParser, function: Callable[..., Any]) -> None:
    """What is shown of a run."""
    group = next((group for group in parser._action_groups if group.title == "run"), None)
    group = group or parser.add_argument_group("run")
    group.add_argument("--quiet", "-q", action="store_true", help="show no progress, and no report")
    group.add_argument("--json", action="store_true", help="print the report as one line of JSON")
    if inspect.signature(function).return_annotation in _BOOKS:
        group.add_argument("--html", metavar="FILE", help="write the report as a web page, too; not into the output")


def add_list(parser: argparse.ArgumentParser) -> None:
    """`fetch --list`."""
    parser.add_argument("--list", action=_Sets, nargs=0, dest=argparse.SUPPRESS, help="show all named sets and exit")


class _Sets(argparse.Action):
    """Shows all named sets and exits."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from bloomdata.fetching.sets import FETCH_SETS

        for name, named in FETCH_SETS.items():
            lines = [
                f"{name}: {named.title} ({named.origin})",
                f"    files    {len(named.urls)}, from {named.urls[0]} on",
            ]
            lines += [f"    note     {named.note}"] if named.note else []
            sys.stdout.write("\n".join([*lines, f"    licence  {named.licence}", ""]))
        parser.exit()


def add_prepare(parser: argparse.ArgumentParser) -> None:
    """`prepare --list`, and options of sources."""
    parser.add_argument("--list", action=_Sources, nargs=0, dest=argparse.SUPPRESS, help="show all sources and exit")
    parser.add_argument("--option", action=Pairs, metavar="NAME=VALUE", help="option of the source; may be repeated")


class _Sources(argparse.Action):
    """Shows all sources and exits."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from bloomdata.prepare_sources import SOURCES

        for source in SOURCES.values():
            options = ", ".join(f"{name}={json.dumps(value)}" for name, value in source.options.items())
            lines = [f"{source.name}: {source.title} ({source.origin})", f"    reads    {source.schema}"]
            lines += [f"    options  {options}"] if options else []
            sys.stdout.write("\n".join([*lines, f"    licence  {source.licence}", ""]))
        parser.exit()


def add_explain(parser: argparse.ArgumentParser) -> None:
    """`dedup --explain`, which reads nothing."""
    parser.add_argument(
        "--explain",
        action=_Explain,
        nargs=0,
        dest=argparse.SUPPRESS,
        help="show bands, S-curve and bytes for each document for the options given, and exit",
    )


class _Explain(argparse.Action):
    """Shows what the other options of the command line mean for near duplicates, and exits."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from bloomdata.cli.derive import descriptions_of
        from bloomdata.errors import ConfigError
        from bloomdata.options.near import MinHash

        # What stands behind this option counts as well, and what is required does not.
        for action in parser._actions:
            action.required = False
        words = [word for word in getattr(parser, "_given", []) if word != "--explain"]
        given, _unknown = parser.parse_known_args(words)
        try:
            near = MinHash(**descriptions_of(vars(given)).get("near", {}))
            sys.stdout.write(near.explain() + "\n")
        except ConfigError as error:
            parser.error(str(error))
        parser.exit()


def add_by(parser: argparse.ArgumentParser) -> None:
    """What a line of `count` is about."""
    by = parser.add_mutually_exclusive_group()
    by.add_argument("--by-file", dest="by", action="store_const", const="file", help="show a line for each file")
    by.add_argument(
        "--by-source",
        dest="by",
        action="store_const",
        const="source",
        help="show a line for each of the inputs as they are named here; so it is for more than 20 files",
    )


def add_run(parser: argparse.ArgumentParser) -> None:
    """Variables of a recipe, and a look at it."""
    parser.add_argument("--set", action="append", metavar="NAME=VALUE", type=parse_pair, help="value of a variable")
    parser.add_argument("--dry-run", action="store_true", help="check all steps, show them, and do nothing")


def add_tokenize(parser: argparse.ArgumentParser) -> None:
    """All options of `tokenize`."""
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="plain or compressed; - or none for the standard input. Every line without its \\n is a document; "
        "of .jsonl and .ndjson, the text of every record",
    )
    parser.add_argument("--tokenizer", required=True, help="a tokenizer.json, a folder that holds one, or 'bytes'")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--whole", action="store_true", help="every file is one document")
    kind.add_argument("--jsonl", action="store_true", help="records of JSON, whatever the names; so on standard input")
    parser.add_argument("--text-field", default="text", help="field that holds the text, a.b for one inside another")
    parser.add_argument(
        "--format",
        choices=("ids", "json", "tokens", "counts"),
        default="ids",
        help="a line of ids; a JSON array of ids, or of the tokens' names; or how many ids there are",
    )
    parser.add_argument(
        "--no-special-tokens",
        "--no-add-special-tokens",
        dest="add_special_tokens",
        action="store_false",
        default=True,
        help="add none that the tokenizer adds itself (a leading <s>); with --decode, leave special tokens out",
    )
    parser.add_argument(
        "--decode",
        action="store_true",
        help="lines of ids become texts: a JSON string a line, or with --whole the bare text of all lines of a file",
    )
    parser.add_argument("--num-threads", type=int, help="threads; one per processor if not given")
    parser.usage = "bloomdata-cli tokenize [FILE...] --tokenizer TOKENIZER [options]"
    parser.epilog = """examples:
  echo 'Hello world' | bloomdata-cli tokenize --tokenizer tokenizer.json
  bloomdata-cli tokenize raw/a.jsonl --tokenizer tokenizer.json --format counts
  bloomdata-cli tokenize notes.txt --whole --tokenizer tokenizer.json --format tokens
  bloomdata-cli tokenize notes.txt --tokenizer bytes | bloomdata-cli tokenize --decode --tokenizer bytes
"""


def add_report(parser: argparse.ArgumentParser) -> None:
    """All options of `report`."""
    parser.add_argument("folder", help="written by shard, dedup, pack, train, ...")
    parser.add_argument("--html", metavar="FILE", help="write a web page instead; not into the folder")
    parser.usage = "bloomdata-cli report FOLDER [options]"
    parser.epilog = """examples:
  bloomdata-cli report packed/
  bloomdata-cli report packed/ --html packed.html
  bloomdata-cli report run/ --html run.html
"""


class _Row(argparse.Action):
    """`--row N` is `--index N --count 1`."""

    def __call__(self, _: object, namespace: argparse.Namespace, value: Any, *__: object) -> None:
        namespace.index, namespace.count = value, 1


def add_inspect(parser: argparse.ArgumentParser) -> None:
    """All options of `inspect`."""
    parser.add_argument("path", help="a folder of shard, pack or merge, a Megatron pair, or an HDF5 file")
    parser.add_argument("--index", type=int, default=0, help="first document, row or line, counted from 0")
    parser.add_argument("--count", type=int, default=3, help="how many")
    parser.add_argument(
        "--row", type=int, action=_Row, metavar="N", dest=argparse.SUPPRESS, help="the same as --index N --count 1"
    )
    parser.add_argument("--field", help="which field of a folder that holds several")
    parser.add_argument("--tokenizer", help="if there is none beside the data")
    parser.add_argument("--max-characters", type=int, default=1000, help="of each; 0 for all")
    parser.add_argument("--ids", action="store_true", help="show token ids, too")
    parser.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default="auto",
        help="colours for types of tokens; auto: on terminals, unless NO_COLOR is set",
    )
    parser.usage = "bloomdata-cli inspect PATH [options]"
    parser.epilog = """examples:
  bloomdata-cli inspect packed/ --row 10 --ids
  bloomdata-cli inspect shards/ --count 1 --max-characters 200
"""
