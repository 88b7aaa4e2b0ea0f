"""Data sets as `torch.utils.data` and the Trainer of transformers want them. Importing this imports torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.utils.data

from bloomdata.datasets.unshifted import with_labels
from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bloomdata.datasets.samples import SampleDataset


class TorchDataset(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """A map-style view: `view[i]` are tensors of one sample, (sequence_length,) each.

    All have one length, so the default collate function of torch makes batches of them. Works in forked and spawned
    workers.

    Labels are unshifted, whatever the rules of the data set say: models of transformers shift them, also under Trainer,
    TRL and Accelerate. `shift_labels=True` gives the next token of each, for loops that compare labels and logits place
    by place, as those of Megatron and nanoGPT do.

    Args:
        dataset: Rows, blends or windows of documents.
        columns: Names of the arrays. `cu_seqlens` belongs to a batch and cannot be among them.
        shift_labels: Whether `labels[i]` is the token after `input_ids[i]`, else that token itself.

    Raises:
        ConfigError: An array that the data set does not have, `cu_seqlens`, or a data set of which it is not known what
            its labels are.
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
    """What `transformers.Trainer(train_dataset=...)` takes: `input_ids`, unshifted `labels`, and `position_ids`.

    The positions start anew in every document. Models that take them (Llama, Mistral, Qwen, ...) keep the documents of
    a row apart by them, so that the loss is that of the documents alone. That holds without a key-value cache and
    without an attention mask: Trainer switches the cache off (`TrainingArguments.use_cache`); in a loop of your own,
    use `packed_collator`. Models that take no positions, such as BLOOM, see all of a row.

    Args:
        dataset: Rows or windows of documents, or a blend of those. Documents end where their rules say.

    Raises:
        ConfigError: A data set of which it is not known what its labels are.
    """
    return TorchDataset(dataset, ("input_ids", "labels", "position_ids"))


def packed_collator(samples: Sequence[dict[str, torch.Tensor]]) -> dict[str, Any]:
    """A batch that a model of transformers takes as it is: tensors of (batch, sequence_length), and `use_cache=False`.

    With a cache, transformers does not look for documents in `position_ids`, and they see each other.

    Args:
        samples: What `trainer_dataset` gives.

    Example:
        >>> loader = torch.utils.data.DataLoader(trainer_dataset(rows), 8, collate_fn=packed_collator)
        ... # doctest: +SKIP
        >>> loss = model(**next(iter(loader))).loss  # doctest: +SKIP
    """
    batch: dict[str, Any] = {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}
    batch["use_cache"] = False
    return batch
