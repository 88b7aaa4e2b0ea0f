"""Data sets for `torch.utils.data` and for the Trainer of transformers. Importing this module imports torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.utils.data

from bloomdata.datasets.unshifted import with_labels
from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bloomdata.datasets.preferences import PreferenceDataset
    from bloomdata.datasets.samples import SampleDataset


class TorchDataset(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """A map-style view: `view[i]` is one sample as a dict of tensors, (sequence_length,) each.

    All samples have the same length, so torch's default collate function can batch them. Works in forked and spawned
    workers.

    Labels are unshifted, whatever the rules of the data set say: models of transformers shift them, also under Trainer,
    TRL and Accelerate. With `shift_labels=True` each label is the next token, for training loops that compare labels
    and logits position by position, as Megatron and nanoGPT do.

    Args:
        dataset: Rows, windows of documents, or a blend of these.
        columns: Names of the arrays. `cu_seqlens` belongs to a batch and is not allowed.
        shift_labels: Whether `labels[i]` is the token after `input_ids[i]`; otherwise it is that token itself.

    Raises:
        ConfigError: A column is `cu_seqlens` or is missing from the data set, or it is unknown how the labels of the
            data set are shifted.
    """

    def __init__(
        self,
        dataset: SampleDataset,
        columns: Sequence[str] = ("input_ids", "labels", "loss_weights", "position_ids"),
        *,
        shift_labels: bool = False,
    ) -> None:
        self.columns = tuple(columns)
        self.dataset: SampleDataset = with_labels(dataset, shifted=shift_labels)
        if "cu_seqlens" in self.columns:
            raise ConfigError("columns: expected arrays of one sample, got cu_seqlens of a batch; use DataLoader")

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return self.__getitems__([index + len(self) if index < 0 else index])[0]

    def __getitems__(self, indices: list[int]) -> list[dict[str, torch.Tensor]]:
        """The samples of a batch, read together; torch's loader calls this."""
        batch = self.dataset.read_batch(np.asarray(indices, np.int64))
        absent = [name for name in self.columns if name not in batch]
        if absent:
            raise ConfigError(f"columns: expected some of {list(batch)}, got {absent}")
        tensors = {name: torch.from_numpy(batch[name]) for name in self.columns}
        return [{name: values[row] for name, values in tensors.items()} for row in range(len(indices))]


class TorchPreferences(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """A map-style view of judged answers: `view[i]` is a dict of tensors, as of `PreferenceDataset`.

    All samples have the same length, so torch's default collate function can batch them. Labels are unshifted, -100
    outside of the answer.

    Args:
        dataset: Pairs or labelled answers, as `bloomdata.open` gives them.
    """

    def __init__(self, dataset: PreferenceDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {name: torch.as_tensor(values) for name, values in self.dataset[index].items()}


def trainer_dataset(dataset: Any) -> TorchDataset:
    """A data set for `transformers.Trainer(train_dataset=...)`: `input_ids`, unshifted `labels`, and `position_ids`.

    Positions restart in every document. Models that take positions (Llama, Mistral, Qwen, ...) use them to keep the
    documents of a row apart, so that the loss is the same as for each document alone. This requires no key-value cache
    and no attention mask: Trainer turns the cache off (`TrainingArguments.use_cache`); in your own training loop, use
    `packed_collator`. Models that take no positions, such as BLOOM, attend to the whole row.

    Args:
        dataset: Rows, windows of documents, or a blend of these. Its rules say where documents end.

    Raises:
        ConfigError: It is unknown how the labels of the data set are shifted.
    """
    return TorchDataset(dataset, ("input_ids", "labels", "position_ids"))


def packed_collator(samples: Sequence[dict[str, torch.Tensor]]) -> dict[str, Any]:
    """A batch ready for a model of transformers: tensors of (batch, sequence_length), and `use_cache=False`.

    With a cache, transformers does not detect documents from `position_ids`, so they would attend to each other.

    Args:
        samples: Samples of a `trainer_dataset`.

    Example:
        >>> loader = torch.utils.data.DataLoader(trainer_dataset(rows), 8, collate_fn=packed_collator)
        ... # doctest: +SKIP
        >>> loss = model(**next(iter(loader))).loss  # doctest: +SKIP
    """
    batch: dict[str, Any] = {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}
    batch["use_cache"] = False
    return batch
