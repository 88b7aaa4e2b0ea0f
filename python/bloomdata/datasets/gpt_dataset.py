"""Samples of a fixed length from the documents of Megatron pairs, in Megatron's order or in file order."""

from __future__ import annotations

import json
import operator
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bloomdata import _core
from bloomdata.datasets.indexed_dataset import IndexedDataset, Mode, ShardedIndexedDataset, default_open_files
from bloomdata.datasets.megatron_cache import SPLITS, cache_prefix, describe, gpt_identifiers, legacy_prefix
from bloomdata.datasets.samples import one_sample
from bloomdata.errors import ConfigError
from bloomdata.options.paths import finished_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from bloomdata.datasets.indexed_dataset import PathLike
    from bloomdata.datasets.samples import Batch

_COLUMNS = ("input_ids", "labels", "loss_weights", "position_ids", "cu_seqlens")
# Names of Megatron, and those of the core.
_CORE_NAMES = {"tokens": "input_ids", "loss_weights": "loss_mask"}
_KNOWN = {*_COLUMNS, *_CORE_NAMES, "loss_mask"}


class GPTDataset:
    """Samples of `sequence_length` tokens from the documents of one or more Megatron pairs.

    `dataset[i]` is sample i as a dict of (sequence_length,) arrays; `dataset.read_batch(indices)` is a dict of
    (len(indices), sequence_length) arrays, filled by the core without the GIL:

    - `input_ids` (or `tokens`, Megatron's name): int64 or int32.
    - `labels`: the next token of each.
    - `loss_weights` (or `loss_mask`): float32, 0 where the label is ignored, else 1.
    - `position_ids`: same dtype as `input_ids`.
    - `cu_seqlens`: int32, one dimension: offsets of rows and documents in the flattened batch, and its number of
      tokens.

    With `order="megatron"`, sample i is sample i of Megatron-core's `GPTDataset`, token for token: documents for
    `num_samples` samples, over several epochs if needed, are shuffled and cut into samples, which are shuffled again.
    The three indices are built on construction (4 bytes per document and epoch, 12 per sample), or loaded.

    With `order="sequential"`, sample i starts at token i x sequence_length of the concatenated documents of the split.
    No index is built; loaders shuffle by a keyed order.

    Several pairs are treated as if they were merged. Can be pickled, forked and used in threads; a spawned worker
    rebuilds the indices unless there is a cache.

    Args:
        path: Prefix of a pair, a folder written by `pack` or `merge`, an `IndexedDataset`, a `ShardedIndexedDataset`,
            or a list of prefixes.
        sequence_length: Tokens in a sample, 1 to 2^31 - 2.
        num_samples: Minimum number of samples; `None` for one epoch.
        seed: Seed of the shuffles, 0 to 2^32 - 1; Megatron's default is 1234. No effect on `sequential`.
        split: Shares of training, validation and test data, such as `969,30,1`; `None` for all documents.
        split_name: Part of the split: `train`, `valid` or `test`.
        split_rule: Rounding of the split: `core` as in Megatron-core, `legacy` as in older versions, which also allow
            `/` between numbers.
        split_range: Sequences from one share of all to another, such as (0, 0.95), in place of `split`, which must be
            None; bigscience Megatron-DeepSpeed has such ranges.
        order: Order of samples: `megatron` or `sequential`.
        columns: Names of the arrays of batches, from the list above.
        dtype: Type of ids, labels and positions: `int64` or `int32`.
        eod_token_id: The end-of-document token. Without it, a document starts at every sequence of the files.
        pad_token_id: Token that fills an incomplete last sample. Labels of this token have weight 0, and the token is
            replaced by 0.
        eod_mask_loss: Whether the label after `eod_token_id` has weight 0.
        reset_position_ids: Whether positions restart in each document.
        reset_attention_mask: Whether `cu_seqlens` has the starts of documents, or only those of rows.
        ignore_index: Label for weight 0, such as -100; by default the token stays, as in Megatron.
        add_extra_token: Whether samples overlap by one token, so that every label exists; Megatron's
            `add_extra_token_to_sequence`. If not, the last label of a sample is padding.
        drop_last_partial_validation_sequence: Whether to drop, instead of pad, tokens after the last full sample; only
            for `valid`.
        separate_threshold: Share of the last epoch below which it is shuffled separately: 0.80 in Megatron-core, 0.95
            in bigscience Megatron-DeepSpeed.
        mode: How files are read, as for `IndexedDataset`.
        max_open_files: Number of pairs that stay open, as for `ShardedIndexedDataset`.
        cache_folder: Folder for index files, whose names depend on the lengths of all documents and on all options. The
            first process on a machine builds them; others wait and map them. `None` keeps indices in memory.
        indices: Existing index files of Megatron-core or `save_indices`: their path up to `-document_index.npy`, or, of
            older Megatrons, up to `_doc_idx.npy`.
        num_threads: Threads that build indices; one per processor by default. No effect on the result.

    Raises:
        ConfigError: An option is invalid: a split without tokens, more samples than `sequential` has.
        CorruptDataError: A file is damaged.
        MismatchError: `indices` were built with other options or from other data; if they are damaged, this is found
            when a sample is read.

    Origin:
        `megatron/core/datasets/gpt_dataset.py` (0.16.1). Differences: `cu_seqlens` instead of an attention mask; the
        length of a padded validation set is never rounded up beyond the data, where Megatron-core aborts.

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
        split_range: tuple[float, float] | None = None,
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
            raise ConfigError(f"split_name: expected one of {SPLITS}, got {split_name!r}")
        if dtype not in {"int64", "int32"}:
            raise ConfigError(f"dtype: expected 'int64' or 'int32', got {dtype!r}")
        if unknown := set(columns) - _KNOWN:
            raise ConfigError(f"columns: expected some of {sorted(_KNOWN)}, got {sorted(unknown)}")
        if not 0 <= seed < 2**32:
            raise ConfigError(f"seed: expected 0 to 4294967295, got {seed}")
        if num_samples is not None and not 0 <= num_samples < 2**63:
            raise ConfigError(f"num_samples: expected 0 or more, got {num_samples}")
        if not 1 <= sequence_length < 2**31 - 1:
            raise ConfigError(f"sequence_length: expected 1 to 2147483646, got {sequence_length}")
        self.path_prefixes, found_mode = _prefixes(path)
        mode = mode or found_mode
        self.sequence_length, self.num_samples, self.seed = sequence_length, num_samples, seed
        self.split, self.split_name, self.split_range = split, split_name, split_range
        self.columns, self.dtype = tuple(columns), np.dtype(dtype)
        self._config: dict[str, Any] = {
            "paths": self.path_prefixes,
            "mode": mode,
            "max_open_files": max_open_files or default_open_files(mode),
            "order": order,
            "split": split,
            "split_rule": split_rule,
            "split_index": SPLITS.index(split_name),
            "split_range": split_range,
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
        self._core = _core.GptDataset(json.dumps(self._config, default=operator.index))
        self._arrays: list[NDArray[Any]] | None = None

    @property
    def is_shuffled(self) -> bool:
        """Whether samples are already in a random order, so that loaders do not shuffle them again."""
        return bool(self._config["order"] == "megatron")

    def __len__(self) -> int:
        return len(self._core)

    def __getitem__(self, index: int) -> Batch:
        return one_sample(self, index)

    def __iter__(self) -> Iterator[Batch]:
        return (self[i] for i in range(len(self)))

    def read_batch(self, indices: ArrayLike) -> Batch:
        """Samples of `indices`, one row each.

        Args:
            indices: (rows,) whole numbers from 0 to `len(self) - 1`, in any order.

        Returns:
            A dict of (rows, sequence_length) arrays, and `cu_seqlens`.

        Raises:
            IndexError: A sample does not exist.
            ConfigError: The indices are not whole numbers in one dimension.
        """
        array = np.asarray(indices)
        if array.ndim != 1 or not (array.dtype.kind in "iu" or array.size == 0):
            raise ConfigError(f"indices: expected one dimension of whole numbers, got {array.dtype} {array.shape}")
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
        """Hash of everything that determines the samples: document lengths, both ends of every `.bin`, all options."""
        if self.columns == _COLUMNS and self.dtype == np.int64:
            return self._core.fingerprint()
        return f"{self._core.fingerprint()}-{'-'.join(self.columns)}-{self.dtype}"

    @property
    def num_epochs(self) -> int:
        """Number of times that each document occurs; 1 in sequential order."""
        return self._core.plan[0] if self._core.plan else 1

    @property
    def num_samples_before_last_epoch(self) -> int | None:
        """Number of samples before the last epoch, if it is shuffled separately; else None."""
        return self._core.plan[2] if self._core.plan else None

    @property
    def document_index(self) -> NDArray[np.int32]:
        """The shuffled sequences, (documents x epochs,) int32; a copy."""
        return self._index(0)

    @property
    def sample_index(self) -> NDArray[Any]:
        """Position and offset of the first token of each sample, (samples + 1, 2) int32 or int64; a copy."""
        return self._index(1).reshape(-1, 2)

    @property
    def shuffle_index(self) -> NDArray[Any]:
        """Row of the sample index for each sample, (samples,) uint32 or int64; a copy."""
        return self._index(2)

    def _index(self, number: int) -> NDArray[Any]:
        if self._arrays is None:
            found = self._core.indices()
            if found is None:
                raise ConfigError('order: expected "megatron" for indices, got "sequential"')
            self._arrays = [np.frombuffer(elements, name) for name, elements in found]
        return self._arrays[number]

    def identifiers(self, tokenizer: Any = None, dataset_path: str | None = None) -> dict[str, Any]:
        """The identifiers of this data set in Megatron-core; see `megatron_cache.gpt_identifiers`.

        Args:
            tokenizer: Megatron's tokenizer, or its `unique_identifiers`.
            dataset_path: The prefix given to Megatron; by default that of this data set.
        """
        if self.split_range is not None:
            raise ConfigError(f"split_range: expected None, as in Megatron-core, got {self.split_range}")
        if len(self.path_prefixes) != 1:
            raise ConfigError(f"path: expected one pair, as in Megatron-core, got {len(self.path_prefixes)}")
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
        """Saves the indices where Megatron-core finds them.

        Args:
            folder: Megatron's `path_to_cache`.
            tokenizer: As for `identifiers`.
            dataset_path: As for `identifiers`.

        Returns:
            The path of the four files up to `-description.txt`, to pass as `indices`.

        Raises:
            ConfigError: The order is not Megatron's, or there are several pairs.
        """
        if self._core.plan is None:
            raise ConfigError('order: expected "megatron" for indices, got "sequential"')
        description = describe(self.identifiers(tokenizer, dataset_path))
        prefix = cache_prefix(folder, description, "GPTDataset", self.split_name)
        self._core.save_indices(prefix, description)
        return prefix

    def save_legacy_indices(self, data_prefix: PathLike | None = None, *, exact_num_epochs: bool = False) -> Path:
        """Saves the indices where Megatron before core, bigscience Megatron-DeepSpeed and AscendSpeed look for them.

        They look beside the data, and trust what is there: remove these files when the data change.

        Args:
            data_prefix: The prefix given to Megatron; by default that of this data set.
            exact_num_epochs: Whether the run has `--train-data-exact-num-epochs`: the number of epochs is then part of
                the name.

        Returns:
            The path of the three files up to `_doc_idx.npy`, to pass as `indices`.

        Raises:
            ConfigError: The order is not Megatron's, there are several pairs, or no number of samples.

        Origin:
            `_build_index_mappings` of `megatron/data/gpt_dataset.py` in bigscience Megatron-DeepSpeed and of
            `ascendspeed/data/gpt_dataset.py`.
        """
        if self._core.plan is None:
            raise ConfigError('order: expected "megatron" for indices, got "sequential"')
        if data_prefix is None and len(self.path_prefixes) != 1:
            raise ConfigError(f"path: expected one pair, as in Megatron, got {len(self.path_prefixes)}")
        prefix = legacy_prefix(
            self.path_prefixes[0] if data_prefix is None else data_prefix,
            split_name=self.split_name,
            num_samples=self.num_samples,
            num_epochs=self.num_epochs if exact_num_epochs else None,
            sequence_length=self.sequence_length,
            seed=self.seed,
        )
        self._core.save_indices(prefix, None)
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
    """Prefixes of the pairs, and the mode of reading."""
    if isinstance(path, IndexedDataset):
        return [path.path_prefix], path.mode
    if isinstance(path, ShardedIndexedDataset):
        return path.path_prefixes, path.mode
    if not isinstance(path, (str, os.PathLike)):
        return [_plain(item) for item in path], "mmap"
    if Path(finished_path(path, "path")).is_dir():
        from bloomdata.datasets.opening import open as open_dataset

        dataset = open_dataset(path)
        if not isinstance(dataset, (IndexedDataset, ShardedIndexedDataset)):
            raise ConfigError(f"{os.fspath(path)}: expected documents, found rows, which are samples already")
        return _prefixes(dataset)
    return [_plain(path)], "mmap"


def _plain(path: PathLike) -> str:
    return finished_path(path, "path").removesuffix(".idx").removesuffix(".bin")
