"""The program `bloomdata-cli`: `bloomdata-cli VERB`, with the names and defaults of the Python functions.

- `parser`: all options; argparse, since it starts ten times faster than its successors.
- `commands`: one function per verb.
- `progress`: a bar on terminals, plain lines elsewhere.
- `inspect`: documents and rows as text.
"""

from __future__ import annotations

import json
import sys


def main(arguments: list[str] | None = None) -> int:
    """Runs the program; returns its exit status: 0 done, 1 an error, 2 wrong usage, 130 interrupted."""
    from bloomdata.cli.parser import build_parser

    options = build_parser().parse_args(arguments)
    from bloomdata.cli.commands import COMMANDS
    from bloomdata.errors import BloomdataError

    try:
        return COMMANDS[options.verb](options)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)  # noqa: T201 - a program prints
        return 130
    except BrokenPipeError:
        return 1
    except (BloomdataError, OSError) as error:
        if getattr(options, "json", False):
            print(json.dumps({"error": type(error).__name__, "message": str(error)}))  # noqa: T201
        print(f"bloomdata-cli: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        return 1
