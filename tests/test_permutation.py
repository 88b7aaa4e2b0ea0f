"""`Permutation`: a bijection with its inverse, for ever the same, even, and in constant memory."""

import pickle
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bloomdata
from bloomdata.errors import ConfigError
from reference.order import permuted

GOLDEN = tomllib.loads((Path(__file__).parent / "golden" / "order.toml").read_text())
SEEDS = st.integers(0, 2**64 - 1)


def test_orders_never_change():
    for vector in GOLDEN["permutation"]:
        order = bloomdata.Permutation(vector["n"], vector["seed"], source=vector["source"], epoch=vector["epoch"])
        assert order[np.array(vector["places"])].tolist() == vector["numbers"]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 255, 256, 257, 4_097, 5_000])
def test_an_order_is_what_the_slow_one_says(n):
    order = bloomdata.Permutation(n, 11, source=2, epoch=3)
    assert order[:].tolist() == [permuted(n, at, 11, 2, 3) for at in range(n)]
    assert sorted(order[:].tolist()) == list(range(n))


@given(st.integers(1, 10**12), SEEDS, st.integers(0, 2**32), st.data())
def test_any_place_of_a_large_order_inverts(n, seed, epoch, data):
    order = bloomdata.Permutation(n, seed, epoch=epoch)
    place = data.draw(st.integers(0, n - 1))
    assert order[place] == permuted(n, place, seed, 0, epoch)
    assert order.inverse(order[place]) == place
    assert order[order.inverse(place)] == place


def test_slices_and_arrays_are_what_single_places_are():
    order = bloomdata.Permutation(1_000, 5)
    alone = [order[at] for at in range(1_000)]
    for part in (slice(None), slice(10, 20), slice(900, None, 7), slice(None, None, -1), slice(20, 3, -4), slice(5, 5)):
        assert order[part].tolist() == alone[part]
        assert order[part].dtype == np.int64
    assert order[np.array([[3, 1], [999, 3]])].tolist() == [[alone[3], alone[1]], [alone[999], alone[3]]]
    assert order[-1] == alone[-1]
    assert order.inverse(order[:]).tolist() == list(range(1_000))
    assert pickle.loads(pickle.dumps(order))[:].tolist() == alone


def test_neighbours_are_as_far_apart_as_by_chance():
    n = 1 << 20
    order = bloomdata.Permutation(n, 1)[:]
    distance = np.abs(np.diff(order))
    # Of two numbers drawn at random the distance d has density 2 (n - d) / n^2: 64 classes of equal probability.
    edges = n * (1 - np.sqrt(1 - np.arange(65) / 64))
    counts, _ = np.histogram(distance, edges)
    expected = len(distance) / 64
    chi = ((counts - expected) ** 2 / expected).sum()
    assert chi < 63 + 6 * np.sqrt(2 * 63), chi


def test_each_part_of_an_order_has_numbers_from_everywhere():
    order = bloomdata.Permutation(100_000, 9)[:]
    counts = np.histogram2d(np.arange(100_000) // 10_000, order // 10_000, bins=10)[0]
    chi = ((counts - 1_000) ** 2 / 1_000).sum()
    assert 81 - 6 * np.sqrt(2 * 81) < chi < 81 + 6 * np.sqrt(2 * 81), chi


def test_what_is_not_there_is_refused():
    order = bloomdata.Permutation(10)
    for call in (lambda: order[10], lambda: order[-11], lambda: order[np.array([0, 10])], lambda: order.inverse(10)):
        with pytest.raises(IndexError):
            call()
    with pytest.raises(IndexError):
        order.inverse(-1)
    with pytest.raises(ConfigError, match="whole numbers"):
        order[np.array([0.5])]
    with pytest.raises(ConfigError, match="2\\^63"):
        bloomdata.Permutation(2**63)
    with pytest.raises(OverflowError):
        bloomdata.Permutation(-1)
    assert bloomdata.Permutation(0)[:].tolist() == []
    with pytest.raises(IndexError):
        bloomdata.Permutation(0)[0]
