"""One function per verb: options in, exit status out."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from bloomdata.cli.progress import progress
from bloomdata.cli.terminal import plain
from bloomdata.options.paths import output_path

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from bloomdata.reports.report import Report

# Options of the program itself, which the Python functions do not have.
_OWN = {"verb", "inputs", "output", "quiet", "json", "html", "by"}


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _say_plainly(text: str) -> None:
    _say(plain(text))


def _run(options: argparse.Namespace, verb: Callable[..., Report]) -> int:
    from bloomdata.reports.report import check_outside

    if options.html is not None:
        check_outside(output_path(options.html, "html"), options.output)
    arguments = {name: value for name, value in vars(options).items() if name not in _OWN}
    with progress(options.verb, quiet=options.quiet or options.json) as on_progress:
        report = verb(options.inputs, options.output, **arguments, on_progress=on_progress)
    if options.html is not None:
        report.save_html(options.html)
    _show(report, options)
    return 0


def _show(report: Report, options: argparse.Namespace) -> None:
    if options.json:
        _say(json.dumps(report.to_json()))
    elif not options.quiet:
        _say_plainly(str(report))


def _fetch(options: argparse.Namespace) -> int:
    from bloomdata.cli.fetch import run_fetch

    return run_fetch(options)


def _shard(options: argparse.Namespace) -> int:
    from bloomdata.verbs.shard import shard

    return _run(options, shard)


def _prepare(options: argparse.Namespace) -> int:
    from bloomdata.verbs.prepare import prepare

    source, own = options.source, options.option or {}
    del options.source, options.option

    def verb(inputs: Any, output: Any, **arguments: Any) -> Report:
        return prepare(source, inputs, output, **arguments, **own)

    return _run(options, verb)


def _run_recipe(options: argparse.Namespace) -> int:
    from bloomdata.cli.run import run_recipe

    run_recipe(options)
    return 0


def _pack(options: argparse.Namespace) -> int:
    from bloomdata.verbs.pack import pack

    # argparse extends its default instead of replacing it.
    options.text_field = options.text_field[1:] or ["text"]
    return _run(options, pack)


def _count(options: argparse.Namespace) -> int:
    from bloomdata.verbs.count import count

    options.text_field = options.text_field[1:] or ["text"]
    arguments = {name: value for name, value in vars(options).items() if name not in _OWN}
    with progress(options.verb, quiet=options.quiet or options.json) as on_progress:
        counts = count(options.inputs, **arguments, on_progress=on_progress)
    _say_plainly(json.dumps(counts.to_json()) if options.json else counts.table(options.by))
    return 0


def _tokenize(options: argparse.Namespace) -> int:
    from bloomdata.cli.tokenize import tokenize

    tokenize(options, sys.stdout.buffer)
    return 0


def _plan(options: argparse.Namespace) -> int:
    from bloomdata.verbs.plan import plan

    arguments = {name: value for name, value in vars(options).items() if name not in _OWN and value is not None}
    inputs = options.inputs[0] if len(options.inputs) == 1 else options.inputs
    with progress(options.verb, quiet=options.quiet or options.json) as on_progress:
        result = plan(inputs, **arguments, on_progress=on_progress)
    _say(json.dumps(result.to_json()) if options.json else str(result))
    return 0


def _merge(options: argparse.Namespace) -> int:
    from bloomdata.verbs.merge import merge

    return _run(options, merge)


def _gdp(options: argparse.Namespace) -> int:
    from bloomdata.cli.gdp import run_gdp

    with progress(f"gdp {options.command}", quiet=options.quiet or options.json) as on_progress:
        report = run_gdp(options, on_progress)
    _show(report, options)
    return 0


def _verify(options: argparse.Namespace) -> int:
    from bloomdata.reports.units import format_bytes
    from bloomdata.verbs.verify import verify

    with progress("verify", quiet=options.quiet or options.json) as on_progress:
        arguments = {name: value for name, value in vars(options).items() if name not in {*_OWN, "folder"}}
        checked = verify(options.folder, **arguments, on_progress=on_progress)
    result: dict[str, Any] = {"folder": options.folder, "files": checked.files, "bytes": checked.bytes}
    if options.json:
        _say(json.dumps(result))
    elif not options.quiet:
        _say_plainly(f"verify {options.folder}: {checked.files} files, {format_bytes(checked.bytes)}, all as written")
    return 0


def _report(options: argparse.Namespace) -> int:
    from bloomdata.reports.report import Report

    report = Report.open(options.folder)
    if options.html is None:
        _say_plainly(str(report))
    else:
        report.save_html(options.html)
    return 0


def _inspect(options: argparse.Namespace) -> int:
    from bloomdata.cli.inspect import inspect

    for line in inspect(options):
        _say(line)
    return 0


def _train(options: argparse.Namespace) -> int:
    from bloomdata.cli.train import run_train

    return run_train(options)


def _extend(options: argparse.Namespace) -> int:
    from bloomdata.cli.train import run_extend

    return run_extend(options)


def _convert(options: argparse.Namespace) -> int:
    from bloomdata.cli.train import run_convert

    return run_convert(options)


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "fetch": _fetch,
    "shard": _shard,
    "pack": _pack,
    "prepare": _prepare,
    "run": _run_recipe,
    "count": _count,
    "tokenize": _tokenize,
    "train-tokenizer": _train,
    "extend-vocabulary": _extend,
    "convert-sentencepiece": _convert,
    "plan": _plan,
    "merge": _merge,
    "gdp": _gdp,
    "verify": _verify,
    "report": _report,
    "inspect": _inspect,
}
