"""`run` and `stages`: from a recipe to trained, exported models; killed runs resume."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bloomdata.errors import ConfigError, MismatchError
from bloomdata.train.recipe import Stage, read_recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bloomdata.train.data import StageData

_FORMAT = 1
# What a rerun may change: it does not change what is computed, or not before the step that it resumes from.
_FREE = {
    ("log",),
    ("engine",),
    ("checkpoint",),
    ("batch", "micro_rows"),
    ("data", "skip"),
    ("model", "activation_checkpointing"),
}


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a stage gave.

    Attributes:
        stage: Its name.
        folder: Folder with `config.json`, `log.jsonl`, `checkpoints` and `export`.
        steps: Steps done.
        final_loss: Loss of the last step, in nats a target token; None if the log has none.
        log: Lines of the log.
        export: Folder for transformers; None if none was written.
        ended_by: Name of the signal that ended the run early; None at the end of the stage.
    """

    stage: str
    folder: str
    steps: int
    final_loss: float | None
    log: list[dict[str, Any]] = field(repr=False)
    export: str | None
    ended_by: str | None

    def __str__(self) -> str:
        from bloomdata.train.journal import sparkline

        losses = [line["loss"] for line in self.log if "loss" in line]
        ended = f"stopped by {self.ended_by}; the same command resumes" if self.ended_by else "done"
        first = f"{losses[0]:.4f} {sparkline(losses)} {losses[-1]:.4f}" if losses else "no losses logged"
        lines = [f"train {self.stage}: {ended} at step {self.steps:,}; loss {first}"]
        for line in reversed(self.log):
            if "evaluation" in line:
                lines += [f"  {name}: {_numbers(found)}" for name, found in line["evaluation"].items()]
                break
        return "\n".join([*lines, *([f"  export: {self.export}"] if self.export else [])])

    def to_json(self) -> dict[str, Any]:
        """Everything but the log."""
        names = ("stage", "folder", "steps", "final_loss", "export", "ended_by")
        return {name: getattr(self, name) for name in names}


