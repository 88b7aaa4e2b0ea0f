"""A layer norm right after the token embedding, with Xavier's rule for the embedding: Open-Llama's stable embedding."""

from __future__ import annotations

from typing import Any


def add_stable_embedding(model: Any, *, draw: bool) -> None:
    """Puts a layer norm after the input embedding of a model.

    Args:
        model: A model of transformers.
        draw: Whether to draw the embedding anew, by Xavier's normal rule.

    Origin:
        `StableEmbedding` of Open-Llama (models/llama.py), after bitsandbytes. The folder that is exported has one
        tensor more, `...embed_norm.weight` and `.bias`, which transformers' own classes do not read: the export says so
        in `README.md`.
    """
    import torch

    embedding = model.get_input_embeddings()
    if draw:
        torch.nn.init.xavier_normal_(embedding.weight)
    norm = torch.nn.LayerNorm(embedding.embedding_dim, dtype=embedding.weight.dtype, device=embedding.weight.device)
    embedding.add_module("embed_norm", norm)
    embedding.register_forward_hook(_normalize)


def has_stable_embedding(model: Any) -> bool:
    """Whether `add_stable_embedding` was called on a model."""
    return hasattr(model.get_input_embeddings(), "embed_norm")


def _normalize(module: Any, _inputs: Any, output: Any) -> Any:
    return module.embed_norm(output)
