"""UL2R and prefix-LM rows of SYSTEMS.md 4.2 with plain lists; and the way back from a row to its ids.

Draws come in the order of `bloomdata.datasets.denoise`: 64-bit numbers from Philox with the key (seed, index).
"""

from __future__ import annotations

import numpy as np


def draws(seed, index, count):
    return [int(draw) for draw in np.random.Philox(key=[seed, index]).random_raw(count)]


def unit(draw):
    return (draw >> 11) / 2**53


def below(bound, draw):
    return draw * bound // 2**64


def split(num_tokens, drawn):
    return below(min(num_tokens, 20) if unit(drawn[0]) < 0.2 else num_tokens, drawn[1])


def prefix_mask(num_tokens, seed, index):
    length = split(num_tokens, draws(seed, index, 2)) if num_tokens else 0
    return [1] * length + [0] * (num_tokens - length)


def ul2r(ids, seed, index, *, mode_ids, sentinels, eos_id, length):
    """(mode, row, prefix mask, labels, ids used) of the most ids that fit; None where none does."""
    chance, *drawn = draws(seed, index, 1 + 2 * len(ids))
    mode = "S2S" if unit(chance) > 0.5 else "NLG" if unit(chance) > 0.25 else "NLU"
    for used in range(len(ids), 0, -1):
        given, asked = task(mode, ids[:used], drawn[: len(ids)], drawn[len(ids) :], sentinels)
        start, padding = len(mode_ids[mode]) + len(given), length - len(mode_ids[mode]) - len(given) - len(asked)
        if padding >= 0:
            row = [*mode_ids[mode], *given, *asked, *[eos_id] * padding]
            mask = [1] * start + [0] * (length - start)
            return mode, row, mask, [-100] * start + asked + [-100] * padding, used
    return None


def task(mode, ids, drawn, keys, sentinels):
    """What is given and what is asked for."""
    if mode == "S2S":
        at = split(len(ids), [*drawn, *keys])
        return ids[:at], ids[at:]
    if mode == "NLG":
        size = min(1 + below(31, drawn[0]), len(ids))
        start = below(len(ids) - size + 1, [*drawn, *keys][1])
        spans = [(start, start + size)]
    else:
        spans = chosen_chunks(len(ids), drawn, keys, len(sentinels))
    given, asked, end = [], [], 0
    for sentinel, (start, stop) in zip(sentinels, spans, strict=False):
        given += [*ids[end:start], sentinel]
        asked += [sentinel, *ids[start:stop]]
        end = stop
    return given + ids[end:], asked


def chosen_chunks(num_tokens, drawn, keys, num_sentinels):
    """Chunks of 1 to 5 ids, of which 15 % are chosen; never two side by side."""
    chunks, start = [], 0
    for draw in drawn:
        if start < num_tokens:
            chunks.append((start, min(start + 1 + below(5, draw), num_tokens)))
            start = chunks[-1][1]
    count = min(max((15 * len(chunks) + 50) // 100, 1), num_sentinels)
    # Cards that stand for a chunk each; a chosen one stands for itself and for the chunk behind it.
    cards = list(range(len(chunks) - count + 1))
    chosen = sorted(cards, key=lambda card: keys[card])[:count]
    found, at = [], 0
    for card in cards:
        if card in chosen:
            found.append(chunks[at])
            at += 1
        at += 1
    return found


def restored(row, mask, labels, num_front, sentinels):
    """The ids that a row was made of."""
    given = [token for token, is_given in zip(row, mask, strict=True) if is_given][num_front:]
    asked = [label for label in labels if label != -100]
    spans, current = {}, None
    for token in asked:
        if token in sentinels:
            current = spans[token] = []
        elif current is None:
            return given + asked
        else:
            current.append(token)
    ids = []
    for token in given:
        ids += spans.pop(token) if token in spans else [token]
    assert not spans
    return ids
