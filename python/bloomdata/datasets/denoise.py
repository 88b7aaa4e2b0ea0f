"""Rows of tokens as denoising tasks: a prefix and its continuation, or masked spans to predict (UL2R).

Pure functions of the row, a seed and the row's index: what a training run sees does not depend on where it was stopped
or on the number of workers. All random numbers come from the raw output of Philox, which NumPy keeps stable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from bloomdata.tokenizers.tokenizer import Tokenizer

Mode: TypeAlias = Literal["S2S", "NLG", "NLU"]
MODES: tuple[Mode, ...] = ("S2S", "NLG", "NLU")
IGNORED_LABEL = -100
SHORT_PREFIX_RATIO = 0.2
SHORT_PREFIX_TOKENS = 20
NLG_SPAN_TOKENS = 31
NLU_CHUNK_TOKENS = 5
NLU_PERCENT = 15
# eos_id - 100 to eos_id - 21: rare tokens of GPT-2's vocabulary.
SENTINELS = range(-100, -20)


@dataclass(frozen=True, kw_only=True)
class Denoised:
    """One row of a denoising task.

    Attributes:
        input_ids: (sequence_length,), with the dtype of the ids.
        prefix_mask: (sequence_length,) uint8: 1 on inputs, 0 on targets and padding.
        labels: (sequence_length,) int64, not shifted: the ids of targets, -100 elsewhere.
        mode: The task.
        num_tokens: Number of ids of the original row that fit; the others, at its end, are left out.
    """

    input_ids: NDArray[Any]
    prefix_mask: NDArray[np.uint8]
    labels: NDArray[np.int64]
    mode: Mode
    num_tokens: int


def prefix_lm(ids: ArrayLike, seed: int, index: int) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Splits a row into a prefix with bidirectional attention and a continuation that is trained on.

    One prefix in five is short, 0 to 19 ids; the others have any length up to all but one id.

    Args:
        ids: Token ids, (num_tokens,) whole numbers.
        seed: Seed of the run, 0 to 2^64 - 1.
        index: Index of the row in the run, 0 to 2^64 - 1.

    Returns:
        ids: The ids, unchanged.
        prefix_mask: (num_tokens,) uint8, 1 on the prefix.

    Raises:
        ConfigError: The ids have another shape or dtype, or a number is out of range.

    Origin:
        `UL2R_DENOISE_ENABLED=0` in `training/tasks/data_loaders/data_utils.py` of OpenChatKit, whose splits are not
        reproducible.

    Example:
        >>> ids, prefix_mask = bloomdata.prefix_lm([5, 6, 7, 8], seed=0, index=0)
        >>> ids.tolist(), sorted(prefix_mask.tolist(), reverse=True) == prefix_mask.tolist()
        ([5, 6, 7, 8], True)
    """
    row = _row(ids)
    mask = np.zeros(row.size, np.uint8)
    if row.size:
        mask[: _split(row.size, _raw(seed, index, 2))] = 1
    return row, mask


def labels_of(ids: ArrayLike, prefix_mask: ArrayLike) -> NDArray[np.int64]:
    """Labels for `prefix_lm`: the ids, -100 on the prefix. Not shifted.

    Example:
        >>> labels_of([5, 6, 7], [1, 1, 0]).tolist()
        [-100, -100, 7]
    """
    return np.where(np.asarray(prefix_mask, bool), IGNORED_LABEL, _row(ids).astype(np.int64))


def mode_ids_of(tokenizer: Tokenizer) -> dict[Mode, list[int]]:
    """The ids that start rows of each mode: those of `[S2S]`, `[NLG]`, `[NLU]`."""
    return {mode: tokenizer.encode(f"[{mode}]", add_special_tokens=False).tolist() for mode in MODES}


