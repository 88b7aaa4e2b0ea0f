"""`evaluate`: a model on packed data and on tasks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

from bloomdata.errors import ConfigError
from bloomdata.evaluation.report import EvaluationReport
from bloomdata.inference.weights import explained, folder_of, read_network
from bloomdata.options.checks import check_choice, check_counts
from bloomdata.train.building import require_torch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def evaluate(
    model: str | os.PathLike[str],
    *,
    data: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
    task_folder: str | os.PathLike[str] | None = None,
    contamination: Sequence[str] | None = None,
    limit: int | None = None,
    few_shot: int | None = None,
    batch_size: int = 8,
    sequence_length: int | None = None,
    dtype: Literal["auto", "float32", "bfloat16", "float16", "int8"] = "auto",
    allow_contamination: bool = False,
) -> EvaluationReport:
    """Measures a model: loss, perplexity and bits per byte of packed data, scores of lm-evaluation-harness's tasks.

    The loss is the one that `train` logs: padding and prompts do not count, and documents of a row do not see each
    other. Under `torchrun`, each rank takes its share of the rows; tasks need a single process.

    Args:
        model: A folder of transformers, such as the export of `train`.
        data: Packed folders, Megatron pairs or HDF5 files.
        tasks: Names of tasks.
        task_folder: Folder with tasks of your own in YAML; those of the package are then not searched, so that no
            network is needed.
        contamination: `contamination.jsonl` of `decontaminate`, one or more: documents of tasks whose text is in them
            do not count, and the score with them is shown beside.
        limit: Most rows of each packed data set, and most documents of each task; by default all.
        few_shot: Examples before each question; by default as the task says.
        batch_size: Rows, or questions, that are computed at once.
        sequence_length: Tokens of a row, for Megatron files, which have documents.
        dtype: Precision of the weights; `auto` takes that of the files.
        allow_contamination: Whether to accept a model in which documents of a row see each other.

    Returns:
        The scores; `print` shows a table.

    Raises:
        ConfigError: There is no model, nothing to measure, a package is not installed, or a task is unknown.
        MismatchError: The data is of another tokenizer than the model.

    Command line:
        bloomdata-cli evaluate run/export --data packed/dev
        bloomdata-cli evaluate run/export --tasks arc_easy hellaswag --limit 100 --json
        bloomdata-cli evaluate run/export --tasks mine --task-folder tasks/ --contamination found/contamination.jsonl
    """
    check_choice("dtype", dtype, "auto", "float32", "bfloat16", "float16", "int8")
    check_counts(limit=limit, few_shot=few_shot, batch_size=batch_size)
    if not data and not tasks:
        raise ConfigError("tasks: expected tasks, or packed data in `data`, got neither")
    if not batch_size:
        raise ConfigError("batch_size: expected 1 or more, got 0")
    if contamination and not tasks:
        raise ConfigError("contamination: expected tasks, whose documents it names, got none")
    if tasks and num_ranks() > 1:
        raise ConfigError("tasks: expected a single process, got several; only `data` is shared among ranks")
    flagged: set[str] = set()
    if tasks:
        from bloomdata.evaluation.contamination import flagged_texts
        from bloomdata.evaluation.tasks import require_harness

        require_harness()
        flagged = flagged_texts(contamination or ())
    folder, network = _loaded(os.fspath(model), dtype)
    losses: dict[str, dict[str, float]] = {}
    scores: list[dict[str, Any]] = []
    if data:
        from bloomdata.evaluation.packed import losses_of

        losses = losses_of(
            network,
            data,
            rows=limit or 0,
            batch_size=batch_size,
            sequence_length=sequence_length,
            allow_contamination=allow_contamination,
        )
    if tasks:
        from bloomdata.evaluation.tasks import scores_of

        scores = scores_of(
            network,
            folder,
            tasks,
            task_folder=task_folder,
            flagged=flagged,
            limit=limit,
            few_shot=few_shot,
            batch_size=batch_size,
        )
    return EvaluationReport(model=os.fspath(model), data=losses, tasks=scores)


def _loaded(model: str, dtype: str) -> tuple[Path, Any]:
    """The folder of a model and its network. Packed data needs no tokenizer, so that the model may have none."""
    require_torch()
    from bloomdata.inference.devices import device_options

    folder, gguf_file = folder_of(model, None)
    # A rank of several has the device that `torchrun` says.
    options = device_options(dtype, 0.85, None, None) if num_ranks() == 1 else {"dtype": dtype}
    with explained(model):
        return folder, read_network(folder, gguf_file, options)


def num_ranks() -> int:
    """Number of processes that `torchrun` has started."""
    return int(os.environ.get("WORLD_SIZE", "1"))
