"""The loss of a batch: sums, so that microbatches and ranks add up to the mean over all targets of a step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def token_loss(logits: Any, batch: Mapping[str, Any]) -> tuple[Any, Any]:
    """Weighted sum of the losses of all targets, and the sum of their weights.

    Divide the one by the other only after both are summed over the microbatches and ranks of a step. A mean of means
    gives every microbatch the same share, however few targets it has.

    Args:
        logits: (rows, length, vocabulary).
        batch: `labels`, (rows, length): the token after each, -100 for none; and `loss_weights`, (rows, length).

    Returns:
        Two scalars, float32.
    """
    losses = token_losses(logits, batch)
    return losses.sum(), batch["loss_weights"].sum()


def token_losses(logits: Any, batch: Mapping[str, Any]) -> Any:
    """The weighted loss of each target in nats, (rows, length) float32."""
    from torch.nn.functional import cross_entropy

    labels = batch["labels"]
    losses = cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), reduction="none", ignore_index=-100)
    return losses.view(labels.shape) * batch["loss_weights"]


def sums_by_source(losses: Any, batch: Mapping[str, Any], num_sources: int) -> Any:
    """Sums of losses and of weights by source, (2, sources) float64; batches without `source` have one."""
    import torch

    rows = torch.stack([losses.detach().double().sum(1), batch["loss_weights"].double().sum(1)])
    if "source" not in batch:
        return rows.sum(1, keepdim=True)
    sums = torch.zeros(2, num_sources, dtype=torch.float64, device=losses.device)
    return sums.index_add_(1, batch["source"].long(), rows)