def ul2r(
    ids: ArrayLike,
    seed: int,
    index: int,
    *,
    mode_ids: Mapping[Mode, Sequence[int]],
    eos_id: int,
    sentinels: Sequence[int] | None = None,
    sequence_length: int | None = None,
) -> Denoised:
    """Turns a row into one of three denoising tasks.

    - `S2S` (half of the rows): a prefix and its continuation, split as by `prefix_lm`.
    - `NLG` (a quarter): a span of 1 to 31 ids is replaced by a sentinel, and follows at the end after the same
      sentinel.
    - `NLU` (a quarter): the row is divided into chunks of 1 to 5 ids; 15 % of them, no two adjacent, are replaced in
      the same way, each by its own sentinel.

    The row starts with the ids of the mode and is padded with `eos_id`. Masked spans are never truncated: ids that
    would not fit are dropped from the end of the row first.

    Args:
        ids: Token ids, (num_tokens,) whole numbers, at least one.
        seed: Seed of the run, 0 to 2^64 - 1.
        index: Index of the row in the run, 0 to 2^64 - 1.
        mode_ids: Ids that start rows of each mode; see `mode_ids_of`.
        eos_id: Id that pads rows.
        sentinels: Sentinel ids, one for each span that may be masked; `eos_id - 100` to `eos_id - 21` by default.
        sequence_length: Ids in the resulting row; by default as many as in `ids`.

    Returns:
        The row.

    Raises:
        ConfigError: The ids have another shape or dtype, the row has no space for an id, or there are no sentinels.

    Origin:
        `UL2R_DENOISE_ENABLED=1` in `training/tasks/data_loaders/data_utils.py` of OpenChatKit, without its defects:
        there, `NLU` rows grow with those before them, adjacent chunks are masked, ends are truncated, padding is
        trained on, and nothing is reproducible.

    Example:
        >>> mode_ids = {"S2S": [1], "NLG": [2], "NLU": [3]}
        >>> row = bloomdata.ul2r(range(500, 532), seed=0, index=1, mode_ids=mode_ids, eos_id=200)
        >>> row.input_ids.size, row.input_ids[:1].tolist() == mode_ids[row.mode]
        (32, True)
    """
    row = _row(ids)
    if not row.size:
        raise ConfigError("ids: expected at least one id, got none")
    marks = [eos_id + offset for offset in SENTINELS] if sentinels is None else list(sentinels)
    if not marks or min(marks) < 0:
        raise ConfigError(f"sentinels: expected ids >= 0, got {marks[:1]}; eos_id {eos_id} may be too small")
    new = [eos_id, *marks, *(token for front in mode_ids.values() for token in front)]
    if min(new) < 0 or max(new) > np.iinfo(row.dtype).max:
        raise ConfigError(f"ids: expected a dtype for the new ids {min(new)} to {max(new)}, got {row.dtype}")
    length = row.size if sequence_length is None else sequence_length
    raw = _raw(seed, index, 1 + 2 * row.size)
    chance, rest = _unit(raw[0]), raw[1:]
    mode: Mode = "S2S" if chance > 0.5 else "NLG" if chance > 0.25 else "NLU"
    room = length - len(mode_ids[mode])
    if mode == "S2S":
        num_tokens = min(row.size, room)
    elif mode == "NLG":
        num_tokens = min(row.size, room - 2)
    else:
        num_tokens, chunk_ends, num_spans = _chunks(row.size, room, len(marks), rest)
    if num_tokens < 1:
        raise ConfigError(f"sequence_length: expected space for [{mode}] and an id, got {length}")
    keys, row = rest[row.size :], row[:num_tokens]
    if mode == "S2S":
        split = _split(num_tokens, rest)
        given, asked = row[:split], row[split:]
    elif mode == "NLG":
        taken = min(1 + _below(NLG_SPAN_TOKENS, rest[0]), num_tokens)
        start = _below(num_tokens - taken + 1, rest[1])
        given, asked = _take_out(row, [(start, start + taken)], marks)
    else:
        spans = _apart(chunk_ends, num_spans, keys)
        given, asked = _take_out(row, spans, marks)
    return _filled(mode, mode_ids[mode], given, asked, length, eos_id, num_tokens)


def _row(ids: ArrayLike) -> NDArray[Any]:
    row = np.asarray(ids)
    if row.ndim != 1 or (row.size and row.dtype.kind not in "iu"):
        raise ConfigError(f"ids: expected one row of whole numbers, got {row.dtype} of shape {row.shape}")
    return row if row.size else row.astype(np.int64)


