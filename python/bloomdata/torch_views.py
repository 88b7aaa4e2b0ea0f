"""Data sets as `torch.utils.data` and the Trainer of transformers want them. Importing this imports torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.utils.data

from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bloomdata.samples import SampleDataset


class TorchDataset(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """A map-style view: `view[i]` are tensors of one sample, (sequence_length,) each.

    All have one length, so the default collate function of torch makes batches of them. Works in forked and spawned
    workers.

    Args:
        dataset: Rows, blends or windows of documents.
        columns: Names of the arrays. `cu_seqlens` belongs to a batch and cannot be among them.

    Raises:
        ConfigError: An array that the data set does not have, or `cu_seqlens`.
    """

    def __init__(
        self, dataset: SampleDataset, columns: Sequence[str] = ("input_ids", "labels", "loss_weights", "position_ids")
    ) -> None:
        self.dataset, self.columns = dataset, tuple(columns)
        if "cu_seqlens" in self.columns:
            raise ConfigError("columns: cu_seqlens belongs to a batch, not to a sample: use DataLoader")

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return self.__getitems__([index + len(self) if index < 0 else index])[0]

    def __getitems__(self, indices: list[int]) -> list[dict[str, torch.Tensor]]:
        """Samples of a batch, read at once; torch's loader asks for it."""
        batch = self.dataset.read_batch(np.asarray(indices, np.int64))
        absent = [name for name in self.columns if name not in batch]
        if absent:
            raise ConfigError(f"columns: no {absent} among {list(batch)}")
        tensors = {name: torch.from_numpy(batch[name]) for name in self.columns}
        return [{name: values[row] for name, values in tensors.items()} for row in range(len(indices))]


def trainer_dataset(dataset: Any) -> TorchDataset:
    """What `transformers.Trainer(train_dataset=...)` takes: `input_ids`, and `labels` that the model shifts.

    Documents in a row see each other: models get no boundaries this way, and those without `position_ids`, such as
    BLOOM, could not use any.

    Args:
        dataset: Rows or windows of documents (`with_rules`), or a blend whose sources have
            `LabelRules(shift_labels=False)`.

    Raises:
        ConfigError: A blend of sources with shifted labels.
    """
    sources = getattr(dataset, "sources", None)
    if sources is None:
        return TorchDataset(dataset.with_rules(shift_labels=False, dtype="int64"), ("input_ids", "labels"))
    for source in sources:
        if getattr(getattr(source, "rules", None), "shift_labels", True):
            raise ConfigError(f"sources: labels of {source!r} are shifted; use with_rules(shift_labels=False)")
    return TorchDataset(dataset, ("input_ids", "labels"))
