"""`slurm`: a script that runs a command in parts as an array job."""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import NamedTuple

# Options of sbatch that are handed on as they are.
_SBATCH = {
    "cpus-per-task": "processors of a task, and its threads",
    "time": "longest time of a task",
    "mem": "memory of a task",
    "partition": "partition",
    "account": "account",
    "output-log": "file for what a task prints; %%a is its number",
}
# Makes a command one of the tasks of an array job.
_TASK = ["--part", "slurm"]


def add_slurm(parser: argparse.ArgumentParser) -> None:
    """All options of `slurm`."""
    _add_options(parser)
    parser.add_argument("--max-running", type=int, metavar="N", help="tasks that run at a time")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="VERB ...", help="a command with --parts")
    parser.usage = "bloomdata-cli slurm VERB ... --parts N [options]"
    parser.epilog = """The script starts an array job, and a job that finishes the run once all tasks have ended well.

examples:
  bloomdata-cli slurm pack raw/ --output packed/ --tokenizer tok/ --parts 64 --cpus-per-task 16 > job.sh
  bloomdata-cli slurm shard raw/ --output shards/ --parts 8 --max-running 4 --time 1:00:00 | sh
"""


def _add_options(parser: argparse.ArgumentParser) -> None:
    for name, text in _SBATCH.items():
        parser.add_argument(f"--{name}", help=text, default=argparse.SUPPRESS)


def run_slurm(options: argparse.Namespace) -> int:
    """Prints the script."""
    from bloomdata.cli.parser import parser_of
    from bloomdata.cli.verbs import VERBS as COMMANDS
    from bloomdata.cli.verbs import load
    from bloomdata.parts.counting import needs_counting
    from bloomdata.parts.sharing import VERBS

    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    _add_options(own)
    own.add_argument("--max-running", type=int, default=argparse.SUPPRESS)
    given, command = own.parse_known_args(options.command, namespace=argparse.Namespace(**vars(options)))
    slurm_parser = parser_of("slurm")
    verbs = [name.replace("_", "-") for name in VERBS]
    if not command or command[0] not in verbs:
        slurm_parser.error(f"VERB: expected one of {', '.join(verbs)}, got {command[0] if command else 'none'}")
    verb = parser_of(command[0]).parse_args(command[1:])
    if verb.parts == 1:
        slurm_parser.error("--parts: expected their number, 2 or more")
    switched = any(getattr(verb, name, False) for name in ("finish", "decide", "counting"))
    if switched or any(word is not None for word in (verb.part, verb.local, verb.ray)):
        slurm_parser.error(
            "expected none of --part, --decide, --local, --ray, --finish and --counting, which the script adds where "
            "needed"
        )
    if verb.output is None:
        slurm_parser.error("--output: expected a folder for the parts")
    # What only the end of the run takes.
    command = [word for word in command if word != "--joined"]
    switches = [f"--{name.replace('_', '-')}" for name in ("joined", "allow_empty") if getattr(verb, name, False)]
    end = [verb.output, *switches]
    first = DECISION if "decide" in verb else None
    if needs_counting(load(COMMANDS[command[0]].function or ""), vars(verb)):
        first = COUNTING
    sys.stdout.write(script(command, end, verb.parts, vars(given), first=first))
    return 0


class First(NamedTuple):
    """What runs before the parts.

    Attributes:
        name: Of the job.
        purpose: In words.
        switches: Those behind the command.
    """

    name: str
    purpose: str
    switches: list[str]


DECISION = First("decide", "A job before them decides what goes.", ["--decide"])
COUNTING = First("count", "An array job before them counts what parts must know of others.", [*_TASK, "--counting"])


def script(
    command: list[str], end: list[str], parts: int, given: dict[str, object], *, first: First | None = None
) -> str:
    """The script for a command in parts.

    Args:
        command: The words of the command, without the program.
        end: Those behind `finish`.
        parts: Number of parts.
        given: Options of sbatch by their names.
        first: A job before the parts: for each of them, or one for all.
    """
    running = f"%{given['max_running']}" if given.get("max_running") else ""
    sbatch = []
    for name in _SBATCH:
        value = given.get(name.replace("-", "_"))
        if value is not None:
            sbatch.append(f"--{name.removesuffix('-log')}={value}")
    threads = ["--num-threads", str(given["cpus_per_task"])] if "cpus_per_task" in given else []

    def job(name: str, switches: list[str]) -> tuple[str, str]:
        """The options of sbatch, and the command."""
        tasks = [f"--array=0-{parts - 1}{running}"] if switches[:2] == _TASK else []
        task = shlex.join(["bloomdata-cli", *command, *switches, *threads])
        return shlex.join([f"--job-name=bloomdata-{name}", *tasks, *sbatch]), shlex.quote(task)

    array, task = job(command[0], _TASK)
    before = ""
    if first is not None:
        options, wrapped = job(first.name, first.switches)
        before = f"""# {first.purpose}
{first.name}=$(sbatch --parsable {options} \\
    --wrap={wrapped})
"""
        array = f'--dependency=afterok:"${{{first.name}%%;*}}" --kill-on-invalid-dep=yes {array}'
    finish = shlex.join(["bloomdata-cli", "finish", *end])
    # The end of a run only reads books, unless it trains.
    last = shlex.join(["--job-name=bloomdata-finish", *(sbatch if command[0] == "train-tokenizer" else [])])
    return f"""#!/bin/sh
# Runs the parts as tasks of an array job; once all have ended well, a last job makes one folder of them.
# Run this again if tasks failed: those that are finished end at once.
set -eu
{before}array=$(sbatch --parsable {array} \\
    --wrap={task})
sbatch {last} --dependency=afterok:"${{array%%;*}}" --kill-on-invalid-dep=yes \\
    --wrap={shlex.quote(finish)}
"""
