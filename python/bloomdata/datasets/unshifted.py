"""Unshifted labels for models of transformers, which shift labels themselves."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from bloomdata.datasets.samples import one_sample
from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bloomdata.datasets.samples import Batch

_IGNORED = -100


def with_labels(dataset: Any, *, shifted: bool) -> Any:
    """The same samples with shifted or unshifted labels.

    Args:
        dataset: Rows, windows of documents, or a blend of these.
        shifted: Whether `labels[i]` is the token after `input_ids[i]`; otherwise it is that token itself.

    Raises:
        ConfigError: It is unknown how the labels of the data set are shifted.
    """
    if hasattr(dataset, "with_rules"):
        return dataset.with_rules(shift_labels=shifted)
    for name in ("sources", "datasets"):
        if isinstance(inner := getattr(dataset, name, None), list):
            blend = copy.copy(dataset)
            setattr(blend, name, [with_labels(source, shifted=shifted) for source in inner])
            return blend
    if not _is_windows(dataset):
        raise ConfigError(f"dataset: expected rows, windows of documents or a blend of these, got {dataset!r}")
    return dataset if shifted else Unshifted(dataset)


def _is_windows(dataset: Any) -> bool:
    from bloomdata.datasets.gpt_dataset import GPTDataset

    return isinstance(dataset, GPTDataset)


class Unshifted:
    """Samples of a `GPTDataset` with unshifted labels.

    Megatron's last label, the token after the sample, is left out. Labels of weight 0 are -100.

    Args:
        dataset: A `GPTDataset` with `labels`, and `loss_weights` or `loss_mask`.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self._weights = next((name for name in ("loss_weights", "loss_mask") if name in dataset.columns), None)
        if "labels" in dataset.columns and self._weights is None:
            raise ConfigError("columns: expected loss_weights with labels, to mask them, got labels alone")

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Batch:
        return one_sample(self, index)

    def read_batch(self, indices: NDArray[np.int64]) -> Batch:
        """As for `GPTDataset.read_batch`."""
        batch: Batch = dict(self.dataset.read_batch(indices))
        if self._weights is not None:
            weights = batch[self._weights]
            weights = batch[self._weights] = np.concatenate([np.zeros_like(weights[:, :1]), weights[:, :-1]], axis=1)
            if "labels" in batch:
                labels = batch["labels"]
                labels = np.concatenate([np.full_like(labels[:, :1], _IGNORED), labels[:, :-1]], axis=1)
                labels[weights == 0] = _IGNORED
                batch["labels"] = labels
        return batch

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "dataset":
            raise AttributeError(name)
        return getattr(self.dataset, name)

    @property
    def fingerprint(self) -> str:
        """Hash of the samples, different from that of shifted labels."""
        return f"{self.dataset.fingerprint}-unshifted"
