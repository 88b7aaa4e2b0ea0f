"""The order of an epoch as a function with random access, an inverse, and constant memory."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from bloomdata import _core
from bloomdata.datasets.samples import checked_indices

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


class Permutation:
    """A keyed order of the numbers 0 to n - 1.

    `permutation[i]` is the number at place i; slices and arrays of places return int64 arrays. Time and memory to
    create one do not depend on `n`; a slice takes 8 bytes per number. The order is a function of
    (n, seed, source, epoch) that never changes.

    Args:
        n: Number of elements, up to 2^63 - 1.
        seed: Seed of the order, 0 to 2^64 - 1.
        source: Number of the source; orders of different sources are independent.
        epoch: Number of the epoch; orders of different epochs are independent.

    Raises:
        ConfigError: `n` is more than 2^63 - 1.
        OverflowError: A number is below 0 or above 2^64 - 1.

    Origin:
        A Feistel network with cycle walking (Luby and Rackoff 1988; Black and Rogaway 2002): 32 rounds for up to
        65,536 numbers, since fewer would make some orders more likely than others, else 12. Not a secure cipher.

    Example:
        >>> order = bloomdata.Permutation(10, seed=1)
        >>> sorted(order[:].tolist()) == list(range(10)), order.inverse(order[3])
        (True, 3)
    """

    def __init__(self, n: int, seed: int = 0, *, source: int = 0, epoch: int = 0) -> None:
        self.n, self.seed, self.source, self.epoch = (operator.index(value) for value in (n, seed, source, epoch))
        self._order = _core.KeyedOrder(self.n, self.seed, self.source, self.epoch)

    def __len__(self) -> int:
        return self.n

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice | ArrayLike) -> NDArray[np.int64]: ...
    def __getitem__(self, index: int | slice | ArrayLike) -> int | NDArray[np.int64]:
        if isinstance(index, slice):
            places = range(self.n)[index]
            start = places.start if len(places) else 0
            return np.frombuffer(self._order.range(start, places.step, len(places)), "<i8")
        if isinstance(index, (int, np.integer)):
            place = int(index) + self.n if index < 0 else int(index)
            return int(self._apply(self._order.at, place, "place")[0])
        return self._apply(self._order.at, index, "place").reshape(np.shape(index))

    @overload
    def inverse(self, value: int) -> int: ...
    @overload
    def inverse(self, value: ArrayLike) -> NDArray[np.int64]: ...
    def inverse(self, value: int | ArrayLike) -> int | NDArray[np.int64]:
        """The place of a number, or of an array of them as int64.

        Raises:
            IndexError: A number is not from 0 to n - 1.
        """
        places = self._apply(self._order.positions, value, "number")
        return int(places[0]) if isinstance(value, (int, np.integer)) else places.reshape(np.shape(value))

    def _apply(self, function: Any, indices: Any, what: str) -> NDArray[np.int64]:
        checked = checked_indices(np.ravel(indices), self.n, what)
        return np.frombuffer(function(checked), "<i8")

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (self.n, self.seed, self.source, self.epoch))

    def __repr__(self) -> str:
        return f"Permutation({self.n}, seed={self.seed}, source={self.source}, epoch={self.epoch})"


def _rebuild(n: int, seed: int, source: int, epoch: int) -> Permutation:
    return Permutation(n, seed, source=source, epoch=epoch)
