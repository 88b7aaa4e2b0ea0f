"""Several data sets as one: exact shares, no index, and an order that is a function of (sources, weights, seed)."""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from bloomdata import _core
from bloomdata.datasets.blend_plan import BlendPlan, OnExhausted, SourcePlan, Unit, plan_samples
from bloomdata.datasets.blend_weights import parse_blend
from bloomdata.datasets.samples import checked_indices, digest, join_batches, one_sample
from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from bloomdata.datasets.samples import Batch, SampleDataset

Source: TypeAlias = "SampleDataset | str | os.PathLike[str]"
# Version of the order, which is part of every fingerprint.
_ORDER = "keyed-1"


class BlendedDataset:
    """A mixture of data sets. Its samples are already in a random order, so a loader does not shuffle them again.

    After every block of 65,536 samples (more, if a weight is too small for one sample per block), the share of each
    source in all samples so far is exact to less than one sample. Inside a block, a keyed permutation assigns samples
    to sources. If a source is much smaller than its share of a block, its epochs are mixed within the block.

    Args:
        sources: `{dataset: weight}`, a list of (dataset, weight), or one string such as `path:0.2,path:0.3` or
            `0.2 path 0.3 path`. Data sets, blends, or paths that `bloomdata.open` opens as rows.
        by: Unit of the weights: shares of all `samples`; shares of all `tokens`, without padding; or the number of
            `epochs` of each source, which also determines the number of samples.
        num_samples: Number of samples. By default the maximum that `on_exhausted` allows; with `repeat` and `error`
            the number of samples in all sources.
        on_exhausted: What to do when a source has too few samples for its share: `stop_first` ends the blend before
            any sample repeats, `stop_all` ends it once every sample has occurred, `repeat` starts the source again in
            another order, `error` raises. Decided when the blend is made, not during a run.
        seed: Seed of the order, 0 to 2^64 - 1.
        shuffle: Whether to shuffle the rows of each source anew in every epoch; otherwise they keep their order,
            except for the mixing inside blocks.
        order: `keyed`, or `megatron` with `indices`.
        indices: Dataset index and dataset sample index of Megatron, one number each per sample.

    Raises:
        ConfigError: Options contradict each other, a weight is not a number, sources have rows of different lengths,
            or, with `error`, a source is too short.

    Example:
        >>> _ = bloomdata.pack("raw/*.jsonl", "packed-for-blend", tokenizer="bytes", sequence_length=8)
        >>> rows = bloomdata.open("packed-for-blend")
        >>> blend = bloomdata.BlendedDataset([(rows, 0.75), (rows, 0.25)], num_samples=8, on_exhausted="repeat")
        >>> [source.samples for source in blend.plan().sources]
        [6, 2]
    """

    is_shuffled = True

    def __init__(
        self,
        sources: Mapping[Any, float] | Sequence[tuple[Source, float]] | str,
        *,
        by: Unit = "samples",
        num_samples: int | None = None,
        on_exhausted: OnExhausted = "stop_first",
        seed: int = 0,
        shuffle: bool = True,
        order: Literal["keyed", "megatron"] = "keyed",
        indices: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> None:
        pairs = _pairs(sources)
        self.names = [str(source) if isinstance(source, (str, os.PathLike)) else repr(source) for source, _ in pairs]
        self.sources = [_opened(source) for source, _ in pairs]
        self.seed, self.shuffle = operator.index(seed), bool(shuffle)
        lengths = [len(source) for source in self.sources]
        row_lengths = {length for source in self.sources if (length := getattr(source, "sequence_length", None))}
        if len(row_lengths) > 1:
            raise ConfigError(f"sources: expected rows of one length, got {sorted(row_lengths)}")
        self._indices: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
        if (order == "megatron") != (indices is not None) or order not in {"keyed", "megatron"}:
            raise ConfigError(f"order: expected 'keyed', or 'megatron' with its indices, got {order!r}")
        if indices is not None:
            self._indices = _checked_order(indices, lengths)
            self._num_samples = len(self._indices[0])
            self._counts = np.bincount(self._indices[0], minlength=len(lengths)).tolist()
            self._weights = [int(count) for count in self._counts]
            return
        tokens = [_tokens(source) / max(1, len(source)) for source in self.sources]
        weights = [float(weight) for _, weight in pairs]
        self._weights, self._num_samples = plan_samples(
            weights, lengths, tokens, by=by, num_samples=num_samples, on_exhausted=on_exhausted
        )
        self._mixture = _core.Mixture(self._weights, lengths, self._num_samples, self.seed, self.shuffle)
        self._counts = self._mixture.counts(self._num_samples)

    def __len__(self) -> int:
        return self._num_samples

    @property
    def sequence_length(self) -> int | None:
        """Tokens in a row, if the sources have it."""
        lengths = [length for source in self.sources if (length := getattr(source, "sequence_length", None))]
        return int(lengths[0]) if lengths else None

    @property
    def num_tokens(self) -> int:
        """Tokens of all samples, without padding where sources know it."""
        return self.plan().num_tokens

    @property
    def fingerprint(self) -> str:
        """Changes with the sources, their weights, the length, the seed and the order."""
        facts: list[Any] = [_ORDER, self._num_samples, self.seed, self.shuffle, self._weights]
        if self._indices is not None:
            facts = ["megatron", *[digest(array.tolist()) for array in self._indices]]
        return digest([*facts, [[source.fingerprint, len(source)] for source in self.sources]])

    def plan(self) -> BlendPlan:
        """Samples, tokens and epochs that the blend takes from each source."""
        total = max(1, self._num_samples)
        rows = []
        for name, source, count in zip(self.names, self.sources, self._counts, strict=True):
            length = len(source)
            tokens = round(count * _tokens(source) / max(1, length))
            rows.append(
                SourcePlan(
                    name=name,
                    available=length,
                    share=count / total,
                    samples=count,
                    tokens=tokens,
                    epochs=count / max(1, length),
                )
            )
        return BlendPlan(sources=tuple(rows), num_samples=self._num_samples, num_tokens=sum(row.tokens for row in rows))

    def locate(self, indices: ArrayLike) -> NDArray[np.int64]:
        """The origin of samples: (n, 3) int64 of source, epoch, and sample of the source.

        Raises:
            IndexError: A sample does not exist.
        """
        positions = checked_indices(indices, len(self))
        if self._indices is None:
            return np.frombuffer(self._mixture.locate(positions), "<i8").reshape(-1, 3)
        source, sample = (array[positions] for array in self._indices)
        lengths = np.array([max(1, len(dataset)) for dataset in self.sources])[source]
        return np.stack([source, sample // lengths, sample % lengths], axis=1)

    def read_batch(self, indices: ArrayLike) -> Batch:
        """Samples of the sources, and `source`, (rows,) int32: the index of each row's source."""
        places = self.locate(indices)
        parts = []
        for number in np.unique(places[:, 0]).tolist():
            rows = np.flatnonzero(places[:, 0] == number)
            part = self.sources[number].read_batch(np.ascontiguousarray(places[rows, 2]))
            part.pop("source", None)  # of a nested blend
            parts.append((rows, part))
        if not parts:
            parts = [(np.empty(0, np.int64), self.sources[0].read_batch(np.empty(0, np.int64)))]
        # A single part is the whole batch, in order.
        batch = join_batches(parts, len(places)) if len(parts) > 1 else parts[0][1]
        batch["source"] = places[:, 0].astype(np.int32)
        return batch

    def __getitem__(self, index: int) -> Batch:
        return one_sample(self, index)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (self.__class__, self._state()))

    def _state(self) -> dict[str, Any]:
        mixture = None if self._indices is not None else (self._weights, [len(source) for source in self.sources])
        return {name: value for name, value in vars(self).items() if name != "_mixture"} | {"mixture": mixture}

    def __repr__(self) -> str:
        return f"BlendedDataset({len(self.sources)} sources: {len(self):,} samples)"


def _rebuild(kind: type[BlendedDataset], state: dict[str, Any]) -> BlendedDataset:
    blend = kind.__new__(kind)
    mixture = state.pop("mixture")
    vars(blend).update(state)
    if mixture is not None:
        weights, lengths = mixture
        vars(blend)["_mixture"] = _core.Mixture(weights, lengths, len(blend), blend.seed, blend.shuffle)
    return blend


def _pairs(sources: Mapping[Any, float] | Sequence[tuple[Source, float]] | str) -> list[tuple[Source, float]]:
    if isinstance(sources, str):
        return [(path, weight) for path, weight in parse_blend(sources)]
    pairs = list(sources.items()) if isinstance(sources, Mapping) else list(sources)
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise ConfigError("sources: expected {dataset: weight} or a list of (dataset, weight), got something else")
    for _, weight in pairs:
        if isinstance(weight, bool) or not isinstance(weight, (int, float, np.integer, np.floating)):
            raise ConfigError(f"weights: expected a number, got {weight!r}")
    return pairs


def _opened(source: Source) -> SampleDataset:
    if isinstance(source, (str, os.PathLike)):
        from bloomdata.datasets.opening import open as open_dataset

        opened: Any = open_dataset(source)
    else:
        opened = source
    if not callable(getattr(opened, "read_batch", None)):
        raise ConfigError(f"sources: expected samples, got documents of {opened!r}; see TokenRows")
    samples: SampleDataset = opened
    return samples


def _tokens(source: SampleDataset) -> float:
    """The number of tokens of a source if known, else rows times their length, else the number of samples."""
    known = getattr(source, "num_tokens", None)
    return float(len(source) * (getattr(source, "sequence_length", None) or 1) if known is None else known)


def _checked_order(
    indices: tuple[ArrayLike, ArrayLike], lengths: list[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    try:
        source, sample = indices
    except (TypeError, ValueError) as error:
        raise ConfigError("indices: expected (dataset_index, dataset_sample_index), got something else") from error
    sources = checked_indices(source, len(lengths), "source")
    samples = checked_indices(sample, 1 << 62)
    if sources.shape != samples.shape:
        raise ConfigError(f"indices: expected equal lengths, got {len(sources)} sources and {len(samples)} samples")
    beyond = np.flatnonzero(samples >= np.array(lengths, np.int64)[sources]) if len(sources) else sources
    if len(beyond):
        at = int(beyond[0])
        raise ConfigError(
            f"indices: expected below {lengths[int(sources[at])]} for source {int(sources[at])}, got {int(samples[at])}"
        )
    return sources, samples
