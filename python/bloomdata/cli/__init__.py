"""The program `bloomdata-cli`: `bloomdata-cli VERB`, with the names and defaults of the Python functions.

- `parser`: all options; argparse, since it starts ten times faster than its successors.
- `commands`: one function per verb.
- `progress`: a bar on terminals, plain lines elsewhere.
- `inspect`: documents and rows as text.
- `gdp`: the flags of generative_data_prep.
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
    from collections.abc import Iterator

_INTERRUPTED = "interrupted; the same command goes on from here"
# After Ctrl-C: for a run to stop by itself.
_GRACE_SECONDS = 0.8


def main(arguments: list[str] | None = None) -> int:
    """Runs the program; returns its exit status: 0 done, 1 an error, 2 wrong usage, 130 interrupted."""
    from bloomdata.cli.parser import build_parser

    options = build_parser().parse_args(arguments)
    from bloomdata.cli.commands import COMMANDS
    from bloomdata.errors import BloomdataError

    try:
        with _ends_when_interrupted():
            return COMMANDS[options.verb](options)
    except KeyboardInterrupt:
        print(_INTERRUPTED, file=sys.stderr)  # noqa: T201 - a program prints
        return 130
    except BrokenPipeError:
        return 1
    except (BloomdataError, OSError) as error:
        if getattr(options, "json", False):
            print(json.dumps({"error": type(error).__name__, "message": str(error)}))  # noqa: T201
        print(f"bloomdata-cli: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        return 1


@contextmanager
def _ends_when_interrupted() -> Iterator[None]:
    """Ctrl-C ends the program within a second, also while a library computes that cannot be stopped.

    Every output survives a kill at any moment, so this is safe.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    timer = threading.Timer(_GRACE_SECONDS, _end)
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


def _end() -> None:
    print(_INTERRUPTED, file=sys.stderr, flush=True)  # noqa: T201 - a program prints
    os._exit(130)
