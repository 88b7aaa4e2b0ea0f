"""Near duplicates in Bloom filters: bounded memory, no witness, the same answer each time."""

from __future__ import annotations

import json
import random

import pytest

import bloomdata
from bloomdata import ConfigError, MinHash
from deduping import dedup, similar_texts, write_files
from reference.dedup_units import shingles, units
from reference.minhash import band_key, bands_for, signature
from runs import tree

BLOOM = MinHash(0.6, index="bloom", expected_documents=10_000)


def dropped_lines(output):
    return [json.loads(line)["dropped"] for line in (output / "duplicates.jsonl").read_text().splitlines()]


def expected_of(texts, threshold):
    """What a set of all band keys drops."""
    bands, rows = bands_for(threshold, 128)
    seen, dropped = set(), []
    for number, text in enumerate(texts):
        hashes = [found for found, _, _ in units(text)]
        if not hashes:
            continue
        values = signature(shingles(hashes, 5), 128)
        keys = {(band, band_key(values, band, rows)) for band in range(bands)}
        if keys & seen:
            dropped.append(number)
        else:
            seen |= keys
    return dropped


def test_documents_are_dropped_if_a_band_was_seen_before(tmp_path):
    texts = similar_texts(2, 400)
    inputs = write_files(tmp_path / "in", texts, [150])
    report = dedup(inputs, tmp_path / "out", near=BLOOM)
    found = [150 * int(place["file"][-9:-6]) + place["line"] - 1 for place in dropped_lines(tmp_path / "out")]
    assert found == expected_of(texts, 0.6)
    assert report.ledger["documents_dropped"] == {"near duplicate": len(found)}
    assert report.near["bloom"]["documents"] == len([text for text in texts if units(text)]) - len(found)
    assert report.near["bloom"]["false_positive_rate"] < 1e-9
    assert report.near["bloom"]["probes_found"] == 0
    assert "Bloom filters" in str(report)
    entry = json.loads((tmp_path / "out" / "duplicates.jsonl").read_text().splitlines()[0])
    assert (entry["kept"], entry["similarity"]) == (None, None)
    bloomdata.verify(tmp_path / "out")


def test_threads_change_nothing(tmp_path):
    inputs = write_files(tmp_path / "in", similar_texts(3, 2000), [333])
    for threads in (1, 4):
        dedup(inputs, tmp_path / str(threads), near=BLOOM, num_threads=threads, memory_limit="400MB")
    assert tree(tmp_path / "1") == tree(tmp_path / "4")


def test_what_is_compared_with_fills_the_filters_and_stays(tmp_path):
    texts = similar_texts(5, 100)
    old = write_files(tmp_path / "old", texts)
    new = write_files(tmp_path / "new", [*texts, "something else that was never said before"])
    report = dedup(new, tmp_path / "out", near=BLOOM, against=old)
    assert report.ledger["documents_kept"] == 1 + len([text for text in texts if not units(text)])


def test_small_filters_are_refused_or_as_wrong_as_computed(tmp_path):
    rng = random.Random(4)
    texts = [" ".join(f"w{rng.getrandbits(40)}" for _ in range(9)) for _ in range(3000)]
    inputs = write_files(tmp_path / "in", texts)
    options = {"num_threads": 1, "memory_limit": 160_000_000}
    small = MinHash(0.6, index="bloom", expected_documents=60_000_000)
    with pytest.raises(ConfigError, match=r"memory_limit: .* more than max_false_positive"):
        dedup(inputs, tmp_path / "out", near=small, **options)
    few = MinHash(0.6, index="bloom", expected_documents=2000)
    with pytest.raises(ConfigError, match="expected_documents: expected no more than 2000"):
        dedup(inputs, tmp_path / "few", near=few, **options)


@pytest.mark.parametrize(
    ("near", "message"),
    [
        (MinHash(index="bloom"), "expected_documents: expected a number"),
        (MinHash(expected_documents=5), "expected_documents: expected a number"),
        (MinHash(index="bloom", expected_documents=0), "expected_documents: expected 1 or more"),
        (MinHash(index="bloom", expected_documents=5, max_false_positive=2), "max_false_positive: expected 0 to 1"),
        (MinHash(index="hash"), "index: expected one of"),
    ],
)
def test_options_that_cannot_work_are_refused(tmp_path, near, message):
    inputs = write_files(tmp_path / "in", ["a"])
    with pytest.raises(ConfigError, match=message):
        dedup(inputs, tmp_path / "out", near=near)
