"""Samples of a fixed length from the documents of Megatron pairs: in Megatron's order, or as they lie in the files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from bloomdata import _core
from bloomdata.datasets.indexed_dataset import IndexedDataset, Mode, ShardedIndexedDataset, default_open_files
from bloomdata.datasets.megatron_cache import SPLITS, cache_prefix, describe, gpt_identifiers
from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from bloomdata.datasets.indexed_dataset import PathLike

Batch: TypeAlias = "dict[str, NDArray[Any]]"

_COLUMNS = ("input_ids", "labels", "loss_weights", "position_ids", "cu_seqlens")
# Megatron's names, and the core's for the same.
_CORE_NAMES = {"tokens": "input_ids", "loss_weights": "loss_mask"}
_KNOWN = {*_COLUMNS, *_CORE_NAMES, "loss_mask"}


class GPTDataset:
    """Samples of `sequence_length` tokens from the documents of one or more Megatron pairs.

    `dataset[i]` is sample i as a dict of (sequence_length,) arrays, `dataset.read_batch(indices)` a dict of
    (len(indices), sequence_length) arrays, filled by the core with the GIL released:

    - `input_ids` (or `tokens`, Megatron's name): int64 or int32.
    - `labels`: the next token of each.
    - `loss_weights` (or `loss_mask`): float32, 0 where the label does not count, else 1.
    - `position_ids`: as `input_ids`.
    - `cu_seqlens`: int32, of one dimension: where rows and documents start among all tokens of the batch, and how many
      tokens these are.

    With `order="megatron"`, sample i is sample i of Megatron-core's `GPTDataset`, token for token. Documents of
    `num_samples` samples, several epochs if needed, are shuffled; samples are cut from them; samples are shuffled. The
    three indices are built when the data set is made (4 bytes a document and epoch, 12 a sample), or loaded.

    With `order="sequential"`, sample i has the tokens from i x sequence_length on of the split's documents one after
    the other. Nothing is built; a shuffle by key comes from whoever reads.

    Several pairs are one row of documents, as if they were merged. Can be pickled, forked and used in threads; a
    spawned worker builds its indices anew unless there is a cache.

    Args:
        path: Prefix of a pair, a folder written by `pack` or `merge`, an `IndexedDataset`, a `ShardedIndexedDataset`,
            or a list of prefixes.
        sequence_length: Tokens of a sample, 1 to 2^31 - 2.
        num_samples: Samples that are wanted; the data set has as many or more. `None`: one epoch.
        seed: Of the shuffles, 0 to 2^32 - 1; Megatron's default is 1234. No influence on `sequential`.
        split: Shares of training, validation and test data, such as `969,30,1`; `None` for all documents.
        split_name: Which of the three: `train`, `valid` or `test`.
        split_rule: `core` as Megatron-core rounds, `legacy` as older ones do (`/` between numbers, too).
        order: `megatron` or `sequential`.
        columns: Names of what batches have, from the list above.
        dtype: Of ids, labels and positions: `int64` or `int32`.
        eod_token_id: The token that ends documents. Without one, a document starts where a sequence of the files does.
        pad_token_id: What fills a last sample that is not full. Labels that are it have weight 0; it becomes 0.
        eod_mask_loss: Whether the label behind `eod_token_id` has weight 0.
        reset_position_ids: Whether positions start anew in each document.
        reset_attention_mask: Whether `cu_seqlens` has the starts of documents; else those of rows only.
        ignore_index: Label where the weight is 0, such as -100; Megatron leaves the token there.
        add_extra_token: Whether samples overlap by one token, so that every label is there; Megatron's
            `add_extra_token_to_sequence`. Without it, the last label of a sample is padding.
        drop_last_partial_validation_sequence: For `valid` only: whether tokens behind the last full sample are dropped,
            else padded.
        separate_threshold: The last epoch is shuffled by itself when less than this share of it is needed: 0.80 in
            Megatron-core, 0.95 in bigscience Megatron-DeepSpeed.
        mode: How files are read, as for `IndexedDataset`.
        max_open_files: As for `ShardedIndexedDataset`.
        cache_folder: Where the indices are kept as files, under names made of the lengths of all documents and all
            options. The first process of a machine builds them, others wait and map them. `None`: in memory.
        indices: Index files that are there, Megatron-core's or those of `save_indices`: their path up to
            `-document_index.npy`.
        num_threads: Threads that build indices; one per processor by default. No influence on the result.

    Raises:
        ConfigError: Options that cannot work: a split without tokens, more samples than `sequential` has.
        CorruptDataError: A damaged file.
        MismatchError: `indices` of other options or other data; found when a sample is read, where they are damaged.

    Origin:
        `megatron/core/datasets/gpt_dataset.py` (0.16.1). Differences: no attention mask but `cu_seqlens`; lengths of
        padded validation sets are never rounded up beyond the data, where Megatron-core aborts.

    Example:
        >>> _ = bloomdata.pack("raw/*.jsonl", "packed-documents", tokenizer="bytes", format="megatron")
        >>> dataset = bloomdata.GPTDataset("packed-documents", sequence_length=8, num_samples=20, split=None)
        >>> dataset.read_batch([3, 1])["input_ids"].shape, bool(dataset[0]["labels"][0] == dataset[0]["input_ids"][1])
        ((2, 8), True)
    """

    def __init__(
        self,
        path: PathLike | Sequence[PathLike] | IndexedDataset | ShardedIndexedDataset,
        *,
        sequence_length: int,
        num_samples: int | None = None,
        seed: int = 1234,
        split: str | None = "969,30,1",
        split_name: Literal["train", "valid", "test"] = "train",
        split_rule: Literal["core", "legacy"] = "core",
        order: Literal["megatron", "sequential"] = "megatron",
        columns: Sequence[str] = _COLUMNS,
        dtype: Literal["int64", "int32"] = "int64",
        eod_token_id: int | None = None,
        pad_token_id: int = -1,
        eod_mask_loss: bool = False,
        reset_position_ids: bool = False,
        reset_attention_mask: bool = False,
        ignore_index: int | None = None,
        add_extra_token: bool = True,
        drop_last_partial_validation_sequence: bool = True,
        separate_threshold: float = 0.80,
        mode: Mode | None = None,
        max_open_files: int | None = None,
        cache_folder: PathLike | None = None,
        indices: PathLike | None = None,
        num_threads: int | None = None,
    ) -> None:
        if split_name not in SPLITS:
            raise ConfigError(f"split_name: {split_name!r}, expected one of {SPLITS}")
        if dtype not in {"int64", "int32"}:
            raise ConfigError(f"dtype: {dtype!r}, expected 'int64' or 'int32'")
        if unknown := set(columns) - _KNOWN:
            raise ConfigError(f"columns: {sorted(unknown)} unknown, expected some of {sorted(_KNOWN)}")
        if not 0 <= seed < 2**32:
            raise ConfigError(f"seed: {seed}, expected 0 to 4294967295")
        if num_samples is not None and not 0 <= num_samples < 2**63:
            raise ConfigError(f"num_samples: {num_samples}, expected 0 or more")
        if not 1 <= sequence_length < 2**31 - 1:
            raise ConfigError(f"sequence_length: {sequence_length}, expected 1 to 2147483646")
        self.path_prefixes, found_mode = _prefixes(path)
        mode = mode or found_mode
        self.sequence_length, self.num_samples, self.seed = sequence_length, num_samples, seed
        self.split, self.split_name = split, split_name
        self.columns, self.dtype = tuple(columns), np.dtype(dtype)
        self._config: dict[str, Any] = {
            "paths": self.path_prefixes,
            "mode": mode,
            "max_open_files": max_open_files or default_open_files(mode),
            "order": order,
            "split": split,
            "split_rule": split_rule,
            "split_index": SPLITS.index(split_name),
            "options": {
                "sequence_length": sequence_length,
                "num_samples": num_samples,
                "seed": seed,
                "separate_threshold": separate_threshold,
                "add_extra_token": add_extra_token,
                "drop_last_partial_sample": drop_last_partial_validation_sequence or split_name != "valid",
            },
            "columns": {
                "eod_token_id": eod_token_id,
                "pad_token_id": pad_token_id,
                "eod_mask_loss": eod_mask_loss,
                "reset_position_ids": reset_position_ids,
                "reset_attention_mask": reset_attention_mask,
                "ignore_index": ignore_index,
            },
            "cache_folder": None if cache_folder is None else os.fspath(cache_folder),
            "indices": None if indices is None else os.fspath(indices),
            "num_threads": num_threads or os.cpu_count() or 1,
        }
        self._open()

    def _open(self) -> None:
        self._core = _core.GptDataset(json.dumps(self._config))
        self._arrays: list[NDArray[Any]] | None = None

    @property
    def is_shuffled(self) -> bool:
        """Whether samples come in a random order already, so that loaders do not shuffle them again."""
        return bool(self._config["order"] == "megatron")

    def __len__(self) -> int:
        return len(self._core)

    def __getitem__(self, index: int) -> Batch:
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        batch = self.read_batch([position])
        return {name: values if name == "cu_seqlens" else values[0] for name, values in batch.items()}

    def __iter__(self) -> Iterator[Batch]:
        return (self[i] for i in range(len(self)))

    def read_batch(self, indices: ArrayLike) -> Batch:
        """Samples of `indices`, one row each.

        Args:
            indices: (rows,) whole numbers from 0 to `len(self) - 1`, in any order.

        Returns:
            A dict of (rows, sequence_length) arrays, and `cu_seqlens`.

        Raises:
            IndexError: No such sample.
            ConfigError: Indices that are not whole numbers in one dimension.
        """
        array = np.asarray(indices)
        if array.ndim != 1 or not (array.dtype.kind in "iu" or array.size == 0):
            raise ConfigError(f"indices: {array.dtype} of shape {array.shape}, expected whole numbers, one dimension")
        shape = (len(array), self.sequence_length)
        batch: Batch = {}
        outputs: Batch = {}
        for name in self.columns:
            if name != "cu_seqlens":
                core_name = _CORE_NAMES.get(name, name)
                batch[name] = np.empty(shape, np.float32 if core_name == "loss_mask" else self.dtype)
                outputs[core_name] = batch[name]
        boundaries = self._core.read(np.ascontiguousarray(array, np.int64), outputs, "cu_seqlens" in self.columns)
        if "cu_seqlens" in self.columns:
            batch["cu_seqlens"] = np.frombuffer(boundaries, "<i4")
        return batch

    @property
    def fingerprint(self) -> str:
        """Hash of all that determines samples: lengths of documents, both ends of every `.bin`, all options."""
        if self.columns == _COLUMNS and self.dtype == np.int64:
            return self._core.fingerprint()
        return f"{self._core.fingerprint()}-{'-'.join(self.columns)}-{self.dtype}"

    @property
    def num_epochs(self) -> int:
        """How often each document occurs; 1 in sequential order."""
        return self._core.plan[0] if self._core.plan else 1

    @property
    def num_samples_before_last_epoch(self) -> int | None:
        """Samples that are shuffled before those of the last epoch, if that is separate."""
        return self._core.plan[2] if self._core.plan else None

    @property
    def document_index(self) -> NDArray[np.int32]:
        """(documents x epochs,) int32: the sequence at each place of the shuffled documents; a copy."""
        return self._index(0)

    @property
    def sample_index(self) -> NDArray[Any]:
        """(samples + 1, 2) int32 or int64: place and offset of each sample's first token; a copy."""
        return self._index(1).reshape(-1, 2)

    @property
    def shuffle_index(self) -> NDArray[Any]:
        """(samples,) uint32 or int64: the row of the sample index at each position; a copy."""
        return self._index(2)

    def _index(self, number: int) -> NDArray[Any]:
        if self._arrays is None:
            found = self._core.indices()
            if found is None:
                raise ConfigError('order: only order="megatron" has indices')
            self._arrays = [np.frombuffer(elements, name) for name, elements in found]
        return self._arrays[number]

    def identifiers(self, tokenizer: Any = None, dataset_path: str | None = None) -> dict[str, Any]:
        """What identifies this data set for Megatron-core; see `megatron_cache.gpt_identifiers`.

        Args:
            tokenizer: Megatron's tokenizer, or its `unique_identifiers`.
            dataset_path: The prefix as Megatron is given it; by default, ours.
        """
        if len(self.path_prefixes) != 1:
            raise ConfigError("path: Megatron-core has one pair for each data set")
        return gpt_identifiers(
            dataset_path if dataset_path is not None else self.path_prefixes[0],
            num_samples=self.num_samples,
            split_name=self.split_name,
            seed=self.seed,
            sequence_length=self.sequence_length,
            split=self.split,
            tokenizer=tokenizer,
        )

    def save_indices(self, folder: PathLike, *, tokenizer: Any = None, dataset_path: str | None = None) -> Path:
        """Saves the indices so that Megatron-core finds them in its `path_to_cache`.

        Args:
            folder: Megatron's `path_to_cache`.
            tokenizer: As for `identifiers`.
            dataset_path: As for `identifiers`.

        Returns:
            The path of the four files up to `-description.txt`: what `indices` takes.

        Raises:
            ConfigError: Another order than Megatron's, or several pairs.
        """
        if self._core.plan is None:
            raise ConfigError('order: only order="megatron" has indices')
        description = describe(self.identifiers(tokenizer, dataset_path))
        prefix = cache_prefix(folder, description, "GPTDataset", self.split_name)
        self._core.save_indices(prefix, description)
        return prefix

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in {"_core", "_arrays"}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def __repr__(self) -> str:
        order = self._config["order"]
        return f"GPTDataset({self.split_name}: {len(self):,} samples of {self.sequence_length:,} tokens, {order})"


def _prefixes(
    path: PathLike | Sequence[PathLike] | IndexedDataset | ShardedIndexedDataset,
) -> tuple[list[str], Mode]:
    """Prefixes of the pairs, and how to read them."""
    if isinstance(path, IndexedDataset):
        return [path.path_prefix], path.mode
    if isinstance(path, ShardedIndexedDataset):
        return path.path_prefixes, path.mode
    if not isinstance(path, (str, os.PathLike)):
        return [_plain(item) for item in path], "mmap"
    if Path(path).is_dir():
        from bloomdata.datasets.opening import open as open_dataset

        dataset = open_dataset(path)
        if not isinstance(dataset, IndexedDataset):
            raise ConfigError(f"{os.fspath(path)}: holds rows, not documents; they are samples already")
        return [dataset.path_prefix], "mmap"
    return [_plain(path)], "mmap"


def _plain(path: PathLike) -> str:
    return os.fspath(path).removesuffix(".idx").removesuffix(".bin")
