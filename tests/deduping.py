"""`dedup` on texts, and what it says of each of them."""

from __future__ import annotations

import json
import random
from pathlib import Path

import bloomdata
from sharding import DECOMPRESS, contents_of

WORDS = ["the", "Cat", "sat", "on", "a", "mat", "und", "über", "das", "中", "文", "字", "run", "2", "x,y", "end."]


def write_files(folder, texts, sizes=(1000,)):
    """Texts as JSONL in files of these many lines, by turns."""
    folder.mkdir(parents=True)
    at = number = 0
    while at < len(texts) or number == 0:
        count = sizes[number % len(sizes)]
        lines = [json.dumps({"id": at + i, "text": text}) + "\n" for i, text in enumerate(texts[at : at + count])]
        (folder / f"{number:03}.jsonl").write_text("".join(lines))
        at, number = at + count, number + 1
    return folder


def dedup(inputs, output, **options):
    return bloomdata.dedup(inputs, output, **({"num_threads": 2} | options))


def kept_lines(folder):
    """All lines of the shards, in order."""
    return b"".join(contents_of(folder).values()).splitlines(keepends=True)


def dropped_of(inputs, output):
    """For each document that was dropped: its number, that of the kept one, similarity, reason."""
    numbers, number = {}, 0
    for path in sorted(inputs.glob("*.jsonl")):
        for line in range(1, len(path.read_bytes().splitlines()) + 1):
            numbers[str(path), line] = number
            number += 1
    found = {}
    for text in (output / "duplicates.jsonl").read_text().splitlines():
        entry = json.loads(text)
        dropped, kept = (numbers[entry[name]["file"], entry[name]["line"]] for name in ("dropped", "kept"))
        found[dropped] = (kept, entry["similarity"], entry["reason"])
    return found


def similar_texts(seed, count, *, length=30):
    """Texts of which many are copies of earlier ones with a few words changed, and some the same."""
    rng = random.Random(seed)
    texts = []
    for _ in range(count):
        kind = rng.random()
        if texts and kind < 0.5:
            words = rng.choice(texts).split(" ")
            for _ in range(rng.randint(0, 3)):
                if words:
                    words[rng.randrange(len(words))] = rng.choice(WORDS)
            texts.append(" ".join(words))
        elif kind < 0.55:
            texts.append(rng.choice(["", " .!", "one", "one two"]))
        else:
            texts.append(" ".join(rng.choices(WORDS, k=rng.randint(1, length))))
    return texts


def lines_of(report):
    """All lines of all shards, in order."""
    paths = [Path(report.folder) / output["path"] for output in report.outputs if "lines" in output]
    return b"".join(DECOMPRESS[path.suffix](path.read_bytes()) for path in paths)


def lists_of(report, name):
    """All lines of the lists of a name, in order."""
    paths = [Path(report.folder) / output["path"] for output in report.outputs]
    return b"".join(path.read_bytes() for path in paths if path.name == name)


def check_same(parts, whole):
    """The folder of all parts holds what the one run wrote, and says the same of it."""
    assert lines_of(parts) == lines_of(whole)
    for name in ("duplicates.jsonl", "spans.jsonl", "quarantine.jsonl"):
        assert lists_of(parts, name) == lists_of(whole, name)
    assert parts.ledger == whole.ledger
    assert parts.manifest["inputs"] == whole.manifest["inputs"]
    assert whole.manifest["details"].items() <= parts.manifest["details"].items()
    assert bloomdata.verify(parts.folder).files == len(parts.outputs)
    bloomdata.verify(parts.folder / "decisions")
