"""`DataLoader`, the public class."""

from __future__ import annotations

import operator
import weakref
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bloomdata.errors import ConfigError, MismatchError
from bloomdata.loader.epoch_orders import CyclicOrder, FileOrder, KeyedOrder
from bloomdata.loader.prefetch import Prefetcher
from bloomdata.loader.stream_order import StreamOrder
from bloomdata.loader.tensors import group, pins, to_device, to_tensors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bloomdata.datasets.samples import Batch, SampleDataset
    from bloomdata.loader.epoch_orders import EpochOrder

# Version of the state, and of the order of samples that it refers to.
FORMAT = 1
_IGNORED = -100
# Maximum number of samples in a stream, far below the limit of int64.
_MAX_PLACE = 1 << 62
_STATE = {"format", "fingerprint", "seed", "shuffle", "consumed_samples"}


class DataLoader:
    """Batches of a data set, in an order that is a function of (data, seed), so the only state is the position.

    The stream of samples repeats the data set `epochs` times, each epoch in its own order; a batch may hold the end of
    one epoch and the start of the next. Step s takes samples `s * batch_size` to `(s + 1) * batch_size` of the stream;
    of these, ranks take `micro_batch_size` samples in turn. So any number of ranks trains on the same batches, a run
    can resume with another batch size at the next sample, and all ranks have the same number of steps.

    With `shuffle=False` and the micro-batches of a run of Megatron, every rank gets what Megatron's loader gives it,
    one micro-batch behind the other; `shuffle="cyclic"` is its `--dataloader-type cyclic`. A state of that order is
    valid for the same ranks and micro-batches only, as there.

    Args:
        dataset: Any data set with `read_batch`: rows, blends, windows of documents.
        batch_size: Samples in a step **over all ranks**; must be a multiple of `world_size * micro_batch_size`.
        micro_batch_size: Samples that a rank takes at a time: rank r takes every `world_size`-th sample with 1, and
            whole micro-batches of consecutive samples with more.
        seed: Seed of the shuffle, 0 to 2^64 - 1.
        shuffle: Whether to shuffle every epoch. By default yes, unless the data set is already in a random order
            (`is_shuffled`, as for blends, or `order="megatron"`). `cyclic` shuffles as Megatron's cyclic loader does:
            by torch, with the number of the epoch as seed.
        data_sharding: Whether each rank has a part of the data set for itself, with `shuffle="cyclic"`; Megatron's
            `--no-data-sharding` switches it off.
        epochs: Number of passes over the data set; `None` for an endless stream. A data set that is not shuffled here
            has the same order in every epoch; to repeat a blend, ask the blend for more epochs instead.
        rank: Index of this process among the ranks. By default that of torch's process group if there is one, else 0.
        world_size: Number of ranks. By default that of torch's process group if there is one, else 1.
        tail: What to do with the last samples if they do not fill a batch: `drop` them, or `pad` the batch with rows
            that are not trained on (labels -100, weights 0).
        skip: Ranges (start, end) of the stream to leave out, in samples, for example around a loss spike. They may
            change when a run resumes.
        num_threads: Threads that read ahead; with 0, batches are read on demand.
        prefetch: Number of batches to read ahead.
        format: `numpy` for arrays or `torch` for tensors. By default `torch` if a device is given.
        device: Device of the tensors; transfers to a CUDA device use pinned memory.
        columns: Names of the arrays to return; all by default.

    Raises:
        ConfigError: An option is invalid, or the data set has no samples, or fewer than a batch that is not filled.

    Example:
        >>> _ = bloomdata.pack("raw/*.jsonl", "packed-for-loader", tokenizer="bytes", sequence_length=8)
        >>> loader = bloomdata.DataLoader(bloomdata.open("packed-for-loader"), batch_size=2, seed=1)
        >>> batches = iter(loader)
        >>> next(batches)["input_ids"].shape, loader.state_dict()["consumed_samples"]
        ((2, 8), 2)
    """

    def __init__(
        self,
        dataset: SampleDataset,
        *,
        batch_size: int,
        micro_batch_size: int = 1,
        seed: int = 0,
        shuffle: bool | Literal["cyclic"] | None = None,
        data_sharding: bool = True,
        epochs: int | None = 1,
        rank: int | None = None,
        world_size: int | None = None,
        tail: Literal["drop", "pad"] = "drop",
        skip: Iterable[tuple[int, int]] = (),
        num_threads: int = 2,
        prefetch: int = 4,
        format: Literal["numpy", "torch"] | None = None,  # noqa: A002 - the name that `datasets` has
        device: Any = None,
        columns: Sequence[str] | None = None,
    ) -> None:
        group_rank, group_size = group()
        self.rank = group_rank if rank is None else operator.index(rank)
        self.world_size = group_size if world_size is None else operator.index(world_size)
        self.batch_size, self.seed = operator.index(batch_size), operator.index(seed)
        if not 0 <= self.rank < self.world_size:
            raise ConfigError(f"rank: expected 0 or more and below world_size {self.world_size}, got {self.rank}")
        self.micro_batch_size = operator.index(micro_batch_size)
        if self.micro_batch_size < 1:
            raise ConfigError(f"micro_batch_size: expected 1 or more, got {self.micro_batch_size}")
        if self.batch_size < 1 or self.batch_size % self.world_size:
            raise ConfigError(f"batch_size: expected a multiple of world_size {self.world_size}, got {self.batch_size}")
        if self.batch_size % (self.world_size * self.micro_batch_size):
            raise ConfigError(
                f"batch_size: expected a multiple of world_size {self.world_size} times micro_batch_size "
                f"{self.micro_batch_size}, got {self.batch_size}"
            )
        places = np.arange(self.batch_size).reshape(-1, self.world_size, self.micro_batch_size)
        # Places of this rank in a batch.
        self._own = places[:, self.rank].ravel()
        if not 0 <= self.seed < 1 << 64:
            raise ConfigError(f"seed: expected 0 to 2^64 - 1, got {self.seed}")
        if num_threads < 0 or prefetch < 0:
            raise ConfigError(f"num_threads, prefetch: expected 0 or more, got {num_threads}, {prefetch}")
        if not callable(getattr(dataset, "read_batch", None)):
            raise ConfigError(f"dataset: expected samples, got {dataset!r}; see TokenRows for documents")
        if len(dataset) == 0:
            raise ConfigError("dataset: expected at least one sample, got none")
        self.dataset = dataset
        in_random_order = getattr(dataset, "is_shuffled", getattr(dataset, "order", None) == "megatron")
        if isinstance(shuffle, str) and shuffle != "cyclic":
            raise ConfigError(f"shuffle: expected True, False or 'cyclic', got {shuffle!r}")
        if shuffle == "cyclic" and self.seed:
            raise ConfigError(f"seed: expected 0 with shuffle='cyclic', whose seeds are the epochs, got {self.seed}")
        self.shuffle: bool | str = not in_random_order if shuffle is None else shuffle or False
        if tail not in {"drop", "pad"}:
            raise ConfigError(f"tail: expected 'drop' or 'pad', got {tail!r}")
        self.tail = tail
        if epochs is not None and len(dataset) * epochs > _MAX_PLACE:
            raise ConfigError(f"epochs: expected at most 2^62 samples, got {epochs} epochs of {len(dataset)} samples")
        order: EpochOrder = FileOrder(len(dataset))
        if shuffle == "cyclic":
            ranks = {"micro_batch_size": self.micro_batch_size, "world_size": self.world_size}
            order = CyclicOrder(len(dataset), data_sharding=bool(data_sharding), **ranks)
            # What the order depends on, so that a state of another one is refused.
            kind = "sharded" if data_sharding else "not sharded"
            self.shuffle = f"cyclic, {self.world_size} x {self.micro_batch_size}, {kind}"
        elif self.shuffle:
            order = KeyedOrder(len(dataset), self.seed)
        self.order = StreamOrder(order, epochs=epochs, skip=skip)
        if tail == "drop" and self.order.num_turns is not None and self.order.num_turns < self.batch_size:
            raise ConfigError(
                f"batch_size: expected at most {self.order.num_turns}, the samples there are, got {self.batch_size}; "
                "tail='pad' fills a batch that is not full"
            )
        self.num_threads, self.prefetch = num_threads, prefetch
        self.format = format or ("numpy" if device is None else "torch")
        if self.format not in {"numpy", "torch"} or (self.format == "numpy" and device is not None):
            raise ConfigError(f"format: expected 'numpy', or 'torch', which a device requires, got {format!r}")
        self.device, self._pins = device, None if device is None else pins(device)
        self.columns = None if columns is None else tuple(columns)
        self._turn = 0
        self._ended = False
        self._running: weakref.ref[Prefetcher[Any]] | None = None

    def __len__(self) -> int:
        """The number of steps in the stream, at this batch size.

        Raises:
            TypeError: The stream is endless.
        """
        steps = self._steps(0)
        if steps is None:
            raise TypeError("epochs=None: the loader has no end and no length")
        return steps

    def _steps(self, turn: int) -> int | None:
        """The number of steps from a turn to the end."""
        if self.order.num_turns is None:
            return None
        left = max(0, self.order.num_turns - turn)
        return left // self.batch_size if self.tail == "drop" else -(-left // self.batch_size)

    def batch(self, step: int) -> dict[str, Any]:
        """This rank's part of a step, counted from the start of the stream.

        Any step can be read directly; this does not affect iteration.

        Raises:
            IndexError: The step does not exist.
        """
        steps = self._steps(0)
        if step < 0 or (steps is not None and step >= steps) or step > _MAX_PLACE // self.batch_size:
            raise IndexError(f"step {step} of {steps}")
        return self._finish(self._read(step * self.batch_size))

    def sample_ids(self, step: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Indices of this rank's samples in a step, (batch_size / world_size,) int64; fewer in a short last batch."""
        turns = step * self.batch_size + self._own
        if self.order.num_turns is not None:
            turns = turns[turns < self.order.num_turns]
        return self.order.samples(turns)

    def current_sample_ids(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Indices of all samples in the batch that iteration returned last, over all ranks, (batch_size,) int64."""
        turns = np.arange(max(0, self._turn - self.batch_size), self._turn)
        return self.order.samples(turns)

    def _read(self, turn: int) -> dict[str, Any]:
        """This rank's part of the batch that starts at a turn. Runs in any thread."""
        turns = turn + self._own
        end = self.order.num_turns
        missing = 0 if end is None else int((turns >= end).sum())
        if missing:
            turns = np.minimum(turns, (end or 1) - 1)
        batch = self.dataset.read_batch(self.order.samples(turns))
        if missing:
            _mask(batch, len(turns) - missing)
        if self.columns is not None:
            absent = [name for name in self.columns if name not in batch]
            if absent:
                raise ConfigError(f"columns: expected some of {list(batch)}, got {absent}")
            batch = {name: batch[name] for name in self.columns}
        return batch if self.format == "numpy" else to_tensors(batch, pin_memory=bool(self._pins))

    def _finish(self, batch: dict[str, Any]) -> dict[str, Any]:
        return batch if self.device is None else to_device(batch, self.device)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Batches from the current position to the end of the stream. A new iteration ends an earlier one.

        Raises:
            ConfigError: The loader is at its end; `epochs` sets the number of passes over the data set.
        """
        if self._ended:
            raise ConfigError(
                "the loader is at the end of its epochs: epochs=n iterates over the data set n times, "
                "reset() starts again"
            )
        self._stop_reading()
        return self._iterate(self._turn)

    def _iterate(self, start: int) -> Iterator[dict[str, Any]]:
        steps = self._steps(start)
        reader = Prefetcher(
            lambda number: self._read(start + number * self.batch_size),
            0,
            steps,
            num_threads=self.num_threads if self.prefetch else 0,
            depth=self.prefetch,
        )
        self._running = weakref.ref(reader)
        done = 0
        try:
            for number, batch in enumerate(reader):
                turn = start + (number + 1) * self.batch_size
                self._turn = turn if self.order.num_turns is None else min(turn, self.order.num_turns)
                yield self._finish(batch)
                done = number + 1
            # A new iteration may have ended this one early.
            self._ended = done == steps
        finally:
            reader.close()

    def _stop_reading(self) -> None:
        reader = self._running() if self._running is not None else None
        if reader is not None:
            reader.close()

    def reset(self) -> None:
        """Returns to the start of the stream."""
        self._stop_reading()
        self._turn, self._ended = 0, False

    @property
    def consumed_samples(self) -> int:
        """Number of samples of the stream that iteration has passed, over all ranks, skipped ones included."""
        if self._turn == 0:
            return 0
        return int(self.order.places(np.array([self._turn - 1]))[0]) + 1

    def state_dict(self) -> dict[str, Any]:
        """The position of iteration, as plain values for JSON; equal on all ranks.

        A batch counts once it is returned, not when it is read ahead: save after the step that used it.
        """
        return {
            "format": FORMAT,
            "fingerprint": self.dataset.fingerprint,
            "seed": self.seed,
            "shuffle": self.shuffle,
            "consumed_samples": self.consumed_samples,
        }

    def load_state_dict(self, state: Any) -> None:
        """Resumes at the position of `state`.

        The number of ranks, the batch size, the number of threads, and the ranges to skip may have changed.

        Raises:
            ConfigError: `state` is not the state of a loader.
            MismatchError: The data, seed, order or version differ, or the position is beyond the end.
        """
        if not isinstance(state, dict):
            raise ConfigError(f"state: expected a dict, got {type(state).__name__}")
        if set(state) != _STATE:
            raise ConfigError(f"state: expected the keys {sorted(_STATE)}, got {sorted(map(str, state))}")
        expected = self.state_dict()
        for name in ("format", "fingerprint", "seed", "shuffle"):
            if state[name] != expected[name] or type(state[name]) is not type(expected[name]):
                raise MismatchError(f"{name} of the state: expected {expected[name]!r}, found {state[name]!r}")
        consumed = state["consumed_samples"]
        if isinstance(consumed, bool) or not isinstance(consumed, int) or not 0 <= consumed <= _MAX_PLACE:
            raise ConfigError(f"state: consumed_samples: expected 0 to 2^62, got {consumed!r}")
        if self.order.num_places is not None and consumed > self.order.num_places:
            raise MismatchError(f"consumed_samples: expected at most {self.order.num_places}, found {consumed}")
        self._stop_reading()
        self._turn, self._ended = self.order.turn(consumed), False

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_running": None}

    def __repr__(self) -> str:
        return f"DataLoader({self.dataset!r}, batch_size={self.batch_size}, rank={self.rank} of {self.world_size})"


def _mask(batch: Batch, num_rows: int) -> None:
    """Masks the labels and weights of the rows from `num_rows` on."""
    if "labels" not in batch:
        raise ConfigError(f"tail: expected labels to mask with 'pad', got {list(batch)}")
    batch["labels"][num_rows:] = _IGNORED
    if "loss_weights" in batch:
        batch["loss_weights"][num_rows:] = 0
