"""Where documents start in a batch of packed rows, as tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping


def document_numbers(batch: Mapping[str, Any]) -> Any:
    """The number of each token's document in its row.

    Args:
        batch: `input_ids`, (rows, length), and `cu_seqlens` over all tokens of the batch; or `position_ids`, which are
            0 where a document starts. Tensors, or arrays of numpy.

    Returns:
        (rows, length) int64, on the device of `input_ids`: 0 for the first document of a row, 1 for the next, ...

    Raises:
        ConfigError: The batch has neither boundaries nor positions, or the boundaries do not fit the rows.
    """
    import torch

    ids = torch.as_tensor(batch["input_ids"])
    rows, length = ids.shape
    if "cu_seqlens" in batch:
        bounds = torch.as_tensor(batch["cu_seqlens"])
        if int(bounds[0]) != 0 or int(bounds[-1]) != rows * length:
            raise ConfigError(f"cu_seqlens: expected 0 to {rows * length}, got {int(bounds[0])} to {int(bounds[-1])}")
        starts = torch.zeros(rows * length, dtype=torch.int64, device=ids.device)
        starts[bounds[:-1].to(ids.device, torch.int64)] = 1
        starts = starts.view(rows, length)
    elif "position_ids" in batch:
        starts = (torch.as_tensor(batch["position_ids"]).to(ids.device) == 0).to(torch.int64)
    else:
        raise ConfigError(f"batch: expected cu_seqlens or position_ids, got {sorted(batch)}")
    starts[:, 0] = 0
    return starts.cumsum(dim=1)


def restarted_positions(documents: Any) -> Any:
    """Positions that restart in every document, (rows, length) int64."""
    import torch

    places = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)
    is_start = torch.ones_like(documents, dtype=torch.bool)
    is_start[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return places - torch.where(is_start, places, 0).cummax(dim=1).values


def document_lengths(batch: Mapping[str, Any], pad_token_id: int | None) -> Any:
    """Lengths of the documents of a batch, (documents,) int64, without those that are padding.

    Padding is a stretch of its own in `cu_seqlens`; it has only padding tokens and no weight.
    """
    import torch

    ids = batch["input_ids"].flatten()
    bounds = batch["cu_seqlens"].long() if "cu_seqlens" in batch else torch.tensor([0, ids.numel()], device=ids.device)
    lengths = bounds.diff()
    if pad_token_id is None:
        return lengths
    real = ((ids != pad_token_id) | (batch["loss_weights"].flatten() > 0)).long()
    sums = torch.cat([real.new_zeros(1), real.cumsum(0)])
    return lengths[sums[bounds[1:]] > sums[bounds[:-1]]]


def attention_mask(documents: Any) -> Any:
    """Which key each query may attend to: an earlier token, or itself, of the same document.

    Returns:
        (rows, 1, length, length) bool, queries before keys.
    """
    import torch

    length = documents.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=documents.device).tril()
    return ((documents[:, :, None] == documents[:, None, :]) & causal)[:, None]
