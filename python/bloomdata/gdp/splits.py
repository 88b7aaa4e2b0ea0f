"""The number of files of each split, and their names."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bloomdata.errors import ConfigError

_GIB = 1 << 30
# Number of training files for inputs below 10 GiB, below 100 GiB, and larger ones.
_DEFAULTS = ((10 * _GIB, 32), (100 * _GIB, 128), (math.inf, 256))


@dataclass(frozen=True, kw_only=True)
class SplitCounts:
    """Number of files of each split."""

    train: int
    dev: int
    test: int

    @property
    def total(self) -> int:
        """Number of files of all splits."""
        return self.train + self.dev + self.test

    def names(self, suffix: str) -> list[str]:
        """File names in the order in which lines are distributed: train, test, dev; numbered from 1."""
        return [
            f"{split}_{number}_of_{count}{suffix}"
            for split, count in (("train", self.train), ("test", self.test), ("dev", self.dev))
            for number in range(1, count + 1)
        ]


def default_training_splits(input_bytes: int) -> int:
    """Default number of training files for an input size."""
    return next(count for limit, count in _DEFAULTS if input_bytes < limit)


def split_counts(
    input_bytes: int,
    *,
    num_training_splits: int | None = None,
    num_dev_splits: int | None = None,
    num_test_splits: int | None = None,
    dev_ratio: float | None = None,
    test_ratio: float | None = None,
) -> SplitCounts:
    """The numbers of files, from three counts, or from a count of training files and the ratios of the others.

    Raises:
        ConfigError: Counts and ratios are given together, or a number is out of range.
    """
    for name, ratio in (("dev_ratio", dev_ratio), ("test_ratio", test_ratio)):
        if ratio is not None and not 0 <= ratio < 1:
            raise ConfigError(f"{name}: expected a ratio in [0, 1), got {ratio}")
    if num_training_splits is not None and num_training_splits < 1:
        raise ConfigError(f"num_training_splits: expected 1 or more, got {num_training_splits}")
    if num_dev_splits is not None or num_test_splits is not None:
        if dev_ratio is not None or test_ratio is not None:
            raise ConfigError("dev_ratio: expected either counts or ratios of dev and test files, got both")
        if num_training_splits is None or num_dev_splits is None or num_test_splits is None:
            raise ConfigError("num_training_splits: expected all three counts, or ratios, got some of the counts")
        if min(num_dev_splits, num_test_splits) < 0:
            raise ConfigError(f"num_dev_splits: expected counts >= 0, got {num_dev_splits} and {num_test_splits}")
        return SplitCounts(train=num_training_splits, dev=num_dev_splits, test=num_test_splits)
    train = num_training_splits or default_training_splits(input_bytes)
    rest = 1 - (dev_ratio or 0.0) - (test_ratio or 0.0)
    if rest <= 0:
        raise ConfigError(f"dev_ratio: expected ratios with a sum below 1, got {dev_ratio} and {test_ratio}")
    total = math.floor(train / rest)
    test = math.floor(total * (test_ratio or 0.0))
    return SplitCounts(train=train, dev=total - test - train, test=test)
