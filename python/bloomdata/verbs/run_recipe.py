"""The verb `run`: a recipe of steps, each a verb with its options."""

from __future__ import annotations

import inspect
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError
from bloomdata.options.paths import output_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bloomdata.options.inputs import OnProgress

# Verbs that a recipe may name; each is a function of this package.
VERBS = (
    "fetch",
    "shard",
    "prepare",
    "train_tokenizer",
    "convert_sentencepiece",
    "extend_vocabulary",
    "pack",
    "pack_moderation",
    "merge",
    "verify",
)
# Options of the machine, not of the recipe: they never change an output.
_RUNNING = {"on_progress"}
# Options that name files: in a recipe they are relative to its folder.
_PATHS = {"inputs", "output", "folder", "tokenizer", "base", "extension", "path", "template", "categories", "checksums"}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a recipe: a verb, and its options with all names of files made absolute."""

    number: int
    verb: str
    options: Mapping[str, Any]

    def __str__(self) -> str:
        target = self.options.get("output", self.options.get("folder", ""))
        return f"step {self.number}: {self.verb} -> {target}"


def run(
    recipe: str | os.PathLike[str],
    *,
    folder: str | os.PathLike[str] | None = None,
    variables: Mapping[str, str] | None = None,
    on_step: Callable[[Step, Any], object] | None = None,
    on_progress: Callable[[Step], OnProgress] | None = None,
) -> list[Any]:
    r"""Runs the steps of a recipe, one after the other.

    A recipe is a TOML file with a list of `[[step]]`, each with a `verb` and the options of that verb, and perhaps
    `[variables]`, whose values stand for `{name}` in texts. Outputs, and inputs that an earlier step writes, are
    relative to `folder`; other files are relative to where the program runs.

    All steps are checked before the first one runs. A run that was killed goes on when it is called again: each verb
    goes on where it stopped, and those that were finished do nothing.

    Args:
        recipe: The TOML file.
        folder: Where outputs go; by default where the recipe is.
        variables: Values for the recipe's variables.
        on_step: Called after each step with the step and what its verb returned.
        on_progress: Called before each step; what it returns is the verb's `on_progress`.

    Returns:
        What the verbs returned.

    Raises:
        ConfigError: A recipe that is none: which step, and what is wrong with it.
        BloomdataError: What a verb raises.

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

    results = []
    for step in read_recipe(recipe, folder=folder, variables=variables):
        verb = getattr(bloomdata, step.verb)
        progress = None if on_progress is None else on_progress(step)
        result = verb(**step.options, **({"on_progress": progress} if progress is not None else {}))
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
        ConfigError: What is wrong, and in which step.
    """
    path = Path(recipe)
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    if unknown := set(content) - {"variables", "step"}:
        raise ConfigError(f"{path}: {sorted(unknown)[0]!r} is neither `variables` nor `step`")
    steps = content.get("step", [])
    if not isinstance(steps, list) or not steps or not all(isinstance(step, dict) for step in steps):
        raise ConfigError(f"{path}: no [[step]]")
    known = content.get("variables", {})
    if not isinstance(known, dict) or not all(isinstance(value, str) for value in known.values()):
        raise ConfigError(f"{path}: [variables] are texts")
    if unset := set(variables or {}) - set(known):
        raise ConfigError(f"{path}: {sorted(unset)[0]!r} is none of its variables {sorted(known)}")
    values = {**known, **(variables or {})}
    base = path.parent if folder is None else Path(output_path(folder, "folder"))
    written: set[str] = set()
    checked = []
    for number, step in enumerate(steps, 1):
        place = f"{path}: step {number}"
        verb = step.get("verb")
        if verb not in VERBS:
            raise ConfigError(f"{place}: verb {verb!r} is none of {list(VERBS)}")
        options = {name: _fill(value, values, place) for name, value in step.items() if name != "verb"}
        _check(verb, options, f"{place} ({verb})")
        options = {name: _place(name, value, base, written) for name, value in options.items()}
        if isinstance(output := options.get("output"), str):
            written.add(output)
        checked.append(Step(number=number, verb=verb, options=options))
    return checked


def _check(verb: str, options: Mapping[str, Any], place: str) -> None:
    """Names options that the verb does not have, and those that it lacks."""
    import bloomdata
    from bloomdata.prepare_sources import SOURCES

    parameters = inspect.signature(getattr(bloomdata, verb)).parameters.values()
    known = {parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD} - _RUNNING
    if verb == "prepare" and options.get("source") in SOURCES:
        known |= set(SOURCES[options["source"]].options)
    if unknown := set(options) - known:
        raise ConfigError(f"{place}: {sorted(unknown)[0]!r} is no option of it")
    needed = [
        parameter.name
        for parameter in parameters
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    ]
    if lacking := [name for name in needed if name not in options]:
        raise ConfigError(f"{place}: {lacking[0]!r} is missing")


def _fill(value: Any, variables: Mapping[str, str], place: str) -> Any:
    """Puts values in the place of `{name}`; a text without a known name stays as it is, as a template may."""
    if isinstance(value, list):
        return [_fill(one, variables, place) for one in value]
    if isinstance(value, dict):
        return {name: _fill(one, variables, place) for name, one in value.items()}
    if not isinstance(value, str):
        return value
    for name, text in variables.items():
        value = value.replace(f"{{{name}}}", text)
    return value


def _place(name: str, value: Any, base: Path, written: set[str]) -> Any:
    """Outputs, and what an earlier step wrote, are in the folder."""
    if name not in _PATHS:
        return value
    if isinstance(value, list):
        return [_place(name, one, base, written) for one in value]
    if not isinstance(value, str):
        return value
    inside = os.fspath(base / value)
    is_written = any(inside == output or inside.startswith(output + os.sep) for output in written)
    return inside if name in {"output", "folder"} or is_written else value
