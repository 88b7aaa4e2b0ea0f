"""Loss, perplexity and bits per byte of packed data: the evaluation of `bloomdata.train` with a finished model."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bloomdata.errors import MismatchError
from bloomdata.train import evaluation
from bloomdata.train.data import open_source, read_books
from bloomdata.train.engines.engine import join_group, leave_group
from bloomdata.train.options import DataOptions
from bloomdata.train.tokens import find_tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager


@dataclass
class _Rank:
    """A whole model on one rank, without an optimizer: `Forward`."""

    rank: int
    world_size: int
    device: Any
    model: Any

    def computing(self, *, is_last: bool) -> AbstractContextManager[Any]:  # noqa: ARG002 - there are no gradients
        """Nothing: weights have the precision that they are computed in."""
        return nullcontext()


def losses_of(
    network: Any,
    data: Sequence[str],
    *,
    rows: int,
    batch_size: int,
    sequence_length: int | None,
    allow_contamination: bool,
) -> dict[str, dict[str, float]]:
    """What `train.evaluation.evaluate` finds, by data set.

    Raises:
        ConfigError: A path holds no packed data, or documents see each other in this model.
        MismatchError: The data has ids that the model does not have.
    """
    rank, world_size, device, is_own = join_group()
    try:
        device = network.device if world_size == 1 else device
        engine = _Rank(rank, world_size, device, network if world_size == 1 else network.to(device))
        found = {}
        for path in data:
            facts, _template = read_books(path)
            _check_vocabulary(path, facts, network)
            dataset = open_source(path, DataOptions(sources={path: 1.0}, sequence_length=sequence_length))
            one = evaluation.evaluate(
                engine,
                dataset,
                rows=rows,
                micro_rows=batch_size,
                tokenizer=find_tokenizer(facts),
                allow_contamination=allow_contamination,
            )
            assert one is not None  # only a request to stop gives None, and there is none here
            found[path] = one
        network.eval()
    finally:
        leave_group(is_own=is_own)
    return found


def _check_vocabulary(path: str, facts: dict[str, Any], network: Any) -> None:
    rows = network.get_input_embeddings().weight.shape[0]
    size = facts.get("vocab_size", 0)
    if size > rows:
        raise MismatchError(f"{path}: expected ids below {rows}, the model's, found a tokenizer of {size}")
