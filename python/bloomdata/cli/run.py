"""`bloomdata-cli run`: the steps of a recipe."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from bloomdata.verbs.run_recipe import Step


def run_recipe(options: argparse.Namespace) -> int:
    """Runs the steps; prints each report when its step is done."""
    from bloomdata.cli.parts import executor_of
    from bloomdata.cli.progress import progress
    from bloomdata.verbs.run_recipe import read_recipe, run

    variables = dict(options.set or ())
    if options.dry_run:
        for step in read_recipe(options.recipe, folder=options.folder, variables=variables):
            sys.stdout.write(f"{step}\n")
        return 0
    with executor_of(options) as executor, contextlib.ExitStack() as open_bars:

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

        run(
            options.recipe,
            folder=options.folder,
            variables=variables,
            parts=options.parts,
            executor=executor,
            scratch=options.scratch,
            num_threads=options.num_threads,
            on_step=end,
            on_progress=begin,
        )
    return 0
