"""The verb `plan`: predicts the result of each packing before anything is written."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomdata import _core
from bloomdata.errors import ConfigError
from bloomdata.options.arguments import check_arguments
from bloomdata.options.checks import check_counts, thread_count
from bloomdata.options.inputs import split_inputs
from bloomdata.options.pack_config import record_of
from bloomdata.options.paths import finished_path
from bloomdata.verbs.pack import config_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bloomdata.options.inputs import Inputs, OnProgress

# The packings that are compared by default.
PACKINGS = (
    *("full", "best_fit", "greedy::drop", "greedy::truncate_left", "greedy::truncate_right"),
    *("single::drop", "single::truncate_right", "concat::10", "concat::50"),
)


@dataclass(frozen=True, kw_only=True)
class PackingPlan:
    """The predicted results of packings. `print(plan)` shows a table and a histogram.

    Attributes:
        sequence_length: Tokens in a row.
        num_documents: Documents that have tokens.
        plans: One entry for each packing: `packing`, `sequences`, `tokens_in`, `tokens_out`, `tokens_padding`,
            `tokens_truncated`, `tokens_dropped`, `cut_documents`, `dropped_documents`.
        histogram: Documents by length: entry i counts lengths from 2^i to 2^(i+1) - 1 tokens.
    """

    sequence_length: int
    num_documents: int
    plans: list[dict[str, Any]]
    histogram: list[int]

    def __getitem__(self, packing: str) -> dict[str, Any]:
        """The plan of one packing."""
        packing = "greedy::drop" if packing == "greedy" else packing
        return next(plan for plan in self.plans if plan["packing"] == packing)

    def to_json(self) -> dict[str, Any]:
        """The plan as plain values for JSON."""
        return {name: getattr(self, name) for name in ("sequence_length", "num_documents", "plans", "histogram")}

    def __str__(self) -> str:
        tokens = self.plans[0]["tokens_in"] if self.plans else 0
        lines = [
            f"{self.num_documents:,} documents, {tokens:,} tokens, rows of {self.sequence_length:,}",
            "",
            f"{'packing':<24}{'rows':>12}{'padding':>10}{'truncated':>11}{'dropped':>10}{'cut docs':>10}",
        ]
        for plan in self.plans:
            shares = [
                _share(plan["tokens_padding"], plan["tokens_out"]),
                _share(plan["tokens_truncated"], tokens),
                _share(plan["tokens_dropped"], tokens),
                _share(plan["cut_documents"], self.num_documents),
            ]
            cells = "".join(f"{share:>{width}}" for share, width in zip(shares, (10, 11, 10, 10), strict=True))
            lines.append(f"{plan['packing']:<24}{plan['sequences']:>12,}{cells}")
        lines += ["", "tokens in a document"]
        highest = max(self.histogram, default=1)
        for power, count in enumerate(self.histogram):
            bar = "#" * round(50 * count / highest)
            lines.append(f"{2**power:>10,} to {2 ** (power + 1) - 1:<10,}{count:>12,}  {bar}".rstrip())
        return "\n".join(lines)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else "-"


@check_arguments
def plan(
    inputs: Inputs,
    *,
    sequence_length: int,
    packings: Sequence[str] | None = None,
    window_tokens: int = 1 << 23,
    seed: int = 0,
    tokenizer: str | os.PathLike[str] | Any | None = None,
    allow_duplicate_inputs: bool = False,
    num_threads: int | None = None,
    on_progress: OnProgress = None,
    **options: Any,
) -> PackingPlan:
    """Predicts the result of packings from the lengths of documents alone, for millions of documents per second.

    For text, the counts are exactly those of the rows that `pack` writes. For pairs of prompt and completion, a plan
    cannot tell which rows hold only prompts; `pack` leaves those out.

    Args:
        inputs: Inputs of `pack`, which are tokenized first; or tokenized data: a folder with a Megatron pair, the path
            of a pair without its suffix, or an array of lengths.
        sequence_length: Tokens in a row.
        packings: Packings to compare, named as in `pack`; the common ones by default.
        window_tokens: Tokens that `best_fit` packs at a time.
        seed: Seed of `single::sample`.
        tokenizer: A `tokenizer.json`, a folder that holds one, `"bytes"`, or an object, as for `pack`;
            only for inputs that are not tokenized.
        allow_duplicate_inputs: Whether to read both of two files with the same content, or of one name in two formats
            or compressions (`a.jsonl` and `a.jsonl.gz`), which is an error otherwise.
        num_threads: Number of threads; one per processor by default.
        on_progress: Function called regularly with (total bytes, bytes read, documents, bytes written).
        **options: Further options of `pack` that say how records become documents (`record`, `text_field`,
            `packing_boundary`, ...).

    Returns:
        A table of plans and a histogram.

    Raises:
        ConfigError: An option is invalid.
        CorruptDataError: An input is damaged, or a record is bad.

    Command line:
        bloomdata-cli plan shards/ --tokenizer tokenizer.json --sequence-length 2048
        bloomdata-cli plan megatron/ --sequence-length 4096 --packings greedy best_fit

    Example:
        >>> plan = bloomdata.plan([5, 3, 9, 2], sequence_length=8, packings=["greedy", "best_fit"])
        >>> plan["best_fit"]["sequences"], plan["greedy"]["dropped_documents"]
        (3, 1)
    """
    check_counts(sequence_length=sequence_length, window_tokens=window_tokens, seed=seed)
    if window_tokens == 0:
        raise ConfigError("window_tokens: expected 1 or more, got 0")
    lengths = _known_lengths(inputs) if tokenizer is None else None
    if lengths is None:
        if tokenizer is None:
            raise ConfigError("tokenizer: expected one for inputs that are not tokenized, got None")
        given = split_inputs(inputs)
        options["record"] = record_of(
            options.get("record", "text"),
            given.columns,
            options.get("text_field", "text"),
            options.get("messages_keyword", "messages"),
        )
        config = config_of(tokenizer=tokenizer, sequence_length=sequence_length, **options)
        files = (given.paths, allow_duplicate_inputs, None, None)
        lengths, _ = _core.lengths(files, given.streams, json.dumps(config), thread_count(num_threads), on_progress)
    elif options:
        raise ConfigError(f"{sorted(options)[0]}: expected no option of pack for tokenized inputs, got one")
    names = list(PACKINGS if packings is None else packings)
    result = json.loads(_core.plan(lengths, sequence_length, names, seed, window_tokens))
    return PackingPlan(
        sequence_length=sequence_length,
        num_documents=sum(result["histogram"]),
        plans=result["plans"],
        histogram=result["histogram"],
    )


def _known_lengths(inputs: Inputs) -> bytes | None:
    """Lengths of documents as uint32, or None if the inputs are not tokenized."""
    import numpy as np

    if isinstance(inputs, (str, os.PathLike)):
        path = Path(finished_path(inputs, "inputs"))
        is_folder = (path / "manifest.json").exists()
        if not (is_folder or Path(f"{path}.idx").exists() or path.suffix in {".idx", ".bin"}):
            return None
        from bloomdata.datasets.indexed_dataset import IndexedDataset, ShardedIndexedDataset
        from bloomdata.datasets.opening import open as open_dataset

        dataset = open_dataset(path)
        if not isinstance(dataset, (IndexedDataset, ShardedIndexedDataset)):
            raise ConfigError(f"inputs: expected documents, got {path}, which holds rows")
        return dataset.sequence_lengths.astype("<u4").tobytes()
    if isinstance(inputs, np.ndarray) or (
        isinstance(inputs, (list, tuple)) and inputs and all(isinstance(length, int) for length in inputs)
    ):
        lengths = np.asarray(inputs)
        if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or (lengths.size and lengths.min() < 0):
            raise ConfigError("inputs: expected one array of lengths >= 0, got other values")
        if lengths.size and lengths.max() >= 1 << 32:
            raise ConfigError("inputs: expected lengths below 2^32, got a larger one")
        return lengths.astype("<u4").tobytes()
    return None