def _numbers(found: dict[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:,.4g}" for name, value in found.items())


def run(
    recipe: str | os.PathLike[str] | Mapping[str, Any],
    *,
    folder: str | os.PathLike[str] = "run",
    variables: Mapping[str, str] | None = None,
    stage: str | None = None,
    engine: Literal["torch", "fsdp2", "deepspeed", "accelerate"] = "torch",
    allow_contamination: bool = False,
    overfit_one_batch: bool = False,
    cooldown_from: int | None = None,
    on_line: Callable[[dict[str, Any]], object] | None = None,
) -> TrainResult:
    """Trains the stages of a recipe, one after the other. A run that was killed resumes from its last checkpoint.

    A stage begins with the weights of the one before it. With one stage, its files are in the folder itself, else in a
    folder of its own inside.

    Args:
        recipe: A TOML file, or its content as a dict; see docs/training.md.
        folder: Folder of the run.
        variables: Values for the variables of the recipe.
        stage: Name of the only stage to run; the stages before it must be done.
        engine: `torch`: one process, or DDP under torchrun. `fsdp2`: shards weights. `deepspeed`. `accelerate`.
        allow_contamination: Whether to train a model whose documents attend to each other.
        overfit_one_batch: Whether to train on the first batch only, as a smoke test: the loss must fall to near 0.
        cooldown_from: For the schedule `wsd`: starts the decay at the checkpoint of this step, in a folder of its own
            inside.
        on_line: Function called with each line of the log.

    Returns:
        The result of the last stage.

    Raises:
        ConfigError: The recipe is invalid, or the model does not fit the data.
        MismatchError: The folder has a run of another recipe or other data; the message shows the difference.
        CorruptDataError: A checkpoint is damaged; the message names the last good one.
        BloomdataError: A guard stopped the run: no finite loss, or a spike.

    Command line:
        bloomdata-cli train recipes/smoke.toml --folder run/
        bloomdata-cli train recipes/smoke.toml --folder run/ --dry-run
        torchrun --nproc-per-node 8 -m bloomdata train recipes/openchatkit-20b.toml --folder run/ --engine fsdp2
        bloomdata-cli train --compare run-a/ run-b/
    """
    result = None
    for result in stages(
        recipe,
        folder=folder,
        variables=variables,
        stage=stage,
        engine=engine,
        allow_contamination=allow_contamination,
        overfit_one_batch=overfit_one_batch,
        cooldown_from=cooldown_from,
        on_line=on_line,
    ):
        if result.ended_by is not None:
            break
    assert result is not None
    return result


def stages(
    recipe: str | os.PathLike[str] | Mapping[str, Any],
    *,
    folder: str | os.PathLike[str] = "run",
    variables: Mapping[str, str] | None = None,
    stage: str | None = None,
    **options: Any,
) -> Iterator[TrainResult]:
    """Trains stage by stage, and yields the result of each; arguments as for `run`."""
    plan = read_recipe(recipe, variables=variables)
    names = [one.name for one in plan]
    if stage is not None and stage not in names:
        raise ConfigError(f"stage: expected one of {', '.join(names)}, got {stage!r}")
    for number, one in enumerate(plan):
        if stage is not None and one.name != stage:
            continue
        before = stage_folder(folder, plan, number - 1) if number else None
        yield _train(one, stage_folder(folder, plan, number), before, **options)


def stage_folder(folder: str | os.PathLike[str], plan: list[Stage], number: int) -> Path:
    """Where the files of a stage are."""
    return Path(folder) if len(plan) == 1 else Path(folder) / plan[number].name


def _train(
    stage: Stage,
    folder: Path,
    before: Path | None,
    *,
    engine: str = "torch",
    allow_contamination: bool = False,
    overfit_one_batch: bool = False,
    cooldown_from: int | None = None,
    on_line: Callable[[dict[str, Any]], object] | None = None,
) -> TrainResult:
    """Trains one stage, or resumes it, or returns its result if it is done."""
    from bloomdata.train.building import build_model, model_config, require_torch

    require_torch()
    from bloomdata.train.checkpoints import Checkpointer, list_checkpoints, read_state
    from bloomdata.train.data import open_data
    from bloomdata.train.engines import build_engine
    from bloomdata.train.exporting import export
    from bloomdata.train.guards import StopRequest
    from bloomdata.train.journal import Journal
    from bloomdata.train.loop import Loop
    from bloomdata.train.preflight import check

    initial = _initial_weights(folder, before)
    if cooldown_from is not None:
        from bloomdata.train.cooldown import prepare_cooldown

        stage, folder, initial = prepare_cooldown(stage, folder, cooldown_from)
    data = open_data(stage)
    driver = build_engine(engine, stage)
    try:
        vocab_size = data.tokenizer.get("vocab_size")
        # Before any memory is taken for weights.
        check(stage, data, model_config(stage.model, vocab_size=vocab_size))
        if driver.rank == 0:
            _claim(folder, stage, data)
        _set_determinism(stage)
        model = build_model(stage.model, vocab_size=vocab_size)
        _prove(model, allow_contamination=allow_contamination)
        driver.prepare(model)
        found = list_checkpoints(folder / "checkpoints")
        journal: Journal | None = None
        if driver.rank == 0:
            journal = Journal(folder / "log.jsonl", stage.log, folder.name, resumes_after=max(found, default=0))

        def write(line: dict[str, Any]) -> None:
            if journal is not None:
                journal.write(line)
                if on_line is not None:
                    on_line(line)

        def event(text: str) -> None:
            write({"step": loop.step, "event": text})

        checkpointer = Checkpointer(folder / "checkpoints", driver, stage.checkpoint, event)
        loop = Loop(
            stage,
            data,
            driver,
            checkpointer,
            write,
            folder,
            allow_contamination=allow_contamination,
            overfit=overfit_one_batch,
        )
        if found:
            latest = found[max(found)]
            loop.load_state_dict(read_state(latest))
            driver.load(latest, weights_only=False)
            checkpointer.last_step = loop.step
        elif initial is not None:
            read_state(initial)
            driver.load(initial, weights_only=cooldown_from is None)
            if cooldown_from is not None:
                loop.load_state_dict(read_state(initial))
        with StopRequest().listening() as stop:
            ended_by = loop.run(stop) if loop.step < data.steps else None
        if ended_by is None and stage.checkpoint.export and not (folder / "export").exists():
            export(driver, data, folder / "export")
        if journal is not None:
            journal.close()
        return result_of(folder, ended_by)
    finally:
        driver.close()


def _initial_weights(folder: Path, before: Path | None) -> Path | None:
    """The last checkpoint of the stage before."""
    from bloomdata.train.checkpoints import list_checkpoints

    if before is None:
        return None
    found = list_checkpoints(before / "checkpoints")
    if not found:
        raise ConfigError(f"{folder}: expected a checkpoint of the stage before in {before}, found none")
    return found[max(found)]


def _prove(model: Any, *, allow_contamination: bool) -> None:
    """Proves that documents are apart, before the model is spread over ranks."""
    import torch

    from bloomdata.train.attention import packed_inputs

    row = {"input_ids": torch.zeros(1, 4, dtype=torch.int64), "position_ids": torch.arange(4)[None]}
    packed_inputs(model, row, allow_contamination=allow_contamination)


def _set_determinism(stage: Stage) -> None:
    import torch

    if stage.precision.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)  # noqa: FBT003 - torch's own signature


