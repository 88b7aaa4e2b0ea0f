"""Instructions as AscendSpeed packs them: token ids, attention mask and labels in parallel Megatron pairs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bloomdata import _core
from bloomdata.datasets.indexed_dataset import IndexedDataset, Mode
from bloomdata.datasets.megatron_cache import SPLITS
from bloomdata.datasets.packed_files import file_facts
from bloomdata.datasets.samples import checked_index, checked_indices, digest
from bloomdata.errors import ConfigError, MismatchError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    from bloomdata.datasets.indexed_dataset import PathLike
    from bloomdata.datasets.samples import Batch

_FIELDS = ("input_ids", "attention_mask", "labels")
_IGNORED = -100


class PackedMTFDataset:
    """One instruction per sample, from the pairs `<prefix>_packed_<field>_document` of three fields.

    The fields are `input_ids`, `attention_mask` and `labels`.
    `dataset[i]` is sample i of AscendSpeed's `DecoderPackedMTFDataset`, array for array: `input_ids` and
    `attention_mask` without the last token, `labels` without the first, cut to `sequence_length`, int64, of the
    instruction's own length. `dataset.read_batch(indices)` has them padded to (rows, sequence_length), with
    `loss_weights` (float32, 0 where the label is -100), `position_ids` and `cu_seqlens`, which has the starts of rows
    and of their padding: what a loader needs.

    Instructions are shuffled epoch by epoch, by one stream of random numbers, until there are more than `num_samples`
    samples.

    Args:
        path_prefix: The prefix given to AscendSpeed, without `_packed_...`.
        sequence_length: Tokens in a sample at most.
        num_samples: Number of samples, of which there is at least one more, as there.
        seed: Seed of the shuffles, 0 to 2^32 - 1.
        split: Shares of training, validation and test data, such as `969,30,1`; `None` for all instructions.
        split_name: Part of the split: `train`, `valid` or `test`.
        keep_last_token: Whether a sample that is cut ends with the last token of its instruction, instead of the one
            that stands at that place; so also for the labels and the mask.
        pad_token_id: Token behind the end of a sample in a batch; its mask is 0, its label -100.
        mode: How files are read, as for `IndexedDataset`.

    Raises:
        ConfigError: An option is invalid, or a split has no instructions.
        MismatchError: The pairs have different lengths.
        FileNotFoundError: A pair is missing.

    Origin:
        `ascendspeed/data/decoder_packed_mtf_dataset.py` and `mtf_dataset.py` of AscendSpeed. There, the samples of
        every part of a split start at the first instruction of all; here, at the first one of the part.

    Example:
        >>> fields = {"input_ids": [5, 6, 7, 2], "attention_mask": [1] * 4, "labels": [-100, -100, 7, 2]}
        >>> for name, ids in fields.items():
        ...     with bloomdata.IndexedDatasetWriter(f"tuning_packed_{name}_document", dtype="int32") as writer:
        ...         writer.add_document(ids)
        >>> dataset = bloomdata.PackedMTFDataset("tuning", sequence_length=8, num_samples=3)
        >>> len(dataset), dataset[0]["input_ids"].tolist(), dataset[0]["labels"].tolist()
        (4, [5, 6, 7], [-100, 7, 2])
        >>> dataset.read_batch([0])["labels"].tolist()
        [[-100, 7, 2, -100, -100, -100, -100, -100]]
    """

    is_shuffled = True  # for loaders

    def __init__(
        self,
        path_prefix: PathLike,
        *,
        sequence_length: int,
        num_samples: int,
        seed: int = 1234,
        split: str | None = None,
        split_name: Literal["train", "valid", "test"] = "train",
        keep_last_token: bool = False,
        pad_token_id: int = 0,
        mode: Mode = "mmap",
    ) -> None:
        if sequence_length < 1:
            raise ConfigError(f"sequence_length: expected 1 or more, got {sequence_length}")
        if not 0 <= num_samples < 2**40:
            raise ConfigError(f"num_samples: expected 0 to 2^40, got {num_samples}")
        if not 0 <= seed < 2**32:
            raise ConfigError(f"seed: expected 0 to 4294967295, got {seed}")
        if split_name not in SPLITS:
            raise ConfigError(f"split_name: expected one of {SPLITS}, got {split_name!r}")
        self.path_prefix, self.sequence_length, self.seed = os.fspath(path_prefix), sequence_length, seed
        self.keep_last_token, self.pad_token_id = bool(keep_last_token), pad_token_id
        self._pairs = {
            name: IndexedDataset(f"{self.path_prefix}_packed_{name}_document", mode=mode) for name in _FIELDS
        }
        self._check_pairs()
        self.sequences = self._sequences(split, split_name)
        size = self.sequences[1] - self.sequences[0]
        if not size:
            raise ConfigError(f"split: {split!r}: expected instructions for {split_name}, got none")
        epochs = np.tile(np.arange(size, dtype=np.int64), (num_samples // size + 1, 1))
        _core.legacy_shuffle(seed, list(epochs))
        # Instruction of each sample, as a position in its part of the split.
        self.shuffle_index: NDArray[np.int64] = epochs.ravel()

    def _check_pairs(self) -> None:
        first = self._pairs["input_ids"]
        for name, pair in self._pairs.items():
            if not np.array_equal(pair.sequence_lengths, first.sequence_lengths):
                raise MismatchError(f"{pair.path_prefix}: expected the lengths of input_ids, found others")
            if len(pair) != len(pair.sequence_lengths):
                raise MismatchError(f"{pair.path_prefix}: expected one sequence in every document, found others")
            if name == "input_ids" and (pair.sequence_lengths < 1).any():
                at = int(np.flatnonzero(pair.sequence_lengths < 1)[0])
                raise ConfigError(f"{pair.path_prefix}: document {at}: expected tokens, found none")

    def _sequences(self, split: str | None, split_name: str) -> tuple[int, int]:
        """First instruction, and the one after the last."""
        total = len(self._pairs["input_ids"])
        if split is None:
            return 0, total
        is_legacy = True  # the older rule of rounding
        return _core.split_ranges(split, total, is_legacy)[SPLITS.index(split_name)]

    def __len__(self) -> int:
        return len(self.shuffle_index)

    def __iter__(self) -> Iterator[Batch]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> Batch:
        document = self.sequences[0] + int(self.shuffle_index[checked_index(index, len(self))])
        return {name: self._cut(name, document).astype(np.int64) for name in _FIELDS}

    def _cut(self, name: str, document: int) -> NDArray[Any]:
        tokens = self._pairs[name].get(document)
        tokens = tokens[1:] if name == "labels" else tokens[:-1]
        if len(tokens) <= self.sequence_length:
            return tokens
        if self.keep_last_token:
            return np.append(tokens[: self.sequence_length - 1], tokens[-1])
        return tokens[: self.sequence_length]

    def read_batch(self, indices: ArrayLike) -> Batch:
        """Samples of `indices`, one row each, padded.

        Args:
            indices: (rows,) whole numbers from 0 to `len(self) - 1`, in any order.

        Returns:
            A dict of (rows, sequence_length) arrays: `input_ids`, `attention_mask`, `labels`, `position_ids`, int64,
            `loss_weights`, float32; and `cu_seqlens`, int32.

        Raises:
            IndexError: A sample does not exist.
            ConfigError: The indices are not whole numbers in one dimension.
        """
        documents = self.sequences[0] + self.shuffle_index[checked_indices(indices, len(self))]
        shape = (len(documents), self.sequence_length)
        padding = {"input_ids": self.pad_token_id, "attention_mask": 0, "labels": _IGNORED}
        batch: Batch = {name: np.full(shape, value, np.int64) for name, value in padding.items()}
        lengths = self._pairs["input_ids"].sequence_lengths[documents].astype(np.int64) - 1
        lengths = np.minimum(lengths, self.sequence_length)
        for row, document in enumerate(documents.tolist()):
            for name, rows in batch.items():
                rows[row, : lengths[row]] = self._cut(name, document)
        batch["loss_weights"] = (batch["labels"] != _IGNORED).astype(np.float32)
        positions = np.broadcast_to(np.arange(self.sequence_length, dtype=np.int64), shape)
        batch["position_ids"] = np.where(positions < lengths[:, None], positions, positions - lengths[:, None])
        starts = np.arange(shape[0], dtype=np.int64) * shape[1]
        batch["cu_seqlens"] = np.unique([*starts, *(starts + lengths), shape[0] * shape[1]]).astype(np.int32)
        return batch

    @property
    def fingerprint(self) -> str:
        """Hash of the pairs, of every option that affects samples, and of their order."""
        files = [f"{pair.path_prefix}{suffix}" for pair in self._pairs.values() for suffix in (".idx", ".bin")]
        options = [self.sequence_length, len(self), self.seed, self.sequences, self.keep_last_token, self.pad_token_id]
        return digest(["packed-mtf-1", *options, file_facts(files)])

    def __repr__(self) -> str:
        return f"PackedMTFDataset({self.path_prefix!r}: {len(self):,} samples)"
