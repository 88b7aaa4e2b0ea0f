"""Articles become rows of equal length, in every packing: SYSTEMS.md 2.4 and the packings that we add."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from reference.articles import COMPLETION, NO_CATEGORY, PADDING, PROMPT, SEPARATOR

if TYPE_CHECKING:
    from reference.articles import Article


def rows(
    articles: list[Article],
    sequence_length: int,
    packing: str,
    pad: int,
    *,
    keep_prompt_only_sequences: bool = False,
    keep_end_only_sequences: bool = True,
    window_tokens: int = 1 << 23,
) -> tuple[list[Article], dict[str, int]]:
    """The rows to write, and the metrics."""
    finished, lost = finish(articles, sequence_length, packing, pad, window_tokens)
    keep = keep_prompt_only_sequences, keep_end_only_sequences
    written = [row for row in finished if is_written(row, *keep)]
    return written, {
        "sequences": len(written),
        "articles": sum(1 for article in articles if article),
        "prompt_tokens": sum(count(row, PROMPT) for row in written),
        "completion_tokens": sum(count(row, COMPLETION, SEPARATOR) for row in written),
        "padding_tokens": sum(count(row, PADDING) for row in written),
        "output_tokens": len(written) * sequence_length,
        "dropped_from_packing_tokens": lost["dropped"] + lost["truncated"],
        "dropped_from_all_prompt_tokens": (len(finished) - len(written)) * sequence_length,
        "truncated_tokens": lost["truncated"],
    }


def ledger(
    articles,
    sequence_length,
    packing,
    pad,
    *,
    keep_prompt_only_sequences=False,
    keep_end_only_sequences=True,
    window_tokens=1 << 23,
) -> dict[str, int]:
    """Where every token went; padding of rows that are left out is counted nowhere."""
    finished, lost = finish(articles, sequence_length, packing, pad, window_tokens)
    keep = keep_prompt_only_sequences, keep_end_only_sequences
    written = [row for row in finished if is_written(row, *keep)]
    left_out = [row for row in finished if not is_written(row, *keep)]
    return {
        "tokens_in": sum(map(len, articles)),
        "tokens_out": len(written) * sequence_length,
        "tokens_padding": sum(count(row, PADDING) for row in written),
        "tokens_truncated": lost["truncated"],
        "tokens_dropped": lost["dropped"] + sum(count(row, PROMPT, COMPLETION, SEPARATOR) for row in left_out),
    }


def dropped_documents(
    documents: list[list[Article]],
    sequence_length,
    packing,
    pad,
    *,
    keep_prompt_only_sequences=False,
    keep_end_only_sequences=True,
    window_tokens=1 << 23,
) -> Counter:
    """Documents of which no token is in a written row, by the reason for the first of their articles."""
    groups = [[article for article in document if article] for document in documents]
    articles = [article for group in groups for article in group]
    traced = [
        [((number, token), kind, category) for token, kind, category in article]
        for number, article in enumerate(articles)
    ]
    finished, _ = finish(traced, sequence_length, packing, pad, window_tokens)

    def numbers(rows):
        return {token[0][0] for row in rows for token in row if token[1] != PADDING}

    keep = keep_prompt_only_sequences, keep_end_only_sequences
    placed = numbers(row for row in finished if is_written(row, *keep))
    untrained = numbers(row for row in finished if not is_written(row, *keep))

    def reason(number):
        if number in untrained:
            return "nothing in its row is trained on"
        if packing == "full::drop":
            return "in a last row that is not full"
        return f"{'shorter' if packing == 'single::split' else 'longer'} than a row"

    found: Counter = Counter()
    first = 0
    for group in groups:
        if group and not placed & set(range(first, first + len(group))):
            found[reason(first)] += 1
        first += len(group)
    return found


def is_written(row: Article, keep_prompt_only_sequences: bool, keep_end_only_sequences: bool) -> bool:
    """By default, rows in which a token is trained on."""
    trained = (COMPLETION, SEPARATOR) if keep_end_only_sequences else (COMPLETION,)
    return keep_prompt_only_sequences or count(row, *trained) > 0


def count(row: Article, *types: int) -> int:
    return sum(1 for _, kind, _ in row if kind in types)


def finish(articles, length, packing, pad, window_tokens) -> tuple[list[Article], Counter]:
    """Padded rows, those without a completion too; and the numbers of tokens that were "dropped" or "truncated"."""
    articles = [article for article in articles if article]
    lost: Counter = Counter()
    kind, _, rule = packing.partition("::")
    if kind == "full":
        packed = full(articles, length, rule, lost)
    elif packing == "single::split":
        packed = split(articles, length, lost)
    elif kind == "single":
        packed = [cut(article, length, rule, lost) for article in articles]
    elif kind == "greedy":
        packed = greedy(articles, length, rule or "drop", lost)
    elif kind == "concat":
        packed = concat(articles, length, int(rule))
    else:
        kept = articles if rule else [without_rests(article, length) for article in articles]
        lost["truncated"] += sum(map(len, articles)) - sum(map(len, kept))
        found = windows(kept, window_tokens)
        if rule:
            found = [[cut(article, length, rule, lost) for article in window] for window in found]
        packed = [row for window in found for row in best_fit(window, length)]
    padding = (pad, PADDING, NO_CATEGORY)
    return [row + [padding] * (length - len(row)) for row in packed if row], lost


def chunks(tokens: Article, length: int) -> list[Article]:
    return [tokens[start : start + length] for start in range(0, len(tokens), length)]


def flat(articles: list[Article]) -> Article:
    return [token for article in articles for token in article]


def full(articles, length, rule, lost) -> list[Article]:
    packed = chunks(flat(articles), length)
    if rule == "drop" and packed and len(packed[-1]) < length:
        lost["dropped"] += len(packed.pop())
    return packed


def split(articles, length, lost) -> list[Article]:
    """Whole chunks; a shorter article has none."""
    for article in articles:
        lost["dropped" if len(article) < length else "truncated"] += len(article) % length
    return [chunk for article in articles for chunk in chunks(article, length) if len(chunk) == length]


def cut(article, length, rule, lost) -> Article:
    """What the rule leaves of an article that is too long."""
    if len(article) <= length:
        return article
    if rule == "drop":
        lost["dropped"] += len(article)
        return []
    lost["truncated"] += len(article) - length
    return article[-length:] if rule == "truncate_left" else article[:length]


def greedy(articles, length, rule, lost) -> list[Article]:
    packed: list[Article] = [[]]
    for article in articles:
        if len(packed[-1]) + len(article) > length:
            packed.append([])
        packed[-1] = packed[-1] + cut(article, length, rule, lost)
    return packed


def concat(articles, length, size) -> list[Article]:
    groups = [articles[start : start + size] for start in range(0, len(articles), size)]
    return [chunk for group in groups for chunk in chunks(flat(group), length)]


def without_rests(article: Article, length: int) -> Article:
    """A piece that starts within an answer does not train on the rest of it; without anything else, it is left out."""
    kinds = [kind for _, kind, _ in article]
    if PROMPT not in kinds:
        return article
    answer_of, number = [], 0
    for at, kind in enumerate(kinds):
        number += kind == PROMPT or (at > 0 and kinds[at - 1] in (PROMPT, SEPARATOR))
        answer_of.append(None if kind == PROMPT else number)
    masked = list(article)
    for start in range(length, len(article), length):
        if answer_of[start] is None or answer_of[start] != answer_of[start - 1]:
            continue
        if answer_of[start] == answer_of[-1]:
            return masked[:start]
        for at in range(start, len(article)):
            if answer_of[at] == answer_of[start] and kinds[at] == COMPLETION:
                masked[at] = (article[at][0], PROMPT, article[at][2])
    return masked


def windows(articles, window_tokens) -> list[list[Article]]:
    """The article with which a window holds enough tokens is its last one."""
    found: list[list[Article]] = [[]]
    for article in articles:
        found[-1].append(article)
        if sum(map(len, found[-1])) >= window_tokens:
            found.append([])
    return found


def best_fit(window: list[Article], length: int) -> list[Article]:
    pieces = list(enumerate(chunk for article in window for chunk in chunks(article, length)))
    longest_first = sorted(pieces, key=lambda piece: -len(piece[1]))

    def room(row):
        return length - sum(len(tokens) for _, tokens in row)

    packed: list[list[tuple[int, Article]]] = []  # the row that changed last stands last
    for number, tokens in longest_first:
        fitting = [row for row in packed if room(row) >= len(tokens)]
        row = min(reversed(fitting), key=room, default=[])  # of equals, the first one that it meets
        packed = [other for other in packed if other is not row]
        packed.append([*row, (number, tokens)])
    in_order = sorted(sorted(row) for row in packed)
    return [flat([tokens for _, tokens in row]) for row in in_order]
