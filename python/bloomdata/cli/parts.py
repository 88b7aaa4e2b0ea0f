"""Runs in parts on the command line: who runs them, the end of a run, and a table of how far they are."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator


def add_parts(parser: argparse.ArgumentParser) -> None:
    """Who runs the parts of a run."""
    group = next(group for group in parser._action_groups if group.title == "parts")
    who = group.add_mutually_exclusive_group()
    who.add_argument("--local", type=int, metavar="N", help="run all parts here, N processes at a time")
    who.add_argument(
        "--ray",
        nargs="?",
        const="auto",
        metavar="ADDRESS",
        help="run all parts on a Ray cluster: auto for that of this machine, local for a new one here, or its address",
    )
    # `run` finishes each of its steps, and what `verify` reads is finished.
    if not {"parts", "part"} <= {action.dest for action in parser._actions}:
        return
    who.add_argument("--finish", action="store_true", help="make one folder of the finished parts; reads no data")
    group.add_argument("--joined", action="store_true", help="with --finish: join the Megatron pairs of all parts, too")


@contextlib.contextmanager
def executor_of(options: argparse.Namespace) -> Iterator[Any]:
    """What runs the parts; None for this process."""
    from bloomdata.errors import ConfigError
    from bloomdata.options.checks import thread_count

    if not hasattr(options, "local"):  # a verb without parts
        yield None
        return
    local: int | None = options.local
    ray: str | None = options.ray
    if getattr(options, "joined", False):
        raise ConfigError("joined: expected only with --finish")
    if local is None and ray is None:
        yield None
        return
    name = "local" if ray is None else "ray"
    parts = getattr(options, "parts", None)
    if parts == 1 or getattr(options, "part", None) is not None:
        needed = "" if parts is None else "with --parts, their number, and "
        raise ConfigError(f"{name}: expected only {needed}without --part")
    if ray is not None:
        from bloomdata.parts.ray_tasks import RayTasks

        options.num_threads = thread_count(options.num_threads)
        yield RayTasks(ray, num_cpus=options.num_threads)
        return
    if local is None or local < 1:
        raise ConfigError(f"local: expected 1 or more processes, got {local}")
    from bloomdata.parts.processes import Processes

    # Together as many threads as processors.
    options.num_threads = options.num_threads or max(1, thread_count(None) // local)
    with Processes(min(local, parts or local)) as processes:
        yield processes


def finish_parts(options: argparse.Namespace) -> Any:
    """Finishes the run of a command line; its report."""
    from bloomdata.errors import ConfigError, MismatchError
    from bloomdata.parts.signs import planned_parts
    from bloomdata.verbs.finish import finish

    if options.output is None:
        raise ConfigError("output: expected the folder of the parts, got none")
    planned = planned_parts(options.output)
    if planned not in (None, options.parts):
        raise MismatchError(f"{options.output}: parts: expected {planned}, found {options.parts}")
    return finish(
        options.output,
        joined=options.joined,
        allow_empty=getattr(options, "allow_empty", True),
        **{name: getattr(options, name) for name in ("scratch", "scratch_limit") if hasattr(options, name)},
    )


def add_table(parser: argparse.ArgumentParser) -> None:
    """All options of `parts`."""
    parser.add_argument("folder", help="output of a run with --parts, also in a store")
    parser.add_argument("--json", action="store_true", help="print one line of JSON for each part")
    parser.usage = "bloomdata-cli parts FOLDER [options]"
    parser.epilog = "examples:\n  bloomdata-cli parts packed/\n  bloomdata-cli parts s3://packed/run --json\n"


def run_table(options: argparse.Namespace) -> int:
    """Shows the table; 1 unless all parts are finished."""
    from bloomdata.cli.terminal import plain
    from bloomdata.parts.table import read_table, table_lines

    table = read_table(options.folder)
    lines = [json.dumps(row._asdict()) for row in table] if options.json else table_lines(table)
    sys.stdout.write("".join(f"{plain(line)}\n" for line in lines))
    return 0 if all(row.state == "done" for row in table) else 1
