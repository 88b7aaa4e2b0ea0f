"""What is checked before the first step, and what `--dry-run` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bloomdata.errors import ConfigError
from bloomdata.train.costs import memory_bytes, num_parameters
from bloomdata.train.tokens import shown_row

if TYPE_CHECKING:
    from bloomdata.train.data import StageData
    from bloomdata.train.recipe import Stage

# Rows that are looked at for ids and weights.
_SAMPLED = 256


def check(stage: Stage, data: StageData, config: Any) -> None:
    """Refuses data that a model of this configuration cannot be trained on.

    Raises:
        ConfigError: An id is outside the vocabulary, rows are longer than the model's positions, or no token is
            trained on.
        MismatchError: The tokenizer of the data has changed.
    """
    known = data.tokenizer_facts.get("vocab_size")
    if known is not None and known > config.vocab_size:
        raise ConfigError(
            f"model: expected a vocabulary of at least {known}, that of the data's tokenizer, found {config.vocab_size}"
        )
    positions = getattr(config, "max_position_embeddings", None)
    if positions is not None and data.sequence_length > positions and config.model_type != "bloom":
        raise ConfigError(
            f"data: expected rows of at most {positions} tokens, the model's positions, found {data.sequence_length}"
        )
    _ = data.tokenizer  # another one at its place is an error
    count = len(data.dataset)
    batch = data.dataset.read_batch(np.unique(np.linspace(0, count - 1, min(count, _SAMPLED)).astype(np.int64)))
    highest = int(batch["input_ids"].max())
    if highest >= config.vocab_size:
        raise ConfigError(f"data: expected ids below {config.vocab_size}, the model's vocabulary, found {highest}")
    if not (batch["loss_weights"] > 0).any():
        raise ConfigError(
            f"data: expected tokens to train on, found none in {len(batch['input_ids'])} rows: they have only prompts "
            f"and padding, and data.prompt_loss_weight is {stage.data.prompt_loss_weight}"
        )


def first_rows(data: StageData, *, count: int = 2, colour: bool) -> list[str]:
    """The first rows as text, with what is trained on marked."""
    batch = data.dataset.read_batch(np.arange(min(count, len(data.dataset))))
    names = ("input_ids", "labels")
    return [
        shown_row(data.tokenizer, {name: batch[name][row] for name in names}, colour=colour)
        for row in range(len(batch["input_ids"]))
    ]


def describe(stage: Stage, data: StageData, model: Any, *, world_size: int, is_sharded: bool, colour: bool) -> str:
    """A stage in words: parameters, memory, tokens, steps, epochs of each source, and the first rows."""
    memory = memory_bytes(model, stage, world_size, is_sharded=is_sharded)
    total = sum(memory.values())
    parts = ", ".join(f"{name} {_gib(size)}" for name, size in memory.items())
    lines = [
        f"stage {stage.name}: {data.steps:,} steps, {data.samples:,} samples of {data.sequence_length:,} tokens = "
        f"{data.samples * data.sequence_length:,} tokens",
        f"  model     {num_parameters(model):,} parameters",
        f"  memory    {_gib(total)} a rank, without activations: {parts}",
        f"  batch     {stage.batch.rows} rows a step; ranks {world_size}",
    ]
    plan = getattr(data.dataset, "plan", None)
    if plan is not None:
        lines += [f"  source    {row.name}: {row.samples:,} samples, {row.epochs:.2f} epochs" for row in plan().sources]
    else:
        lines.append(
            f"  source    {data.names[0]}: {data.samples:,} samples, {data.samples / len(data.dataset):.2f} epochs"
        )
    lines += [f"  row {number}     {text}" for number, text in enumerate(first_rows(data, colour=colour))]
    return "\n".join(lines)


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
