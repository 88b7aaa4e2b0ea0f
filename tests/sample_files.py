"""Small files of rows for tests of data sets and loaders."""

from __future__ import annotations

import random
from typing import Any

import h5py
import numpy as np

import bloomdata

LENGTH = 16


def random_types(rows: int, length: int, seed: int) -> np.ndarray[Any, Any]:
    """Token types as packing makes them: documents of prompt and completion, then perhaps padding."""
    rng = random.Random(seed)
    result = np.full((rows, length), 2, np.int32)
    for row in range(rows):
        at, end = 0, length if rng.random() < 0.5 else rng.randrange(length + 1)
        while at < end:
            prompt, completion = rng.randrange(4), rng.randrange(1, 5)
            document = ([0] * prompt + [1] * (completion - 1) + [3])[: end - at]
            result[row, at : at + len(document)] = document
            at += len(document)
    return result


def write_rows(path, ids, types, **options):
    """An HDF5 file, contiguous unless options say otherwise."""
    with h5py.File(path, "w") as file:
        file.create_dataset("input_ids", data=ids.astype(np.int32), **options)
        file.create_dataset("token_type_ids", data=types.astype(np.int32), **options)
    return path


def numbered(path, num_rows, first=0, length=LENGTH, **options):
    """Rows whose first token is their number; all are trained on."""
    ids = np.repeat(np.arange(first, first + num_rows)[:, None], length, axis=1)
    return bloomdata.open(write_rows(path, ids, np.ones_like(ids), **options))
