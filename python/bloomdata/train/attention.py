"""`packed_inputs`: what a model of transformers needs so that documents in a row do not attend to each other."""

from __future__ import annotations

import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError
from bloomdata.train.bloom_attention import accept_document_masks
from bloomdata.train.documents import attention_mask, document_numbers, restarted_positions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Models that were seen to keep documents apart.
_PROVEN: weakref.WeakSet[Any] = weakref.WeakSet()
# Lengths of the documents in the row that models are proven with.
_LENGTHS = (5, 6, 5)


def packed_inputs(model: Any, batch: Mapping[str, Any], *, allow_contamination: bool = False) -> dict[str, Any]:
    """Arguments of a causal language model of transformers for a batch of packed rows.

    Most models get `position_ids` that restart in every document, no mask and no cache: with a mask, also one of only
    ones, or with a cache, which is the default, they attend to the whole row. BLOOM ignores positions; the given
    instance is changed so that it takes a mask of documents. Other calls of it give what they gave before.

    The first call with a model proves it: it changes a document in a row, and the logits of the next one must stay the
    same, bit for bit.

    There are no labels among the arguments: models of transformers shift labels, and those of `bloomdata` are shifted
    already. `bloomdata.train.token_loss` computes the loss.

    Args:
        model: The model, also wrapped by DDP, FSDP2, DeepSpeed, `torch.compile` or peft.
        batch: `input_ids`, (rows, length), and `cu_seqlens` or `position_ids`, as `DataLoader` returns them.
        allow_contamination: Whether to accept a model whose documents attend to each other.

    Returns:
        `input_ids`, `use_cache`, and `position_ids` or `attention_mask`.

    Raises:
        ConfigError: Documents attend to each other in this model, or the batch has no boundaries.

    Example:
        >>> batch = bloomdata.DataLoader(rows, batch_size=8, device="cpu").batch(0)  # doctest: +SKIP
        >>> logits = model(**bloomdata.train.packed_inputs(model, batch)).logits  # doctest: +SKIP
    """
    import torch

    inner = unwrapped(model)
    if not allow_contamination:
        prove(inner)
    return {"input_ids": torch.as_tensor(batch["input_ids"]), **_arguments(inner, batch)}


def prove(model: Any) -> None:
    """Proves that a model keeps documents apart; does nothing for one that was proven before.

    Raises:
        ConfigError: It does not.
    """
    inner = unwrapped(model)
    if inner in _PROVEN:
        return
    if leak := leakage(inner):
        name = f"{type(inner).__name__} (model_type {inner.config.model_type!r})"
        raise ConfigError(
            f"model: expected documents of a row apart, but in {name} they attend to each other: changing one changes "
            f"the logits of the next by up to {leak:.2g}; allow_contamination=True trains anyway"
        )
    _PROVEN.add(inner)


def _arguments(inner: Any, batch: Mapping[str, Any]) -> dict[str, Any]:
    documents = document_numbers(batch)
    if inner.config.model_type == "bloom":
        accept_document_masks(inner)
        return {"attention_mask": attention_mask(documents), "use_cache": False}
    return {"position_ids": restarted_positions(documents), "use_cache": False}


def unwrapped(model: Any) -> Any:
    """The model of transformers inside wrappers."""
    while True:
        inner = getattr(model, "_orig_mod", None) or getattr(model, "module", None)
        if inner is None and hasattr(model, "get_base_model"):
            inner = model.get_base_model()
        if inner is None:
            return model
        model = inner


def leakage(model: Any) -> float:
    """How far the logits of a document change if the document before it in the row is another one.

    Returns:
        The largest absolute difference: 0.0 exactly if documents are isolated.
    """
    import torch

    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, model.config.vocab_size, (1, sum(_LENGTHS)), generator=generator).to(device)
    other = ids.clone()
    other[:, : _LENGTHS[0]] = (other[:, : _LENGTHS[0]] + 1) % model.config.vocab_size
    bounds = torch.tensor([0, *_LENGTHS], device=device).cumsum(0)
    with _evaluating(model), torch.no_grad():
        first, second = (
            model(input_ids=row, **_arguments(model, {"input_ids": row, "cu_seqlens": bounds})).logits
            for row in (ids, other)
        )
    return float((first - second)[:, _LENGTHS[0] :].abs().max())


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
