"""The learning rate and the batch size as functions of the samples seen, so that they do not depend on batch sizes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bloomdata.train.options import BatchOptions, ScheduleOptions


def learning_rate(options: ScheduleOptions, highest: float, samples: int, total: int) -> float:
    """The learning rate of the step that starts after `samples` samples, for a stage of `total` samples.

    During the warm-up, the rate of a step is that of its end in Megatron and of its start in transformers; here it is
    that of its start, but the first step is not 0: a step counts as `samples + 1`.
    """
    done = samples + 1
    if done < options.warmup_samples:
        return highest * done / options.warmup_samples
    if options.name == "constant":
        return highest
    floor = options.min_learning_rate
    if options.name == "inverse_sqrt":
        return max(floor, highest * math.sqrt(max(1, options.warmup_samples) / done))
    end = options.decay_samples or total
    start = (
        options.warmup_samples if options.name != "wsd" else max(options.warmup_samples, end - options.cooldown_samples)
    )
    share = min(1.0, max(0.0, (samples - start) / max(1, end - start)))
    if options.name == "cosine":
        share = (1 - math.cos(math.pi * share)) / 2
    return highest + (floor - highest) * share


def batch_rows(options: BatchOptions, samples: int) -> int:
    """Rows of the step that starts after `samples` samples.

    Origin:
        Ramp-up of Megatron-LM: from `ramp_start` by `ramp_increment`, each size for an equal share of `ramp_samples`.
    """
    if not options.ramp_start or samples > options.ramp_samples:
        return options.rows
    increments = (options.rows - options.ramp_start) // options.ramp_increment
    if not increments:
        return options.rows
    done = int(samples / (options.ramp_samples / increments))
    return min(options.rows, options.ramp_start + done * options.ramp_increment)


def steps_of(options: BatchOptions, samples: int) -> int:
    """The number of full steps in so many samples."""
    steps, seen = 0, 0
    while options.ramp_start and seen <= options.ramp_samples:
        rows = batch_rows(options, seen)
        if seen + rows > samples:
            return steps
        steps, seen = steps + 1, seen + rows
    return steps + (samples - seen) // options.rows


def samples_of(options: BatchOptions, steps: int) -> int:
    """The number of samples in so many steps."""
    done, seen = 0, 0
    while options.ramp_start and seen <= options.ramp_samples and done < steps:
        done, seen = done + 1, seen + batch_rows(options, seen)
    return seen + (steps - done) * options.rows
