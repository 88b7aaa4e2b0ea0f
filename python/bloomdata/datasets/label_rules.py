"""How packed rows become samples: the weights of targets, and the ends of documents."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bloomdata import _core
from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bloomdata.datasets.samples import Batch

_COLUMNS = ("input_ids", "labels", "loss_weights", "position_ids", "cu_seqlens")


@dataclass(frozen=True, kw_only=True)
class LabelRules:
    """Rules for labels. A label is -100 if and only if its loss weight is 0.

    A document starts at the start of a row, after a token of type 3 (the last of an attention unit) or `eod_token_id`,
    and where padding starts or ends.

    Args:
        prompt_loss_weight: Loss weight of targets in prompts (type 0), 0 or more; with 0 their labels are -100 too.
            Completions and separators (types 1, 3) have weight 1, padding (type 2) has weight 0.
        eod_token_id: The end-of-document token, for files without token types.
        eod_mask_loss: Whether to ignore the first token of a document as a target, so that no document predicts the
            next one.
        reset_position_ids: Whether positions restart in every document, or only in every row.
        reset_attention_mask: Whether `cu_seqlens` has the boundaries of documents, or only those of rows.
        shift_labels: Whether `labels[:, i]` is the token after `input_ids[:, i]`, with -100 at the end of a row. If
            not, it is token i itself, for models of transformers, which shift labels themselves.
        dtype: Type of integers in a batch: `int64`, which torch's losses require, or `int32`.
        columns: Arrays of a batch, including `input_ids`; other arrays are not computed.

    Raises:
        ConfigError: The weight is not a number >= 0, or the dtype or a column is unknown.

    Origin:
        Weights by token type as in BLOOMChat's training. The other options have Megatron's names but opposite defaults:
        there, all three `reset_*` and `eod_*` options are off.
    """

    prompt_loss_weight: float = 0.0
    eod_token_id: int | None = None
    eod_mask_loss: bool = True
    reset_position_ids: bool = True
    reset_attention_mask: bool = True
    shift_labels: bool = True
    dtype: Literal["int32", "int64"] = "int64"
    columns: tuple[str, ...] = _COLUMNS

    def __post_init__(self) -> None:
        if self.dtype not in {"int32", "int64"}:
            raise ConfigError(f"dtype: expected 'int32' or 'int64', got {self.dtype!r}")
        if not 0 <= self.prompt_loss_weight < float("inf"):
            raise ConfigError(f"prompt_loss_weight: expected 0 or more, got {self.prompt_loss_weight!r}")
        if "input_ids" not in self.columns or not set(self.columns) <= set(_COLUMNS):
            raise ConfigError(f"columns: expected 'input_ids' and others of {_COLUMNS}, got {self.columns}")
        self.build()

    def build(self) -> _core.RowRules:
        """The rules as an object of the core."""
        facts = dataclasses.asdict(self)
        facts["wide"] = facts.pop("dtype") == "int64"
        columns = facts.pop("columns")
        facts |= {"positions": "position_ids" in columns, "weights": "loss_weights" in columns}
        return _core.RowRules(json.dumps(facts))

    def unpack(self, memory: bytearray, boundaries: bytearray, length: int) -> Batch:
        """The arrays of a batch, which are stored one after the other in its memory."""
        dtype = np.dtype("<i8" if self.dtype == "int64" else "<i4")
        integers = ["input_ids", "labels", *(["position_ids"] if "position_ids" in self.columns else [])]
        weighs = "loss_weights" in self.columns
        count = len(memory) // (len(integers) * dtype.itemsize + 4 * weighs)

        def array(number: int, kind: Any) -> NDArray[Any]:
            return np.frombuffer(memory, kind, count, number * count * dtype.itemsize).reshape(-1, length)

        batch = {name: array(number, dtype) for number, name in enumerate(integers)}
        if weighs:
            batch["loss_weights"] = array(len(integers), np.dtype("<f4"))
        batch["cu_seqlens"] = np.frombuffer(boundaries, "<i4")
        return {name: batch[name] for name in self.columns}

    def make(self, ids: NDArray[Any], types: NDArray[Any] | None) -> Batch:
        """A batch from rows in memory, (rows, length) each."""
        flat = np.ascontiguousarray(ids, np.int32).reshape(-1)
        kinds = None if types is None else np.ascontiguousarray(types, np.int32).reshape(-1)
        return self.unpack(*self.build().make(flat, kinds, ids.shape[1]), ids.shape[1])
