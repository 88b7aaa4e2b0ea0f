"""`dedup` in parts: what goes is decided once, for all of them."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from bloomdata import _core
from bloomdata.errors import ConfigError
from bloomdata.manifest import JOURNAL_NAME, MANIFEST_NAME
from bloomdata.options.inputs import file_inputs
from bloomdata.options.near import MinHash, described
from bloomdata.options.paths import output_path
from bloomdata.options.running import running
from bloomdata.parts.local_place import LocalPlace
from bloomdata.parts.running import in_parts, run_missing
from bloomdata.parts.sharing import UNIT_BYTES, check_parts
from bloomdata.parts.trying import try_call
from bloomdata.verbs.signatures import signatures

if TYPE_CHECKING:
    from collections.abc import Callable

    from bloomdata.options.inputs import OnProgress
    from bloomdata.parts.gathering import Executor, Job
    from bloomdata.parts.signs import Progress

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

# Options that say what is signed, and how.
_OF_SIGNATURES = ("exact_normalize", "text_field", "on_bad_record", "num_threads", "on_progress")
# Parts at most that collect sets: whoever decides holds two files of each open.
_MOST_SET_PARTS = 100
# Options that say how parts are run.
_OF_PARTS = ("part", "decide", "executor", "overwrite")


def decided(output: str | os.PathLike[str]) -> Path:
    """The folder of what was decided for all parts."""
    return Path(output) / "decisions"


def set_parts(parts: int) -> int:
    """Number of parts that collect what a decision compares, in a run of so many parts."""
    return min(parts, _MOST_SET_PARTS)


def run_set_parts(arguments: dict[str, Any], executor: Executor | None, on_progress: OnProgress) -> None:
    """Collects what a decision compares: the sets of shingles of documents that may be similar, each part of its files.

    Args:
        arguments: What a part is told; `output` is that of the run.
        executor: Runs the parts.
        on_progress: Told how far all of them are.
    """
    # Where the core looks for them. They go with the scratch folder once it is decided.
    folder = decided(arguments["output"]) / ".dedup" / "set-parts"
    arguments = arguments | {"output": os.fspath(folder)}
    run_missing("dedup_sets", LocalPlace(arguments["output"]), arguments, executor, on_progress, collect_sets)


def collect_sets(job: Job, on_progress: OnProgress = None) -> Progress:
    """Collects the sets of a part where it was sent; what was done."""
    place = LocalPlace(job.arguments["output"])
    place.run(_collect, job.arguments | {"on_progress": on_progress}, job.number)
    return place.done({job.number}, job.arguments["parts"])


def _collect(
    *, inputs: list[str], output: str, config: str, parts: int, part: int, num_threads: int | None, on_progress: Any
) -> None:
    options = running(output_path(output), num_threads, overwrite=False)
    _core.dedup_sets(inputs, (part, parts, UNIT_BYTES), config, options, on_progress)


def decided_first(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Makes `dedup` run in parts, as `in_parts`, with a decision for all of them before the first one.

    All parts at once begin with signatures, in parts, where an executor makes them. Each step leaves a finished folder,
    so that a call that was killed goes on with what is missing.
    """
    signature = inspect.signature(function)
    shared = in_parts(function)

    @functools.wraps(function)
    def run(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        options = signature.bind(*args, **kwargs).arguments
        parts, decides = options.get("parts", 1), options.get("decide", False)
        check_parts(parts)
        # Parts read the decisions as files.
        output_path(options["output"])
        if parts > 1 and options.get("report_only"):
            raise ConfigError(
                f"report_only: expected False in a run of {parts} parts, got True; `decide` writes the report of all "
                "of them into the folder `decisions`"
            )
        if decides and (parts == 1 or options.get("part") is not None or options.get("executor") is not None):
            raise ConfigError("decide: expected only with parts, their number, and without part and executor")
        whole = cast("Callable[..., _Result]", function)
        if parts > 1:
            options["inputs"] = file_inputs(options["inputs"])
        if decides:
            if options.get("overwrite"):
                _discard(whole, options)
            return whole(**options)
        if parts > 1 and options.get("part") is None:
            _decide(whole, options)
            # What it discards is gone.
            options["overwrite"] = False
        return cast("Callable[..., _Result]", shared)(**options)

    return run


def _discard(function: Callable[..., Any], options: dict[str, Any]) -> None:
    """Removes decisions and parts of an earlier run, once the call is known to be right."""
    rest = {name: value for name, value in options.items() if name not in _OF_PARTS} | {"decide": True}
    output = output_path(options["output"])
    try_call(
        lambda folder, stop: function(**rest | {"output": folder, "on_progress": stop}),
        f"{decided('').name}/{JOURNAL_NAME}",
        options["inputs"],
        output,
    )
    LocalPlace(output).discard()


def _decide(function: Callable[..., Any], options: dict[str, Any]) -> None:
    """Decides what goes, unless that is done."""
    output, overwrite = options["output"], options.get("overwrite", False)
    rest = {name: value for name, value in options.items() if name not in _OF_PARTS} | {"decide": True}
    executor = options.get("executor")
    if overwrite:
        _discard(function, options)
    signed = Path(output) / "signatures"
    given = options.get("signatures")
    is_decided = not overwrite and (decided(output) / MANIFEST_NAME).exists()
    made = None if given or is_decided else _sign(signed, options)
    function(**rest | {"signatures": given or made, "overwrite": overwrite, "executor": executor})
    if signed.exists() and not given:
        _core.discard_parts(signed)
        # One that holds something else stays.
        with contextlib.suppress(OSError):
            signed.rmdir()


def _sign(folder: Path, options: dict[str, Any]) -> Path | None:
    """Signatures of all inputs, by the executor; None where the decision makes them as it reads, or needs none."""
    near, exact = described(MinHash, "near", options.get("near")), options.get("exact", "document")
    executor = options.get("executor")
    is_signed = exact == "document" if near is None else near.index == "sorted"
    if not is_signed or (executor is None and not (folder / MANIFEST_NAME).exists()):
        return None
    signatures(
        options["inputs"],
        folder,
        near="none" if near is None else near,
        exact="document" if exact == "document" else "none",
        parts=options["parts"],
        executor=executor,
        overwrite=options.get("overwrite", False),
        **{name: options[name] for name in _OF_SIGNATURES if name in options},
    )
    return folder
