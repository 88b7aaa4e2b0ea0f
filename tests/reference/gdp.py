"""Lines become the files of `gdp pipeline`: how many, which lines, which rows, which facts (SYSTEMS.md 2.5 to 2.7)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

from reference.articles import articles_of_files
from reference.jsonl import BYTE_ORDER_MARK, records
from reference.rows import dropped_documents, ledger, rows
from reference.shard import Books, shuffled

if TYPE_CHECKING:
    from reference.articles import Article
    from reference.shard import Files

GIB = 2**30


class SplitError(Exception):
    """Numbers of files that cannot be."""


@dataclass
class Result:
    """What must be in the folder."""

    rows: dict[str, list[Article]]  # by stem, train and dev only
    texts: dict[str, bytes]  # by stem, all files
    facts: dict[str, object]  # of metadata.yaml
    tokens: Counter  # the ledger's
    books: Books = field(default_factory=Books)


def split_counts(
    input_bytes: int, train=None, dev=None, test=None, dev_ratio=None, test_ratio=None
) -> tuple[int, int, int]:
    """Numbers of training, dev and test files. Ratios are the decimal numbers that they look like."""
    if dev is not None or test is not None:
        if None in (train, dev, test) or dev_ratio is not None or test_ratio is not None:
            raise SplitError
        if train < 1 or dev < 0 or test < 0:
            raise SplitError
        return train, dev, test
    dev_share, test_share = Fraction(str(dev_ratio or 0)), Fraction(str(test_ratio or 0))
    if train is None:
        train = 32 if input_bytes < 10 * GIB else 128 if input_bytes < 100 * GIB else 256
    if train < 1 or dev_share < 0 or test_share < 0 or dev_share + test_share >= 1:
        raise SplitError
    total = int(train / (1 - dev_share - test_share))
    test = int(total * test_share)
    return train, total - test - train, test


def stems(train: int, dev: int, test: int) -> list[str]:
    """Names without suffix, in the order in which lines are dealt out."""
    sizes = {"train": train, "test": test, "dev": dev}
    return [f"{split}_{number}_of_{size}" for split, size in sizes.items() for number in range(1, size + 1)]


def lines_of(files: Files) -> list[bytes]:
    """All lines of all files, blank ones too; a file that does not end with a newline ends a line."""
    return [record.raw for name, content in files for record in records(name, content)]


def deal(lines: list[bytes], names: list[str]) -> dict[str, list[bytes]]:
    """Line k goes to file k modulo their number."""
    return {name: lines[number :: len(names)] for number, name in enumerate(names)}


def balanced(files: list[list]) -> list[list]:
    """The same rows in files of equal length, the first ones one longer."""
    if not files:
        return []
    share, more = divmod(sum(map(len, files)), len(files))
    wanted = [share + (number < more) for number in range(len(files))]
    surplus = [row for file, want in zip(files, wanted, strict=True) for row in file[want:]]
    found = []
    for file, want in zip(files, wanted, strict=True):
        missing = max(0, want - len(file))
        found.append(file[:want] + surplus[:missing])
        surplus = surplus[missing:]
    return found


def articles_of_lines(lines: list[bytes], suffix: str, books: Books, **options) -> list[Article]:
    """A line is the same in any place: one mark in front of it, which readers of files take away, keeps its own."""
    return articles_of_files(
        [(f"a{suffix}", BYTE_ORDER_MARK * line.startswith(BYTE_ORDER_MARK) + line) for line in lines],
        books,
        **options,
    )


def pipeline(
    files: Files,
    counts: tuple[int, int, int],
    *,
    pad: int,
    sequence_length: int,
    packing: str,
    seed: int | None = None,
    balance: bool = True,
    keep_prompt_only_sequences: bool = False,
    **options,
) -> Result:
    """Files of one suffix become rows; `seed` only for a shuffle, `options` those of `articles_of_files`."""
    suffix = ".txt" if files[0][0].removesuffix(".gz").removesuffix(".zst").endswith(".txt") else ".jsonl"
    lines = [line + b"\n" for line in lines_of([(f"a{suffix}", content) for _, content in files])]
    if suffix == ".txt" and seed is None and not (files[-1][1] or b"\n").endswith((b"\n", BYTE_ORDER_MARK)):
        lines[-1] = lines[-1][:-1]
    dealt = deal(lines if seed is None else shuffled(lines, seed), stems(*counts))
    kept = {"keep_prompt_only_sequences": keep_prompt_only_sequences}
    how = {**kept, "keep_end_only_sequences": False}
    made, metrics, tokens, books = {}, {"train": Counter(), "dev": Counter()}, Counter(), Books()
    for stem, part in dealt.items():
        split = stem.partition("_")[0]
        if split == "test":
            books.documents_in += len(part)
            books.documents_dropped["test, left as text"] += len(part)
            continue
        documents = len(books.articles)
        found = articles_of_lines(part, suffix, books, **kept, **options)
        made[stem], of = rows(found, sequence_length, packing, pad, **how)
        metrics[split].update(of)
        tokens.update(ledger(found, sequence_length, packing, pad, **how))
        lost = dropped_documents(books.articles[documents:], sequence_length, packing, pad, **how)
        books.drop_after_all(lost)
    facts = {"max_seq_length": sequence_length, "token_type_ids": True}
    for split, number, name in zip(("train", "dev", "test"), counts, ("training", "dev", "test"), strict=True):
        facts[f"number_of_{name}_files"] = number
        if split == "test":
            continue
        group = [stem for stem in made if stem.startswith(split)]
        if balance:
            made |= zip(group, balanced([made[stem] for stem in group]), strict=True)
        facts[f"max_batch_size_{split}"] = min((len(made[stem]) for stem in group), default=None)
        of = metrics[split]
        lost = {name: of[f"dropped_from_{name}_tokens"] for name in ("packing", "all_prompt")}
        facts |= {f"{split}_tokens_dropped_from_{name}": count for name, count in lost.items()}
        facts[f"{split}_input_tokens"] = of["prompt_tokens"] + of["completion_tokens"] + sum(lost.values())
        for name in ("output_tokens", "prompt_tokens", "completion_tokens", "padding_tokens", "sequences", "articles"):
            facts[f"{split}_{name}"] = of[name]
    texts = {stem: b"".join(part) for stem, part in dealt.items()}
    return Result(rows=made, texts=texts, facts=facts, tokens=tokens, books=books)