def _raw(seed: int, index: int, count: int) -> NDArray[np.uint64]:
    for name, value in (("seed", seed), ("index", index)):
        if not 0 <= value < 1 << 64:
            raise ConfigError(f"{name}: expected a whole number from 0 to 2^64 - 1, got {value}")
    return np.random.Philox(key=np.array([seed, index], np.uint64)).random_raw(count)


def _unit(raw: np.uint64) -> float:
    """A number in [0, 1), from the upper 53 bits."""
    return (int(raw) >> 11) / (1 << 53)


def _below(bound: int, raw: np.uint64) -> int:
    """A whole number from 0 to `bound - 1`, from the upper 64 bits of the product."""
    return int(raw) * bound >> 64


def _split(num_tokens: int, raw: NDArray[np.uint64]) -> int:
    """The length of a prefix, which leaves at least one id."""
    is_short = _unit(raw[0]) < SHORT_PREFIX_RATIO
    return _below(min(num_tokens, SHORT_PREFIX_TOKENS) if is_short else num_tokens, raw[1])


def _chunks(num_tokens: int, room: int, num_marks: int, raw: NDArray[np.uint64]) -> tuple[int, NDArray[np.int64], int]:
    """The number of ids that fit with two sentinels per span, the ends of their chunks, and the number of spans."""
    sizes = np.array([1 + _below(NLU_CHUNK_TOKENS, each) for each in raw[:num_tokens]], np.int64)
    ends = np.cumsum(sizes)
    counts = np.arange(1, num_tokens + 1)
    num_chunks = np.searchsorted(ends, counts) + 1
    num_spans = np.clip((NLU_PERCENT * num_chunks + 50) // 100, 1, num_marks)
    num_fitting = int(np.count_nonzero(counts + 2 * num_spans <= room))
    if num_fitting < 1:
        return 0, ends[:0], 0
    chunk_ends = np.minimum(ends[: num_chunks[num_fitting - 1]], num_fitting)
    return num_fitting, chunk_ends, int(num_spans[num_fitting - 1])


def _apart(chunk_ends: NDArray[np.int64], num_spans: int, raw: NDArray[np.uint64]) -> list[tuple[int, int]]:
    """Chooses chunks, no two adjacent, uniformly among all such choices.

    Chooses k of n - k + 1, then shifts each by the number of chosen ones before it.
    """
    choices = len(chunk_ends) - num_spans + 1
    chosen = np.sort(np.argsort(raw[:choices], kind="stable")[:num_spans]) + np.arange(num_spans)
    starts = np.concatenate([[0], chunk_ends[:-1]])
    return [(int(starts[chunk]), int(chunk_ends[chunk])) for chunk in chosen]


def _take_out(
    row: NDArray[Any], spans: list[tuple[int, int]], marks: Sequence[int]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The remaining ids and the masked ids, with a sentinel for each span in both."""
    given, asked, end = [], [], 0
    for (start, stop), mark in zip(spans, marks, strict=False):
        sentinel = np.array([mark], row.dtype)
        given += [row[end:start], sentinel]
        asked += [sentinel, row[start:stop]]
        end = stop
    return np.concatenate([*given, row[end:]]), np.concatenate(asked)


def _filled(
    mode: Mode,
    front: Sequence[int],
    given: NDArray[Any],
    asked: NDArray[Any],
    length: int,
    eos_id: int,
    num_tokens: int,
) -> Denoised:
    start = len(front) + given.size
    end = start + asked.size
    input_ids = np.full(length, eos_id, given.dtype)
    input_ids[:start] = np.concatenate([np.array(front, given.dtype), given])
    input_ids[start:end] = asked
    prefix_mask = np.zeros(length, np.uint8)
    prefix_mask[:start] = 1
    labels = np.full(length, IGNORED_LABEL, np.int64)
    labels[start:end] = asked
    return Denoised(input_ids=input_ids, prefix_mask=prefix_mask, labels=labels, mode=mode, num_tokens=num_tokens)
