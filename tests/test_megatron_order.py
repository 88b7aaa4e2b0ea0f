"""Random numbers, splits, indices and blends: those of the slow reference, and of the golden vectors."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bloomdata
from bloomdata import _core
from bloomdata.datasets.megatron_blend import plan_megatron_blend
from reference import megatron_order as reference
from token_pairs import write_pair

GOLDEN = tomllib.loads((Path(__file__).parent / "golden" / "megatron_order.toml").read_text("utf-8"))
SPLITS = ("train", "valid", "test")


@pytest.mark.parametrize("vector", GOLDEN["shuffle"], ids=lambda vector: vector["seed"])
def test_shuffles_are_the_golden_ones(vector):
    first, then = np.arange(len(vector["first"])), np.arange(len(vector["then"]))
    _core.legacy_shuffle(vector["seed"], [first, then])
    assert (first.tolist(), then.tolist()) == (vector["first"], vector["then"])


@pytest.mark.parametrize("vector", GOLDEN["interval"], ids=lambda vector: vector["highest"])
def test_numbers_below_a_bound_are_the_golden_ones_beyond_32_bits_too(vector):
    assert _core.legacy_intervals(vector["seed"], vector["highest"], len(vector["values"])) == vector["values"]


@given(st.integers(0, 2**32 - 1), st.integers(0, 3000), st.integers(0, 3000))
def test_shuffles_are_those_of_numpy(seed, first_size, then_size):
    random = np.random.RandomState(seed)
    ours, numpys = ([np.arange(size) for size in (first_size, then_size)] for _ in range(2))
    for array in numpys:
        random.shuffle(array)
    _core.legacy_shuffle(seed, ours)
    for found, expected in zip(ours, numpys, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_long_shuffle_is_that_of_numpy():
    ours, numpys = np.arange(1_000_000), np.arange(1_000_000)
    np.random.RandomState(9).shuffle(numpys)
    _core.legacy_shuffle(9, [ours])
    np.testing.assert_array_equal(ours, numpys)


def test_only_arrays_that_can_be_filled_are_filled():
    for array in (np.arange(9)[::2], np.arange(9, dtype="i4"), np.frombuffer(bytes(16), "i8")):
        with pytest.raises((ValueError, TypeError, BufferError)):
            _core.legacy_shuffle(0, [array])


@pytest.mark.parametrize("vector", GOLDEN["split"], ids=lambda vector: f"{vector['text']} of {vector['size']}")
def test_splits_are_the_golden_ones(vector):
    bounds = [tuple(bound) for bound in vector["bounds"]]
    assert _core.split_ranges(vector["text"], vector["size"], False) == bounds
    assert reference.split_bounds(vector["text"], vector["size"]) == bounds


shares = st.lists(st.sampled_from(["0", "1", "0.5", ".25", "969", "30", "3", "7"]), min_size=1, max_size=3)


@given(shares.filter(lambda parts: any(float(part) for part in parts)), st.integers(0, 10**7), st.sampled_from(",/"))
def test_splits_are_those_of_the_reference(parts, size, separator):
    text = separator.join(parts)
    assert _core.split_ranges(text, size, False) == reference.split_bounds(text, size)
    assert _core.split_ranges(text, size, True) == reference.legacy_split_bounds(text, size)


@pytest.mark.parametrize("text", ["", "a", "0", "1,2,3,4", "1.2.3"])
def test_a_split_without_shares_is_refused(text):
    with pytest.raises(bloomdata.ConfigError, match="split: "):
        _core.split_matrix(text)


sequences = st.lists(st.lists(st.integers(0, 9), max_size=12), min_size=1, max_size=30).filter(any)


@given(
    sequences,
    st.integers(1, 15),
    st.one_of(st.none(), st.integers(0, 120)),
    st.integers(0, 2**32 - 1),
    st.booleans(),
    st.sampled_from([0.8, 0.95]),
    st.sampled_from([None, "1,1", "3,1,1"]),
    st.sampled_from(SPLITS),
)
def test_indices_and_samples_are_those_of_the_reference(
    tmp_path_factory, documents, length, wanted, seed, extra, threshold, split, name
):
    pair = write_pair(tmp_path_factory.mktemp("pair") / "data", documents)
    options = {"sequence_length": length, "num_samples": wanted, "seed": seed, "split": split, "split_name": name}
    options |= {"add_extra_token": extra, "separate_threshold": threshold, "eod_token_id": 3}
    options |= {"eod_mask_loss": True, "reset_position_ids": True, "drop_last_partial_validation_sequence": False}
    first, last = reference.split_bounds(split, len(documents))[SPLITS.index(name)] if split else (0, len(documents))
    tokens = sum(map(len, documents[first:last]))
    if not tokens:
        with pytest.raises(bloomdata.ConfigError, match="have no tokens"):
            bloomdata.GPTDataset(pair, **options)
        return
    order = reference.indices(
        [len(document) for document in documents],
        range(first, last),
        length,
        wanted,
        seed,
        extra=int(extra),
        threshold=threshold,
        drop_last=name != "valid",
    )
    for threads in (1, 3):
        dataset = bloomdata.GPTDataset(pair, num_threads=threads, **options)
        found = (dataset.document_index, dataset.sample_index, dataset.shuffle_index)
        for ours, expected in zip(found, order, strict=True):
            np.testing.assert_array_equal(ours, expected)
            assert ours.dtype == expected.dtype
    assert len(dataset) == len(order[2])
    assert wanted is None or len(dataset) >= wanted
    batch = dataset.read_batch(np.arange(len(dataset)))
    for number in range(len(dataset)):
        text = reference.text_of(number, documents, order, length, extra=int(extra))
        expected = reference.columns_of(text, length, extra=int(extra), eod=3, eod_mask_loss=True, reset=True)
        names = ("input_ids", "labels", "loss_weights", "position_ids")
        assert [batch[name][number].tolist() for name in names] == list(expected)
        one = dataset[number]
        assert all((one[name] == batch[name][number]).all() for name in names)


@given(st.lists(st.floats(1e-4, 1), min_size=1, max_size=40), st.integers(0, 300))
def test_blends_by_weight_are_those_of_the_reference(weights, size):
    weights = (np.array(weights) / np.sum(weights)).tolist()
    datasets, samples = np.empty(size, np.int16), np.empty(size, np.int64)
    taken = _core.megatron_blend(weights, datasets, samples)
    assert list(zip(datasets.tolist(), samples.tolist(), strict=True)) == reference.blend(weights, size)
    assert taken == np.bincount(datasets, minlength=len(weights)).tolist()


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_exhaustive_blends_are_those_of_the_reference(sizes):
    datasets, samples = np.empty(sum(sizes), np.int16), np.empty(sum(sizes), np.int64)
    assert _core.megatron_blend_exhaustively(sizes, datasets, samples) == sizes
    assert list(zip(datasets.tolist(), samples.tolist(), strict=True)) == reference.blend_exhaustively(sizes)


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=50), st.integers(0, 10**9))
def test_a_plan_asks_for_enough_of_every_data_set(weights, num_samples):
    plan = plan_megatron_blend(weights, num_samples)
    assert num_samples <= plan.size <= num_samples + len(weights)
    assert all(request >= target for request, target in zip(plan.requests, plan.targets, strict=True))


def test_counts_stay_within_one_of_the_shares_for_extreme_weights():
    weights = [1e-3, 0.999]
    datasets, samples = np.empty(100_000, np.int16), np.empty(100_000, np.int64)
    _core.megatron_blend(weights, datasets, samples)
    behind = np.cumsum(datasets == 0) - 1e-3 * np.arange(1, 100_001)
    assert np.abs(behind).max() <= 1
