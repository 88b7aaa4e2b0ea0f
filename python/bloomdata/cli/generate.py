"""`bloomdata-cli generate`: prompts of the command line to the terminal, those of a file to a file."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Any

from bloomdata.cli.commands import show
from bloomdata.cli.moderation import add_moderation, take_moderation
from bloomdata.cli.progress import progress
from bloomdata.cli.terminal import plain

if TYPE_CHECKING:
    import argparse

_OF_PROGRAM = {"verb", "quiet", "json", "prompt"}


def add_generate(parser: argparse.ArgumentParser) -> None:
    """Prompts are named: those of the command line, or a file."""
    for action in parser._actions:
        if action.dest in {"prompts", "output"}:
            action.required, action.metavar = False, "FILE"
    parser.add_argument("--prompt", nargs="+", metavar="TEXT", help="prompts; answers go to the standard output")
    add_moderation(parser)
    parser.usage = "bloomdata-cli generate MODEL (--prompt TEXT... | [--input FILE] --output FILE) [options]"


def main(options: argparse.Namespace) -> int:
    """Answers prompts. Exit status."""
    from bloomdata.cli.train import hide_bars
    from bloomdata.errors import ConfigError

    given = {name: value for name, value in vars(options).items() if value is not None and name not in _OF_PROGRAM}
    if (options.prompt is None) == (options.output is None):
        raise ConfigError("prompt: expected either prompts, or an output file for those of an input; got both or none")
    hide_bars()
    moderation = take_moderation(given)
    if options.prompt is None:
        from bloomdata.inference.answer_files import generate_file

        prompts = given.pop("prompts", None)
        with progress("generate", quiet=options.quiet or options.json, unit="prompts") as on_progress:
            report = generate_file(prompts=prompts, moderation=moderation, on_progress=on_progress, **given)
        return show(report, options)
    for name in ("prompts", "prompt_field", "answer_field", "overwrite"):
        given.pop(name, None)
    return _to_terminal(options, given, moderation)


def _to_terminal(options: argparse.Namespace, given: dict[str, Any], moderation: Any) -> int:
    """Shows one answer while it is made, several when they are there."""
    from bloomdata.inference.generation import generate, stream

    is_streamed = len(options.prompt) == 1 and moderation is None and not options.json
    if is_streamed and not {"num_samples", "logprobs"} & {name for name in given if given[name]}:
        given.pop("logprobs", None)
        given.pop("batch_tokens", None)
        for piece in stream(given.pop("model"), options.prompt[0], **given):
            sys.stdout.write(plain(piece))
            sys.stdout.flush()
        sys.stdout.write("\n")
        return 0
    for answer in generate(prompts=options.prompt, moderation=moderation, **given):
        text = json.dumps(dataclasses.asdict(answer)) if options.json else plain(answer.text)
        sys.stdout.write(f"{text}\n")
    return 0
