"""A loader goes on where it was: three times in a row, on other ranks, with other batch sizes, after a kill."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bloomdata
from bloomdata.errors import ConfigError, MismatchError
from sample_files import numbered, random_types, write_rows

ROWS = 48
EPOCHS = 3


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    ids = np.repeat(np.arange(ROWS)[:, None], 8, axis=1)
    return bloomdata.open(write_rows(tmp_path_factory.mktemp("rows") / "a.hdf5", ids, random_types(ROWS, 8, 1)))


def run(dataset, world_size, batch_size, steps, state=None, **options):
    """Some steps on all ranks from a state: samples in the order of the stream, and the state after them."""
    loaders = [
        bloomdata.DataLoader(dataset, batch_size=batch_size, epochs=EPOCHS, rank=r, world_size=world_size, **options)
        for r in range(world_size)
    ]
    for loader in loaders:
        if state is not None:
            loader.load_state_dict(json.loads(json.dumps(state)))
    iterators = [iter(loader) for loader in loaders]
    stream = []
    for _ in range(steps):
        parts = [next(iterator, None) for iterator in iterators]
        if parts[0] is None:
            assert parts == [None] * world_size
            break
        stream += [
            sample for row in zip(*(p["input_ids"][:, 0].tolist() for p in parts), strict=True) for sample in row
        ]
    for iterator in iterators:
        iterator.close()
    states = [loader.state_dict() for loader in loaders]
    assert all(other == states[0] for other in states), "ranks disagree on how far they came"
    return stream, states[0]


@pytest.mark.parametrize("first", [0, 1, 3, 5, 6, 7])
def test_three_resumes_in_a_row_on_other_ranks_and_batch_sizes_lose_and_repeat_nothing(rows, first):
    whole, _ = run(rows, 1, 8, 100)
    # Steps 5, 6 and 7 are the last of an epoch, its end, and the first of the next.
    stream, state = run(rows, 2, 8, first)
    for world_size, batch_size, steps in ((1, 8, 2), (3, 6, 3), (8, 16, 100)):
        more, state = run(rows, world_size, batch_size, steps, state)
        stream += more
    assert len(stream) > 0.8 * len(whole)
    assert stream == whole[: len(stream)]
    assert len(whole) - len(stream) < 16


def test_batches_after_a_resume_are_equal_byte_for_byte(rows):
    loader = bloomdata.DataLoader(rows, batch_size=5, epochs=EPOCHS, seed=7)
    whole = [{name: values.tobytes() for name, values in batch.items()} for batch in loader]
    for stop in (0, 1, 9, 10, 27, 28):
        first = bloomdata.DataLoader(rows, batch_size=5, epochs=EPOCHS, seed=7)
        for _, batch in zip(range(stop), first, strict=False):
            assert batch["input_ids"].size
        again = bloomdata.DataLoader(rows, batch_size=5, epochs=EPOCHS, seed=7, num_threads=0)
        again.load_state_dict(first.state_dict())
        rest = [{name: values.tobytes() for name, values in batch.items()} for batch in again]
        assert rest == whole[stop:]


@given(
    plan=st.lists(
        st.tuples(st.sampled_from([1, 2, 3, 8]), st.integers(1, 4), st.integers(0, 4)), min_size=1, max_size=5
    ),
    skip=st.lists(st.tuples(st.integers(0, 150), st.integers(0, 20)), max_size=3),
)
def test_any_chain_of_resumes_is_one_stream(rows, plan, skip):
    ranges = [(start, start + length) for start, length in skip]
    whole, _ = run(rows, 1, 1, 1_000, skip=ranges)
    stream, state = [], None
    for world_size, micro, steps in plan:
        more, state = run(rows, world_size, world_size * micro, steps, state, skip=ranges, num_threads=0)
        stream += more
    assert stream == whole[: len(stream)]


def test_a_range_ahead_can_be_skipped_when_a_run_goes_on(rows):
    whole, _ = run(rows, 1, 4, 1_000)
    stream, state = run(rows, 1, 4, 5)
    more, _ = run(rows, 1, 4, 1_000, state, skip=[(24, 32)])
    assert stream + more == whole[:24] + whole[32:]


def test_a_state_at_the_end_gives_nothing_more(rows):
    _, state = run(rows, 1, 8, 1_000)
    assert state["consumed_samples"] == EPOCHS * ROWS
    assert run(rows, 2, 8, 10, state)[0] == []


def test_a_batch_that_is_read_ahead_does_not_count(rows):
    loader = bloomdata.DataLoader(rows, batch_size=4, num_threads=3, prefetch=6)
    assert loader.state_dict()["consumed_samples"] == 0
    for number, _ in enumerate(loader, 1):
        assert loader.state_dict()["consumed_samples"] == 4 * number


def test_loading_a_state_in_the_middle_of_an_iteration_moves_the_next_one(rows):
    loader = bloomdata.DataLoader(rows, batch_size=4)
    batches = iter(loader)
    state = loader.state_dict()
    first = next(batches)["input_ids"]
    next(batches)
    loader.load_state_dict(state)
    assert (next(iter(loader))["input_ids"] == first).all()


def test_other_data_another_seed_and_another_order_are_refused(rows, tmp_path):
    state = bloomdata.DataLoader(rows, batch_size=4, seed=1).state_dict()
    other = numbered(tmp_path / "b.hdf5", ROWS)
    for loader, what in (
        (bloomdata.DataLoader(other, batch_size=4, seed=1), "fingerprint"),
        (bloomdata.DataLoader(rows, batch_size=4, seed=2), "seed"),
        (bloomdata.DataLoader(rows, batch_size=4, seed=1, shuffle=False), "shuffle"),
    ):
        with pytest.raises(MismatchError, match=what):
            loader.load_state_dict(state)
        assert loader.consumed_samples == 0
    loader = bloomdata.DataLoader(rows, batch_size=4, seed=1)
    with pytest.raises(MismatchError, match="format"):
        loader.load_state_dict({**state, "format": 2})
    with pytest.raises(MismatchError, match="consumed_samples"):
        loader.load_state_dict({**state, "consumed_samples": ROWS + 1})
    for bad in (
        {},
        None,
        5,
        {**state, "more": 1},
        {**state, "consumed_samples": -1},
        {**state, "consumed_samples": True},
    ):
        with pytest.raises(ConfigError):
            loader.load_state_dict(bad)
    for bad in ({**state, "seed": True}, {**state, "seed": "1"}, {**state, "fingerprint": None}):
        with pytest.raises(MismatchError):
            loader.load_state_dict(bad)


SCRIPT = """
    import json, os, sys, time
    import bloomdata

    dataset, folder = bloomdata.open(sys.argv[1]), sys.argv[2]
    loader = bloomdata.DataLoader(dataset, batch_size=4, epochs=None, seed=3)
    if os.path.exists(folder + "/state.json"):
        loader.load_state_dict(json.load(open(folder + "/state.json")))
    log = open(folder + "/log", "a", buffering=1)
    for batch in loader:
        # One write for both, as a checkpoint is one rename: what is logged is what the state counts.
        state = loader.state_dict()
        log.write(json.dumps({"ids": batch["input_ids"][:, 0].tolist(), "state": state}) + chr(10))
        time.sleep(0.001)
"""


def test_a_process_that_is_killed_three_times_goes_through_one_stream(rows, tmp_path):
    path, log = rows.paths[0], tmp_path / "log"
    lines = []
    for _ in range(3):
        command = [sys.executable, "-c", textwrap.dedent(SCRIPT), path, str(tmp_path)]
        process = subprocess.Popen(command)
        wanted = len(lines) + 25
        while process.poll() is None and (not log.exists() or log.read_text().count("\n") < wanted):
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        lines = [line for line in log.read_text().split("\n") if line.endswith("}")]
        log.write_text("".join(line + "\n" for line in lines))
        (tmp_path / "state.json").write_text(json.dumps(json.loads(lines[-1])["state"]))
    stream = [sample for line in lines for sample in json.loads(line)["ids"]]
    loader = bloomdata.DataLoader(rows, batch_size=1, epochs=None, seed=3)
    assert len(stream) >= 300
    assert stream == [loader.sample_ids(step)[0] for step in range(len(stream))]
