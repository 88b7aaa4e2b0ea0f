"""What the verbs do on the command line: options in, exit status out."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomdata.cli.derive import descriptions_of
from bloomdata.cli.parts import executor_of, finish_parts
from bloomdata.cli.progress import progress
from bloomdata.cli.terminal import plain
from bloomdata.cli.verbs import VERBS, load

if TYPE_CHECKING:
    import argparse

# Options of the program itself, which the Python functions do not have.
_OWN = {"verb", "quiet", "json", "html", "by", "option", "set", "dry_run", "local", "ray", "finish", "joined"}


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def call(options: argparse.Namespace, **more: Any) -> Any:
    """Calls the function of a verb with its options, under a progress bar; what it returns."""
    verb = VERBS[options.verb].function
    assert verb is not None
    function = load(verb)
    parameters = inspect.signature(function).parameters
    own = _OWN - parameters.keys()
    arguments = descriptions_of({name: value for name, value in vars(options).items() if name not in own} | more)
    if "on_progress" not in parameters:
        return function(**arguments)
    unit = "files" if options.verb == "fetch" else "documents"
    with progress(options.verb, quiet=options.quiet or options.json, unit=unit) as on_progress:
        return function(**arguments, on_progress=on_progress)


def show(result: Any, options: argparse.Namespace) -> int:
    """Prints a report; exit status."""
    if options.json:
        _say(json.dumps(result.to_json()))
    elif not options.quiet:
        _say(plain(str(result)))
    return 0


def run_verb(options: argparse.Namespace) -> int:
    """Runs a verb that returns a report."""
    html = getattr(options, "html", None)
    if html is not None:
        from bloomdata.options.paths import output_path
        from bloomdata.reports.report import check_outside

        check_outside(output_path(html, "html"), options.output)
    result = _result(options)
    if html is not None:
        result.save_html(html)
    return show(result, options)


def _result(options: argparse.Namespace) -> Any:
    """What a verb returns that may run in parts."""
    if getattr(options, "finish", False):
        return finish_parts(options)
    more = getattr(options, "option", None) or {}
    with executor_of(options) as executor:
        return call(options, **more, **({} if executor is None else {"executor": executor}))


def run_evaluate(options: argparse.Namespace) -> int:
    """Evaluates; rank 0 shows the scores of all."""
    result = call(options)
    return show(result, options) if os.environ.get("RANK", "0") == "0" else 0


def run_count(options: argparse.Namespace) -> int:
    """Counts; a table, whatever `--quiet` says."""
    counts = _result(options)
    _say(json.dumps(counts.to_json()) if options.json else plain(counts.table(options.by)))
    return 0


def run_plan(options: argparse.Namespace) -> int:
    """Plans; a table, whatever `--quiet` says. Options of `pack` that are not given are not handed on."""
    inputs = options.inputs[0] if len(options.inputs) == 1 else options.inputs
    for name in [name for name, value in vars(options).items() if value is None]:
        delattr(options, name)
    result = call(options, inputs=inputs)
    _say(json.dumps(result.to_json()) if options.json else str(result))
    return 0


def run_verify(options: argparse.Namespace) -> int:
    """Verifies; one line."""
    from bloomdata.reports.units import format_bytes

    checked = _result(options)
    if options.json:
        _say(json.dumps({"folder": options.folder, **dataclasses.asdict(checked)}))
    elif not options.quiet:
        _say(plain(f"verify {options.folder}: {checked.files} files, {format_bytes(checked.bytes)}, all as written"))
        if checked.padded_vocab_size is not None:
            _say(f"vocabulary on {options.tensor_parallel} ranks: {checked.padded_vocab_size:,} rows")
    return 0


def run_tokenize(options: argparse.Namespace) -> int:
    """Tokenizes to the standard output."""
    from bloomdata.cli.tokenize import tokenize

    tokenize(options, sys.stdout.buffer)
    return 0


def run_report(options: argparse.Namespace) -> int:
    """Shows books, or writes them as a web page."""
    from bloomdata.reports.report import Report

    if (Path(options.folder) / "log.jsonl").exists():
        return _report_training(options)
    report = Report.open(options.folder)
    if options.html is None:
        _say(plain(str(report)))
    else:
        report.save_html(options.html)
    return 0


def _report_training(options: argparse.Namespace) -> int:
    """Shows a training run, or writes it as a web page."""
    from bloomdata.options.paths import output_path
    from bloomdata.reports.html_page import write_page
    from bloomdata.train.html_run import html_run
    from bloomdata.train.results import result_of

    if options.html is None:
        _say(plain(str(result_of(Path(options.folder)))))
    else:
        write_page(output_path(options.html, "html"), html_run(Path(options.folder)))
    return 0


def run_inspect(options: argparse.Namespace) -> int:
    """Shows documents or rows."""
    from bloomdata.cli.inspect import inspect as lines_of

    for line in lines_of(options):
        _say(line)
    return 0
