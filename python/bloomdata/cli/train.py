"""`bloomdata-cli train`: runs a recipe, looks at it, or compares two runs."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import Any

from bloomdata.cli.terminal import plain
from bloomdata.cli.values import parse_pair

# Seconds between lines where there is no terminal.
_LINE_SECONDS = 10.0


def add_train(parser: argparse.ArgumentParser) -> None:
    """Variables of the recipe, a look at it, and a comparison, which needs no recipe."""
    for action in parser._actions:
        if action.dest == "recipe":
            action.nargs, action.required = "?", False
    parser.add_argument("--set", action="append", metavar="NAME=VALUE", type=parse_pair, help="value of a variable")
    parser.add_argument(
        "--dry-run", action="store_true", help="show parameters, memory, steps and the first rows, and do nothing"
    )
    parser.add_argument(
        "--compare",
        action=_Compare,
        nargs=2,
        metavar="RUN",
        dest=argparse.SUPPRESS,
        help="show the first step at which the losses of two runs differ, and exit: with 1 if there is one",
    )


class _Compare(argparse.Action):
    """Compares two runs and exits."""

    def __call__(self, parser: argparse.ArgumentParser, _namespace: object, values: Any, *_: object) -> None:
        from bloomdata.errors import ConfigError
        from bloomdata.train.comparing import compare

        try:
            found = compare(*values)
        except ConfigError as error:
            parser.error(str(error))
        sys.stdout.write(f"{found}\n")
        parser.exit(0 if found.first_difference is None else 1)


def main(options: argparse.Namespace) -> int:
    """Trains; the report of every stage when it is done. Exit status."""
    from bloomdata.errors import ConfigError
    from bloomdata.train import running

    if options.recipe is None:
        raise ConfigError("recipe: expected a TOML file, got none")
    variables = dict(options.set or ())
    if options.dry_run:
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        text = running.dry_run(options.recipe, variables=variables, engine=options.engine, colour=colour)
        sys.stdout.write((text if colour else plain(text)) + "\n")
        return 0
    names = ("folder", "stage", "engine", "allow_contamination", "overfit_one_batch", "cooldown_from")
    given = {name: getattr(options, name) for name in names}
    hide_bars()
    is_first = os.environ.get("RANK", "0") == "0"
    shows = is_first and not (options.quiet or options.json)
    for result in running.stages(options.recipe, variables=variables, **given, on_line=_Lines() if shows else None):
        if is_first and options.json:
            sys.stdout.write(json.dumps(result.to_json()) + "\n")
        elif shows:
            sys.stdout.write(f"{plain(str(result))}\n")
        sys.stdout.flush()
        if result.ended_by is not None:
            break
    return 0


def hide_bars() -> None:
    """Turns off the progress bars of transformers, which would stand among the lines, and its advice to programmers."""
    from bloomdata.train.building import require_torch

    require_torch()
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()


class _Lines:
    """Shows lines of the log: one that is rewritten on a terminal, one every few seconds elsewhere."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._shown = 0.0

    def __call__(self, line: dict[str, Any]) -> None:
        if "loss" not in line:
            self._say(_words(line), keep=True)
            return
        now = time.monotonic()
        if "skipped" in line or self._is_terminal or now - self._shown >= _LINE_SECONDS:
            self._shown = now
            self._say(_words(line), keep="skipped" in line)

    def _say(self, text: str, *, keep: bool) -> None:
        before = "\r\x1b[K" if self._is_terminal else ""
        sys.stderr.write(f"{before}{plain(text)}{'' if self._is_terminal and not keep else chr(10)}")
        sys.stderr.flush()


def _words(line: dict[str, Any]) -> str:
    if "event" in line:
        return f"step {line['step']:,}: {line['event']}"
    if "loss" not in line:
        found = line.get("evaluation", {})
        shown = [f"{name} loss {one['loss']:.4f}" for name, one in found.items()]
        shown += [f"{one['prompt']!r} -> {one['continuation']!r}" for one in line.get("continuations", ())]
        return f"step {line['step']:,}: {'; '.join(shown)}"
    text = (
        f"step {line['step']:,}: loss {line['loss']:.4f}, learning rate {line['learning_rate']:.2e}, gradient norm "
        f"{line['gradient_norm']:.3f}, {line['tokens_per_second']:,.0f} tokens/s"
    )
    text += f", MFU {line['mfu']:.1%}" if "mfu" in line else ""
    return text + (f"; skipped: {line['skipped']}" if "skipped" in line else "")
