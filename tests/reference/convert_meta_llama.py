"""Meta's Llama: its files from a state dict of Hugging Face, and its forward pass with rotations of neighbours."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMES = {
    "model.embed_tokens.weight": "tok_embeddings.weight",
    "model.norm.weight": "norm.weight",
    "lm_head.weight": "output.weight",
    "self_attn.q_proj.weight": "attention.wq.weight",
    "self_attn.k_proj.weight": "attention.wk.weight",
    "self_attn.v_proj.weight": "attention.wv.weight",
    "self_attn.o_proj.weight": "attention.wo.weight",
    "mlp.gate_proj.weight": "feed_forward.w1.weight",
    "mlp.down_proj.weight": "feed_forward.w2.weight",
    "mlp.up_proj.weight": "feed_forward.w3.weight",
    "input_layernorm.weight": "attention_norm.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
}
COLUMNS = ("tok_embeddings.weight", "wo.weight", "w2.weight")


def meta_state(state: Mapping[str, torch.Tensor], head: int) -> dict[str, torch.Tensor]:
    result = {}
    for name, tensor in state.items():
        if name in NAMES:
            result[NAMES[name]] = tensor
            continue
        _, _, number, rest = name.split(".", 3)
        if rest.startswith(("self_attn.q", "self_attn.k")):
            # Row i of the first half of a head becomes row 2 i, row i of the second half becomes row 2 i + 1.
            order = [
                start + part * (head // 2) + row
                for start in range(0, len(tensor), head)
                for row in range(head // 2)
                for part in range(2)
            ]
            tensor = tensor[order]
        result[f"layers.{number}.{NAMES[rest]}"] = tensor
    return result


def shards(state: Mapping[str, torch.Tensor], count: int) -> list[dict[str, torch.Tensor]]:
    parts = [{} for _ in range(count)]
    for name, tensor in state.items():
        if name.endswith("norm.weight"):
            chunks = [tensor] * count
        else:
            chunks = tensor.chunk(count, dim=1 if name.endswith(COLUMNS) else 0)
        for part, chunk in zip(parts, chunks, strict=True):
            part[name] = chunk.clone()
    return parts


def logits(state: Mapping[str, torch.Tensor], ids: torch.Tensor, heads: int, kv_heads: int) -> torch.Tensor:
    """Logits for one row of ids, in float64."""
    state = {name: tensor.double() for name, tensor in state.items()}
    hidden = state["tok_embeddings.weight"][ids]
    for layer in range(1 + max(int(name.split(".")[1]) for name in state if name.startswith("layers."))):
        part = {name.split(".", 2)[2]: tensor for name, tensor in state.items() if name.startswith(f"layers.{layer}.")}
        inside = norm(hidden, part["attention_norm.weight"])
        query = (inside @ part["attention.wq.weight"].T).view(len(ids), heads, -1)
        key = (inside @ part["attention.wk.weight"].T).view(len(ids), kv_heads, -1)
        value = (inside @ part["attention.wv.weight"].T).view(len(ids), kv_heads, -1)
        results = []
        for number in range(heads):
            shared = number * kv_heads // heads
            scores = rotated(query[:, number]) @ rotated(key[:, shared]).T / math.sqrt(query.shape[-1])
            scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -math.inf)
            results.append(scores.softmax(-1) @ value[:, shared])
        hidden = hidden + torch.cat(results, -1) @ part["attention.wo.weight"].T
        inside = norm(hidden, part["ffn_norm.weight"])
        gate = torch.nn.functional.silu(inside @ part["feed_forward.w1.weight"].T)
        hidden = hidden + (gate * (inside @ part["feed_forward.w3.weight"].T)) @ part["feed_forward.w2.weight"].T
    return norm(hidden, state["norm.weight"]) @ state["output.weight"].T


def norm(hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return hidden / (hidden.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * weight


def rotated(rows: torch.Tensor) -> torch.Tensor:
    """Neighbours as complex numbers, turned by an angle that grows with the position."""
    size = rows.shape[-1]
    angles = torch.outer(
        torch.arange(len(rows), dtype=torch.float64),
        10_000.0 ** (-torch.arange(0, size, 2, dtype=torch.float64) / size),
    )
    pairs = torch.view_as_complex(rows.reshape(len(rows), size // 2, 2).contiguous())
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).reshape(len(rows), size)
