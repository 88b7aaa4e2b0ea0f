"""The names under which Megatron-core, and Megatron before it, look for cached index files.

File names start with the MD5 of a JSON description of the data set. The name depends on options and paths, not on the
data, so Megatron-core may find stale files. The names of our own caches include a hash of the data.

Origin: `MegatronDataset.__init__` of `megatron/core/datasets/megatron_dataset.py`, `BlendedDataset.__init__` of
`blended_dataset.py`, and their `_build_..._indices` (0.16.1).
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from bloomdata import _core
from bloomdata.errors import ConfigError

SPLITS = ("train", "valid", "test")


def gpt_identifiers(
    dataset_path: str,
    *,
    num_samples: int | None,
    split_name: str,
    seed: int,
    sequence_length: int,
    split: str | None,
    tokenizer: Any,
) -> dict[str, Any]:
    """The identifiers of a `GPTDataset` of Megatron-core, in its order.

    Args:
        dataset_path: The prefix of the pair given to Megatron.
        num_samples: Number of samples to request; `None` for one epoch.
        split_name: `train`, `valid` or `test`.
        seed: `random_seed` of Megatron.
        sequence_length: Tokens in a sample.
        split: The split string; `None` with one blend for each split.
        tokenizer: Megatron's tokenizer, or its `unique_identifiers`.
    """
    matrix = None
    if split is not None:
        matrix = _core.split_matrix(split)
        if matrix[0] is not None:
            # Megatron starts its sums with the integer 0, which JSON writes without a decimal point.
            matrix[0] = (0, matrix[0][1])
    return {
        "class": "GPTDataset",
        "dataset_path": dataset_path,
        "num_samples": num_samples,
        "index_split": split_name,
        "random_seed": seed,
        "sequence_length": sequence_length,
        "split": split,
        "split_matrix": matrix,
        "tokenizer": tokenizer,
    }


def describe(identifiers: dict[str, Any]) -> str:
    """The text of a `description.txt`."""
    return json.dumps(identifiers, indent=4, default=lambda value: value.unique_identifiers)


def cache_prefix(folder: str | os.PathLike[str], description: str, kind: str, split_name: str) -> Path:
    """Path of a cache's files without `-description.txt` and so on; `kind` is `GPTDataset` or `BlendedDataset`."""
    md5 = hashlib.md5(description.encode(), usedforsecurity=False).hexdigest()
    return Path(folder) / f"{md5}-{kind}-{split_name}"


def legacy_prefix(
    data_prefix: str | os.PathLike[str],
    *,
    split_name: str,
    num_samples: int | None,
    num_epochs: int | None,
    sequence_length: int,
    seed: int,
) -> Path:
    """Path of the index files of Megatron before core, without `_doc_idx.npy` and so on.

    Args:
        data_prefix: The prefix of the pair; the files lie beside it.
        split_name: `train`, `valid` or `test`.
        num_samples: Number of samples to request, which is part of the name.
        num_epochs: Number of epochs, which takes its place with `--train-data-exact-num-epochs`, for `train` only.
        sequence_length: Tokens in a sample.
        seed: Seed of the shuffles.

    Raises:
        ConfigError: There is neither a number of samples nor one of epochs.

    Example:
        >>> legacy_prefix("a/b", split_name="train", num_samples=9, num_epochs=None, sequence_length=8, seed=1234).name
        'b_train_indexmap_9ns_8sl_1234s'
    """
    if num_epochs is not None and split_name == "train":
        number = f"exact{num_epochs}ep"
    elif num_samples is not None:
        number = f"{num_samples}ns"
    else:
        raise ConfigError("num_samples: expected a number, which is part of the older names, got None")
    return Path(f"{os.fspath(data_prefix)}_{split_name}_indexmap_{number}_{sequence_length}sl_{seed}s")
