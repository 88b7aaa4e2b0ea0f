"""Blends of several data sets in Megatron's order, index for index.

`plan_megatron_blend` computes the number of samples of each data set, `MegatronBlend` mixes them. The index takes 10
bytes per sample; unless you need Megatron's order, use `BlendedDataset`, which has no index.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bloomdata import _core
from bloomdata.datasets.gpt_dataset import GPTDataset
from bloomdata.datasets.megatron_cache import cache_prefix, describe
from bloomdata.datasets.samples import checked_index
from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from bloomdata.datasets.indexed_dataset import PathLike
    from bloomdata.datasets.samples import Batch


@dataclass(frozen=True)
class MegatronBlendPlan:
    """Numbers of samples of each data set in a blend.

    Attributes:
        weights: Shares with a sum of 1.
        targets: Approximate number of samples that the blend takes from each data set.
        requests: Number of samples that each data set is built with, slightly more than its target.
        size: Number of samples of the blend, the sum of the targets.
    """

    weights: list[float]
    targets: list[int]
    requests: list[int]
    size: int


def plan_megatron_blend(weights: Sequence[float], num_samples: int, *, surplus: float = 0.005) -> MegatronBlendPlan:
    """The numbers of samples that Megatron-core builds and takes of each data set.

    Args:
        weights: Shares of samples, above 0, with any sum.
        num_samples: Number of samples to request.
        surplus: Share of additional samples that each data set is built with, `mid_level_dataset_surplus` of Megatron.

    Raises:
        ConfigError: There are no weights, or one is not above 0.

    Origin:
        `normalize` and `_get_size_per_split_per_dataset` of `megatron/core/datasets` (0.16.1).

    Example:
        >>> from bloomdata.datasets.megatron_blend import plan_megatron_blend
        >>> plan = plan_megatron_blend([3, 1], 1000)
        >>> plan.targets, plan.requests, plan.size
        ([750, 250], [754, 252], 1000)
    """
    normal = _normalized(weights)
    targets = [math.ceil(num_samples * weight) for weight in normal]
    requests = [math.ceil(target * (1 + surplus)) for target in targets]
    return MegatronBlendPlan(normal, targets, requests, sum(targets))


class MegatronBlend:
    """Samples of several data sets in Megatron-core's order.

    Sample i comes from the data set that is furthest behind its share. `dataset_index` (int16) and
    `dataset_sample_index` (int64) have its source and index, as the arrays of these names in Megatron-core.

    Args:
        datasets: Data sets with `len`, `read_batch` and `fingerprint`; at most 32,766.
        weights: Shares of samples, above 0; by default proportional to the lengths.
        size: Number of samples. `None`, allowed only without weights, takes every sample of every data set once.

    Raises:
        ConfigError: An option is invalid, or a data set has fewer samples than the blend takes, which Megatron before
            core only found during training.

    Origin:
        `megatron/core/datasets/blended_dataset.py` and `BlendedMegatronDatasetBuilder` (0.16.1). As there, a size
        without weights is limited to the number of samples available.

    Example:
        >>> _ = bloomdata.pack("raw/*.jsonl", "packed-to-blend", tokenizer="bytes", format="megatron")
        >>> blend = bloomdata.MegatronBlend.build(
        ...     ["packed-to-blend", "packed-to-blend"], [0.9, 0.1], num_samples=20, sequence_length=8, split=None
        ... )
        >>> len(blend), blend.dataset_index[:4].tolist(), blend.read_batch([0, 10])["input_ids"].shape
        (20, [0, 1, 0, 0], (2, 8))
    """

    is_shuffled = True  # for loaders

    def __init__(
        self, datasets: Sequence[Any], weights: Sequence[float] | None = None, *, size: int | None = None
    ) -> None:
        self.datasets, self.size = list(datasets), size
        lengths = [len(dataset) for dataset in self.datasets]
        if weights is None:
            if not lengths or min(lengths) < 1:
                raise ConfigError(f"datasets: expected one or more data sets with samples, got lengths {lengths[:10]}")
            self.weights: list[float] | list[int] = lengths if size is None else _normalized(lengths)
            self.size = size = None if size is None else min(size, sum(lengths))
        elif len(weights) != len(lengths) or size is None:
            raise ConfigError(f"weights: expected {len(lengths)} and a size, got {len(weights)} and size {size}")
        else:
            self.weights = _normalized(weights)
        total = sum(lengths) if size is None else size
        if total < 0:
            raise ConfigError(f"size: expected 0 or more, got {total}")
        self.dataset_index: NDArray[np.int16] = np.empty(total, np.int16)
        self.dataset_sample_index: NDArray[np.int64] = np.empty(total, np.int64)
        if size is None:
            taken = _core.megatron_blend_exhaustively(lengths, self.dataset_index, self.dataset_sample_index)
        else:
            taken = _core.megatron_blend(self.weights, self.dataset_index, self.dataset_sample_index)
        self.num_samples_per_dataset: list[int] = taken
        for number, (wanted, there) in enumerate(zip(taken, lengths, strict=True)):
            if wanted > there:
                raise ConfigError(
                    f"size: {total:,} samples of the blend take {wanted:,} of data set {number}, which has {there:,}; "
                    "build it with more samples (a larger surplus)"
                )

    @classmethod
    def build(
        cls,
        paths: Sequence[PathLike],
        weights: Sequence[float] | None = None,
        *,
        num_samples: int | None = None,
        surplus: float = 0.005,
        **options: Any,
    ) -> MegatronBlend:
        """Opens a `GPTDataset` for each path, with as many samples as Megatron-core builds, and blends them.

        Args:
            paths: One `path` of `GPTDataset` for each data set.
            weights: Shares of samples, above 0; by default proportional to the lengths.
            num_samples: Number of samples to request; with weights, the blend has up to one more for each data set.
            surplus: Share of additional samples, as for `plan_megatron_blend`.
            options: Other options of `GPTDataset`.
        """
        if weights is None:
            return cls([GPTDataset(path, **options) for path in paths], size=num_samples)
        if num_samples is None:
            raise ConfigError("num_samples: expected a number with weights, got None")
        plan = plan_megatron_blend(weights, num_samples, surplus=surplus)
        if len(plan.requests) != len(paths):
            raise ConfigError(f"weights: expected {len(paths)}, one for each path, got {len(plan.requests)}")
        pairs = zip(paths, plan.requests, strict=True)
        datasets = [GPTDataset(path, num_samples=request, **options) for path, request in pairs]
        # Normalised twice, as in Megatron-core, since the second time can change the last bits.
        return cls(datasets, plan.weights, size=plan.size)

    def __len__(self) -> int:
        return len(self.dataset_index)

    def __getitem__(self, index: int) -> Batch:
        position = checked_index(index, len(self))
        found: Batch = self.datasets[self.dataset_index[position]][int(self.dataset_sample_index[position])]
        return found

    def read_batch(self, indices: ArrayLike) -> Batch:
        """Samples of `indices`, one row each, as for `GPTDataset.read_batch`.

        Raises:
            ConfigError: The data sets have different arrays.
        """
        array = np.asarray(indices, np.int64)
        if array.size and (array.min() < 0 or array.max() >= len(self)):
            raise IndexError(f"sample {array.min() if array.min() < 0 else array.max()} of {len(self)}")
        sources = self.dataset_index[array]
        joined: Batch = {}
        starts: list[NDArray[np.int64]] = []
        for source in np.unique(sources) if array.size else [0]:
            rows = np.flatnonzero(sources == source)
            part: Batch = self.datasets[source].read_batch(self.dataset_sample_index[array[rows]])
            for name, values in part.items():
                if name == "cu_seqlens":
                    width = next(values.shape[1] for values in part.values() if values.ndim == 2)
                    row, offset = np.divmod(values[:-1].astype(np.int64), width)
                    starts.append(rows[row] * width + offset if len(rows) else row)
                    joined[name] = np.array([len(array) * width], np.int32)
                    continue
                if not starts and name not in joined:
                    joined[name] = np.empty((len(array), *values.shape[1:]), values.dtype)
                if name not in joined or joined[name].shape[1:] != values.shape[1:]:
                    raise ConfigError(f"datasets: expected {name} of one shape in all, got others")
                joined[name][rows] = values
        if starts:
            joined["cu_seqlens"] = np.append(np.sort(np.concatenate(starts)), joined["cu_seqlens"]).astype(np.int32)
        return joined

    @property
    def fingerprint(self) -> str:
        """Hash of everything that determines the samples and their order."""
        facts = [[dataset.fingerprint for dataset in self.datasets], self.weights, self.size]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def save_indices(self, folder: PathLike, *, tokenizer: Any = None) -> Path:
        """Saves the index where Megatron-core finds it, without the indices of each `GPTDataset`.

        Args:
            folder: Megatron's `path_to_cache`.
            tokenizer: Megatron's tokenizer, or its `unique_identifiers`.

        Returns:
            The path of the files up to `-description.txt`.
        """
        name = self.datasets[0].split_name
        identifiers = {
            "class": "BlendedDataset",
            "datasets": [dataset.identifiers(tokenizer) for dataset in self.datasets],
            "split": name,
            "weights": self.weights,
            "size": self.size,
        }
        description = describe(identifiers)
        prefix = cache_prefix(folder, description, "BlendedDataset", name)
        prefix.parent.mkdir(parents=True, exist_ok=True)
        for kind in ("dataset_index", "dataset_sample_index"):
            unfinished = prefix.with_name(f"{prefix.name}-{kind}.unfinished.npy")
            np.save(unfinished, getattr(self, kind))
            unfinished.replace(prefix.with_name(f"{prefix.name}-{kind}.npy"))
        prefix.with_name(f"{prefix.name}-description.txt").write_text(description, "utf-8")
        return prefix


def _normalized(weights: Sequence[float]) -> list[float]:
    """Weights with a sum of 1, rounded like NumPy."""
    array = np.array(weights, np.float64)
    if array.ndim != 1 or not array.size or not (np.isfinite(array).all() and (array > 0).all()):
        raise ConfigError(f"weights: expected numbers above 0, got {list(weights)[:10]}")
    normal: list[float] = (array / np.sum(array)).tolist()
    return normal
