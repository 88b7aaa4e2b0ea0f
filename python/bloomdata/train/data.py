"""The data of a stage: packed folders as samples, and their batches by rank and microbatch."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomdata.datasets.blend import BlendedDataset
from bloomdata.datasets.indexed_dataset import IndexedDataset, ShardedIndexedDataset
from bloomdata.datasets.label_rules import LabelRules
from bloomdata.datasets.opening import PreferenceDataset
from bloomdata.datasets.opening import open as open_packed
from bloomdata.datasets.token_rows import TokenRows
from bloomdata.errors import ConfigError, MismatchError
from bloomdata.loader.loader import DataLoader
from bloomdata.loader.tensors import to_device
from bloomdata.manifest import read_manifest
from bloomdata.train.schedules import batch_rows, samples_of, steps_of
from bloomdata.train.tokens import find_tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bloomdata.datasets.samples import SampleDataset
    from bloomdata.tokenizers.tokenizer import Tokenizer
    from bloomdata.train.options import BatchOptions, DataOptions
    from bloomdata.train.recipe import Stage


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageData:
    """The samples of a stage.

    Attributes:
        dataset: All sources as one data set.
        names: Names of the sources, as the recipe has them.
        steps: Number of steps.
        samples: Number of samples in them.
        sequence_length: Tokens of a row.
        tokenizer_facts: What the manifests say of the tokenizer, which lies in the packed folder; empty without one.
        template: Name of the chat template that the text was made with, if there was one.
    """

    dataset: SampleDataset
    names: list[str]
    steps: int
    samples: int
    sequence_length: int
    tokenizer_facts: dict[str, Any]
    template: str | None

    @functools.cached_property
    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer, loaded when it is first asked for; None if its file is not where it was.

        Raises:
            MismatchError: There is another tokenizer at its place.
        """
        return find_tokenizer(self.tokenizer_facts)


def open_data(stage: Stage) -> StageData:
    """Opens the sources of a stage and plans its length.

    Raises:
        ConfigError: A source has no rows, rows of different lengths, or other tokenizers; or the stage has no step.
    """
    options = stage.data
    sources = {name: open_source(name, options) for name in options.sources}
    books = [read_books(name) for name in options.sources]
    tokenizers = {facts["fingerprint"]: facts for facts, _ in books if facts}
    if len(tokenizers) > 1:
        raise ConfigError(f"data.sources: expected one tokenizer, found {len(tokenizers)}: {sorted(tokenizers)}")
    rows = sum(len(source) for source in sources.values())
    if not rows:
        raise ConfigError(f"data.sources: expected rows, found none in {', '.join(sources)}")
    if stage.steps is not None:
        steps = stage.steps
    else:
        wanted = stage.samples if stage.samples is not None else int(rows * (stage.epochs or 1))
        steps = steps_of(stage.batch, wanted)
        if not steps:
            raise ConfigError(f"batch.rows: expected at most {wanted}, the stage's samples, found {stage.batch.rows}")
    samples = samples_of(stage.batch, steps)
    templates = {template for _, template in books if template}
    return StageData(
        dataset=_joined(sources, options, samples),
        names=list(sources),
        steps=steps,
        samples=samples,
        sequence_length=next(iter(sources.values())).sequence_length,
        tokenizer_facts=next(iter(tokenizers.values()), {}),
        template=templates.pop() if len(templates) == 1 else None,
    )


def open_source(path: str, options: DataOptions) -> Any:
    """One packed folder, Megatron pair or HDF5 file as rows.

    Raises:
        ConfigError: Rows have another length, or documents have none.
    """
    opened = open_packed(path)
    apart = options.separate_documents
    names = ("eod_mask_loss", "reset_position_ids", "reset_attention_mask")
    rules: dict[str, Any] = dict.fromkeys(names, apart) | {"prompt_loss_weight": options.prompt_loss_weight}
    if isinstance(opened, IndexedDataset):
        if options.sequence_length is None:
            raise ConfigError(f"data.sequence_length: expected a number, since {path} has documents, found none")
        return TokenRows(opened, options.sequence_length, separator=options.separator, rules=LabelRules(**rules))
    if isinstance(opened, ShardedIndexedDataset):
        raise ConfigError(f"data: {path}: expected one pair, found one for each part; `finish --joined` joins them")
    if isinstance(opened, PreferenceDataset):
        raise ConfigError(f"data: {path}: expected texts or conversations to learn from, found judged answers")
    if options.sequence_length not in {None, opened.sequence_length}:
        raise ConfigError(
            f"data.sequence_length: expected {opened.sequence_length}, the length of the rows in {path}, found "
            f"{options.sequence_length}"
        )
    return opened.with_rules(**rules)


