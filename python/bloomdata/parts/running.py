"""A run in parts: one part of it, or all of them by an executor, and then the end."""

from __future__ import annotations

import functools
import importlib
import inspect
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from bloomdata.errors import ConfigError
from bloomdata.options.inputs import file_inputs
from bloomdata.options.paths import is_address, output_path, utf8_path
from bloomdata.parts.counting import COUNTS_NAME, Needs, check_counting, needs_counting
from bloomdata.parts.sharing import ENDINGS, PLAN_NAME, check_parts, part_name, part_number
from bloomdata.parts.trying import is_in, try_call

if TYPE_CHECKING:
    from collections.abc import Callable

    from bloomdata.options.inputs import OnProgress
    from bloomdata.parts.gathering import Job
    from bloomdata.parts.places import Place
    from bloomdata.parts.signs import Progress
    from bloomdata.reports.report import Report

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


def counted_first(needs: Needs) -> Callable[[Callable[_Parameters, _Result]], Callable[_Parameters, _Result]]:
    """Makes a verb run in parts, as `in_parts`, after a counting phase if its options need one: see `counting`."""

    def decorate(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
        # Of the function, which hands it on to whatever wraps it.
        vars(function)["needs_counting"] = needs
        return in_parts(function)

    return decorate


def in_parts(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Makes a verb run in parts, by its arguments `parts`, `part` and `executor`."""
    signature = inspect.signature(function)
    defaults = {name: parameter.default for name, parameter in signature.parameters.items()}
    # What comes from a store or goes there needs a local folder in between.
    with_stores = "scratch" in defaults

    @functools.wraps(function)
    def run(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        bound = signature.bind(*args, **kwargs)
        parts = bound.arguments.get("parts", 1)
        part, executor = bound.arguments.get("part"), bound.arguments.get("executor")
        check_parts(parts)
        output = bound.arguments.get("output")
        if output is not None and (not with_stores or function.__name__ in ENDINGS):
            output_path(output)
        if part is not None and parts == 1 and not is_address(output):
            if "parts" not in bound.arguments:
                raise ConfigError(f"part: expected only with parts, their number, got {part!r}")
            part_number(parts, part)
            # It is all of it.
            del bound.arguments["part"]
            part = None
        if executor is not None and (parts == 1 or part is not None):
            raise ConfigError("executor: expected only with parts, their number, and without part")
        if executor is not None and not callable(getattr(executor, "submit", None)):
            raise ConfigError(f"executor: expected anything with a method submit, got {executor!r:.100}")
        is_counted = parts > 1 and needs_counting(function, defaults | bound.arguments)
        counting = bound.arguments.get("counting", False)
        if counting:
            check_counting(part, is_needed=is_counted)
        if parts == 1 and not is_address(output):
            return function(*bound.args, **bound.kwargs)
        if output is None:
            raise ConfigError(f"output: expected a folder for {parts} parts, got None")
        arguments = dict(bound.arguments)
        for name, parameter in signature.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                arguments |= arguments.pop(name, {})
        arguments["inputs"] = file_inputs(arguments["inputs"], objects=with_stores)
        if is_address(output):
            for path in arguments["inputs"]:
                if is_in(os.fspath(output), path):
                    raise ConfigError(f"output: expected a folder that is not among the inputs, got {output} in {path}")
        # Runs of one part need none of this.
        from bloomdata.parts.places import place_of

        place = place_of(utf8_path(output, "output"), arguments.get("scratch"))
        if part is None:
            return cast("_Result", _run_all(function, place, arguments, is_counted=is_counted))
        if counting:
            place = place.counts()
        elif is_counted:
            place.bring_counts()
        return cast("_Result", place.run(function, arguments, part_number(parts, part)))

    return run


def run_job(job: Job, on_progress: OnProgress = None) -> Progress:
    """Runs a part where it was sent; what was done. All else that it has to say is in its manifest."""
    from bloomdata.parts.places import place_of

    verb = getattr(importlib.import_module("bloomdata"), job.verb)
    verb(**job.arguments, part=job.number, on_progress=on_progress)
    place = place_of(utf8_path(job.arguments["output"], "output"), job.arguments.get("scratch"))
    if job.arguments.get("counting"):
        place = place.counts()
    return place.done({job.number}, job.arguments["parts"])


def ended(report: Report, on_progress: OnProgress = None) -> Any:
    """The result of a run whose parts are one folder: its report, or what is made of that."""
    ending = ENDINGS.get(report.manifest["verb"])
    if ending is None:
        return report
    # Named, since verbs stand above what runs them.
    module, name = ending.split(":")
    return getattr(importlib.import_module(module), name)(report, on_progress)


def _run_all(function: Callable[..., Any], place: Place, arguments: dict[str, Any], *, is_counted: bool) -> Any:
    """Runs all parts that are not finished, if need be after a counting phase, then finishes the run."""
    name = function.__name__
    arguments.setdefault("parts", 1)
    executor, on_progress = arguments.pop("executor", None), arguments.pop("on_progress", None)
    arguments.pop("part", None)
    if arguments.pop("overwrite", False):
        _try_first_part(function, arguments, is_counted=is_counted)
        place.discard()
    if is_counted and _missing(place, arguments["parts"]):
        run_missing(name, place.counts(), arguments | {"counting": True}, executor, on_progress)
    run_missing(name, place, arguments, executor, on_progress)
    # Verbs without the option write an empty output.
    has_option = "allow_empty" in inspect.signature(function).parameters
    allow_empty = bool(arguments.get("allow_empty", not has_option))
    report = place.finish(joined=False, limits=(allow_empty, None, None), on_progress=None)
    return ended(replace(report, ignore_keys=tuple(arguments.get("ignore_keys", ()))))


def _try_first_part(function: Callable[..., Any], arguments: dict[str, Any], *, is_counted: bool) -> None:
    """Refuses a call that cannot be right before it removes anything."""
    from bloomdata.parts.local_place import LocalPlace

    first = arguments | ({"counting": True} if is_counted else {})

    def call(folder: str, on_progress: OnProgress) -> None:
        place = LocalPlace(folder)
        (place.counts() if is_counted else place).run(function, first | {"on_progress": on_progress}, 0)

    begun = f"{COUNTS_NAME}/{PLAN_NAME}" if is_counted else PLAN_NAME
    try_call(call, begun, arguments["inputs"], arguments["output"])


def _missing(place: Place, parts: int) -> list[int]:
    finished = place.finished(parts)
    return [number for number in range(parts) if number not in finished]


def run_missing(
    verb: str,
    place: Place,
    arguments: dict[str, Any],
    executor: Any,
    on_progress: OnProgress,
    run: Callable[..., Progress] = run_job,
) -> None:
    """Runs the parts of a verb that are not finished; `run` is what is done with the job of each."""
    from bloomdata.parts.gathering import Gathering, InTurn, Job
    from bloomdata.parts.signs import Progress

    parts: int = arguments["parts"]
    missing = _missing(place, parts)
    if not missing:
        on_progress = None
    done = Progress() if on_progress is None else place.done(set(range(parts)).difference(missing), parts)
    place.forget({part_name(number, parts) for number in missing})
    gathering = Gathering(executor or InTurn(), place, on_progress, done)
    # In this thread, a part says itself when there is something to tell.
    here = functools.partial(run, on_progress=lambda *_: gathering.tell())
    # Of parts that are all finished, one compares options and inputs with the plan.
    jobs = [Job(verb, arguments, number) for number in missing or [0]]
    gathering.run(run if executor else here, jobs)
