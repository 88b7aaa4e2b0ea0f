"""Tasks of lm-evaluation-harness. What is ours: the model, and which documents do not count."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError
from bloomdata.evaluation.contamination import is_flagged

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def require_harness() -> None:
    """Raises an error that names the extra, if the package is not installed."""
    try:
        import lm_eval  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise ConfigError(
            f"tasks: lm-evaluation-harness is not installed: pip install 'bloomdata[evaluation]' ({error})"
        ) from error


def scores_of(
    network: Any,
    folder: Path,
    tasks: Sequence[str],
    *,
    task_folder: str | os.PathLike[str] | None,
    flagged: set[str],
    limit: int | None,
    few_shot: int | None,
    batch_size: int,
) -> list[dict[str, Any]]:
    """Scores of a model in tasks.

    Args:
        network: The model.
        folder: Where its tokenizer is.
        tasks: Names of tasks, or of groups of them.
        task_folder: Tasks in YAML, instead of those of the package.
        flagged: Texts whose documents do not count.
        limit: Most documents of a task.
        few_shot: Examples before each question; None for as the task says.
        batch_size: Questions at once.

    Returns:
        For each metric of a task: `task`, `metric`, `filter`, `score`, `score_with_flagged`, `documents`, `flagged`,
        `is_higher_better`.

    Raises:
        ConfigError: A task is unknown, or all of its documents are flagged.
    """
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager
    from transformers import AutoTokenizer

    include = None if task_folder is None else os.fspath(task_folder)
    manager = TaskManager(include_path=include, include_defaults=include is None)
    if unknown := [task for task in tasks if task not in manager.all_tasks]:
        raise ConfigError(f"tasks: {unknown[0]!r} is not a task {'in ' + include if include else 'of the package'}")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (ValueError, OSError) as error:
        raise ConfigError(f"tasks: {folder}: expected a tokenizer, found none that can be read: {error}") from error
    # What stands before a question without examples, where the tokenizer does not say it.
    config = network.config
    starts = (tokenizer.bos_token_id, tokenizer.eos_token_id, config.bos_token_id, config.eos_token_id)
    start = next((token for token in starts if token is not None), 0)
    harness = HFLM(pretrained=network, tokenizer=tokenizer, prefix_token_id=start, batch_size=batch_size)
    # Each task computes its scores of all documents; bootstraps of their errors would take longer than the model.
    results = simple_evaluate(
        harness, tasks=list(tasks), task_manager=manager, limit=limit, num_fewshot=few_shot, bootstrap_iters=0
    )
    loaded = manager.load(list(results["samples"]))["tasks"]
    scores: list[dict[str, Any]] = []
    for name, samples in results["samples"].items():
        measured, better = loaded[name].aggregation(), results["higher_is_better"][name]
        for rule in sorted({sample["filter"] for sample in samples}):
            of_rule = [sample for sample in samples if sample["filter"] == rule]
            clean = [sample for sample in of_rule if not is_flagged(sample["doc"], flagged)]
            if not clean:
                raise ConfigError(f"tasks: {name}: all {len(of_rule)} documents are in the training data")
            scores += [
                {
                    "task": name,
                    "metric": metric,
                    "filter": rule,
                    "score": float(measured[metric]([sample[metric] for sample in clean])),
                    "score_with_flagged": float(results["results"][name][f"{metric},{rule}"]),
                    "documents": len(clean),
                    "flagged": len(of_rule) - len(clean),
                    "is_higher_better": better.get(metric),
                }
                for metric in measured
                if metric in of_rule[0]
            ]
    return scores