def _joined(sources: dict[str, Any], options: DataOptions, samples: int) -> SampleDataset:
    if len(sources) == 1:
        only: SampleDataset = next(iter(sources.values()))
        return only
    pairs = [(sources[name], weight) for name, weight in options.sources.items()]
    if options.by == "epochs":
        return BlendedDataset(pairs, by="epochs", seed=options.seed, shuffle=options.shuffle)
    return BlendedDataset(
        pairs, by=options.by, num_samples=samples, on_exhausted="repeat", seed=options.seed, shuffle=options.shuffle
    )


def read_books(path: str) -> tuple[dict[str, Any], str | None]:
    """Tokenizer and chat template of a packed folder, from its manifest."""
    if not (Path(path) / "manifest.json").exists():
        return {}, None
    manifest = read_manifest(Path(path))
    facts = dict(manifest.get("details", {}).get("tokenizer") or {})
    if facts.get("path") is not None:
        facts["path"] = str(Path(path) / facts["path"])
    chats = manifest.get("config", {}).get("chats") or {}
    return facts, chats.get("template")


class Batches:
    """This rank's rows of each step, in an order that is a function of (data, seed).

    The state is that of `DataLoader`: the number of samples consumed.
    """

    def __init__(self, data: StageData, options: DataOptions, batch: BatchOptions, rank: int, world_size: int) -> None:
        self._data, self._options, self._batch = data, options, batch
        self._rank, self._world_size = rank, world_size
        self._loader: DataLoader | None = None
        self._iterator: Iterator[dict[str, Any]] | None = None
        self._consumed: dict[str, Any] | None = None
        for rows in {batch.rows, batch.ramp_start or batch.rows, batch.ramp_increment if batch.ramp_start else 0} - {0}:
            if rows % world_size:
                raise ConfigError(f"batch: expected multiples of {world_size} ranks, found {rows} rows")

    def next(self, samples: int) -> dict[str, Any]:
        """The rows of the step that starts after so many samples of the stage, as tensors in memory of the CPU."""
        rows = batch_rows(self._batch, samples)
        if self._loader is None or self._loader.batch_size != rows:
            self._open(rows)
        assert self._iterator is not None
        assert self._loader is not None
        batch = next(self._iterator)
        self._consumed = self._loader.state_dict()
        return batch

    def _open(self, rows: int) -> None:
        is_blend = isinstance(self._data.dataset, BlendedDataset)
        self._loader = DataLoader(
            self._data.dataset,
            batch_size=rows,
            seed=self._options.seed,
            shuffle=None if is_blend else self._options.shuffle,
            epochs=None,
            rank=self._rank,
            world_size=self._world_size,
            skip=[(start, end) for start, end in self._options.skip],
            format="torch",
        )
        if self._consumed is not None:
            self._loader.load_state_dict(self._consumed)
        self._iterator = iter(self._loader)

    def sample_ids(self) -> list[int]:
        """Samples of the step that `next` returned last, over all ranks, by their index in the data set."""
        assert self._loader is not None
        return [int(sample) for sample in self._loader.current_sample_ids()]

    def state_dict(self) -> dict[str, Any] | None:
        """The position after the last step."""
        return self._consumed

    def load_state_dict(self, state: dict[str, Any] | None) -> None:
        """Restores a position.

        Raises:
            MismatchError: The state is of other data.
        """
        if state is not None and state["fingerprint"] != self._data.dataset.fingerprint:
            raise MismatchError(
                f"data: expected the data of the checkpoint, {state['fingerprint']}, found "
                f"{self._data.dataset.fingerprint}"
            )
        self._consumed, self._loader, self._iterator = state, None, None


def on_device(batch: dict[str, Any], device: Any) -> dict[str, Any]:
    """A batch on a device, but for its boundaries: to look at those there would stop the device each time."""
    bounds = {name: values for name, values in batch.items() if name == "cu_seqlens"}
    return to_device({name: values for name, values in batch.items() if name not in bounds}, device) | bounds


def microbatches(batch: dict[str, Any], rows: int | None) -> list[dict[str, Any]]:
    """A batch in parts of at most so many rows, each with its own boundaries."""
    total, length = batch["input_ids"].shape
    rows = min(rows or total, total)
    parts = []
    for start in range(0, total, rows):
        end = min(start + rows, total)
        part = {name: values[start:end] for name, values in batch.items() if name != "cu_seqlens"}
        if "cu_seqlens" in batch:
            bounds = batch["cu_seqlens"]
            inside = bounds[(bounds >= start * length) & (bounds <= end * length)] - start * length
            part["cu_seqlens"] = inside
        parts.append(part)
    return parts
