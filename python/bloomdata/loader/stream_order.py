"""The stream of samples of a run: epoch after epoch, each in an order of its own.

A *place* is an index in the stream, over all ranks and epochs. A *turn* is an index among the places that are not
skipped. Steps consist of turns; the state of a loader is a place.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

import numpy as np

from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from bloomdata.loader.epoch_orders import EpochOrder


class StreamOrder:
    """Turn -> sample.

    Args:
        order: The order of samples in each epoch.
        epochs: Number of epochs; `None` for an endless stream.
        skip: Half-open ranges of places to leave out; they may overlap.

    Raises:
        ConfigError: A range is invalid, or `epochs` is below 1.
    """

    def __init__(self, order: EpochOrder, *, epochs: int | None, skip: Iterable[tuple[int, int]]) -> None:
        if epochs is not None and epochs < 1:
            raise ConfigError(f"epochs: expected 1 or more, or None for an endless stream, got {epochs}")
        self._order = order
        self.num_places = None if epochs is None else order.size * epochs
        ranges = merged(skip)
        if self.num_places is not None:
            ranges = [(start, min(end, self.num_places)) for start, end in ranges if start < self.num_places]
        starts = np.array([start for start, _ in ranges], np.int64)
        lengths = np.array([end - start for start, end in ranges], np.int64)
        self._starts, self._skipped = starts, np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        self._lengths = lengths
        # The turn at which each range is skipped.
        self._turns = starts - self._skipped[:-1]
        self.num_turns = None if self.num_places is None else self.num_places - int(self._skipped[-1])

    def places(self, turns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places of turns."""
        if not len(self._turns):
            return turns
        places: NDArray[np.int64] = turns + self._skipped[np.searchsorted(self._turns, turns, side="right")]
        return places

    def turn(self, place: int) -> int:
        """The number of turns before a place."""
        before = int(np.searchsorted(self._starts, place, side="right"))
        skipped = int(self._skipped[before])
        if before:
            inside = place - int(self._starts[before - 1])
            skipped -= max(0, int(self._lengths[before - 1]) - inside)
        return place - skipped

    def samples(self, turns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Samples of turns, which must be inside the stream."""
        epochs, samples = np.divmod(self.places(turns), self._order.size)
        if not len(epochs):
            return samples
        first, last = int(epochs.min()), int(epochs.max())
        if first == last:
            return self._order.samples(first, samples)
        for epoch in np.unique(epochs).tolist():
            chosen = epochs == epoch
            samples[chosen] = self._order.samples(epoch, samples[chosen])
        return samples


def merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sorted ranges, with touching ones merged.

    Raises:
        ConfigError: A range is not a pair (start, end) with 0 <= start <= end.
    """
    checked = []
    for pair in ranges:
        try:
            start, end = (operator.index(value) for value in pair)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"skip: expected (start, end), got {pair!r}") from error
        if not 0 <= start <= end <= 1 << 62:
            raise ConfigError(f"skip: expected 0 <= start <= end <= 2^62, got {pair!r}")
        if start < end:
            checked.append((start, end))
    result: list[tuple[int, int]] = []
    for start, end in sorted(checked):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result
