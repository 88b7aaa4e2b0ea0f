"""Loaders in forked and spawned workers; memory and work that do not grow with the place or the number of samples."""

import multiprocessing
import pickle
import resource
import sys
import tracemalloc

import numpy as np
import pytest

import bloomdata
from sample_files import numbered

ROWS = 60


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    mapped, zipped = numbered(folder / "a.hdf5", ROWS), numbered(folder / "b.hdf5", ROWS, 100, compression="gzip")
    return [mapped, zipped, bloomdata.BlendedDataset([(mapped, 1), (zipped, 1)])]


def rank_of(dataset, rank):
    """All samples of a rank; module level, so that workers can be told to call it."""
    loader = bloomdata.DataLoader(dataset, batch_size=8, rank=rank, world_size=4, num_threads=2)
    return [batch["input_ids"][:, 0].tolist() for batch in loader]


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_forked_and_spawned_workers_read_what_their_parent_reads(datasets, method):
    jobs = [(dataset, rank) for dataset in datasets for rank in range(4)]
    expected = [rank_of(*job) for job in jobs]  # everything is open before the workers start
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.starmap(rank_of, jobs) == expected


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_an_iteration_that_a_fork_cuts_in_two_goes_on_in_both(datasets):
    loader = bloomdata.DataLoader(datasets[0], batch_size=4, num_threads=2)
    batches = iter(loader)
    next(batches)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=lambda: queue.put([batch["input_ids"][:, 0].tolist() for batch in batches]))
    child.start()
    rest = [batch["input_ids"][:, 0].tolist() for batch in batches]
    assert queue.get(timeout=60) == rest
    child.join()
    assert len(rest) == 14


def test_a_loader_can_be_pickled_and_goes_on(datasets):
    loader = bloomdata.DataLoader(datasets[0], batch_size=4)
    batches = iter(loader)
    next(batches)
    copied = pickle.loads(pickle.dumps(loader))
    assert copied.consumed_samples == 4
    assert [b["input_ids"].tolist() for b in copied] == [b["input_ids"].tolist() for b in batches]


class Endless:
    """As many samples as anyone could want."""

    fingerprint = "endless"

    def __len__(self):
        return 10**15

    def read_batch(self, indices):
        return {"input_ids": indices[:, None]}


@pytest.mark.parametrize("place", [0, 10**9, 10**17])
def test_opening_and_seeking_need_no_memory_that_grows_with_the_place(place):
    bloomdata.DataLoader(Endless(), batch_size=8).batch(0)  # all modules are loaded
    tracemalloc.start()
    loader = bloomdata.DataLoader(Endless(), batch_size=8, epochs=None)
    state = {**loader.state_dict(), "consumed_samples": place}
    loader.load_state_dict(state)
    batches = iter(loader)
    assert len(next(batches)["input_ids"]) == 8
    batches.close()
    blend = bloomdata.BlendedDataset([(Endless(), 1), (Endless(), 2)], num_samples=10**18, on_exhausted="repeat")
    blend.read_batch([place])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def reads_many(dataset, _):
    """Growth of the process in MB over many rows, after the first thousands."""
    unit = 1 if sys.platform == "darwin" else 1024
    for warm in (True, False):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        loader = bloomdata.DataLoader(dataset, batch_size=32, epochs=500 if warm else 2_000, num_threads=2)
        rows = sum(len(batch["input_ids"]) for batch in loader)
    assert rows == 2_000 * ROWS
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - before) / 1e6


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_memory_of_forked_workers_does_not_grow_with_the_rows_that_they_read(datasets):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        growth = pool.starmap(reads_many, [(datasets[0], number) for number in range(2)])
    assert max(growth) < 2, growth


def test_importing_a_loader_needs_no_torch():
    import subprocess

    code = "import bloomdata, sys; bloomdata.DataLoader; assert not {'torch', 'h5py', 'datasets'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert np.__name__ == "numpy"
