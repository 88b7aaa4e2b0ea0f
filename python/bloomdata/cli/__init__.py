"""The program `bloomdata-cli`: `bloomdata-cli VERB`, with the names and defaults of the Python functions.

- `parser`: one parser a verb; argparse, since it starts ten times faster than its successors.
- `verbs`: all verbs. `derive`: their options, from the Python functions; `own_options`: those that no function has;
  `values`: how values are written; `nearest`: mistyped options.
- `commands`: what verbs do. `progress`: a bar on terminals, plain lines elsewhere. `terminal`: standard streams.
- `inspect`: documents and rows as text. `tokenize`: texts as ids, ids as texts.
- `run`: recipes. `train`: recipes for training. `convert`: checkpoints, one command each. `retrieval`: `build` and
  `query`. `gdp`: the flags of generative_data_prep.
- `generate`, `chat`, `chat_commands`, `answer_view`, `moderation`, `serve`: answers of a model.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

# Verbs whose work is kept when they are interrupted.
_RESUMABLE = {
    *(
        "fetch",
        "shard",
        "prepare",
        "dedup",
        "signatures",
        "decontaminate",
        "pack",
        "merge",
        "gdp",
        "run",
        "train",
        "generate",
        "retrieval",
    ),
}
# After Ctrl-C: for a run to stop by itself.
_GRACE_SECONDS = 0.8


def main(arguments: list[str] | None = None) -> int:
    """Runs the program; returns its exit status: 0 done, 1 an error, 2 wrong usage, 130 interrupted."""
    from bloomdata.cli.terminal import discard_output, prepare_streams

    prepare_streams()
    try:
        return _run(arguments)
    except BrokenPipeError:
        discard_output()
        return 1


def _run(arguments: list[str] | None) -> int:
    from bloomdata.cli.parser import parse
    from bloomdata.cli.verbs import VERBS, load
    from bloomdata.errors import BloomdataError

    options = parse(sys.argv[1:] if arguments is None else arguments)

    # `generate` without an output keeps nothing.
    is_resumable = options.verb in _RESUMABLE and getattr(options, "output", "") is not None
    interrupted = "interrupted" + "; the same command resumes from here" * is_resumable
    try:
        with _ends_when_interrupted(interrupted):
            status: int = load(VERBS[options.verb].runs, "bloomdata.cli")(options)
            sys.stdout.flush()
            return status
    except KeyboardInterrupt:
        sys.stderr.write(f"{interrupted}\n")
        return 130
    except BrokenPipeError:
        raise
    except (BloomdataError, OSError) as error:
        return _fail(error, options)


def _fail(error: Exception, options: argparse.Namespace) -> int:
    """Shows an error, in flags; with `--json` as JSON too. Exit status."""
    from bloomdata.cli.parser import parser_of
    from bloomdata.cli.terminal import in_flags, plain

    if getattr(options, "json", False):
        sys.stdout.write(json.dumps({"error": type(error).__name__, "message": str(error)}) + "\n")
    flags = {action.dest for action in parser_of(options.verb)._actions if action.option_strings}
    sys.stderr.write(f"bloomdata-cli: {type(error).__name__}: {plain(in_flags(str(error), flags))}\n")
    sys.stderr.writelines(f"  {plain(note)}\n" for note in getattr(error, "__notes__", ()))
    return 1


@contextmanager
def _ends_when_interrupted(message: str) -> Iterator[None]:
    """Ctrl-C ends the program within a second, also while a library computes that cannot be stopped.

    Every output survives a kill at any moment, so this is safe.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    timer = threading.Timer(_GRACE_SECONDS, _end, [message])
    timer.daemon = True

    def interrupt(*_: object) -> None:
        if not timer.is_alive():
            timer.start()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, before)


def _end(message: str) -> None:
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()
    os._exit(130)
