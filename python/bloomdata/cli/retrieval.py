"""`bloomdata-cli retrieval build|query`, with the options of their Python functions."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from bloomdata.cli.derive import add_verb, read_docs
from bloomdata.cli.own_options import add_running

if TYPE_CHECKING:
    import argparse

# In the order of `--help`.
COMMANDS = {
    "build": "make an index of the passages of documents",
    "query": "find the passages that are nearest to a text",
}


def add_retrieval(parser: argparse.ArgumentParser) -> None:
    """Both commands."""
    from bloomdata import retrieval

    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    examples: list[str] = []
    for name, summary in COMMANDS.items():
        function = getattr(retrieval, name)
        docs = read_docs(function)
        command = commands.add_parser(
            name, help=summary, description=docs.summary, formatter_class=parser.formatter_class
        )
        add_verb(command, function)
        add_running(command, function)
        examples += docs.examples
    parser.usage = "bloomdata-cli retrieval {" + ",".join(COMMANDS) + "} ... [options]"
    parser.epilog = "examples:\n" + "\n".join(f"  {line}" for line in examples)


def main(options: argparse.Namespace) -> int:
    """Runs the command, and shows what it returns."""
    from bloomdata import retrieval
    from bloomdata.cli.commands import show
    from bloomdata.cli.progress import progress
    from bloomdata.cli.terminal import in_flags
    from bloomdata.errors import BloomdataError

    own = {"verb", "command", "quiet", "json"}
    arguments = {name: value for name, value in vars(options).items() if name not in own}
    function = getattr(retrieval, options.command)
    quiet = options.quiet or options.json
    with progress(f"retrieval {options.command}", quiet=quiet, unit="passages") as on_progress:
        more = {"on_progress": on_progress} if "on_progress" in inspect.signature(function).parameters else {}
        try:
            result = function(**arguments, **more)
        except BloomdataError as error:
            # The program knows the options of its verbs, but not those of commands.
            raise type(error)(in_flags(str(error), arguments)) from error
    return show(result, options)
