"""`bloomdata-cli serve`: shows where a model is served, and serves it."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from bloomdata.cli.commands import call, show

if TYPE_CHECKING:
    import argparse


def main(options: argparse.Namespace) -> int:
    """Serves a model until Ctrl-C; for another engine, shows the command. Exit status."""
    server = call(options)
    if options.engine == "transformers":
        show(server, options)
        sys.stdout.flush()
        server.run()
    sys.stdout.write(f"{shlex.join(server.command)}\n")
    return 0
