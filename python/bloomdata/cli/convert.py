"""`bloomdata-cli convert`: one command for each conversion, with the options of its Python function."""

from __future__ import annotations

import argparse
import inspect
from typing import TYPE_CHECKING, Any

from bloomdata.cli.derive import add_option, plain_words, read_docs

if TYPE_CHECKING:
    from collections.abc import Callable

# In the order of `--help`. The words are the first lines of the docstrings, made shorter.
COMMANDS = {
    "tp": "change the number of tensor-parallel shards of a model",
    "ascend": "convert BLOOM to checkpoints of AscendSpeed, and back",
    "stages": "convert to OpenChatKit's files of layers or stages, and back",
    "mindformers": "convert BLOOM to a file of MindFormers, and back",
    "dcp": "convert a folder of torch.distributed.checkpoint to Hugging Face",
    "lora": "merge a LoRA adapter into its model",
    "grow": "add rows to the embedding and the output head",
    "join": "join the parts of a split file, with checksums",
}
_RUN = ("verify", "overwrite")


def add_convert(parser: argparse.ArgumentParser) -> None:
    """All commands."""
    from bloomdata import convert

    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    examples = []
    for name, summary in COMMANDS.items():
        function = getattr(convert, name)
        docs = read_docs(function)
        command = commands.add_parser(
            name,
            help=summary,
            description=docs.summary,
            epilog="examples:\n" + "\n".join(f"  {line}" for line in docs.examples),
            formatter_class=parser.formatter_class,
        )
        _add_options(command, function)
        examples.append(docs.examples[0])
    parser.usage = "bloomdata-cli convert {" + ",".join(COMMANDS) + "} SOURCE OUTPUT [options]"
    parser.epilog = "examples:\n" + "\n".join(f"  {line}" for line in examples)


def _add_options(parser: argparse.ArgumentParser, function: Callable[..., Any]) -> None:
    docs = read_docs(function)
    parameters = inspect.signature(function).parameters
    run = parser.add_argument_group("run")
    required = []
    for name, parameter in parameters.items():
        text = docs.arguments.get(name, "")
        if name == "on_progress":
            continue
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            # `join` takes parts that the shell has found.
            many: dict[str, Any] = {"nargs": "+"} if "Sequence" in str(parameter.annotation) else {}
            parser.add_argument(name, metavar=name.upper(), help=plain_words(text), **many)
            required.append(name.upper() + "..." * bool(many))
        elif name == "pipeline_layers":
            parser.add_argument(
                "--pipeline-layers", type=_parse_counts, metavar="N,N,...", default=None, help=plain_words(text)
            )
        else:
            action = add_option(run if name in _RUN else parser, name, parameter, text)
            if action.required:
                required.append(f"{action.option_strings[0]} {action.metavar or name.upper()}")
    run.add_argument("--quiet", "-q", action="store_true", help="show no progress, and no report")
    run.add_argument("--json", action="store_true", help="print the report as one line of JSON")
    parser.usage = " ".join([parser.prog, *required, "[options]"])


def main(options: argparse.Namespace) -> int:
    """Runs the command, and shows its report."""
    from bloomdata import convert
    from bloomdata.cli.commands import show
    from bloomdata.cli.progress import progress
    from bloomdata.cli.terminal import in_flags
    from bloomdata.errors import BloomdataError

    own = {"verb", "command", "quiet", "json"}
    arguments = {name: value for name, value in vars(options).items() if name not in own}
    unit = "parts" if options.command == "join" else "tensors"
    with progress(f"convert {options.command}", quiet=options.quiet or options.json, unit=unit) as on_progress:
        try:
            report = getattr(convert, options.command)(**arguments, on_progress=on_progress)
        except BloomdataError as error:
            # The program knows the options of its verbs, but not those of commands.
            raise type(error)(in_flags(str(error), arguments)) from error
    return show(report, options)


def _parse_counts(text: str) -> list[int]:
    """`6,6,6`."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected N,N,..., got {text!r}") from None
