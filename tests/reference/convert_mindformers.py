"""BLOOM's tensors under MindFormers' names, and parts of tensors by MindSpore's strategies, written in NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

PLAIN = {
    "word_embeddings.weight": "embedding.word_embedding.embedding_table",
    "word_embeddings_layernorm.weight": "embedding.norm.gamma",
    "word_embeddings_layernorm.bias": "embedding.norm.beta",
    "ln_f.weight": "ln_f.gamma",
    "ln_f.bias": "ln_f.beta",
    "lm_head.weight": "head.weight",
}
LAYER = {
    "input_layernorm.weight": "layernorm1.gamma",
    "input_layernorm.bias": "layernorm1.beta",
    "post_attention_layernorm.weight": "layernorm2.gamma",
    "post_attention_layernorm.bias": "layernorm2.beta",
    "self_attention.dense.weight": "attention.projection.weight",
    "self_attention.dense.bias": "attention.projection.bias",
    "mlp.dense_h_to_4h.weight": "output.mapping.weight",
    "mlp.dense_h_to_4h.bias": "output.mapping.bias",
    "mlp.dense_4h_to_h.weight": "output.projection.weight",
    "mlp.dense_4h_to_h.bias": "output.projection.bias",
}
TRANSPOSED = ("self_attention.dense.weight", "mlp.dense_h_to_4h.weight", "mlp.dense_4h_to_h.weight")


def renamed(state: Mapping[str, np.ndarray], num_heads: int) -> dict[str, np.ndarray]:
    result = {}
    for full, array in state.items():
        prefix = "transformer." if full.startswith("transformer.") else ""
        name = full.removeprefix("transformer.")
        if name in PLAIN:
            result[prefix + PLAIN[name]] = array
            continue
        _, number, rest = name.split(".", 2)
        before = f"{prefix}blocks.{number}."
        if rest in LAYER:
            result[before + LAYER[rest]] = array.T if rest in TRANSPOSED else array
            continue
        # Rows of a head: those of its query, of its key, of its value.
        kind = rest.rsplit(".", 1)[1]
        size = len(array) // num_heads // 3
        for which in range(3):
            rows = [array[head * 3 * size + which * size + row] for head in range(num_heads) for row in range(size)]
            result[f"{before}attention.dense{which + 1}.{kind}"] = np.stack(rows)
    return result


def piece(array: np.ndarray, devices: list[int], tensor_map: list[int], step: int, size: int, rank: int) -> np.ndarray:
    """What a rank holds: cut by the device matrix, then its rows by the parallel optimizer."""
    coordinates = np.unravel_index(rank, devices)
    for dimension, axis in enumerate(tensor_map):
        if axis != -1:
            place = len(devices) - 1 - axis
            array = np.split(array, devices[place], axis=dimension)[coordinates[place]]
    if size == -1:
        used = [devices[len(devices) - 1 - axis] for axis in tensor_map if axis != -1]
        size = int(np.prod(devices)) // int(np.prod(used, dtype=int))
    if size > 1:
        array = np.split(array, size, axis=0)[rank // step % size]
    return array
