"""The verb `run`: runs a recipe of steps, each a verb with its options."""

from __future__ import annotations

import inspect
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError
from bloomdata.options.arguments import check_arguments
from bloomdata.options.paths import output_path
from bloomdata.options.recipe_file import fill, read_toml, variables_of
from bloomdata.parts.sharing import can_be_shared, check_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bloomdata.options.inputs import OnProgress
    from bloomdata.parts.gathering import Executor

# Verbs that a recipe may use; each is a function of this package.
VERBS = (
    "fetch",
    "shard",
    "prepare",
    "dedup",
    "signatures",
    "decontaminate",
    "train_tokenizer",
    "convert_sentencepiece",
    "extend_vocabulary",
    "pack",
    "pack_moderation",
    "merge",
    "verify",
)
# Options that do not belong in a recipe.
_RUNNING = {"on_progress", "executor", "part", "decide", "counting"}
# Options that are paths, which `_place` resolves.
_PATHS = {
    "inputs",
    "against",
    "signatures",
    "evaluations",
    "output",
    "folder",
    "tokenizer",
    "base",
    "extension",
    "path",
    "template",
    "categories",
    "checksums",
}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a recipe: a verb, and its options with resolved paths."""

    number: int
    verb: str
    options: Mapping[str, Any]

    def __str__(self) -> str:
        target = self.options.get("output", self.options.get("folder", ""))
        return f"step {self.number}: {self.verb} -> {target}"


@check_arguments
def run(
    recipe: str | os.PathLike[str],
    *,
    folder: str | os.PathLike[str] | None = None,
    variables: Mapping[str, str] | None = None,
    parts: int = 1,
    executor: Executor | None = None,
    scratch: str | os.PathLike[str] | None = None,
    num_threads: int | None = None,
    on_step: Callable[[Step, Any], object] | None = None,
    on_progress: Callable[[Step], OnProgress] | None = None,
) -> list[Any]:
    r"""Runs the steps of a recipe in order.

    A recipe is a TOML file with a list of `[[step]]`, each with a `verb` and the options of that verb, and optionally
    `[variables]`, whose values replace `{name}` in strings. Outputs, and inputs that an earlier step writes, are
    relative to `folder`; other paths are relative to the working directory.

    All steps are checked before the first one runs. A killed run resumes when it is called again: each verb resumes
    where it stopped, and verbs that have finished do nothing.

    Args:
        recipe: Path of the TOML file.
        folder: Folder for outputs; by default the folder of the recipe.
        variables: Values for the variables of the recipe.
        parts: Number of parts of each step that can be shared out and does not say so itself.
        executor: Runs the parts, as for `shard`.
        scratch: Local folder for what comes from a store or goes there, as for `shard`.
        num_threads: Number of threads of those steps; one per processor by default.
        on_step: Function called after each step with the step and the result of its verb.
        on_progress: Function called before each step, which returns the `on_progress` of its verb.

    Returns:
        The results of the verbs.

    Raises:
        ConfigError: The recipe is invalid; the message names the step and the problem.
        BloomdataError: A verb fails.

    Command line:
        bloomdata-cli run recipe.toml --dry-run
        bloomdata-cli run recipes/bloomchat.toml --folder bloomchat/ --set oasst1=oasst1.jsonl --set tokenizer=bloom/

    Example:
        >>> recipe = '[[step]]\nverb = "shard"\ninputs = ["raw/a.jsonl"]\noutput = "recipe-shards"\n'
        >>> _ = Path("recipe.toml").write_text(recipe)
        >>> [report.ledger["documents_kept"] for report in bloomdata.run("recipe.toml")]
        [2]
    """
    import bloomdata

    check_parts(parts)
    results = []
    for step in read_recipe(recipe, folder=folder, variables=variables):
        verb = getattr(bloomdata, step.verb)
        progress = None if on_progress is None else on_progress(step)
        options = dict(step.options) | ({"on_progress": progress} if progress is not None else {})
        if can_be_shared(step.verb, options):
            options.setdefault("parts", parts)
            options.setdefault("num_threads", num_threads)
            options |= {"executor": executor} if options["parts"] > 1 else {}
            options |= {"scratch": scratch} if "scratch" in inspect.signature(verb).parameters else {}
        result = verb(**options)
        if on_step is not None:
            on_step(step, result)
        results.append(result)
    return results


def read_recipe(
    recipe: str | os.PathLike[str],
    *,
    folder: str | os.PathLike[str] | None = None,
    variables: Mapping[str, str] | None = None,
) -> list[Step]:
    """The steps of a recipe, checked.

    Raises:
        ConfigError: The recipe is invalid; the message names the step and the problem.
    """
    path = Path(recipe)
    content = read_toml(path)
    if unknown := set(content) - {"variables", "step"}:
        raise ConfigError(f"{path}: expected `variables` and `step`, found {sorted(unknown)[0]!r}")
    steps = content.get("step", [])
    if not isinstance(steps, list) or not steps or not all(isinstance(step, dict) for step in steps):
        raise ConfigError(f"{path}: expected at least one [[step]], found none")
    values = variables_of(content, variables, str(path))
    base = path.parent if folder is None else Path(output_path(folder, "folder"))
    written: set[str] = set()
    checked = []
    for number, step in enumerate(steps, 1):
        place = f"{path}: step {number}"
        verb = step.get("verb")
        if verb not in VERBS:
            raise ConfigError(f"{place}: verb: expected one of {list(VERBS)}, found {verb!r}")
        options = {name: fill(value, values) for name, value in step.items() if name != "verb"}
        _check(verb, options, f"{place} ({verb})")
        options = {name: _place(name, value, base, written) for name, value in options.items()}
        if isinstance(output := options.get("output"), str):
            written.add(output)
        checked.append(Step(number=number, verb=verb, options=options))
    return checked


def _check(verb: str, options: Mapping[str, Any], place: str) -> None:
    """Checks that the verb has every option, and that no required option is missing."""
    import bloomdata
    from bloomdata.prepare_sources import SOURCES

    parameters = inspect.signature(getattr(bloomdata, verb)).parameters.values()
    known = {parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD} - _RUNNING
    if verb == "prepare" and options.get("source") in SOURCES:
        known |= set(SOURCES[options["source"]].options)
    if unknown := set(options) - known:
        raise ConfigError(f"{place}: expected options of {verb}, found {sorted(unknown)[0]!r}")
    needed = [
        parameter.name
        for parameter in parameters
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    ]
    if lacking := [name for name in needed if name not in options]:
        raise ConfigError(f"{place}: expected the option {lacking[0]!r}, found none")


def _place(name: str, value: Any, base: Path, written: set[str]) -> Any:
    """Resolves outputs, and inputs that an earlier step wrote, against the folder."""
    if name not in _PATHS:
        return value
    if isinstance(value, list):
        return [_place(name, one, base, written) for one in value]
    if not isinstance(value, str):
        return value
    inside = os.fspath(base / value)
    is_written = any(inside == output or inside.startswith(output + os.sep) for output in written)
    return inside if name in {"output", "folder"} or is_written else value
