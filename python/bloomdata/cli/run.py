"""`bloomdata-cli run`: the steps of a recipe."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bloomdata.verbs.run_recipe import Step

RUN_EXAMPLES = """\
examples:
  bloomdata-cli run recipe.toml --dry-run
  bloomdata-cli run recipes/bloomchat.toml --set oasst1=oasst1.jsonl.gz --set dolly=dolly.jsonl \\
      --set tokenizer=bloom/tokenizer.json --folder bloomchat/
"""


def add_run(parser: argparse.ArgumentParser) -> None:
    """All options of `run`."""
    parser.add_argument("recipe", help="a TOML file with a list of [[step]]")
    parser.add_argument("--folder", help="where outputs go; where the recipe is, if not given")
    parser.add_argument("--set", action="append", metavar="NAME=VALUE", type=_pair, help="value of a variable")
    parser.add_argument("--dry-run", action="store_true", help="check all steps, show them, and do nothing")
    group = parser.add_argument_group("running")
    group.add_argument("--quiet", "-q", action="store_true", help="print errors only")
    group.add_argument("--json", action="store_true", help="print the report of each step as one line of JSON")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def run_recipe(options: argparse.Namespace) -> None:
    """Runs the steps; prints each report when its step is done."""
    from bloomdata.cli.progress import progress
    from bloomdata.verbs.run_recipe import read_recipe, run

    variables = dict(options.set or ())
    if options.dry_run:
        for step in read_recipe(options.recipe, folder=options.folder, variables=variables):
            sys.stdout.write(f"{step}\n")
        return
    with contextlib.ExitStack() as open_bars:

        def begin(step: Step) -> Any:
            return open_bars.enter_context(progress(step.verb, quiet=options.quiet or options.json))

        def end(step: Step, result: Any) -> None:
            open_bars.close()
            if options.json:
                report = result.to_json() if hasattr(result, "to_json") else dataclasses.asdict(result)
                sys.stdout.write(json.dumps({"step": step.number, "verb": step.verb, **report}) + "\n")
            elif not options.quiet:
                sys.stdout.write(f"{step}\n{result}\n\n")
            sys.stdout.flush()

        run(options.recipe, folder=options.folder, variables=variables, on_step=end, on_progress=begin)
