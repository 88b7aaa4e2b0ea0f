"""`bloomdata-cli web`: the options of a chat, and its page in the browser."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bloomdata.cli.chat import add_chat, opening

if TYPE_CHECKING:
    import argparse


def add_web(parser: argparse.ArgumentParser) -> None:
    """Options of `chat`."""
    add_chat(parser)
    parser.usage = "bloomdata-cli web (MODEL | --url URL) [options]"


def main(options: argparse.Namespace) -> int:
    """Serves the page until Ctrl-C. Exit status."""
    from bloomdata.inference.web import web

    with opening(options) as given:
        web(**given, on_line=_say)
    return 0


def _say(address: str) -> None:
    sys.stdout.write(f"{address} (Ctrl-C ends it)\n")
    sys.stdout.flush()
