"""BPE training, slow and plain: the rules of `BpeTrainer` of Hugging Face `tokenizers` 0.23, exact to the merge.

A word is a list of letters (Python characters, so code points), and a token is a string of letters. Every step joins
the most frequent pair of adjacent tokens, in every word, until the vocabulary is full or no pair is frequent enough.

The upstream code gets there with a lazy heap, changes of counts and threads. None of that shows in its result: a pair
gains occurrences in one step only, the one that makes the younger of its two tokens, and afterwards only loses some, so
a queued count is never too low and the heap yields the true maximum. `test_train_oracle.py` holds the two equal.

Upstream differs from what is here, or from itself, in three cases:

- letters of equal count at the cut of `limit_alphabet`: upstream keeps random ones, here lower code points stay;
- counts of 2**31 or more: upstream keeps counts of pairs in 32 bits and wraps around, here they are exact;
- `continuing_subword_prefix` and `end_of_word_suffix`: upstream numbers the marked letters at random, here is neither.
"""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Pair = tuple[str, str]


def train(
    words: Mapping[str, int],
    vocab_size: int,
    *,
    min_frequency: int = 0,
    special_tokens: Iterable[str] = (),
    initial_alphabet: Iterable[str] = (),
    limit_alphabet: int | None = None,
    max_token_length: int | None = None,
) -> tuple[dict[str, int], list[Pair]]:
    """The ids of all tokens, and the merges in order.

    Ids: special tokens as given, letters by code point, joined tokens as they appear; a token that has an id keeps it.
    So a special token can be a letter (which then stays in words, whatever `limit_alphabet` says) or a joined token
    (its merge is listed, and the vocabulary does not grow). Specials and letters all stay, even beyond `vocab_size`.

    Args:
        words: How often each word occurs; the order is irrelevant. A word of count 0 gives its letters to the alphabet.
        vocab_size: No merge is made once the vocabulary has this many tokens.
        min_frequency: The least count of a pair that is joined; 0 and 1 are equal.
        special_tokens: Not looked for in words. Repeated ones count once.
        initial_alphabet: Letters that belong to the alphabet as if they were the most frequent.
        limit_alphabet: The most letters that the alphabet may have. Other letters are dropped from words, and what
            stood on their two sides is then adjacent.
        max_token_length: A pair is joined if the token has fewer letters than this (fewer: not as many), or has two.
    """
    vocab: dict[str, int] = {}
    for token in [*special_tokens, *alphabet(words, initial_alphabet, limit_alphabet)]:
        vocab.setdefault(token, len(vocab))
    texts = [([letter for letter in word if letter in vocab], count) for word, count in words.items()]
    counts: Counter[Pair] = Counter()
    for tokens, count in texts:
        add(counts, tokens, count)
    merges = []
    while len(vocab) < vocab_size:
        pair = most_frequent(counts, vocab, max_token_length)
        if pair is None or counts[pair] < min_frequency:
            break
        merges.append(pair)
        vocab.setdefault(pair[0] + pair[1], len(vocab))
        for tokens, count in texts:
            if pair in pairwise(tokens):
                add(counts, tokens, -count)
                tokens[:] = joined(tokens, pair)
                add(counts, tokens, count)
    return vocab, merges


def alphabet(words: Mapping[str, int], initial: Iterable[str], limit: int | None) -> list[str]:
    """The most frequent letters, by code point; of letters of equal count, lower code points are kept first."""
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for letter in word:
            counts[letter] += count
    frequencies: dict[str, float] = {**counts, **dict.fromkeys(initial, math.inf)}
    kept = sorted(frequencies, key=lambda letter: (-frequencies[letter], letter))[:limit]
    return sorted(kept)


def add(counts: Counter[Pair], tokens: list[str], count: int) -> None:
    """Count the adjacent pairs of a word `count` times; pairs may overlap: "aaaa" has ("a", "a") three times."""
    for pair in pairwise(tokens):
        counts[pair] += count
        if counts[pair] == 0:
            del counts[pair]


def most_frequent(counts: Counter[Pair], vocab: dict[str, int], max_token_length: int | None) -> Pair | None:
    """The pair to join: the highest count, then the lowest id on the left, then the lowest id on the right."""
    longest = math.inf if max_token_length is None else max(max_token_length - 1, 2)
    allowed = {pair: count for pair, count in counts.items() if len(pair[0]) + len(pair[1]) <= longest}
    highest = max(allowed.values(), default=0)
    tied = [pair for pair, count in allowed.items() if count == highest]
    return min(tied, key=lambda pair: (vocab[pair[0]], vocab[pair[1]]), default=None)


def joined(tokens: list[str], pair: Pair) -> list[str]:
    """Join every occurrence of the pair, from the left: "aaa" becomes "aa", "a"."""
    result: list[str] = []
    position = 0
    while position < len(tokens):
        here = tuple(tokens[position : position + 2])
        result.append("".join(here) if here == pair else tokens[position])
        position += 2 if here == pair else 1
    return result
