"""Megatron-LM's own samplers, and the slow ones of `reference.samplers`: the same micro-batches.

They are not in the package megatron-core: needs a checkout of Megatron-LM on PYTHONPATH.
"""

from __future__ import annotations

import warnings
from itertools import islice
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reference import samplers

pytestmark = pytest.mark.peers


@pytest.fixture(scope="module")
def megatron() -> Any:
    """The module of the samplers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reason = "the samplers of Megatron-LM are in its repository only"
        return pytest.importorskip("megatron.training.datasets.data_samplers", reason=reason)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    num_samples=st.integers(1, 90),
    micro_batch=st.integers(1, 5),
    num_ranks=st.integers(1, 4),
    blocks=st.integers(0, 9),
    sharded=st.none() | st.booleans(),
)
def test_micro_batches_are_those_of_megatron(num_samples, micro_batch, num_ranks, blocks, sharded, megatron):
    """Sequential, cyclic with data sharding and without."""
    block, consumed = micro_batch * num_ranks, blocks * micro_batch * num_ranks
    if num_samples < block or (sharded is None and consumed >= num_samples):
        return
    for rank in range(num_ranks):
        places = {"data_parallel_rank": rank, "data_parallel_size": num_ranks}
        common = {"total_samples": num_samples, "consumed_samples": consumed, "micro_batch_size": micro_batch}
        if sharded is None:
            theirs = list(megatron.MegatronPretrainingSampler(**common, **places))
            ours = samplers.sequential(num_samples, consumed, micro_batch, rank, num_ranks)
        else:
            sampler = megatron.MegatronPretrainingRandomSampler(None, **common, **places, data_sharding=sharded)
            ours = samplers.cyclic(num_samples, consumed, micro_batch, rank, num_ranks, sharded=sharded)
            theirs = list(islice(sampler, len(ours)))
        assert theirs == ours
