"""Orders, shares and labels, one number at a time, with Python's whole numbers and fractions."""

from __future__ import annotations

from fractions import Fraction

from reference.shard import key, mix

BITS_64 = (1 << 64) - 1
ROW_STREAM, BLEND_STREAM = 5, 6
BLOCK = 65_536


def permuted(n: int, at: int, seed: int, source: int = 0, epoch: int = 0, stream: int = ROW_STREAM) -> int:
    """What is at a place of the order: a Feistel network, walked until the result is below `n`."""
    bits = max(2, (n - 1).bit_length())
    left_bits, right_bits = bits // 2, bits - bits // 2
    rounds = 32 if bits <= 16 else 12
    base = key(seed, stream, source)
    keys = [key(base, epoch, number) for number in range(rounds)]
    while True:
        left, right = at >> right_bits, at % (1 << right_bits)
        for number, round_key in enumerate(keys):
            if number % 2 == 0:
                left ^= mix((right + round_key) & BITS_64) >> (64 - left_bits)
            else:
                right ^= mix((left + round_key) & BITS_64) >> (64 - right_bits)
        at = (left << right_bits) + right
        if at < n:
            return at


def shares(weights: list[int], num_samples: int) -> list[int]:
    """Samples of each source among so many, by the largest remainder; ties go to the earlier source."""
    targets = [Fraction(weight * num_samples, sum(weights)) for weight in weights]
    given = [int(target) for target in targets]
    order = sorted(range(len(weights)), key=lambda at: (given[at] - targets[at], at))
    for at in order[: num_samples - sum(given)]:
        given[at] += 1
    return given


def labelled(
    ids, types, *, prompt_loss_weight=0.0, eod=None, eod_mask_loss=True, resets=True, boundaries=True, shift=True
):
    """A row's labels, weights, positions, and where its documents start."""
    length = len(ids)
    starts = [
        at == 0
        or types[at - 1] == 3
        or (eod is not None and ids[at - 1] == eod)
        or (types[at] == 2) != (types[at - 1] == 2)
        for at in range(length)
    ]
    weights = []
    for at in range(length):
        weight = {0: prompt_loss_weight, 1: 1.0, 2: 0.0, 3: 1.0}[types[at]]
        if at == 0 or (starts[at] and eod_mask_loss):
            weight = 0.0
        weights.append(weight)
    labels = [token if weight else -100 for token, weight in zip(ids, weights, strict=True)]
    if shift:
        labels, weights = [*labels[1:], -100], [*weights[1:], 0.0]
    positions, position = [], 0
    for at in range(length):
        position = 0 if at == 0 or (starts[at] and resets) else position + 1
        positions.append(position)
    return labels, weights, positions, [at for at in range(length) if starts[at] and (boundaries or at == 0)]


def token_stream(documents: list[list[int]], separator: list[int]) -> list[tuple[int, int]]:
    """All documents, one after the other, a separator in front of each: (token, type) with 3 where one ends."""
    stream = []
    for document in documents:
        stream += [(token, 1) for token in separator]
        stream += [(token, 1) for token in document[:-1]] + [(token, 3) for token in document[-1:]]
    return stream


def token_rows(documents, length, mode, *, separator=(), pad=0, num_sequences=1):
    """Rows of (token, type), for all modes that draw nothing."""
    if mode == "concat":
        stream = token_stream(documents, list(separator))
        return [stream[at : at + length] for at in range(0, len(stream) - length + 1, length)]
    groups = [documents[at : at + num_sequences] for at in range(0, len(documents), num_sequences)]
    if mode in {"split", "truncate"}:
        groups = [[document] for document in documents]
    rows = []
    for group in groups:
        stream = token_stream(group, list(separator))
        pieces = [stream[at : at + length] for at in range(0, len(stream), length)]
        if mode == "split":
            pieces = [piece for piece in pieces if len(piece) == length]
        elif mode == "truncate":
            pieces = (pieces or [[]])[:1]
        rows += [piece + [(pad, 2)] * (length - len(piece)) for piece in pieces]
    return rows
