"""Recipes for training: TOML or a dict becomes checked stages."""

from __future__ import annotations

import dataclasses
import difflib
import os
import typing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from bloomdata.errors import ConfigError
from bloomdata.options.recipe_file import fill, read_toml, variables_of
from bloomdata.train import options as sections
from bloomdata.train.options import (
    BatchOptions,
    CheckpointOptions,
    DataOptions,
    EngineOptions,
    GuardOptions,
    LogOptions,
    ModelOptions,
    OptimizerOptions,
    PrecisionOptions,
    ScheduleOptions,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECTIONS = {
    "model": ModelOptions,
    "data": DataOptions,
    "batch": BatchOptions,
    "optimizer": OptimizerOptions,
    "schedule": ScheduleOptions,
    "precision": PrecisionOptions,
    "engine": EngineOptions,
    "guards": GuardOptions,
    "checkpoint": CheckpointOptions,
    "log": LogOptions,
}
_LENGTHS = ("steps", "epochs", "samples")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of training; its length is one of `steps`, `epochs` and `samples`."""

    name: str
    steps: int | None = None
    epochs: float | None = None
    samples: int | None = None
    model: ModelOptions = field(default_factory=ModelOptions)
    data: DataOptions = field(default_factory=DataOptions)
    batch: BatchOptions = field(default_factory=BatchOptions)
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    schedule: ScheduleOptions = field(default_factory=ScheduleOptions)
    precision: PrecisionOptions = field(default_factory=PrecisionOptions)
    engine: EngineOptions = field(default_factory=EngineOptions)
    guards: GuardOptions = field(default_factory=GuardOptions)
    checkpoint: CheckpointOptions = field(default_factory=CheckpointOptions)
    log: LogOptions = field(default_factory=LogOptions)

    def to_json(self) -> dict[str, Any]:
        """All options, also those by default."""
        return dataclasses.asdict(self)


def read_recipe(
    recipe: str | os.PathLike[str] | Mapping[str, Any], *, variables: Mapping[str, str] | None = None
) -> list[Stage]:
    """The stages of a recipe, checked.

    Sections at the top hold for all stages; `[stage.NAME]` has the length of a stage, and `[stage.NAME.optimizer]` and
    the like what is different there. `{name}` in a string is replaced by the variable of that name in `[variables]`.

    Raises:
        ConfigError: The recipe is invalid; the message names the key, and the nearest known one.
    """
    if isinstance(recipe, (str, os.PathLike)):
        place, content = os.fspath(recipe), read_toml(recipe)
    else:
        place, content = "recipe", dict(recipe)
    values = variables_of(content, variables, place)
    content.pop("variables", None)
    # Names of sources are paths.
    content = fill(content, values, keys=True)
    _check_names(content, [*_SECTIONS, "stage"], place)
    stages = content.pop("stage", None)
    if not isinstance(stages, dict) or not stages:
        raise ConfigError(f"{place}: expected at least one [stage.NAME] with steps, epochs or samples, found none")
    return [_stage(name, content, own, f"{place}: stage.{name}") for name, own in stages.items()]


def _stage(name: str, common: dict[str, Any], own: Any, place: str) -> Stage:
    if not isinstance(own, dict):
        raise ConfigError(f"{place}: expected a table, found {own!r}")
    _check_names(own, [*_LENGTHS, *_SECTIONS], place)
    given = {key: own[key] for key in _LENGTHS if key in own}
    if len(given) != 1:
        raise ConfigError(f"{place}: expected one of steps, epochs and samples, found {sorted(given) or 'none'}")
    for key, value in given.items():
        if isinstance(value, bool) or not isinstance(value, (int, float) if key == "epochs" else int) or value <= 0:
            raise ConfigError(f"{place}: {key}: expected a number above 0, found {value!r}")
    built = {}
    for section, kind in _SECTIONS.items():
        tables = {"top": common.get(section, {}), "own": own.get(section, {})}
        for table in tables.values():
            if not isinstance(table, dict):
                raise ConfigError(f"{place}: {section}: expected a table, found {table!r}")
        built[section] = _build(kind, tables["top"] | tables["own"], f"{place}: {section}")
    stage = Stage(name=name, **given, **built)
    _check(stage, place)
    return stage


def _build(kind: Any, values: dict[str, Any], place: str) -> Any:
    """A section, with the type of every value checked."""
    types = typing.get_type_hints(kind, vars(sections))
    _check_names(values, list(types), place)
    for name, value in values.items():
        if not _fits(value, types[name]):
            raise ConfigError(f"{place}.{name}: expected {_named(types[name])}, found {value!r}")
    return kind(**values)


def _fits(value: Any, kind: Any) -> bool:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return value in arguments
    if origin is dict:
        return isinstance(value, dict) and all(_fits(one, arguments[1]) for one in value.values())
    if origin is list:
        return isinstance(value, list) and all(_fits(one, arguments[0]) for one in value)
    if arguments:
        return any(_fits(value, one) for one in arguments)
    if kind is Any:
        return True
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _named(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return "one of " + ", ".join(repr(value) for value in typing.get_args(kind))
    return getattr(kind, "__name__", str(kind)) if not typing.get_args(kind) else str(kind).replace("typing.", "")


def _check(stage: Stage, place: str) -> None:
    """What single values cannot tell."""
    model, batch, optimizer, schedule = stage.model, stage.batch, stage.optimizer, stage.schedule
    if model.path is not None and model.family is not None:
        raise ConfigError(f"{place}: model: expected path or family, found both")
    if not stage.data.sources:
        raise ConfigError(f"{place}: data.sources: expected at least one packed folder, found none")
    if batch.rows < 1 or (batch.micro_rows is not None and batch.micro_rows < 1):
        raise ConfigError(f"{place}: batch: expected 1 row or more, found {batch.rows} and {batch.micro_rows}")
    if batch.ramp_start:
        grows = batch.rows - batch.ramp_start
        if batch.ramp_increment < 1 or grows < 0 or grows % batch.ramp_increment or batch.ramp_samples < 1:
            raise ConfigError(
                f"{place}: batch: expected ramp_increment to divide rows - ramp_start = {grows}, and ramp_samples "
                f"above 0, found {batch.ramp_increment} and {batch.ramp_samples}"
            )
    if len(optimizer.betas) != 2 or not all(0 <= beta < 1 for beta in optimizer.betas):
        raise ConfigError(f"{place}: optimizer.betas: expected two numbers from 0 to below 1, found {optimizer.betas}")
    if optimizer.learning_rate < schedule.min_learning_rate or schedule.min_learning_rate < 0:
        raise ConfigError(
            f"{place}: schedule.min_learning_rate: expected 0 to learning_rate {optimizer.learning_rate}, found "
            f"{schedule.min_learning_rate}"
        )
    if (schedule.name == "wsd") != bool(schedule.cooldown_samples):
        raise ConfigError(f"{place}: schedule: expected cooldown_samples with 'wsd' only, found {schedule}")
    for pair in stage.data.skip:
        if len(pair) != 2 or not 0 <= pair[0] <= pair[1]:
            raise ConfigError(f"{place}: data.skip: expected [start, end] with 0 <= start <= end, found {pair}")
    if unknown := set(stage.log.trackers) - {"tensorboard", "wandb", "trackio"}:
        raise ConfigError(f"{place}: log.trackers: expected tensorboard, wandb, trackio, found {sorted(unknown)[0]!r}")


def _check_names(values: Mapping[str, Any], known: list[str], place: str) -> None:
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; expected one of {', '.join(known)}"
            raise ConfigError(f"{place}: unknown key {name!r}{hint}")
