"""`DataLoader`: every sample once, the same batches on any number of ranks, at any step at once."""

import gc
import json
import threading
import time

import numpy as np
import pytest

import bloomdata
from bloomdata.errors import ConfigError
from bloomdata.loader.epoch_orders import KeyedOrder
from bloomdata.loader.stream_order import StreamOrder, merged
from reference.order import permuted
from sample_files import LENGTH, numbered

ROWS = 48


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return numbered(tmp_path_factory.mktemp("rows") / "a.hdf5", ROWS)


def ids_of(batch):
    """Numbers of the rows of a batch."""
    return batch["input_ids"][:, 0].tolist()


def loaders(dataset, world_size, **options):
    return [bloomdata.DataLoader(dataset, rank=rank, world_size=world_size, **options) for rank in range(world_size)]


def global_batches(dataset, world_size, **options):
    """Batches over all ranks, put together as ranks interleave them."""
    parts = [[ids_of(batch) for batch in loader] for loader in loaders(dataset, world_size, **options)]
    assert len({len(part) for part in parts}) == 1, "ranks have different numbers of steps"
    return [[sample for row in zip(*step, strict=True) for sample in row] for step in zip(*parts, strict=True)]


@pytest.mark.parametrize("threads", [0, 3])
@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
@pytest.mark.parametrize("batch_size", [24, 48])
def test_every_sample_comes_once_in_every_epoch_on_any_number_of_ranks(rows, world_size, batch_size, threads):
    options = {"batch_size": batch_size, "epochs": 3, "seed": 5, "num_threads": threads}
    batches = global_batches(rows, world_size, **options)
    stream = [sample for batch in batches for sample in batch]
    assert len(stream) == 3 * ROWS
    epochs = [stream[epoch * ROWS : (epoch + 1) * ROWS] for epoch in range(3)]
    assert all(sorted(epoch) == list(range(ROWS)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert batches == global_batches(rows, 1, **options)
    assert stream == [permuted(ROWS, at, 5, 0, epoch) for epoch in range(3) for at in range(ROWS)]


def test_a_batch_that_does_not_divide_the_epoch_goes_on_into_the_next(rows):
    batches = global_batches(rows, 5, batch_size=10, epochs=5)
    stream = [sample for batch in batches for sample in batch]
    assert len(batches) == 24
    assert [sorted(stream[at : at + ROWS]) for at in range(0, 5 * ROWS, ROWS)] == [list(range(ROWS))] * 5


def test_batch_of_a_step_is_what_iteration_gives(rows):
    for loader in loaders(rows, 2, batch_size=6, epochs=2):
        iterated = list(loader)
        assert len(loader) == len(iterated) == 16
        for step in (15, 0, 7):
            batch = loader.batch(step)
            assert all((batch[name] == iterated[step][name]).all() for name in batch)
        for step in (16, -1):
            with pytest.raises(IndexError):
                loader.batch(step)


@pytest.mark.parametrize(("tail", "steps"), [("drop", 9), ("pad", 10)])
def test_ranks_have_equally_many_steps_whatever_the_tail(rows, tail, steps):
    parts = [list(loader) for loader in loaders(rows, 5, batch_size=5, tail=tail)]
    assert [len(part) for part in parts] == [steps] * 5
    trained = [sample for step in range(steps) for part in parts for sample, labels in
               zip(ids_of(part[step]), part[step]["labels"], strict=True) if (labels != -100).any()]  # fmt: skip
    assert len(trained) == (45 if tail == "drop" else 48)
    assert len(set(trained)) == len(trained)
    if tail == "pad":
        weights = np.concatenate([part[-1]["loss_weights"] for part in parts])
        assert (weights.any(axis=1)).tolist() == [True] * 3 + [False] * 2


def test_skipped_ranges_are_left_out_and_nothing_else(rows):
    skip = [(10, 20), (15, 25), (47, 50), (90, 1_000)]
    stream = [s for batch in global_batches(rows, 1, batch_size=1, epochs=2, skip=skip) for s in batch]
    whole = [s for batch in global_batches(rows, 1, batch_size=1, epochs=2) for s in batch]
    kept = [at for at in range(2 * ROWS) if not any(start <= at < end for start, end in skip)]
    assert stream == [whole[at] for at in kept]
    order = StreamOrder(KeyedOrder(ROWS, 0), epochs=2, skip=skip)
    assert order.places(np.arange(len(kept))).tolist() == kept
    assert [order.turn(at) for at in range(2 * ROWS)] == [sum(k < at for k in kept) for at in range(2 * ROWS)]
    assert merged([(5, 7), (1, 2), (2, 3), (6, 6)]) == [(1, 3), (5, 7)]


def test_a_loader_without_an_end_goes_on(rows):
    loader = bloomdata.DataLoader(rows, batch_size=7, epochs=None)
    with pytest.raises(TypeError, match="no end"):
        len(loader)
    far = loader.batch(10**15)
    assert set(ids_of(far)) <= set(range(ROWS))
    for step, batch in enumerate(loader):
        assert ids_of(batch) == ids_of(loader.batch(step))
        if step == 20:
            break


def test_a_finished_loader_says_so_instead_of_giving_nothing(rows):
    loader = bloomdata.DataLoader(rows, batch_size=8)
    first = [ids_of(batch) for batch in loader]
    with pytest.raises(ConfigError, match="epochs=n"):
        iter(loader).__next__()
    loader.reset()
    assert [ids_of(batch) for batch in loader] == first


def test_a_blend_is_not_shuffled_twice(rows):
    blend = bloomdata.BlendedDataset([(rows, 1)], seed=3)
    loader = bloomdata.DataLoader(blend, batch_size=8)
    assert not loader.shuffle
    assert [s for batch in loader for s in ids_of(batch)] == blend.read_batch(np.arange(ROWS))["input_ids"][
        :, 0
    ].tolist()


class Failing:
    """Fails at one row, after a while."""

    fingerprint = "failing"

    def __init__(self, bad):
        self.bad, self.threads = bad, set()

    def __len__(self):
        return 1_000

    def read_batch(self, indices):
        self.threads.add(threading.current_thread().name)
        if self.bad in indices.tolist():
            raise RuntimeError("row is gone")
        time.sleep(0.001)
        return {"input_ids": indices[:, None], "labels": indices[:, None].copy()}


def prefetchers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("bloomdata-prefetch")]


def test_an_exception_comes_where_its_batch_would_and_ends_the_threads():
    loader = bloomdata.DataLoader(Failing(42), batch_size=4, shuffle=False, num_threads=4, prefetch=8)
    seen = []
    with pytest.raises(RuntimeError, match="row is gone"):
        seen.extend(ids_of(batch) for batch in loader)
    assert seen == [list(range(at, at + 4)) for at in range(0, 40, 4)]
    assert loader.consumed_samples == 40
    assert len(loader.dataset.threads) > 1
    assert not prefetchers()


def test_leaving_an_iteration_early_stops_the_threads(rows):
    loader = bloomdata.DataLoader(Failing(-1), batch_size=2, num_threads=3)
    for _ in loader:
        break
    batches = iter(loader)
    next(batches)
    assert prefetchers()
    del batches
    gc.collect()
    deadline = time.monotonic() + 30
    while prefetchers() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not prefetchers()


def test_reading_ahead_is_bounded():
    dataset = Failing(-1)
    reads = []
    read = dataset.read_batch
    dataset.read_batch = lambda indices: reads.append(1) or read(indices)
    batches = iter(bloomdata.DataLoader(dataset, batch_size=1, num_threads=2, prefetch=3))
    next(batches)
    time.sleep(0.2)
    assert len(reads) <= 4
    batches.close()


def test_columns_can_be_chosen(rows):
    assert list(bloomdata.DataLoader(rows, batch_size=2, columns=["labels"]).batch(0)) == ["labels"]
    with pytest.raises(ConfigError, match=r"columns: expected some of .*, got \['x'\]"):
        bloomdata.DataLoader(rows, batch_size=2, columns=["x"]).batch(0)


def test_boundaries_are_those_of_the_ranks_rows(rows):
    batch = bloomdata.DataLoader(rows, batch_size=8, rank=1, world_size=2).batch(0)
    assert batch["cu_seqlens"].tolist() == [0, LENGTH, 2 * LENGTH, 3 * LENGTH, 4 * LENGTH]


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 0}, {"batch_size": 3, "world_size": 2}, {"rank": 1}, {"rank": -1}, {"world_size": 0},
        {"seed": -1}, {"seed": 1 << 64}, {"epochs": 0}, {"tail": "keep"}, {"num_threads": -1}, {"prefetch": -1},
        {"skip": [(5, 1)]}, {"skip": [(-1, 1)]}, {"skip": [1]}, {"skip": [(0.5, 2)]}, {"format": "jax"},
        {"format": "numpy", "device": "cpu"},
    ],
)  # fmt: skip
def test_options_that_cannot_work_are_refused(rows, options):
    with pytest.raises(ConfigError):
        bloomdata.DataLoader(rows, **{"batch_size": 2, **options})


def test_what_is_no_data_set_of_samples_is_refused(raw):
    bloomdata.pack("raw", "documents", tokenizer="bytes", format="megatron")
    with pytest.raises(ConfigError, match="expected samples"):
        bloomdata.DataLoader(bloomdata.open("documents"), batch_size=1)


def test_the_state_is_plain(rows):
    loader = bloomdata.DataLoader(rows, batch_size=8)
    assert json.loads(json.dumps(loader.state_dict())) == {
        "format": 1,
        "fingerprint": rows.fingerprint,
        "seed": 0,
        "shuffle": True,
        "consumed_samples": 0,
    }


def test_a_batch_larger_than_the_data_is_refused_unless_it_is_filled(tmp_path):
    rows = numbered(tmp_path / "a.hdf5", 2)
    with pytest.raises(ConfigError, match=r"batch_size: expected at most 2, the samples there are, got 64; tail='pad'"):
        bloomdata.DataLoader(rows, batch_size=64)
    (batch,) = bloomdata.DataLoader(rows, batch_size=64, tail="pad")
    assert (batch["labels"][2:] == -100).all()
    assert len(bloomdata.DataLoader(rows, batch_size=64, epochs=32)) == 1
