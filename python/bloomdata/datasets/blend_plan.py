"""The number of samples of a blend and the epochs of each source, planned before the first sample is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bloomdata import _core
from bloomdata.datasets.blend_weights import whole_weights
from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

Unit = Literal["samples", "tokens", "epochs"]
OnExhausted = Literal["stop_first", "stop_all", "repeat", "error"]


@dataclass(frozen=True, kw_only=True)
class SourcePlan:
    """The part of one source in a blend.

    Attributes:
        name: Name of the source.
        available: Samples of the source.
        share: Share of the blend's samples, 0 to 1.
        samples: Samples that the blend takes.
        tokens: Tokens in these samples, without padding where the source knows it.
        epochs: Passes over the source.
    """

    name: str
    available: int
    share: float
    samples: int
    tokens: int
    epochs: float


@dataclass(frozen=True, kw_only=True)
class BlendPlan:
    """The plan of a blend. `print(plan)` shows it as a table."""

    sources: tuple[SourcePlan, ...]
    num_samples: int
    num_tokens: int

    def __str__(self) -> str:
        width = max([len(source.name) for source in self.sources] + [len("source")])
        lines = [f"{'source':{width}}  {'share':>8}  {'samples':>14}  {'tokens':>18}  {'epochs':>8}"]
        lines += [
            f"{source.name:{width}}  {source.share:>8.4%}  {source.samples:>14,}  {source.tokens:>18,}"
            f"  {source.epochs:>8.3f}"
            for source in self.sources
        ]
        return "\n".join([*lines, f"{'all':{width}}  {1:>8.4%}  {self.num_samples:>14,}  {self.num_tokens:>18,}"])


def plan_samples(
    weights: Sequence[float],
    lengths: Sequence[int],
    tokens: Sequence[float],
    *,
    by: Unit,
    num_samples: int | None,
    on_exhausted: OnExhausted,
) -> tuple[list[int], int]:
    """Integer weights by samples, and the length of the blend.

    Args:
        weights: Weights given by the user.
        lengths: Samples of each source.
        tokens: Mean tokens per sample of each source.
        by: Unit of the weights.
        num_samples: Length given by the user.
        on_exhausted: What to do when a source is too short.

    Raises:
        ConfigError: Options contradict each other, or, with `error`, a source is too short.
    """
    if by not in {"samples", "tokens", "epochs"}:
        raise ConfigError(f"by: expected 'samples', 'tokens' or 'epochs', got {by!r}")
    if on_exhausted not in {"stop_first", "stop_all", "repeat", "error"}:
        raise ConfigError(f"on_exhausted: expected 'stop_first', 'stop_all', 'repeat' or 'error', got {on_exhausted!r}")
    if num_samples is not None and num_samples < 0:
        raise ConfigError(f"num_samples: expected 0 or more, got {num_samples}")
    for at, (weight, length) in enumerate(zip(weights, lengths, strict=True)):
        if weight > 0 and length == 0:
            raise ConfigError(f"weights: expected weight 0 for source {at} without samples, got {weight}")
    if by == "epochs":
        if num_samples is not None:
            raise ConfigError(f"num_samples: expected None with by='epochs', got {num_samples}")
        whole_weights(weights)
        counts = [round(weight * length) for weight, length in zip(weights, lengths, strict=True)]
        if not sum(counts):
            raise ConfigError(f"weights: expected epochs that give at least one sample, got {list(weights)}")
        return counts, sum(counts)
    if by == "tokens":
        weights = [weight / size if size else 0.0 for weight, size in zip(weights, tokens, strict=True)]
    whole = whole_weights(weights)
    return whole, _length(whole, lengths, num_samples, on_exhausted)


def _length(whole: list[int], lengths: Sequence[int], wanted: int | None, on_exhausted: OnExhausted) -> int:
    total = sum(whole)
    used = [(weight, length) for weight, length in zip(whole, lengths, strict=True) if weight]
    if on_exhausted in {"repeat", "error"}:
        num_samples = sum(length for _, length in used) if wanted is None else wanted
        if on_exhausted == "error":
            _refuse_repeats(_counts(whole, lengths, num_samples), lengths, num_samples)
        return num_samples
    if on_exhausted == "stop_all":
        # The first length at which every source is complete; rounding may require one more sample.
        num_samples = max(-(-length * total // weight) for weight, length in used)
        while any(
            count < length for count, length in zip(_counts(whole, lengths, num_samples), lengths, strict=True) if count
        ):
            num_samples += 1
    else:
        num_samples = min(length * total // weight for weight, length in used)
        while any(count > length for count, length in zip(_counts(whole, lengths, num_samples), lengths, strict=True)):
            num_samples -= 1
    return num_samples if wanted is None else min(wanted, num_samples)


def _counts(whole: list[int], lengths: Sequence[int], num_samples: int) -> list[int]:
    return _core.Mixture(whole, list(lengths), num_samples, 0, False).counts(num_samples)  # noqa: FBT003 - of the core


def _refuse_repeats(counts: list[int], lengths: Sequence[int], num_samples: int) -> None:
    short = [
        f"source {at} has {length:,} samples, {count:,} are needed ({count / length:.2f} epochs)"
        for at, (count, length) in enumerate(zip(counts, lengths, strict=True))
        if count > length
    ]
    if short:
        reason = f"num_samples: {num_samples:,} need more samples than there are: {'; '.join(short)}"
        raise ConfigError(f"{reason}; on_exhausted='repeat' repeats sources")
