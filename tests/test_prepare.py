"""`prepare` against a slow oracle: lines, order, shards, splits, samples, books; the same with any threads."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from files import write
from preparing import SOURCES, check, corpora, options_for, same_everywhere
from sharding import contents_of


@pytest.mark.parametrize("source", SOURCES)
@settings(max_examples=15)
@given(data=st.data())
def test_lines_and_books_equal_the_oracle_with_any_number_of_threads(source, data):
    corpus = data.draw(corpora(source))
    options = data.draw(options_for(source))
    repeat = options.get("repeat", {})
    if len(corpus) == 1 and "b*" in repeat:
        options["repeat"] = {"*": 2}
    with tempfile.TemporaryDirectory() as folder:
        for num_threads in (1, 4):
            check(source, corpus, Path(folder), num_threads=num_threads, **SOURCES[source], **options)
        same_everywhere(Path(folder) / "out-1", Path(folder) / "out-4")


def chats(count, *, turns=3, name=""):
    """Conversations of ShareGPT; each becomes `turns` lines."""
    speakers = ("human", "gpt")
    return b"".join(
        json.dumps(
            {"conversations": [{"from": speakers[at % 2], "value": f"{name}{number}.{at}"} for at in range(2 * turns)]}
        ).encode()
        + b"\n"
        for number in range(count)
    )


@pytest.mark.parametrize("sampling", ["head", "reservoir"])
def test_blocks_of_many_records_give_what_the_oracle_gives(sampling, tmp_path):
    """More than one block of every file, so that pools have work at once."""
    filtered = b"".join(
        b'{"text": "%d%s", "meta": {"source": "%s"}}\n' % (at, b"x" * 400, b"prosocial" if at % 7 < 3 else b"a")
        for at in range(12_000)
    )
    corpus = [("a.jsonl", filtered, ".zst"), ("b.jsonl", filtered[: len(filtered) // 3] + b"}\n", "")]
    for num_threads in (1, 4):
        options = {"max_rows_per_input": 5001, "sampling": sampling, "max_lines": 999, "repeat": {"b*": 2}}
        check("oig", corpus, tmp_path, num_threads=num_threads, **options)
    same_everywhere(tmp_path / "out-1", tmp_path / "out-4")


def test_the_limit_of_rows_counts_those_that_the_filter_rejects(tmp_path):
    """SYSTEMS.md 1.2: the index runs over all rows."""
    rows = b"".join(
        b'{"text": "%d", "meta": {"source": "%s"}}\n' % (at, b"prosocial" if at < 4 else b"") for at in range(9)
    )
    report = check("oig", [("a.jsonl", b"\n" + rows, "")], tmp_path, max_rows_per_input=3)
    dropped = {"blank line": 1, "source left out": 3, "beyond max_rows_per_input": 6}
    assert sum(report.ledger["documents_dropped"].values()) == sum(dropped.values())
    assert report.ledger["documents_dropped"]["beyond max_rows_per_input"] == 6


# --- samples ---------------------------------------------------------------------------------------------------


def sample(folder, inputs, seed, most=5):
    report = bloomdata.prepare(
        "pile", inputs, folder, max_rows_per_input=most, sampling="reservoir", seed=seed, compression="none"
    )
    [content] = contents_of(report.folder).values()
    return [json.loads(line)["text"] for line in content.splitlines()]


def test_every_record_is_in_the_sample_equally_often(tmp_path):
    """Chi-squared: 20 records, 5 taken, 400 samples of fixed seeds; 43.8 is the 0.1 % point of 19 degrees."""
    rows = b"".join(b'{"text": "%d"}\n' % at for at in range(20))
    # A blank more at the end of each, so that none is a copy of another.
    paths = [write(tmp_path / "in" / f"{number}.jsonl", rows[:-1] + b" " * number + b"\n") for number in range(200)]
    counts = [0] * 20
    for seed in (0, 1):
        found = [int(text) for text in sample(tmp_path / str(seed), paths, seed)]
        samples = [found[at : at + 5] for at in range(0, len(found), 5)]
        assert len(samples) == 200
        for texts in samples:
            assert texts == sorted(set(texts)), "a sample keeps the order of its input"
            for text in texts:
                counts[text] += 1
    mean = 400 * 5 / 20
    variance = mean * (1 - 5 / 20)
    assert sum((count - mean) ** 2 for count in counts) / variance * 19 / 20 < 43.8
    assert len({tuple(texts) for texts in samples}) > 150, "inputs are sampled independently"


def test_a_sample_does_not_depend_on_what_other_inputs_hold(tmp_path):
    rows = [b'{"text": "%d"}\n' % at for at in range(300)]
    a, b = write(tmp_path / "a.jsonl", b"".join(rows[:100])), write(tmp_path / "b.jsonl", b"".join(rows[100:200]))
    longer = write(tmp_path / "in" / "a.jsonl", b"".join(rows[:70] + rows[200:]))
    first = sample(tmp_path / "out-1", [a, b], 7)
    second = sample(tmp_path / "out-2", [longer, b], 7)
    assert first[5:] == second[5:]
    assert first[:5] != second[:5]
    assert first[5:] != [str(int(text) + 100) for text in first[:5]], "inputs are sampled independently"


def test_blank_lines_do_not_change_a_sample(tmp_path):
    rows = [b'{"text": "%d"}\n' % at for at in range(60)]
    plain, spaced = write(tmp_path / "a.jsonl", b"".join(rows)), write(tmp_path / "b.jsonl", b"\n\n".join(rows))
    assert sample(tmp_path / "out-1", plain, 3) == sample(tmp_path / "out-2", spaced, 3)


def test_a_sample_of_more_than_there_is_takes_everything(tmp_path):
    path = write(tmp_path / "a.jsonl", b"".join(b'{"text": "%d"}\n' % at for at in range(9)))
    assert sample(tmp_path / "out", path, 1, most=100) == [str(at) for at in range(9)]
    assert sample(tmp_path / "out-9", path, 1, most=9) == [str(at) for at in range(9)]
