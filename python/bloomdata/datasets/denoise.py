"""Rows of tokens as tasks: a prefix and its continuation, or spans taken out and asked for (UL2R; OC-05).

Pure functions of the row, a seed and the row's number: what a training run sees does not depend on where it was
stopped, nor on how many workers read. All numbers come from the raw output of Philox, which NumPy promises to keep.
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
    """One row.

    Attributes:
        input_ids: (sequence_length,), of the dtype of the ids.
        prefix_mask: (sequence_length,) uint8: 1 on what is given, 0 on what is asked for and on padding.
        labels: (sequence_length,) int64, not shifted: the ids that are asked for, -100 elsewhere.
        mode: Which task.
        num_tokens: How many ids of the row are in it; the others, at its end, had no place.
    """

    input_ids: NDArray[Any]
    prefix_mask: NDArray[np.uint8]
    labels: NDArray[np.int64]
    mode: Mode
    num_tokens: int


def prefix_lm(ids: ArrayLike, seed: int, index: int) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Splits a row into a prefix, which is seen in both directions, and a continuation, which is trained on.

    One prefix in five is short, 0 to 19 ids; the others have any length up to all but one id.

    Args:
        ids: (num_tokens,) whole numbers.
        seed: Of the run, 0 to 2^64 - 1.
        index: Number of the row in the run, 0 to 2^64 - 1.

    Returns:
        ids: As given.
        prefix_mask: (num_tokens,) uint8, 1 on the prefix.

    Raises:
        ConfigError: Ids in another shape, a number that is none.

    Origin:
        `UL2R_DENOISE_ENABLED=0` in `training/tasks/data_loaders/data_utils.py` of OpenChatKit, whose splits cannot be
        had again.

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
    """What stands in front of rows of each mode: the ids of `[S2S]`, `[NLG]`, `[NLU]`."""
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
    """Makes one of three tasks of a row.

    - `S2S` (half of the rows): a prefix and its continuation, as `prefix_lm` splits them.
    - `NLG` (a quarter): a span of 1 to 31 ids is taken out; a sentinel stands for it, and comes again, with the span,
      at the end.
    - `NLU` (a quarter): the row is cut into chunks of 1 to 5 ids; 15 % of them, no two side by side, are taken out,
      each with the next sentinel.

    The ids of the mode stand in front, `eos_id` fills up. What was taken out comes back whole: the ids that would not
    fit then are left out at the end of the row, before it is cut.

    Args:
        ids: (num_tokens,) whole numbers, at least one.
        seed: Of the run, 0 to 2^64 - 1.
        index: Number of the row in the run, 0 to 2^64 - 1.
        mode_ids: What stands in front; see `mode_ids_of`.
        eos_id: Fills up.
        sentinels: As many ids as spans may be taken out; `eos_id - 100` to `eos_id - 21` if not given.
        sequence_length: Ids in the row that comes back; as many as in `ids` if not given.

    Returns:
        The row.

    Raises:
        ConfigError: Ids in another shape, no place for one of them, no sentinels.

    Origin:
        `UL2R_DENOISE_ENABLED=1` in `training/tasks/data_loaders/data_utils.py` of OpenChatKit, with its defects left
        out: there, `NLU` rows grow with those before them, chunks side by side are taken out, ends are cut off, padding
        is trained on, and nothing can be had again.

    Example:
        >>> mode_ids = {"S2S": [1], "NLG": [2], "NLU": [3]}
        >>> row = bloomdata.ul2r(range(500, 532), seed=0, index=1, mode_ids=mode_ids, eos_id=200)
        >>> row.input_ids.size, row.input_ids[:1].tolist() == mode_ids[row.mode]
        (32, True)
    """
    row = _row(ids)
    if not row.size:
        raise ConfigError("ids: none")
    marks = [eos_id + offset for offset in SENTINELS] if sentinels is None else list(sentinels)
    if not marks or min(marks) < 0:
        raise ConfigError(f"sentinels: found {marks[:1]}, expected ids from 0 on; eos_id {eos_id} may be too small")
    new = [eos_id, *marks, *(token for front in mode_ids.values() for token in front)]
    if min(new) < 0 or max(new) > np.iinfo(row.dtype).max:
        raise ConfigError(f"ids: {row.dtype} cannot hold the ids {min(new)} to {max(new)} that are put in")
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
        raise ConfigError(f"sequence_length: {length} has no place for [{mode}] and an id")
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
        raise ConfigError(f"ids: found {row.dtype} of shape {row.shape}, expected one row of whole numbers")
    return row if row.size else row.astype(np.int64)


def _raw(seed: int, index: int, count: int) -> NDArray[np.uint64]:
    for name, value in (("seed", seed), ("index", index)):
        if not 0 <= value < 1 << 64:
            raise ConfigError(f"{name}: {value} is not a whole number from 0 to 2^64 - 1")
    return np.random.Philox(key=np.array([seed, index], np.uint64)).random_raw(count)


def _unit(raw: np.uint64) -> float:
    """A number from 0 to 1, without 1, from the upper 53 bits."""
    return (int(raw) >> 11) / (1 << 53)


def _below(bound: int, raw: np.uint64) -> int:
    """A whole number from 0 to `bound - 1`, from the upper 64 bits of the product."""
    return int(raw) * bound >> 64


def _split(num_tokens: int, raw: NDArray[np.uint64]) -> int:
    """Length of a prefix; at least one id is left."""
    is_short = _unit(raw[0]) < SHORT_PREFIX_RATIO
    return _below(min(num_tokens, SHORT_PREFIX_TOKENS) if is_short else num_tokens, raw[1])


def _chunks(num_tokens: int, room: int, num_marks: int, raw: NDArray[np.uint64]) -> tuple[int, NDArray[np.int64], int]:
    """Most ids that fit with both sentinels of each span, the ends of their chunks, and how many are taken out."""
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
    """Chooses chunks, no two side by side, all such choices being equally likely.

    k of n - k + 1, each then moved behind as many gaps as there are chosen ones before it.
    """
    choices = len(chunk_ends) - num_spans + 1
    chosen = np.sort(np.argsort(raw[:choices], kind="stable")[:num_spans]) + np.arange(num_spans)
    starts = np.concatenate([[0], chunk_ends[:-1]])
    return [(int(starts[chunk]), int(chunk_ends[chunk])) for chunk in chosen]


def _take_out(
    row: NDArray[Any], spans: list[tuple[int, int]], marks: Sequence[int]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """What is left, and what was taken, with a sentinel for each span in both."""
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
