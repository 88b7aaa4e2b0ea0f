"""Text of a known entropy: an order-1 Markov source of 32 symbols. No model can have a lower loss than the source."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

import bloomdata

if TYPE_CHECKING:
    from pathlib import Path

SYMBOLS = 32
LENGTH = 64
# Each document is as long as a row, with the token that ends it.
_TEXT = LENGTH - 1


class Markov(NamedTuple):
    """Folders of rows, and the loss of the source on the second: nats a target, with the end of a document at 0."""

    rows: str
    evaluation: str
    documents: str
    oracle: float


def write_markov(folder: Path, *, rows: int = 1600, evaluation_rows: int = 100) -> Markov:
    """Writes both folders, and a Megatron pair of the same documents."""
    random = np.random.default_rng(0)
    chances = random.dirichlet(np.full(SYMBOLS, 0.1), size=SYMBOLS)
    train, held_out = _walk(random, chances, rows), _walk(random, chances, evaluation_rows)
    for name, walks in (("train", train), ("held-out", held_out)):
        texts = ("".join(chr(64 + symbol) for symbol in walk) for walk in walks)
        lines = (json.dumps({"text": text}) + "\n" for text in texts)
        (folder / f"{name}.jsonl").write_text("".join(lines), "utf-8")
        options = {"tokenizer": "bytes", "sequence_length": LENGTH, "packing": "full"}
        bloomdata.pack(folder / f"{name}.jsonl", folder / name, **options)
    bloomdata.pack(folder / "train.jsonl", folder / "megatron", tokenizer="bytes", format="megatron")
    # Targets: all symbols but the first, which no model sees coming, and the end of the document, which is certain.
    losses = -np.log(chances[held_out[:, :-1], held_out[:, 1:]])
    oracle = float(losses.sum() / (len(held_out) * _TEXT))
    return Markov(str(folder / "train"), str(folder / "held-out"), str(folder / "megatron"), oracle)


def _walk(random: np.random.Generator, chances: np.ndarray, count: int) -> np.ndarray:
    sums = chances.cumsum(axis=1)
    walks = np.empty((count, _TEXT), np.int64)
    walks[:, 0] = random.integers(0, SYMBOLS, count)
    for place in range(1, _TEXT):
        drawn = random.random((count, 1)) * sums[walks[:, place - 1], -1:]
        walks[:, place] = (drawn > sums[walks[:, place - 1]]).sum(axis=1)
    return walks
