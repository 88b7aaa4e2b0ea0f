"""A layer norm right after the token embedding, with Xavier's rule for the embedding: Open-Llama's stable embedding."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def add_stable_embedding(model: Any, *, folder: str | None, draw: bool) -> None:
    """Puts a layer norm after the input embedding of a model.

    Args:
        model: A model of transformers.
        folder: Folder that the model was read from; the layer norm is read from there, too, if it has one.
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
    if folder is not None:
        _read_norm(norm, Path(folder))


def has_stable_embedding(model: Any) -> bool:
    """Whether `add_stable_embedding` was called on a model."""
    return hasattr(model.get_input_embeddings(), "embed_norm")


def _normalize(module: Any, _inputs: Any, output: Any) -> Any:
    return module.embed_norm(output)


def _read_norm(norm: Any, folder: Path) -> None:
    """Reads the layer norm from a folder; without one, as in a model that never had it, it stays as it begins."""
    from safetensors import safe_open

    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - no mapping
                if ".embed_norm." in name:
                    getattr(norm, name.rpartition(".")[2]).data.copy_(tensors.get_tensor(name))
