"""`DataLoader` in the orders of Megatron's samplers: every micro-batch of every rank, from any sample on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata.errors import ConfigError, MismatchError
from reference import samplers

pytestmark = pytest.mark.train


class Numbers:
    """Samples that are their own numbers."""

    fingerprint = "numbers"
    is_shuffled = True

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def read_batch(self, indices):
        return {"input_ids": np.asarray(indices)[:, None], "labels": np.asarray(indices)[:, None].copy()}


runs = st.fixed_dictionaries(
    {
        "num_samples": st.integers(1, 90),
        "micro_batch": st.integers(1, 5),
        "num_ranks": st.integers(1, 4),
        "accumulated": st.integers(1, 3),
        "steps_before": st.integers(0, 3),
        "kind": st.sampled_from(["sequential", "sharded", "dealt"]),
    }
)


def loader_of(run, rank, epochs=None, **others):
    block = run["micro_batch"] * run["num_ranks"]
    shuffle = {"shuffle": False} if run["kind"] == "sequential" else {"shuffle": "cyclic"}
    return bloomdata.DataLoader(
        Numbers(run["num_samples"]),
        batch_size=block * run["accumulated"],
        micro_batch_size=run["micro_batch"],
        rank=rank,
        world_size=run["num_ranks"],
        epochs=epochs,
        data_sharding=run["kind"] == "sharded",
        num_threads=0,
        **shuffle | others,
    )


def expected(run, rank, consumed, micro_batches):
    """Micro-batches of a rank from `consumed` samples on; a cyclic order goes on into further epochs."""
    numbers = (run["micro_batch"], rank, run["num_ranks"])
    if run["kind"] == "sequential":
        return samplers.sequential(run["num_samples"], consumed, *numbers)[:micro_batches]
    found = []
    while len(found) < micro_batches:
        is_sharded = run["kind"] == "sharded"
        part = samplers.cyclic(run["num_samples"], consumed, *numbers, sharded=is_sharded)
        found += part
        consumed += len(part) * run["micro_batch"] * run["num_ranks"]
    return found[:micro_batches]


@settings(deadline=None, max_examples=150)
@given(run=runs)
def test_every_rank_gets_what_megatrons_sampler_gives_it(run):
    block = run["micro_batch"] * run["num_ranks"]
    step = block * run["accumulated"]
    if run["kind"] != "sequential" and run["num_samples"] < block:
        with pytest.raises(ConfigError, match="micro-batch"):
            loader_of(run, 0)
        return
    consumed, steps = run["steps_before"] * step, 4
    if run["kind"] == "sequential":
        steps = max(0, (run["num_samples"] - consumed) // step)
        if not steps:
            return
    for rank in range(run["num_ranks"]):
        loader = loader_of(run, rank, epochs=1 if run["kind"] == "sequential" else None)
        loader.load_state_dict(loader.state_dict() | {"consumed_samples": consumed})
        batches = iter(loader)
        found = [next(batches)["input_ids"][:, 0].reshape(-1, run["micro_batch"]).tolist() for _ in range(steps)]
        micro_batches = [batch for parts in found for batch in parts]
        assert micro_batches == expected(run, rank, consumed, steps * run["accumulated"])
        assert loader.consumed_samples == consumed + steps * step
        first = expected(run, rank, 0, run["accumulated"])
        assert loader.sample_ids(0).tolist() == [sample for batch in first for sample in batch]


def test_a_cyclic_epoch_has_every_sample_once_but_those_that_fill_no_block():
    run = {"num_samples": 29, "micro_batch": 3, "num_ranks": 2, "accumulated": 1}
    for kind, samples in [("sharded", range(24)), ("dealt", range(27))]:
        ranks = [loader_of(run | {"kind": kind}, rank, epochs=2) for rank in range(2)]
        read = [[sample for batch in loader for sample in batch["input_ids"][:, 0].tolist()] for loader in ranks]
        assert [len(part) for part in read] == [24, 24]
        for epoch in (slice(0, 12), slice(12, 24)):
            seen = sorted(read[0][epoch] + read[1][epoch])
            assert len(set(seen)) == 24
            assert set(seen) <= set(samples)


def test_a_state_of_a_cyclic_order_fits_the_same_ranks_and_micro_batches_only():
    run = {"num_samples": 40, "micro_batch": 2, "num_ranks": 2, "accumulated": 2, "kind": "sharded"}
    loader = loader_of(run, 0)
    next(iter(loader))
    state = loader.state_dict()
    assert state["consumed_samples"] == 8
    loader_of(run | {"accumulated": 1}, 1).load_state_dict(state)
    for other in ({"micro_batch": 4}, {"num_ranks": 1}, {"kind": "dealt"}, {"kind": "sequential"}):
        with pytest.raises(MismatchError, match="shuffle of the state"):
            loader_of(run | other, 0).load_state_dict(state)


def test_places_can_be_skipped_in_a_cyclic_order():
    run = {"num_samples": 40, "micro_batch": 2, "num_ranks": 1, "accumulated": 1, "kind": "dealt"}
    whole = [batch["input_ids"][:, 0].tolist() for batch in loader_of(run, 0, epochs=1)]
    left = [batch["input_ids"][:, 0].tolist() for batch in loader_of(run, 0, epochs=1, skip=[(4, 10)])]
    assert left == whole[:2] + whole[5:]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"shuffle": "random"}, "shuffle: expected True, False or 'cyclic'"),
        ({"shuffle": "cyclic", "seed": 1}, "seed: expected 0"),
        ({"micro_batch_size": 0}, "micro_batch_size: expected 1 or more"),
        ({"micro_batch_size": 3}, "batch_size: expected a multiple of world_size 2 times micro_batch_size 3, got 4"),
    ],
)
def test_options_that_do_not_go_together_are_named(options, named):
    with pytest.raises(ConfigError, match=named):
        bloomdata.DataLoader(Numbers(40), batch_size=4, rank=0, world_size=2, **options)
