"""`bloomdata-cli fetch`."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from bloomdata.cli.options import add_running
from bloomdata.cli.progress import progress

FETCH_EXAMPLES = """\
examples:
  bloomdata-cli fetch --list
  bloomdata-cli fetch https://example.org/train/00.jsonl.zst --output raw/ --checksums SHA256SUMS.txt
  bloomdata-cli fetch oasst1 dolly --output raw/ --decompress
  bloomdata-cli fetch oig --output raw/oig/ --missing report
"""


class _List(argparse.Action):
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


def add_fetch(parser: argparse.ArgumentParser) -> None:
    """All options of `fetch`."""
    parser.add_argument("--list", action=_List, nargs=0, dest=argparse.SUPPRESS, help="show all named sets and exit")
    parser.add_argument(
        "inputs", nargs="+", metavar="URL", help="http(s)://, s3://, hf://datasets/owner/name/file, path, or named set"
    )
    parser.add_argument("--output", "-o", required=True, metavar="FOLDER", help="folder for the files")
    parser.add_argument("--checksums", metavar="SHA256SUMS", help="list of sha256sum or md5sum: a file or an address")
    parser.add_argument(
        "--missing", choices=("raise", "report"), default="raise", help="what a file does that is not there"
    )
    parser.add_argument("--decompress", action="store_true", help="unpack .gz files, and then remove them")
    parser.add_argument("--num-connections", type=int, default=4, help="files fetched at a time")
    parser.add_argument("--num-retries", type=int, default=5, help="attempts after the first that bring nothing new")
    parser.add_argument("--timeout-seconds", type=float, default=60.0, help="how long a server may say nothing")
    add_running(parser, threads=False, html=False)


def run_fetch(options: argparse.Namespace) -> int:
    """Fetches, and says what is there."""
    from bloomdata.verbs.fetch import fetch

    own = {"verb", "inputs", "output", "quiet", "json"}
    arguments: dict[str, Any] = {name: value for name, value in vars(options).items() if name not in own}
    sources = options.inputs[0] if len(options.inputs) == 1 else options.inputs
    with progress(options.verb, quiet=options.quiet or options.json, unit="files") as on_progress:
        report = fetch(sources, options.output, **arguments, on_progress=on_progress)
    if options.json:
        sys.stdout.write(json.dumps(report.to_json()) + "\n")
    elif not options.quiet:
        sys.stdout.write(f"{report}\n")
    return 0
