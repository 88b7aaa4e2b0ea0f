"""Samples of AscendSpeed's decoder-packed MTF data set, slowly (SYSTEMS.md 6.2)."""

from __future__ import annotations

import numpy as np


def samples(
    documents: list[dict[str, list[int]]], num_samples: int, length: int, seed: int, *, keep_last_token: bool = False
) -> list[dict[str, list[int]]]:
    """All samples of `documents`, which have lists of one length each: `input_ids`, `attention_mask`, `labels`."""
    random = np.random.RandomState(seed)
    order = []
    while len(order) <= num_samples:
        epoch = np.arange(len(documents))
        random.shuffle(epoch)
        order += epoch.tolist()

    def cut(tokens):
        if len(tokens) > length and keep_last_token:
            return [*tokens[: length - 1], tokens[-1]]
        return tokens[:length]

    return [
        {
            "input_ids": cut(documents[number]["input_ids"][:-1]),
            "attention_mask": cut(documents[number]["attention_mask"][:-1]),
            "labels": cut(documents[number]["labels"][1:]),
        }
        for number in order
    ]
