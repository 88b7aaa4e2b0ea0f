"""How many samples a blend has and how often it goes through each source, decided before the first sample is read."""

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
    """What a blend takes from one source.

    Attributes:
        name: The source.
        available: Its samples.
        share: Part of the blend's samples, 0 to 1.
        samples: Samples that the blend takes.
        tokens: Tokens in them, padding not counted where the source knows it.
        epochs: Times that the source is gone through.
    """

    name: str
    available: int
    share: float
    samples: int
    tokens: int
    epochs: float


@dataclass(frozen=True, kw_only=True)
class BlendPlan:
    """The plan of a blend; `print` shows it as a table."""

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
    """Whole weights in samples, and the length of the blend.

    Args:
        weights: As the user gave them.
        lengths: Samples of the sources.
        tokens: Tokens of an average sample of each source.
        by: What the weights mean.
        num_samples: Length that the user asks for.
        on_exhausted: What to do with sources that are too short.

    Raises:
        ConfigError: Options that contradict each other; a source too short, with `error`.
    """
    if by not in {"samples", "tokens", "epochs"}:
        raise ConfigError(f"by: {by!r}, expected 'samples', 'tokens' or 'epochs'")
    if on_exhausted not in {"stop_first", "stop_all", "repeat", "error"}:
        raise ConfigError(f"on_exhausted: {on_exhausted!r}, expected 'stop_first', 'stop_all', 'repeat' or 'error'")
    if num_samples is not None and num_samples < 0:
        raise ConfigError(f"num_samples: {num_samples}, expected 0 or more")
    for at, (weight, length) in enumerate(zip(weights, lengths, strict=True)):
        if weight > 0 and length == 0:
            raise ConfigError(f"weights: source {at} has a weight but no samples")
    if by == "epochs":
        if num_samples is not None:
            raise ConfigError("num_samples: follows from the epochs")
        whole_weights(weights)
        counts = [round(weight * length) for weight, length in zip(weights, lengths, strict=True)]
        if not sum(counts):
            raise ConfigError("weights: epochs that give no sample")
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
        # The first length at which every source was gone through; rounding may ask for a sample more of one.
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
        reason = f"{num_samples:,} samples need more than there are: {'; '.join(short)}"
        raise ConfigError(f"{reason}; on_exhausted='repeat' goes through them again")
