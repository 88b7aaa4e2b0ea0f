"""Prefix-LM and UL2R rows: the oracle's rows, nothing lost, the same row for the same seed and number."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bloomdata
from bloomdata.datasets.denoise import MODES, labels_of, mode_ids_of
from bloomdata.errors import ConfigError
from reference import denoise as oracle

EOS = 1000
SENTINELS = list(range(900, 980))
MODE_IDS = {"S2S": [1, 2], "NLG": [3], "NLU": [4, 5, 6]}
# No sentinel among them, so that the way back is clear.
rows = st.one_of(st.integers(1, 60), st.integers(1, 900)).flatmap(
    lambda size: st.integers(0, 2**32).map(lambda seed: np.random.default_rng(seed).integers(10, 900, size).tolist())
)
numbers = st.one_of(st.integers(0, 50), st.integers(0, 2**64 - 1))


def of_mode(mode, ids, **options):
    """The first row of a mode."""
    for index in range(1000):
        row = bloomdata.ul2r(ids, 0, index, mode_ids=MODE_IDS, eos_id=EOS, **options)
        if row.mode == mode:
            return row
    raise AssertionError(mode)


@given(st.lists(st.integers(0, 9), max_size=300), numbers, numbers)
def test_prefixes_equal_the_oracle(ids, seed, index):
    found, mask = bloomdata.prefix_lm(ids, seed, index)
    assert found.tolist() == ids
    assert mask.dtype == np.uint8
    assert mask.tolist() == oracle.prefix_mask(len(ids), seed, index)
    expected = [-100 if is_given else token for token, is_given in zip(ids, mask, strict=True)]
    assert labels_of(ids, mask).tolist() == expected
    assert not ids or not mask[-1]


def test_one_prefix_in_five_is_short_and_the_others_have_any_length():
    lengths = [int(bloomdata.prefix_lm(range(1000), 0, index)[1].sum()) for index in range(4000)]
    short = sum(length < 20 for length in lengths)
    assert 0.18 < short / 4000 < 0.25
    rest = sorted(length for length in lengths if length >= 20)
    assert 470 < rest[len(rest) // 2] < 550


@given(rows, numbers, numbers, st.one_of(st.none(), st.integers(1, 1200)), st.sampled_from([80, 3, 1]))
def test_rows_equal_the_oracle_and_give_their_ids_back(ids, seed, index, length, num_sentinels):
    sentinels = SENTINELS[:num_sentinels]
    size = len(ids) if length is None else length
    expected = oracle.ul2r(ids, seed, index, mode_ids=MODE_IDS, sentinels=sentinels, eos_id=EOS, length=size)
    options = {"mode_ids": MODE_IDS, "eos_id": EOS, "sequence_length": length, "sentinels": sentinels}
    if expected is None:
        with pytest.raises(ConfigError, match="expected space"):
            bloomdata.ul2r(ids, seed, index, **options)
        return
    row = bloomdata.ul2r(np.array(ids, np.uint32), seed, index, **options)
    found = (row.mode, row.input_ids.tolist(), row.prefix_mask.tolist(), row.labels.tolist(), row.num_tokens)
    assert found == expected
    assert row.input_ids.size == row.prefix_mask.size == row.labels.size == size
    assert row.input_ids.dtype == np.uint32
    front = MODE_IDS[row.mode]
    assert row.input_ids[: len(front)].tolist() == front
    again = oracle.restored(
        *(part.tolist() for part in (row.input_ids, row.prefix_mask, row.labels)), len(front), sentinels
    )
    assert again == ids[: row.num_tokens]


@given(rows, numbers, numbers)
def test_sentinels_come_in_order_and_stand_for_chunks_that_are_not_side_by_side(ids, seed, index):
    row = bloomdata.ul2r(ids, seed, index, mode_ids=MODE_IDS, eos_id=EOS, sequence_length=len(ids) + 200)
    given_ids = row.input_ids[row.prefix_mask == 1].tolist()
    asked = [label for label in row.labels.tolist() if label != -100]
    count = sum(token in SENTINELS for token in given_ids)
    assert count == {"S2S": 0, "NLG": 1}.get(row.mode, count)
    assert [token for token in given_ids if token in SENTINELS] == SENTINELS[:count]
    assert [token for token in asked if token in SENTINELS] == SENTINELS[:count]
    if row.mode == "NLU":
        assert all(not {one, two} <= set(SENTINELS) for one, two in pairwise(given_ids))
        starts = [at for at, token in enumerate(asked) if token in SENTINELS] + [len(asked)]
        assert all(2 <= stop - start <= 6 for start, stop in pairwise(starts))
    assert row.num_tokens == len(ids)


def test_modes_have_their_shares():
    rows = [bloomdata.ul2r(range(10, 60), 1, index, mode_ids=MODE_IDS, eos_id=EOS) for index in range(2000)]
    shares = {mode: sum(row.mode == mode for row in rows) / 2000 for mode in MODES}
    assert 0.45 < shares["S2S"] < 0.55
    assert 0.21 < shares["NLG"] < 0.29
    assert 0.21 < shares["NLU"] < 0.29


def test_a_long_row_takes_out_no_more_spans_than_there_are_sentinels():
    row = of_mode("NLU", np.arange(2000, 6000))
    assert np.count_nonzero(np.isin(row.input_ids, SENTINELS)) == 2 * 80
    assert row.input_ids.size == 4000
    assert row.num_tokens == 4000 - 3 - 2 * 80


def test_about_fifteen_percent_of_a_row_are_taken_out():
    row = of_mode("NLU", np.arange(2000, 3000), sequence_length=1200)
    taken = np.count_nonzero(row.labels != -100) - 50
    assert 0.1 < taken / 1000 < 0.2


def test_a_row_depends_on_its_number_and_the_seed_and_on_nothing_else():
    ids = np.arange(10, 300)
    before = ids.copy()

    def row(seed, index):
        return bloomdata.ul2r(ids, seed, index, mode_ids=MODE_IDS, eos_id=EOS).labels.tolist()

    ahead = [row(7, index) for index in range(20)]
    assert [row(7, index) for index in reversed(range(20))] == ahead[::-1]
    assert len({tuple(one) for one in ahead}) == 20
    assert row(8, 0) != ahead[0]
    assert np.array_equal(ids, before)


def test_a_row_is_what_it_was_in_the_first_version():
    row = bloomdata.ul2r(range(10, 30), 3, 5, mode_ids=MODE_IDS, eos_id=EOS)
    assert row.mode == "NLU"
    assert row.input_ids.tolist() == [4, 5, 6, 900, *range(12, 25), 900, 10, 11]
    assert row.prefix_mask.tolist() == [1] * 17 + [0] * 3


def test_the_ids_of_modes_come_from_the_tokenizer():
    ids = mode_ids_of(bloomdata.Tokenizer("bytes"))
    assert ids == {mode: list(f"[{mode}]".encode()) for mode in MODES}


@pytest.mark.parametrize(
    ("ids", "options"),
    [
        ([], {}),
        ([[1]], {}),
        ([1.5], {}),
        (np.array([1], np.uint8), {}),
        ([1, 2, 3], {"eos_id": 99}),
        ([1, 2, 3], {"sentinels": []}),
        ([1, 2, 3], {"sequence_length": 0}),
        ([1, 2, 3], {"seed": -1}),
        ([1, 2, 3], {"index": 1 << 64}),
    ],
    ids=str,
)
def test_what_cannot_be_made_a_row_is_refused(ids, options):
    with pytest.raises(ConfigError):
        bloomdata.ul2r(ids, **{"seed": 0, "index": 0, "mode_ids": MODE_IDS, "eos_id": EOS, **options})


def test_asking_for_the_package_still_loads_no_numpy():
    code = "import bloomdata, sys; print('numpy' in sys.modules, 'ul2r' in dir(bloomdata))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "True"]
