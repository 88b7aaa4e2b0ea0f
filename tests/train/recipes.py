"""Small recipes."""

from __future__ import annotations

from typing import Any

SIZES = {
    "llama": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
    },
    "bloom": {"hidden_size": 64, "n_layer": 2, "n_head": 4, "hidden_dropout": 0.0, "attention_dropout": 0.0},
    "gpt_neox": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 128,
    },
}


def recipe_of(rows: str, family: str = "llama", *, steps: int = 8, **sections: dict[str, Any]) -> dict[str, Any]:
    """A recipe of one stage; sections are merged into its own."""
    base: dict[str, Any] = {
        "model": {"family": family, "sizes": SIZES[family]},
        "data": {"sources": {rows: 1.0}},
        "batch": {"rows": 8},
        "optimizer": {"learning_rate": 3e-3},
        "schedule": {"warmup_samples": 16, "decay_samples": 3200},
        "checkpoint": {"export": False},
        "stage": {"main": {"steps": steps}},
    }
    for name, options in sections.items():
        base[name] = {**base.get(name, {}), **options}
    return base


def losses_of(result: Any) -> list[float]:
    """The losses of a result, step by step."""
    return [line["loss"] for line in result.log if "loss" in line]
