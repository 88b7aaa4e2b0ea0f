"""Judged answers in packed rows: pairs of a chosen and a rejected answer (DPO), or answers with a label (KTO)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bloomdata.datasets.samples import checked_index, checked_indices
from bloomdata.errors import CorruptDataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    from bloomdata.datasets.packed import PackedDataset

# Token types: 1 an answer, 3 its last token, 2 padding.
_TRAINED, _PADDING = (1, 3), 2
# What models of transformers ignore.
_IGNORED = -100
_ANSWERS = ("chosen", "rejected")


class PreferenceDataset:
    """Pairs of answers to one prompt, from the rows of `pack(record="preference")`; or labelled answers.

    `dataset[i]` is a dict of arrays of (sequence_length,) int64: `chosen_input_ids`, `chosen_attention_mask`,
    `chosen_labels` and the same of `rejected`. Labels are unshifted and -100 outside of the answer. With
    `record="unpaired_preference"` it has `input_ids`, `attention_mask` and `labels`, and `label`, a bool: whether the
    answer is a good one.

    Args:
        rows: The rows; those of a pair stand one behind the other, the chosen answer first.
        judgement: `compared` for pairs, `labelled` for single answers.

    Raises:
        CorruptDataError: There is a chosen answer without a rejected one, or no column of labels.

    Example:
        >>> _ = bloomdata.pack(
        ...     "preferences.jsonl", "pairs", record="preference", tokenizer="bytes", template="chatml",
        ...     sequence_length=64,
        ... )
        >>> pairs = bloomdata.open("pairs")
        >>> len(pairs), sorted(pairs[0])[:3]
        (1, ['chosen_attention_mask', 'chosen_input_ids', 'chosen_labels'])
    """

    def __init__(self, rows: PackedDataset, judgement: str = "compared") -> None:
        self.rows, self.judgement = rows, judgement
        self.sequence_length = rows.sequence_length
        self._per_item = len(_ANSWERS) if judgement == "compared" else 1
        if len(rows) % self._per_item:
            raise CorruptDataError(f"{rows.paths[-1]}: expected two rows for each pair, found {len(rows)} in all")
        if judgement == "labelled" and "category_ids" not in rows.columns:
            raise CorruptDataError(f"{rows.paths[0]}: expected labels in category_ids, found {sorted(rows.columns)}")

    def __len__(self) -> int:
        return len(self.rows) // self._per_item

    @property
    def fingerprint(self) -> str:
        """That of the rows."""
        return self.rows.fingerprint

    def read_batch(self, indices: ArrayLike) -> dict[str, NDArray[Any]]:
        """Pairs, or labelled answers, as arrays of (pairs, sequence_length) and, of `label`, (pairs,).

        Raises:
            IndexError: A pair does not exist.
        """
        items = checked_indices(indices, len(self), "pair")
        batch: dict[str, NDArray[Any]] = {}
        for number in range(self._per_item):
            rows = [self.rows[int(item) * self._per_item + number] for item in items]
            shape = (len(rows), self.sequence_length)
            ids, types = (
                np.array([row[name] for row in rows], np.int64).reshape(shape)
                for name in ("input_ids", "token_type_ids")
            )
            before = f"{_ANSWERS[number]}_" if self.judgement == "compared" else ""
            batch[f"{before}input_ids"] = ids
            batch[f"{before}attention_mask"] = (types != _PADDING).astype(np.int64)
            batch[f"{before}labels"] = np.where(np.isin(types, _TRAINED), ids, _IGNORED)
            if self.judgement == "labelled":
                batch["label"] = np.array([row["category_ids"][0] == 1 for row in rows], np.bool_)
        return batch

    def __getitem__(self, index: int) -> dict[str, NDArray[Any]]:
        item = checked_index(index, len(self), "pair")
        return {name: values[0] for name, values in self.read_batch([item]).items()}

    def __iter__(self) -> Iterator[dict[str, NDArray[Any]]]:
        return (self[at] for at in range(len(self)))

    def __repr__(self) -> str:
        kind = "pairs" if self.judgement == "compared" else "labelled answers"
        return f"PreferenceDataset({len(self):,} {kind} of {self.sequence_length:,} tokens)"
