"""Documents that hold rows of a benchmark: which rows, how much of them, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from reference.dedup_units import units

if TYPE_CHECKING:
    from collections.abc import Sequence

NGram = tuple[int, ...]  # the hashes of its words
SHORTEST_ROW = 8
ANSWER_WORDS = 100


class Match(NamedTuple):
    """A row that is in a document."""

    id: str
    score: float
    start: int  # first byte
    end: int  # byte behind the last
    answer_score: float | None  # none without an answer


class Found(NamedTuple):
    """What became of documents and rows."""

    matches: list[list[Match]]  # of every document, in the order of the rows
    too_short: set[str]  # rows that are not looked for
    common: list[tuple[str, int, int]]  # n-grams left out: the first row with it, first word, word behind the last


def words(text: str) -> list[int]:
    return [h for h, _, _ in units(text, "words", "fold")]


def ngrams(hashes: list[int], size: int) -> list[NGram]:
    """All of them, in order, with repeats."""
    return [tuple(hashes[at : at + size]) for at in range(len(hashes) - size + 1)]


def size_of(num_words: int, n: int) -> int | None:
    """Words of an n-gram of a row; none for a row that is too short to look for."""
    if num_words >= n:
        return n
    return num_words if num_words >= SHORTEST_ROW else None


def needed(num_words: int, threshold: float) -> float:
    """The score at which a row counts as found: all of a short one."""
    if num_words >= 50:
        return threshold
    if num_words <= 20:
        return 1.0
    return threshold + (1.0 - threshold) * (50 - num_words) / 30.0


def find(
    documents: Sequence[str], rows: Sequence[dict[str, str]], n: int = 13, threshold: float = 0.8, common: int = 10
) -> Found:
    """Contaminated rows of every document.

    Args:
        documents: Texts.
        rows: Each with `id`, and `text`, or `question` and maybe `answer`.
        n: Words of an n-gram.
        threshold: The score that a long row needs.
        common: An n-gram in more documents than this counts for no row.
    """
    questions = [words(row.get("question", row.get("text", ""))) for row in rows]
    sizes = [size_of(len(question), n) for question in questions]
    too_short = {row["id"] for row, size in zip(rows, sizes, strict=True) if size is None}

    # Where every n-gram of a row stands first, and in how many documents it is found.
    places: dict[NGram, tuple[str, int, int]] = {}
    for row, question, size in zip(rows, questions, sizes, strict=True):
        for at, ngram in enumerate(ngrams(question, size) if size else []):
            places.setdefault(ngram, (row["id"], at, at + len(ngram)))
    texts = [words(document) for document in documents]
    counts = dict.fromkeys(places, 0)
    for text in texts:
        inside = {ngram for size in set(sizes) if size for ngram in ngrams(text, size)}
        for ngram in inside & set(places):
            counts[ngram] += 1
    left_out = {ngram for ngram in places if counts[ngram] > common}

    matches = []
    for document in documents:
        of_document = []
        for row, question, size in zip(rows, questions, sizes, strict=True):
            if size is None:
                continue
            asked = set(ngrams(question, size)) - left_out
            match = best_match(document, asked, size, len(question), words(row.get("answer", "")), n)
            if match and match[0] >= needed(len(question), threshold):
                of_document.append(Match(row["id"], *match))
        matches.append(of_document)
    return Found(matches, too_short, [place for ngram, place in places.items() if ngram in left_out])


def best_match(
    document: str, asked: set[NGram], size: int, num_words: int, answer: list[int], n: int
) -> tuple[float, int, int, float | None] | None:
    """Score, bytes and answer score of the window with the most different n-grams, the first of those."""
    found = units(document, "words", "fold")
    here = ngrams([h for h, _, _ in found], size)
    best: list[int] = []
    best_count = 0
    for start in range(len(found)):
        end = min(start + 2 * num_words, len(here))
        starts = [at for at in range(start, end) if here[at] in asked]
        count = len({here[at] for at in starts})
        if count > best_count:
            best, best_count = starts, count
    if not best:
        return None
    behind = best[-1] + size
    return best_count / len(asked), found[best[0]][1], found[behind - 1][2], answer_score(found, behind, answer, n)


def answer_score(document: list, behind: int, answer: list[int], n: int) -> float | None:
    """The share of the answer that is in the words right behind the question."""
    if not answer:
        return None
    size = min(n, len(answer))
    asked = set(ngrams(answer, size))
    given = set(ngrams([h for h, _, _ in document[behind : behind + ANSWER_WORDS]], size))
    return len(asked & given) / len(asked)
