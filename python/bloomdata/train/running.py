"""`run` and `stages`: from a recipe to trained, exported models; killed runs resume."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bloomdata.errors import ConfigError
from bloomdata.options.paths import output_path
from bloomdata.train.checkpoints import list_checkpoints, read_state
from bloomdata.train.recipe import Stage, read_recipe
from bloomdata.train.results import TrainResult, result_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bloomdata.train.data import StageData


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
    folder = output_path(folder, "folder")
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
    from bloomdata.train.attention import prove
    from bloomdata.train.checkpoints import Checkpointer
    from bloomdata.train.claiming import claim
    from bloomdata.train.data import open_data
    from bloomdata.train.engines import build_engine
    from bloomdata.train.engines.engine import wait_for_ranks
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
        vocab_size = data.tokenizer_facts.get("vocab_size")
        # Before any memory is taken for weights.
        check(stage, data, model_config(stage.model, vocab_size=vocab_size))
        if driver.rank == 0:
            claim(folder, stage, data)
        wait_for_ranks()
        if _is_done(stage, data, folder):
            return result_of(folder)
        _set_determinism(stage)
        model = build_model(stage.model, vocab_size=vocab_size)
        if not allow_contamination:
            prove(model)
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
            ended_by = loop.run(stop)
        if ended_by is None and stage.checkpoint.export and not (folder / "export").exists():
            export(driver, data, folder / "export")
        if journal is not None:
            journal.close()
        return result_of(folder, ended_by)
    finally:
        driver.close()


def _is_done(stage: Stage, data: StageData, folder: Path) -> bool:
    """Whether a stage is at its end, evaluated and exported."""
    found = list_checkpoints(folder / "checkpoints")
    if max(found, default=0) < data.steps:
        return False
    read_state(found[max(found)])
    evaluated = any("evaluation" in line and line["step"] == data.steps for line in result_of(folder).log)
    return (evaluated or not stage.data.evaluation) and ((folder / "export").exists() or not stage.checkpoint.export)


def _initial_weights(folder: Path, before: Path | None) -> Path | None:
    """The last checkpoint of the stage before."""
    if before is None:
        return None
    found = list_checkpoints(before / "checkpoints")
    if not found:
        raise ConfigError(f"{folder}: expected a checkpoint of the stage before in {before}, found none")
    return found[max(found)]


def _set_determinism(stage: Stage) -> None:
    import torch

    if stage.precision.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(mode=True)


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
        vocab_size = data.tokenizer_facts.get("vocab_size")
        check(stage, data, model_config(stage.model, vocab_size=vocab_size))
        model = build_model(stage.model, vocab_size=vocab_size, weights=False)
        sharded = engine in {"fsdp2", "deepspeed"}
        texts.append(describe(stage, data, model, world_size=world_size, is_sharded=sharded, colour=colour))
    return "\n".join(texts)
