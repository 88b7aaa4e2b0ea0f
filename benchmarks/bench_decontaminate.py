"""Claim: `decontaminate` looks for 30,000 n-grams at 300 MB of JSONL per second and core, in memory that does not grow.

First it finds what the oracle of the tests finds, in documents of the corpus with rows planted in them.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from corpus import corpus_files, decompress, total_bytes
from measure import CLI, MB, Bench, Case, bench, claim, in_child, print_table

TARGET_RATE = 300.0
NUM_NGRAMS = 30_000
CHECKED_DOCUMENTS = 150


def prepare(options: Any, folder: Path) -> tuple[list[Path], int]:
    """The corpus as plain files, and its size."""
    files = decompress(corpus_files(options.corpus, options.text_field), folder)
    return files, total_bytes(files)


def texts_of(path: Path, field: str, count: int) -> list[str]:
    with path.open(encoding="utf-8") as file:
        records = [json.loads(line) for line, _ in zip(file, range(count), strict=False)]
    return [record[field] for record in records]


def write_rows(files: list[Path], field: str, path: Path) -> list[dict[str, str]]:
    """Rows of words of the corpus in another order, and some of its texts: so many n-grams in all."""
    rng = random.Random(1)
    texts = [text for file in files[:4] for text in texts_of(file, field, 2000)]
    words = [word for text in texts for word in text.split()]
    rows, left = [], NUM_NGRAMS
    while left > 0:
        count = rng.randint(30, 120)
        at = rng.randrange(len(words) - count)
        chosen = words[at : at + count]
        if len(rows) % 20:
            rng.shuffle(chosen)
        rows.append({"id": str(len(rows)), "question": " ".join(chosen), "answer": words[at - 1]})
        left -= count - 12
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


def check(run: Bench, files: list[Path], rows: list[dict[str, str]]) -> None:
    """The matches are those of the oracle, in documents with rows planted in them."""
    from reference.decontaminate import find

    rng = random.Random(2)
    texts = [text[:5000] for text in texts_of(files[0], run.options.text_field, CHECKED_DOCUMENTS)]
    planted = [
        f"{text}\n{rng.choice(rows)['question'].upper()}" if n % 10 == 0 else text for n, text in enumerate(texts)
    ]
    few = rows[:60] + [row for row in rows[60:] if any(row["question"].upper() in text for text in planted)]
    sample = run.scratch / "sample.jsonl"
    sample.write_text("".join(json.dumps({"text": text}) + "\n" for text in planted))
    few_rows = run.scratch / "few.jsonl"
    few_rows.write_text("".join(json.dumps(row) + "\n" for row in few))
    out = run.scratch / "checked"
    run.run(Case(
        name="checked",
        command=[CLI, "decontaminate", str(sample), "-o", str(out), "--evaluations", str(few_rows), "--quiet"],
        content_bytes=sample.stat().st_size,
        output=out,
    ))  # fmt: skip
    found: list[list[Any]] = [[] for _ in planted]
    for line in (out / "contamination.jsonl").read_bytes().splitlines():
        match = json.loads(line)
        document = match["document"]
        key = (match["row"]["id"], match["score"], *document["bytes"], match["answer_score"])
        found[document["line"] - 1].append(key)
    expected = [[tuple(match) for match in matches] for matches in find(planted, few).matches]
    if found != expected or not any(expected):
        sys.exit("decontaminate: the matches are not those of the oracle")
    print(f"checked: {sum(map(len, expected))} matches in {len(planted)} documents are those of the oracle\n")


def main() -> None:
    with bench("decontaminate") as run:
        files, content_bytes = in_child(prepare, run.options, run.scratch / "plain")
        evaluations = run.scratch / "rows.jsonl"
        rows = write_rows(files, run.options.text_field, evaluations)
        check(run, files, rows)
        inputs = [str(path) for path in files]
        cases = []
        for threads in (1, run.options.cores):
            out = run.scratch / f"out-{threads}"
            command = [CLI, "decontaminate", *inputs, "-o", str(out), "--evaluations", str(evaluations)]
            command += ["--text-field", run.options.text_field, "--num-threads", str(threads), "--quiet"]
            cases.append(Case(name=f"{threads} thread(s)", command=command, content_bytes=content_bytes, output=out))
        results = run.compare(cases)
        print_table(results)
        rate = content_bytes / MB / results[0].cpu_seconds
        claim(f"decontaminate, {NUM_NGRAMS:,} n-grams", rate, "MB/s per second of a processor", at_least=TARGET_RATE)


if __name__ == "__main__":
    main()
