"""A run in parts: one part of it, or all of them by an executor, and then the end."""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from bloomdata import _core
from bloomdata.errors import ConfigError
from bloomdata.options.inputs import file_inputs
from bloomdata.options.paths import output_path
from bloomdata.options.running import running
from bloomdata.parts.gathering import Gathering, InTurn, Job
from bloomdata.parts.sharing import check_parts, part_number
from bloomdata.parts.signs import Progress, Signs, part_name, remove_signs

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from bloomdata.options.inputs import OnProgress

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


def in_parts(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Makes a verb run in parts, by its arguments `parts`, `part` and `executor`."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def run(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        bound = signature.bind(*args, **kwargs)
        parts = bound.arguments.get("parts", 1)
        part, executor = bound.arguments.get("part"), bound.arguments.get("executor")
        check_parts(parts, part)
        if executor is not None and (parts == 1 or part is not None):
            raise ConfigError("executor: expected only with parts, their number, and without part")
        if executor is not None and not callable(getattr(executor, "submit", None)):
            raise ConfigError(f"executor: expected anything with a method submit, got {executor!r:.100}")
        if parts == 1:
            return function(*args, **kwargs)
        arguments = dict(bound.arguments)
        for name, parameter in signature.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                arguments |= arguments.pop(name, {})
        arguments["inputs"] = file_inputs(arguments["inputs"])
        arguments["output"] = output_path(arguments["output"])
        if part is not None:
            return _run_one(function, arguments)
        return cast("_Result", _run_all(function.__name__, arguments))

    return run


def _run_one(function: Callable[..., _Result], arguments: dict[str, Any]) -> _Result:
    """Runs one part, and leaves signs of it."""
    number = part_number(arguments["parts"], arguments["part"])
    signs = Signs(arguments["output"], number, arguments["parts"])
    on_progress = signs.beat(arguments.get("on_progress"))
    try:
        result = function(**arguments | {"part": number, "on_progress": on_progress})
    except Exception as error:
        signs.failed(error)
        raise
    signs.remove()
    return result


def run_job(job: Job, on_progress: OnProgress = None) -> Progress:
    """Runs a part where it was sent; what was done. All else that it has to say is in its manifest."""
    verb = getattr(importlib.import_module("bloomdata"), job.verb)
    return _done(verb(**job.arguments, part=job.number, on_progress=on_progress).manifest)


def _done(manifest: dict[str, Any]) -> Progress:
    """What the run of a manifest did."""
    read = sum(one["size"] for one in manifest["inputs"])
    return Progress(0, read, manifest["ledger"]["documents_in"], sum(one["size"] for one in manifest["outputs"]))


def _run_all(verb: str, arguments: dict[str, Any]) -> Any:
    """Runs all parts that are not finished, then finishes the run."""
    start = time.monotonic()
    root, parts = Path(arguments["output"]), arguments["parts"]
    executor, on_progress = arguments.pop("executor", None), arguments.pop("on_progress", None)
    arguments.pop("part", None)
    if arguments.pop("overwrite", False):
        _core.discard_parts(root)
        remove_signs(root)
    manifests = [root / part_name(number, parts) / "manifest.json" for number in range(parts)]
    missing = [number for number, manifest in enumerate(manifests) if not manifest.exists()]
    done = Progress()
    if not missing:
        on_progress = None
    if on_progress is not None:
        done = sum((_done(json.loads(manifest.read_text())) for manifest in manifests if manifest.exists()), done)
    for number in missing:
        Signs(root, number, parts).remove()
    gathering = Gathering(executor or InTurn(), root, on_progress, done)
    # In this thread, a part says itself when there is something to tell.
    run = run_job if executor else functools.partial(run_job, on_progress=lambda *_: gathering.tell())
    # Of parts that are all finished, one compares options and inputs with the plan.
    gathering.run(run, [Job(verb, arguments, number) for number in missing or [0]])
    limits = (bool(arguments.get("allow_empty", False)), None, None)
    return finish_parts(root, joined=False, limits=limits, start=start)


def finish_parts(
    root: str | os.PathLike[str],
    *,
    joined: bool,
    limits: tuple[bool, int | None, float | None],
    start: float,
    on_progress: OnProgress = None,
) -> Any:
    """Makes one folder of finished parts. The report of the run."""
    from bloomdata.reports.report import Report

    result = _core.finish(running(output_path(root), 1, overwrite=False, limits=limits), joined, on_progress)
    remove_signs(Path(root))
    return type(Report.open(root)).from_run(root, result, time.monotonic() - start)
