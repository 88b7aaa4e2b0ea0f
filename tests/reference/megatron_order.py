"""Megatron's order of samples, step by step (SYSTEMS.md 6.3 to 6.5): plain NumPy and loops."""

from __future__ import annotations

import re

import numpy as np


def split_bounds(text: str, size: int) -> list[tuple[int, int]]:
    """First sequence of each split and the one behind its last, as Megatron-core rounds."""
    shares = [float(number) for number in re.findall(r"[.0-9]+", text)]
    shares += [0.0] * (3 - len(shares))
    ends = np.cumsum([0.0, *(share / sum(shares) for share in shares)])
    bounds = [round(float(end) * size) for end in ends]
    return [(bounds[at], bounds[at + 1]) if ends[at + 1] > ends[at] else (0, 0) for at in range(3)]


def legacy_split_bounds(text: str, size: int) -> list[tuple[int, int]]:
    """The older rule; where it would go below zero, zero."""
    shares = [float(number) for number in text.split("," if "," in text else "/")][:3]
    shares += [0.0] * (3 - len(shares))
    bounds = [0]
    for share in shares:
        bounds.append(bounds[-1] + round(share / sum(shares) * size))
    excess = bounds[-1] - size
    bounds = [0, *(max(0, bound - excess) for bound in bounds[1:])]
    return [(bounds[at], max(bounds[at], bounds[at + 1])) for at in range(3)]


def epochs_of(tokens: int, wanted: int | None, length: int, extra: int) -> int:
    epochs = 1
    while wanted is not None and epochs * tokens < wanted * length + extra:
        epochs += 1
    return epochs


def is_last_separate(tokens: int, wanted: int | None, length: int, extra: int, threshold: float) -> bool:
    epochs = epochs_of(tokens, wanted, length, extra)
    if epochs == 1 or wanted is None:
        return False
    of_last = wanted - ((epochs - 1) * tokens - extra) // length
    per_epoch = (tokens - extra) // length
    assert 0 <= of_last <= per_epoch + 1
    return of_last < int(threshold * per_epoch)


def sample_index(lengths, documents, length: int, num_samples: int, extra: int) -> np.ndarray:
    """Walks over the documents, sample by sample."""
    rows, place, offset = [(0, 0)], 0, 0
    for _ in range(num_samples):
        need = length + extra
        while True:
            available = int(lengths[documents[place]]) - offset
            need -= available
            if need <= 0:
                offset += need + available - extra
                break
            if place + 1 == len(documents):
                offset = int(lengths[documents[place]]) - extra
                break
            place, offset = place + 1, 0
        rows.append((place, offset))
    return np.array(rows, np.int32)


def indices(
    lengths, sequences: range, length: int, wanted: int | None, seed: int, *, extra=1, threshold=0.80, drop_last=True
):
    """The document, sample and shuffle index."""
    tokens = int(sum(int(lengths[sequence]) for sequence in sequences))
    epochs = epochs_of(tokens, wanted, length, extra)
    separate = is_last_separate(tokens, wanted, length, extra, threshold)
    random = np.random.RandomState(seed)
    parts = [epochs - 1, 1] if separate else [epochs]
    shuffled = []
    for part in parts:
        documents = np.array(list(sequences) * part, np.int32)
        random.shuffle(documents)
        shuffled.append(documents)
    documents = np.concatenate(shuffled)
    usable = epochs * tokens - extra
    num_samples = usable // length if drop_last else -(-usable // length)
    samples = sample_index(lengths, documents, length, num_samples, extra)
    first = ((epochs - 1) * tokens - extra) // length if separate else num_samples
    head, tail = np.arange(first, dtype=np.uint32), np.arange(first, num_samples, dtype=np.uint32)
    random.shuffle(head)
    random.shuffle(tail)
    return documents, samples, np.concatenate([head, tail])


def text_of(number: int, sequences, order, length: int, *, extra=1, pad=-1) -> list[int]:
    """The tokens of sample `number`, the extra one too."""
    documents, samples, shuffle = order
    row = shuffle[number]
    (first, start), (last, end) = samples[row].tolist(), samples[row + 1].tolist()
    text: list[int] = []
    for place in range(first, last + 1):
        document = list(sequences[documents[place]])
        text += document[start if place == first else 0 : end + extra if place == last else None]
    return text + [pad] * (length + extra - len(text))


def columns_of(text, length: int, *, extra=1, pad=-1, eod=None, eod_mask_loss=False, reset=False):
    """Inputs, labels, weights of labels, positions."""
    inputs, labels = text[:length], text[1:] if extra else [*text[1:], pad]
    weights = [
        float(label != pad and not (eod_mask_loss and token == eod))
        for token, label in zip(inputs, labels, strict=True)
    ]
    positions, position = [], 0
    for token in inputs:
        positions.append(position)
        position = 0 if reset and token == eod else position + 1
    return (
        [0 if token == pad else token for token in inputs],
        [0 if label == pad else label for label in labels],
        weights,
        positions,
    )


def blend(weights, size: int):
    """Data set of each sample, and which of its samples it is."""
    counts = [0] * len(weights)
    found = []
    for sample in range(size):
        errors = [weight * max(sample, 1) - count for weight, count in zip(weights, counts, strict=True)]
        chosen = errors.index(max(errors))
        found.append((chosen, counts[chosen]))
        counts[chosen] += 1
    return found


def blend_exhaustively(sizes):
    counts, found = [0] * len(sizes), []
    for sample in range(sum(sizes)):
        left = [at for at, size in enumerate(sizes) if counts[at] < size]
        chosen = max(left, key=lambda at: (sizes[at] / sum(sizes) * max(sample, 1) - counts[at], -at))
        found.append((chosen, counts[chosen]))
        counts[chosen] += 1
    return found
