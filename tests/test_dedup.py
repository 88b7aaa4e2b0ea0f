"""`dedup`: which documents stay is what the slow references say, and nothing but the documents decides it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata import ConfigError, CorruptDataError, MinHash, MismatchError
from deduping import dedup, dropped_of, kept_lines, similar_texts, write_files
from reference.dedup_units import shingles, units
from reference.exact_duplicates import exact
from reference.near_duplicates import candidate_edges, near
from runs import tree


def expected_of(texts, *, exact_normalize=None, similar=None, keep="first"):
    """What the references drop: exact duplicates first, then near ones among the others."""
    equal = {} if exact_normalize is None else exact(texts, exact_normalize)
    if similar is None:
        return {number: (first, 1.0, "exact duplicate") for number, first in equal.items()}
    left = [number for number in range(len(texts)) if number not in equal]
    options = {"size": similar.words, "threshold": similar.threshold, "num_perm": similar.num_perm}
    bands = (similar.bands, similar.rows) if similar.bands else None
    found = near(
        [texts[number] for number in left],
        **options,
        unit=similar.unit,
        normalize=similar.normalize,
        keep=keep,
        bands=bands,
    )
    dropped = {left[number]: (left[kept], close, "near duplicate") for number, (kept, close) in found.items()}
    for number, first in equal.items():
        kept, close, _ = dropped.get(first, (first, 1.0, ""))
        dropped[number] = (kept, close, "exact duplicate")
    return dropped


CASES = {
    "exact": ({}, {"exact_normalize": "none"}),
    "exact-fold": ({"exact_normalize": "fold"}, {"exact_normalize": "fold"}),
    "near": ({"exact": None, "near": MinHash(0.6)}, {"similar": MinHash(0.6)}),
    "both": ({"near": MinHash(0.5, words=2)}, {"exact_normalize": "none", "similar": MinHash(0.5, words=2)}),
    "fold-and-near": (
        {"exact_normalize": "fold", "near": MinHash(0.7, normalize="none", num_perm=64)},
        {"exact_normalize": "fold", "similar": MinHash(0.7, normalize="none", num_perm=64)},
    ),
    "characters": (
        {"near": MinHash(0.7, unit="characters")},
        {"exact_normalize": "none", "similar": MinHash(0.7, unit="characters")},
    ),
    "components": (
        {"near": MinHash(0.5), "keep": "components"},
        {"exact_normalize": "none", "similar": MinHash(0.5), "keep": "components"},
    ),
    "bands": (
        {"near": MinHash(0.5, bands=4, rows=8)},
        {"exact_normalize": "none", "similar": MinHash(0.5, bands=4, rows=8)},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_documents_are_dropped_as_the_references_say(case, tmp_path):
    options, expected = CASES[case]
    texts = similar_texts(1, 250)
    inputs = write_files(tmp_path / "in", texts, [70, 1, 100])
    report = dedup(inputs, tmp_path / "out", **options)
    dropped = expected_of(texts, **expected)
    assert dropped_of(inputs, tmp_path / "out") == dropped
    assert len(dropped) > 20
    lines = b"".join(path.read_bytes() for path in sorted(inputs.iterdir())).splitlines(keepends=True)
    assert kept_lines(tmp_path / "out") == [line for number, line in enumerate(lines) if number not in dropped]
    assert report.ledger["documents_kept"] == len(texts) - len(dropped)
    bloomdata.verify(tmp_path / "out")


@given(st.integers(0, 1 << 32), st.sampled_from(list(CASES)), st.integers(1, 60))
@settings(max_examples=60)
def test_random_documents_are_dropped_as_the_references_say(tmp_path_factory, seed, case, count):
    folder = tmp_path_factory.mktemp("dedup")
    options, expected = CASES[case]
    texts = similar_texts(seed, count, length=12)
    inputs = write_files(folder / "in", texts, [7, 20])
    dedup(inputs, folder / "out", report_only=True, **options)
    assert dropped_of(inputs, folder / "out") == expected_of(texts, **expected)


@pytest.fixture(scope="module")
def texts():
    return similar_texts(7, 3000)


@pytest.fixture(scope="module")
def inputs(texts, tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("inputs") / "in", texts, [500, 1, 999])


@pytest.fixture(scope="module")
def undisturbed(inputs, tmp_path_factory):
    output = tmp_path_factory.mktemp("undisturbed") / "out"
    dedup(inputs, output, near=MinHash(0.6), max_lines=300)
    return output


@pytest.mark.parametrize(("num_threads", "memory_limit"), [(1, "64MB"), (2, "4GB"), (8, "300MB")])
def test_threads_and_memory_change_no_byte(inputs, undisturbed, tmp_path, num_threads, memory_limit):
    dedup(
        inputs,
        tmp_path / "out",
        near=MinHash(0.6),
        max_lines=300,
        num_threads=num_threads,
        memory_limit=memory_limit,
    )
    assert tree(tmp_path / "out") == tree(undisturbed)


def test_how_documents_are_cut_into_files_changes_no_shard(texts, undisturbed, tmp_path):
    inputs = write_files(tmp_path / "in", texts, [97])
    dedup(inputs, tmp_path / "out", near=MinHash(0.6), max_lines=300)
    assert kept_lines(tmp_path / "out") == kept_lines(undisturbed)
    names = [path.name for path in sorted(undisturbed.glob("part-*"))]
    assert all((tmp_path / "out" / name).read_bytes() == (undisturbed / name).read_bytes() for name in names)


def test_a_report_alone_lists_the_same_and_writes_no_shards(inputs, undisturbed, tmp_path):
    report = dedup(inputs, tmp_path / "out", near=MinHash(0.6), report_only=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["duplicates.jsonl", "manifest.json"]
    assert (tmp_path / "out" / "duplicates.jsonl").read_bytes() == (undisturbed / "duplicates.jsonl").read_bytes()
    other = bloomdata.Report.open(undisturbed)
    assert report.ledger == other.ledger
    assert report.near == other.near
    bloomdata.verify(tmp_path / "out")


def test_every_witness_is_kept_and_as_similar_as_it_says(inputs, undisturbed):
    dropped = dropped_of(inputs, undisturbed)
    assert all(kept not in dropped for kept, _, _ in dropped.values())
    assert all(close >= 0.6 for _, close, _ in dropped.values())


def test_what_is_compared_with_is_never_dropped_or_written(tmp_path):
    texts = similar_texts(3, 200)
    old = write_files(tmp_path / "old", texts[:120], [50])
    new = write_files(tmp_path / "new", texts[120:], [30])
    report = dedup(new, tmp_path / "out", exact=None, near=MinHash(0.6), against=[old])
    edges = candidate_edges([set(shingles([h for h, _, _ in units(text)], 5)) for text in texts], 0.6, 128)
    expected = {}
    for j in range(120, 200):
        kept = [i for i in range(j) if i not in expected and (i, j) in edges]
        if kept:
            witness = min(kept, key=lambda i: (-edges[i, j], i))
            expected[j] = (witness, edges[witness, j])
    found = {}
    for line in (tmp_path / "out" / "duplicates.jsonl").read_text().splitlines():
        entry = json.loads(line)
        numbers = []
        for place in (entry["dropped"], entry["kept"]):
            path = Path(place["file"])
            first, size = (0, 50) if path.parent == old else (120, 30)
            numbers.append(first + size * int(path.stem) + place["line"] - 1)
        found[numbers[0]] = (numbers[1], entry["similarity"])
    assert found == expected
    assert any(kept < 120 for kept, _ in found.values())
    assert report.ledger["documents_in"] == 80
    assert report.ledger["documents_kept"] == 80 - len(found)
    assert [entry["documents"] for entry in report.manifest["details"]["against"]] == [50, 50, 20]
    with (old / "000.jsonl").open("a") as file:
        file.write('{"text":"more"}\n')
    with pytest.raises(MismatchError, match=r"content of .*old/000\.jsonl"):
        dedup(new, tmp_path / "out", exact=None, near=MinHash(0.6), against=[old])


def test_planted_pairs_are_found_as_the_s_curve_says(tmp_path):
    rng = random.Random(5)
    near = MinHash(0.8, verify=False, words=1)
    curve = near.curve()
    for percent in (70, 80, 90, 95):
        # Of 100 distinct words, so many are shared that the similarity is as planned.
        shared = round(200 * percent / (100 + percent))
        pairs = []
        for _ in range(300):
            words = [f"w{rng.getrandbits(48)}" for _ in range(200)]
            pairs += [" ".join(words[:100]), " ".join(words[:shared] + words[100 : 200 - shared])]
        inputs = write_files(tmp_path / f"in-{percent}", pairs)
        report = dedup(inputs, tmp_path / f"out-{percent}", near=near, report_only=True)
        chance = curve[percent / 100]
        found = report.near["join"]["pairs_in_buckets"]
        assert abs(found - 300 * chance) <= 5 * (300 * chance * (1 - chance)) ** 0.5 + 3


def test_a_million_equal_documents_are_one(tmp_path):
    (tmp_path / "in").mkdir()
    line = '{"text":"the same words again and again"}\n'
    (tmp_path / "in" / "a.jsonl").write_text(line * 1_000_000)
    report = dedup(tmp_path / "in", tmp_path / "out", exact=None, near=MinHash(), report_only=True)
    assert report.ledger["documents_kept"] == 1
    assert report.near["join"]["documents_compared"] == 1


def test_pairs_of_large_buckets_that_are_not_looked_at_are_counted(tmp_path):
    # All of them share nine words of ten, so that most of them share a band.
    texts = [f"one two three four five six seven eight nine x{number}" for number in range(300)]
    inputs = write_files(tmp_path / "in", texts)
    report = dedup(inputs, tmp_path / "out", near=MinHash(0.8, words=1), report_only=True)
    assert report.near["join"]["largest_bucket"] > 65
    assert report.near["join"]["pairs_left_out"] > 0
    assert "not looked at" in str(report)


def test_odd_documents_are_compared_too(tmp_path):
    texts = ["", "", " ", "\n\t", "one", "One!", "a " * 300_000, "a " * 300_001, "\ud7ff\ue000", "😀", "😀"]
    inputs = write_files(tmp_path / "in", texts)
    dedup(inputs, tmp_path / "out", near=MinHash(), report_only=True)
    assert dropped_of(inputs, tmp_path / "out") == expected_of(texts, exact_normalize="none", similar=MinHash())


def test_bad_records_are_errors_or_set_aside(tmp_path):
    (tmp_path / "in").mkdir()
    lines = ['{"text":"a"}', '{"text":null}', "", '{"text":"a"}', "{", '{"other":1}', '{"text":"b"}']
    (tmp_path / "in" / "a.jsonl").write_text("\n".join(lines))
    with pytest.raises(CorruptDataError, match=r'a\.jsonl.*line 2.*offset 13.*field "text" is null'):
        dedup(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    found = []
    for name, options in {"shards": {}, "report": {"report_only": True}}.items():
        report = dedup(tmp_path / "in", tmp_path / name, on_bad_record="quarantine", **options)
        assert report.ledger["documents_dropped"] == {"blank line": 1, "exact duplicate": 1}
        assert report.ledger["documents_quarantined"] == {
            "malformed JSON": 1,
            "missing field": 1,
            "null field": 1,
        }
        found.append((tmp_path / name / "quarantine.jsonl").read_bytes())
        bloomdata.verify(tmp_path / name)
    assert found[0] == found[1]
    assert found[0].count(b"\n") == 3
    assert kept_lines(tmp_path / "shards") == [b'{"text":"a"}\n', b'{"text":"b"}\n']


def test_lines_of_text_and_tables_are_read_too(tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    pa = pytest.importorskip("pyarrow")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("one\ntwo\none\n")
    pq.write_table(pa.table({"text": ["two", "three"], "n": [1, 2]}), tmp_path / "in" / "b.parquet")
    report = dedup([tmp_path / "in" / "a.txt", tmp_path / "in" / "b.parquet"], tmp_path / "out")
    assert kept_lines(tmp_path / "out") == [b'{"text":"one"}\n', b'{"text":"two"}\n', b'{"text":"three","n":2}\n']
    assert report.ledger["documents_dropped"] == {"exact duplicate": 2}


def test_nothing_is_done_again_and_other_options_are_refused(inputs, undisturbed):
    before = {path: path.stat().st_mtime_ns for path in undisturbed.iterdir()}
    report = dedup(inputs, undisturbed, near=MinHash(0.6), max_lines=300)
    assert report.was_finished
    assert {path: path.stat().st_mtime_ns for path in undisturbed.iterdir()} == before
    with pytest.raises(MismatchError, match="option near"):
        dedup(inputs, undisturbed, near=MinHash(0.7), max_lines=300)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exact": None}, "nothing to look for"),
        ({"exact": "words"}, "exact: expected one of"),
        ({"near": 0.8}, "near: expected a MinHash"),
        ({"near": {"treshold": 0.8}}, "near: expected some of"),
        ({"near": MinHash(0.0)}, "threshold: expected more than 0"),
        ({"near": MinHash(1.5)}, "threshold: expected more than 0"),
        ({"near": MinHash(words=0)}, "words: expected 1 to"),
        ({"near": MinHash(bands=9)}, "bands and rows together"),
        ({"near": MinHash(bands=20, rows=20)}, "bands times rows"),
        ({"near": MinHash(num_perm=0)}, "num_perm: expected 1"),
        ({"memory_limit": "1MB"}, r"memory_limit: expected \d+ bytes or more, got 1000000"),
        ({"memory_limit": "much"}, "memory_limit: expected a number of bytes"),
        ({"keep": "last"}, "keep: expected one of"),
        ({"against": "nowhere/"}, "nowhere"),
    ],
)
def test_options_that_cannot_work_are_refused(tmp_path, options, message):
    inputs = write_files(tmp_path / "in", ["a"])
    with pytest.raises((ConfigError, FileNotFoundError), match=message):
        dedup(inputs, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_table_in_memory_is_refused(tmp_path):
    pa = pytest.importorskip("pyarrow")
    with pytest.raises(ConfigError, match="read more than once"):
        dedup(pa.table({"text": ["a"]}), tmp_path / "out")


@pytest.mark.parametrize("pattern", ["", "/*.jsonl*", "/**/*.jsonl*"])
def test_lists_beside_the_shards_are_no_data_for_the_next_verb(tmp_path, pattern):
    inputs = write_files(tmp_path / "in", ["a", "a", "b c d", "b c d"])
    dedup(inputs, tmp_path / "out", exact="none", near=MinHash(), substring={"words": 2})
    report = bloomdata.shard(f"{tmp_path / 'out'}{pattern}", tmp_path / "next")
    assert report.ledger["documents_in"] == 2
    ignored = [Path(path).name for path in report.manifest["ignored_inputs"]]
    assert {"duplicates.jsonl", "spans.jsonl"} <= set(ignored)
    # By its name it is read like any file.
    assert bloomdata.shard(tmp_path / "out" / "duplicates.jsonl", tmp_path / "list").ledger["documents_in"] == 2
