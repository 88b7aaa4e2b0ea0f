"""The order of the samples in an epoch: that of the data set, a keyed one, or the cyclic one of Megatron."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from bloomdata import _core
from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class EpochOrder(Protocol):
    """Epoch after epoch, each of `size` samples."""

    size: int

    def samples(self, epoch: int, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The samples at positions of an epoch. Called in any thread."""


class FileOrder:
    """The order of the data set, in every epoch."""

    def __init__(self, num_samples: int) -> None:
        self.size = num_samples

    def samples(self, epoch: int, positions: NDArray[np.int64]) -> NDArray[np.int64]:  # noqa: ARG002 - all are alike
        """The positions themselves."""
        return np.ascontiguousarray(positions)


class KeyedOrder:
    """A keyed permutation of its own for every epoch, in constant memory."""

    def __init__(self, num_samples: int, seed: int) -> None:
        self.size, self._seed = num_samples, seed
        # At most two: a batch rarely spans more epochs.
        self._orders: dict[int, _core.KeyedOrder] = {}

    def samples(self, epoch: int, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The samples at positions of an epoch."""
        order = self._orders.get(epoch)
        if order is None:
            order = _core.KeyedOrder(self.size, self._seed, 0, epoch)
            # Replaced as a whole, since other threads read it.
            self._orders = {epoch: order} | dict(list(self._orders.items())[:1])
        return np.frombuffer(order.at(np.ascontiguousarray(positions)), "<i8")

    def __getstate__(self) -> dict[str, object]:
        return vars(self) | {"_orders": {}}


class CyclicOrder:
    """Megatron's order of `--dataloader-type cyclic`, for ranks that take `micro_batch_size` samples at a time.

    An epoch has as many samples as fill micro-batches of all ranks. Its order is a permutation of torch with the number
    of the epoch as seed; it takes 8 bytes of memory for each sample. With `data_sharding`, every rank has a part of the
    data set for itself, through which all go in the same order, so that the permutation is shorter; without,
    one permutation of all samples is dealt out.

    Without sharding, Megatron's ranks may have different numbers of micro-batches in an epoch when samples are left
    over, and then wait for each other; here, all have the smaller one.

    Args:
        num_samples: Samples of the data set.
        micro_batch_size: Samples that a rank takes at a time.
        world_size: Number of ranks.
        data_sharding: Whether every rank has its own part.

    Raises:
        ConfigError: There are not enough samples for a micro-batch of every rank, or torch is not installed.

    Origin:
        `MegatronPretrainingRandomSampler` of `megatron/training/datasets/data_samplers.py` (Megatron-LM).
    """

    def __init__(self, num_samples: int, *, micro_batch_size: int, world_size: int, data_sharding: bool) -> None:
        try:
            import torch as _  # noqa: F401 - its permutations are the order
        except ImportError:
            raise ConfigError("shuffle: 'cyclic' is a permutation of torch: pip install torch") from None
        self._micro, self._world, self._is_sharded = micro_batch_size, world_size, data_sharding
        self._num_blocks = num_samples // (micro_batch_size * world_size)
        self.size = self._num_blocks * micro_batch_size * world_size
        if not self.size:
            raise ConfigError(
                f"shuffle: 'cyclic' needs a micro-batch of {micro_batch_size} for each of {world_size} ranks, "
                f"got {num_samples} samples"
            )
        self._bucket = (
            self._num_blocks * micro_batch_size if data_sharding else num_samples // self._micro * self._micro
        )
        self._permutations: dict[int, NDArray[np.int64]] = {}

    def samples(self, epoch: int, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The samples at positions of an epoch."""
        blocks, within = np.divmod(positions, self._micro * self._world)
        ranks, inside = np.divmod(within, self._micro)
        of_rank = blocks * self._micro + inside  # samples that the rank has taken before
        permutation = self._permutation(epoch)
        if self._is_sharded:
            found: NDArray[np.int64] = permutation[of_rank] + ranks * self._bucket
        else:
            found = permutation[of_rank * self._world + ranks]
        return found

    def _permutation(self, epoch: int) -> NDArray[np.int64]:
        found = self._permutations.get(epoch)
        if found is None:
            import torch

            generator = torch.Generator()
            generator.manual_seed(epoch)
            found = torch.randperm(self._bucket, generator=generator).numpy()
            self._permutations = {epoch: found} | dict(list(self._permutations.items())[:1])
        return found

    def __getstate__(self) -> dict[str, object]:
        return vars(self) | {"_permutations": {}}
