"""`shard` with `shuffle` and `splits`: every line goes where the reference says."""

import pytest

import bloomdata
from files import write
from reference.shard import shard as reference_shard
from sharding import CONTENT, LINES, contents_of, shard

MEBIBYTE = 1 << 20


@pytest.fixture
def source(tmp_path):
    return write(tmp_path / "in" / "a.jsonl", CONTENT)


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_a_shuffle_is_the_permutation_that_its_seed_says(seed, source, tmp_path):
    shard(source, tmp_path / "out", shuffle=True, seed=seed, max_lines=10)
    found = contents_of(tmp_path / "out")
    assert found == reference_shard([("a.jsonl", CONTENT)], shuffle=True, seed=seed, max_lines=10)[0]
    lines = b"".join(found.values()).split(b"\n")[:-1]
    assert lines != LINES
    assert sorted(lines) == sorted(LINES)


def test_different_seeds_shuffle_differently(source, tmp_path):
    orders = set()
    for seed in range(5):
        shard(source, tmp_path / f"out-{seed}", shuffle=True, seed=seed)
        orders.add(contents_of(tmp_path / f"out-{seed}")["part-00000.jsonl"])
    assert len(orders) == 5


def test_a_shuffle_of_many_buckets_is_that_of_one(tmp_path):
    """Inputs of 64 MiB and more are scattered to several buckets."""
    lines = [b'{"text":"%d"}' % number for number in range(5000)]
    noise = b'{"noise":"%s"}' % bytes(range(0x30, 0x5B)).hex().encode()
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.write(b"\n".join(lines) + b"\n")
        file.write(b" " * (66 * MEBIBYTE) + b"\n")  # a blank line: bytes that make no line
        file.write(noise)
    shard(str(path), tmp_path / "out", shuffle=True, seed=3)
    kept = [*lines, noise]
    assert contents_of(tmp_path / "out") == reference_shard([("a.jsonl", b"\n".join(kept))], shuffle=True, seed=3)[0]


@pytest.mark.parametrize(
    "splits",
    [
        {"train": 0.6, "dev": 0.2, "test": 0.2},
        {"train": 0.5, "test": 0.5},
        {"train": 1.0},
        {"dev": 1.0},
        {"train": 0.98, "dev": 0.01, "test": 0.01},
        {"dev": 3, "test": 2},
        {"test": 5},
        {"dev": 0, "test": 23},
        {"dev": 100, "test": 20},
        {"dev": 2**63 - 1, "test": 2**63 - 1},
        {"dev": 2**63, "test": 2**63},
    ],
    ids=str,
)
@pytest.mark.parametrize("shuffle", [False, True])
def test_splits_hold_the_lines_that_the_reference_gives_them(splits, shuffle, source, tmp_path):
    report = shard(source, tmp_path / "out", splits=splits, shuffle=shuffle, seed=5, max_lines=4)
    expected, _ = reference_shard([("a.jsonl", CONTENT)], splits=splits, shuffle=shuffle, seed=5, max_lines=4)
    assert contents_of(tmp_path / "out") == expected
    assert sum(output["lines"] for output in report.outputs) == len(LINES)
    bloomdata.verify(tmp_path / "out")


def test_shares_of_many_lines_come_close_to_what_was_asked_for(tmp_path):
    content = b"".join(b'{"text":"%d"}\n' % number for number in range(20_000))
    report = shard(
        write(tmp_path / "a.jsonl", content), tmp_path / "out", splits={"train": 0.9, "dev": 0.08, "test": 0.02}
    )
    counts = dict.fromkeys(("train", "dev", "test"), 0)
    for output in report.outputs:
        counts[output["path"].split("/")[0]] += output["lines"]
    assert counts == pytest.approx({"train": 18_000, "dev": 1_600, "test": 400}, rel=0.15)


def test_counts_of_splits_are_exact(source, tmp_path):
    shard(source, tmp_path / "out", splits={"dev": 3, "test": 2})
    contents = contents_of(tmp_path / "out")
    assert contents["test/part-00000.jsonl"] == b"".join(line + b"\n" for line in LINES[:2])
    assert contents["dev/part-00000.jsonl"] == b"".join(line + b"\n" for line in LINES[2:5])
    assert contents["train/part-00000.jsonl"] == b"".join(line + b"\n" for line in LINES[5:])
