"""Tensor parallelism as slow code on whole state dicts: parts of ranks, and BLOOM's forward pass over parts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    State = Mapping[str, torch.Tensor]

# Endings of names: cut by rows, cut by columns. All else is on every rank.
ROWS = {
    "bloom": (
        "word_embeddings.weight",
        "lm_head.weight",
        "query_key_value.weight",
        "query_key_value.bias",
        "dense_h_to_4h.weight",
        "dense_h_to_4h.bias",
    ),
    "llama": (
        "embed_tokens.weight",
        "lm_head.weight",
        "q_proj.weight",
        "k_proj.weight",
        "v_proj.weight",
        "gate_proj.weight",
        "up_proj.weight",
    ),
    "gpt_neox": (
        "embed_in.weight",
        "embed_out.weight",
        "query_key_value.weight",
        "query_key_value.bias",
        "dense_h_to_4h.weight",
        "dense_h_to_4h.bias",
    ),
}
COLUMNS = {
    "bloom": ("self_attention.dense.weight", "dense_4h_to_h.weight"),
    "llama": ("o_proj.weight", "down_proj.weight"),
    "gpt_neox": ("attention.dense.weight", "dense_4h_to_h.weight"),
}
VOCABULARY = ("word_embeddings.weight", "embed_tokens.weight", "embed_in.weight", "lm_head.weight", "embed_out.weight")


def padded(weight: torch.Tensor, num_rows: int, padding: str) -> torch.Tensor:
    """The rows, then the last ones once more, or zeros."""
    missing = num_rows - len(weight)
    if not missing:
        return weight
    more = weight[-missing:] if padding == "repeat" else torch.zeros_like(weight[:1]).expand(missing, -1)
    return torch.cat([weight, more])


def split(
    state: State, family: str, ranks: int, num_rows: int, padding: str = "repeat"
) -> list[dict[str, torch.Tensor]]:
    parts = [{} for _ in range(ranks)]
    for name, tensor in state.items():
        if name.endswith(VOCABULARY):
            tensor = padded(tensor, num_rows, padding)
        if name.endswith(ROWS[family]):
            chunks = tensor.chunk(ranks, dim=0)
        elif name.endswith(COLUMNS[family]):
            chunks = tensor.chunk(ranks, dim=1)
        else:
            chunks = [tensor] * ranks
        for part, chunk in zip(parts, chunks, strict=True):
            part[name] = chunk
    return parts


def alibi_slopes(num_heads: int) -> torch.Tensor:
    """Slopes of BLOOM, for a power of two of heads."""
    assert num_heads & (num_heads - 1) == 0
    base = 2 ** (-8 / num_heads)
    return torch.tensor([base ** (head + 1) for head in range(num_heads)], dtype=torch.float64)


def bloom_logits(ranks: Sequence[State], ids: torch.Tensor, num_heads: int, num_layers: int) -> torch.Tensor:
    """Logits for one row of ids over padded rows, in float64; sums over ranks are what all-reduce computes."""
    count = len(ranks)
    ranks = [{name.removeprefix("transformer."): tensor.double() for name, tensor in rank.items()} for rank in ranks]
    heads = num_heads // count
    rows = len(ranks[0]["word_embeddings.weight"])
    # Each rank looks up the ids of its rows, and has zeros for the others.
    hidden = 0
    for rank, part in enumerate(ranks):
        mine = (ids >= rank * rows) & (ids < (rank + 1) * rows)
        found = part["word_embeddings.weight"][(ids - rank * rows).clamp(0, rows - 1)]
        hidden = hidden + found * mine[:, None]
    hidden = norm(hidden, ranks[0], "word_embeddings_layernorm")
    for layer in range(num_layers):
        before = f"h.{layer}."
        inside = norm(hidden, ranks[0], before + "input_layernorm")
        attended = 0
        for rank, part in enumerate(ranks):
            slopes = alibi_slopes(num_heads)[rank * heads : (rank + 1) * heads]
            attended = attended + attention(inside, part, before + "self_attention.", slopes)
        hidden = hidden + attended + ranks[0][before + "self_attention.dense.bias"]
        inside = norm(hidden, ranks[0], before + "post_attention_layernorm")
        wide = 0
        for part in ranks:
            up = inside @ part[before + "mlp.dense_h_to_4h.weight"].T + part[before + "mlp.dense_h_to_4h.bias"]
            wide = wide + gelu(up) @ part[before + "mlp.dense_4h_to_h.weight"].T
        hidden = hidden + wide + ranks[0][before + "mlp.dense_4h_to_h.bias"]
    hidden = norm(hidden, ranks[0], "ln_f")
    return torch.cat([hidden @ part["word_embeddings.weight"].T for part in ranks], dim=-1)


def norm(hidden: torch.Tensor, part: State, name: str) -> torch.Tensor:
    centred = hidden - hidden.mean(-1, keepdim=True)
    scaled = centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
    return scaled * part[name + ".weight"] + part[name + ".bias"]


def gelu(values: torch.Tensor) -> torch.Tensor:
    return values * 0.5 * (1 + torch.tanh(0.79788456 * values * (1 + 0.044715 * values * values)))


def attention(hidden: torch.Tensor, part: State, before: str, slopes: torch.Tensor) -> torch.Tensor:
    """The share of one rank, without the bias of the output."""
    length, heads = len(hidden), len(slopes)
    fused = hidden @ part[before + "query_key_value.weight"].T + part[before + "query_key_value.bias"]
    fused = fused.view(length, heads, 3, -1)
    results = []
    for head in range(heads):
        query, key, value = (fused[:, head, which] for which in range(3))
        scores = query @ key.T / math.sqrt(query.shape[-1]) + slopes[head] * torch.arange(length)
        scores = scores.masked_fill(torch.ones(length, length, dtype=torch.bool).triu(1), -math.inf)
        results.append(scores.softmax(-1) @ value)
    return torch.cat(results, dim=-1) @ part[before + "dense.weight"].T