def result_of(folder: Path, ended_by: str | None = None) -> TrainResult:
    """The result of a run so far, from its log.

    Raises:
        ConfigError: The folder has no run.
    """
    from bloomdata.train.journal import read_log

    if not (folder / "config.json").exists():
        raise ConfigError(f"{folder}: expected a run with config.json, found none")
    log = read_log(folder / "log.jsonl")
    losses = [line["loss"] for line in log if "loss" in line]
    export = folder / "export"
    return TrainResult(
        stage=json.loads((folder / "config.json").read_text("utf-8"))["recipe"]["name"],
        folder=str(folder),
        steps=max((line["step"] for line in log), default=0),
        final_loss=losses[-1] if losses else None,
        log=log,
        export=str(export) if export.exists() else None,
        ended_by=ended_by,
    )


def _claim(folder: Path, stage: Stage, data: StageData) -> None:
    """Writes `config.json`, or compares with the one that is there.

    Raises:
        MismatchError: The folder has a run of another recipe or other data.
    """
    import torch
    import transformers

    import bloomdata
    from bloomdata.train.checkpoints import list_checkpoints
    from bloomdata.train.journal import read_log

    versions = {
        "bloomdata": bloomdata.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    facts = {
        "format": _FORMAT,
        "recipe": stage.to_json(),
        "data_fingerprint": data.dataset.fingerprint,
        "versions": versions,
    }
    path = folder / "config.json"
    # A run that took no step may begin again with another recipe.
    if path.exists() and (list_checkpoints(folder / "checkpoints") or read_log(folder / "log.jsonl")):
        before = json.loads(path.read_text("utf-8"))
        differences = [
            f"{'.'.join(name)}: expected {old!r}, found {new!r}"
            for name, old, new in _differences(before["recipe"], facts["recipe"])
            if not any(name[: len(free)] == free for free in _FREE)
        ]
        if before["data_fingerprint"] != facts["data_fingerprint"] and not differences:
            differences.append("data.sources: expected the files that the run began with, found others")
        if differences:
            raise MismatchError("\n".join([f"{folder}: a run of another recipe is here:", *differences]))
        if before["versions"] != versions:
            sys.stderr.write(f"{folder}: began with {before['versions']}, goes on with {versions}\n")
        return
    if folder.exists() and not path.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder}: expected an empty folder or a run, found other files")
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_name("config.json.partial")
    partial.write_text(json.dumps(facts, indent=2), "utf-8")
    partial.rename(path)


def _differences(before: Any, now: Any, name: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any, Any]]:
    if isinstance(before, dict) and isinstance(now, dict):
        keys = sorted(set(before) | set(now))
        return [one for key in keys for one in _differences(before.get(key), now.get(key), (*name, key))]
    # JSON has no integers apart from floats.
    return [] if before == now else [(name, before, now)]


def dry_run(
    recipe: str | os.PathLike[str] | Mapping[str, Any],
    *,
    variables: Mapping[str, str] | None = None,
    engine: str = "torch",
    colour: bool = False,
) -> str:
    """What a recipe would do: parameters, memory, tokens, steps, epochs of each source, and the first rows.

    Raises:
        ConfigError: The recipe is invalid, or the model does not fit the data.
    """
    from bloomdata.train.building import build_model, model_config
    from bloomdata.train.data import open_data
    from bloomdata.train.preflight import check, describe

    texts = []
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    for stage in read_recipe(recipe, variables=variables):
        data = open_data(stage)
        vocab_size = data.tokenizer.get("vocab_size")
        check(stage, data, model_config(stage.model, vocab_size=vocab_size))
        model = build_model(stage.model, vocab_size=vocab_size, weights=False)
        sharded = engine in {"fsdp2", "deepspeed"}
        texts.append(describe(stage, data, model, world_size=world_size, is_sharded=sharded, colour=colour))
    return "\n".join(texts)
