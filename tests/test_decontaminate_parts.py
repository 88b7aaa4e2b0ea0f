"""`decontaminate` in parts: counted in any order, then written in any order, and together what one run gives."""

from __future__ import annotations

import bz2
import gzip
import json
import os
import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata import ConfigError, CorruptDataError, MismatchError
from bloomdata.parts import sharing
from faults import strike, wrong
from runs import QUARANTINE, differences, tree
from sharding import DECOMPRESS, seekable
from test_decontaminate import VOCABULARY, prose, write

STORED = {
    ".jsonl": bytes,
    ".jsonl.zst": lambda content: seekable([content[at : at + 90] for at in range(0, len(content), 90)]),
    ".jsonl.gz": partial(gzip.compress, mtime=0),
    ".jsonl.bz2": bz2.compress,
    ".txt": bytes,
    ".json": lambda content: b"[%s]" % b",".join(line for line in content.splitlines() if line[-1:] == b"}"),
}


@pytest.fixture(autouse=True, scope="module")
def _small_units():
    """Files of a few lines are cut as those of gigabytes are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharing, "UNIT_BYTES", 256)
        yield


def run(inputs, output, **options):
    return bloomdata.decontaminate(inputs, output, **({"num_threads": 1, "allow_duplicate_inputs": True} | options))


def by_hand(inputs, output, parts, rng, **options):
    """All parts one by one, in any order and with any number of threads."""
    for counting in (True, False):
        for part in rng.sample(range(parts), parts):
            threads = rng.choice([1, 3])
            run(inputs, output, parts=parts, part=part, counting=counting, num_threads=threads, **options)
    return bloomdata.finish(output)


def lines_of(report):
    """All lines of all shards, in order."""
    paths = [Path(report.folder) / output["path"] for output in report.outputs if "lines" in output]
    return b"".join(DECOMPRESS[path.suffix](path.read_bytes()) for path in paths)


def list_of(report, name):
    """All lines of the lists of a name, in order."""
    paths = [Path(report.folder) / output["path"] for output in report.outputs]
    return b"".join(path.read_bytes() for path in paths if path.name == name)


def quarantined(report):
    """Bad records, but their lines, which are not known in a file that is cut."""
    return [json.loads(line) | {"line": None} for line in list_of(report, "quarantine.jsonl").splitlines()]


def check_same(parts, whole):
    """The folder of all parts holds what the one run wrote, and says the same of it."""
    assert lines_of(parts) == lines_of(whole)
    for name in ("contamination.jsonl", "ignored.jsonl"):
        assert list_of(parts, name) == list_of(whole, name)
    assert quarantined(parts) == quarantined(whole)
    assert parts.ledger == whole.ledger
    assert whole.manifest["details"].items() <= parts.manifest["details"].items()
    assert (parts.contaminated, list(parts.matches())) == (whole.contaminated, list(whole.matches()))
    assert bloomdata.verify(parts.folder).files == len(parts.outputs)


def write_any(folder, rng):
    """Rows, and files of several formats whose documents hold some of them; now and then a blank line or a bad record."""
    words = [[rng.choice(VOCABULARY) for _ in range(rng.randint(5, 40))] for _ in range(rng.randint(1, 4))]
    rows = [
        {"id": number, rng.choice(["text", "question"]): " ".join(row), "passage": " ".join(rng.choice(words))}
        for number, row in enumerate(words)
    ]
    (folder / "in").mkdir(parents=True)
    for number in range(rng.randint(1, 4)):
        suffix = rng.choice(list(STORED))
        lines = []
        for _ in range(rng.randrange(15)):
            pieces = [rng.choice(words)[rng.randrange(9) :] for _ in range(rng.randrange(3))]
            pieces += [prose(rng, rng.choice([3, 60])) for _ in range(rng.randrange(3))]
            text = " ".join(word for piece in rng.sample(pieces, len(pieces)) for word in piece)
            lines += rng.choices([[], [b"{"], [b""]], [20, 1, 1])[0]
            lines.append(text.encode() if suffix == ".txt" else json.dumps({"text": text}).encode())
        content = b"".join(line + b"\n" for line in lines)
        (folder / "in" / f"{number}{suffix}").write_bytes(STORED[suffix](content))
    half = (len(rows) + 1) // 2
    files = [write(folder / f"rows-{at}.jsonl", rows[at : at + half]) for at in range(0, len(rows), half)]
    return sorted((folder / "in").iterdir()), files


@given(seed=st.integers(0, 1 << 30), parts=st.integers(2, 12))
@settings(max_examples=60)
def test_parts_in_any_order_are_one_run(tmp_path_factory, seed, parts):
    folder, rng = tmp_path_factory.mktemp("parts"), random.Random(seed)
    inputs, evaluations = write_any(folder, rng)
    options = {
        "evaluations": evaluations,
        "action": rng.choice(["report", "drop", "cut"]),
        "preset": rng.choice([None, None, "lineage"]),
        "ngram": rng.choice([2, 5, 13]),
        "common": rng.choice([1, 2, 4, 10]),
        "on_bad_record": "quarantine",
        "max_lines": rng.choice([3, 1000]),
    }
    if options["preset"] is None:
        options["threshold"] = rng.choice([0.3, 0.8, 1.0])
    whole = run(inputs, folder / "whole", **options)
    output = folder / "parts"
    report = by_hand(inputs, output, parts, rng, **options)
    check_same(report, whole)
    # Again in another order: every file has the same bytes.
    shutil.move(output, folder / "first")
    shutil.rmtree(output, ignore_errors=True)
    by_hand(inputs, output, parts, rng, **options)
    assert differences(tree(output), tree(folder / "first")) == []
    shutil.rmtree(folder)
