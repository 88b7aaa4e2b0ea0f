"""`BlendedDataset`: exact shares at every block, ends that are planned, and the lines of other tools."""

import pickle
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bloomdata
from bloomdata import _core
from bloomdata.datasets.blend_weights import parse_blend, whole_weights
from bloomdata.errors import ConfigError
from reference.order import BLEND_STREAM, BLOCK, permuted, shares
from sample_files import LENGTH, numbered

GOLDEN = tomllib.loads((Path(__file__).parent / "golden" / "order.toml").read_text())


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    return [numbered(folder / f"{n}.hdf5", rows, 1_000 * n) for n, rows in enumerate((10, 25, 40))]


def mixture(weights, lengths, num_samples, seed=0, shuffles=True):
    return _core.Mixture(weights, lengths, num_samples, seed, shuffles)


def locate(mix, positions):
    return np.frombuffer(mix.locate(np.asarray(positions, np.int64)), "<i8").reshape(-1, 3)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=200).filter(any), st.integers(0, 2**20))
def test_shares_after_whole_blocks_are_what_fractions_say(weights, blocks):
    mix = mixture(weights, [5] * len(weights), 1 << 60)
    num_samples = blocks * mix.block_samples
    counts = mix.counts(num_samples)
    assert counts == shares(weights, num_samples)
    assert all(
        abs(count * sum(weights) - weight * num_samples) < sum(weights)
        for count, weight in zip(counts, weights, strict=True)
    )
    more = mix.counts(num_samples + mix.block_samples)
    assert all(later >= count for later, count in zip(more, counts, strict=True))


@given(st.lists(st.integers(0, 1_000), min_size=1, max_size=30).filter(any), st.integers(0, 200_000))
def test_shares_of_any_length_add_up_and_are_near_the_target(weights, num_samples):
    counts = mixture(weights, [5] * len(weights), num_samples).counts(num_samples)
    assert sum(counts) == num_samples
    for count, weight in zip(counts, weights, strict=True):
        assert abs(count - weight * num_samples / sum(weights)) < 2
        assert weight or not count


@pytest.mark.parametrize("weights", [[1.0], [0.001, 0.999], [1e-6, 1.0, 3.0], [0.5] * 200])
def test_places_are_other_samples_until_a_source_is_used_up_and_have_the_planned_shares(weights):
    whole = whole_weights(weights)
    lengths = [10_000_000] * len(weights)
    num_samples = 2 * BLOCK + 1_000
    mix = mixture(whole, lengths, num_samples, seed=3)
    places = locate(mix, np.arange(num_samples))
    assert len(np.unique(places[:, [0, 2]], axis=0)) == num_samples
    assert not places[:, 1].any()
    counts = np.bincount(places[:, 0], minlength=len(weights))
    assert counts.tolist() == mix.counts(num_samples)
    if mix.block_samples == BLOCK:
        for end in (BLOCK, 2 * BLOCK):
            assert np.bincount(places[:end, 0], minlength=len(weights)).tolist() == shares(whole, end)


def test_a_place_is_what_the_description_says():
    weights, lengths, num_samples = [3, 1], [30_000, 7], 100_000
    mix = mixture(weights, lengths, num_samples, seed=9)
    places = locate(mix, [0, 5, 65_535, 65_536, 99_999])
    for position, place in zip([0, 5, 65_535, 65_536, 99_999], places.tolist(), strict=True):
        block, at = divmod(position, BLOCK)
        before, after = mix.counts(block * BLOCK), mix.counts(min(num_samples, (block + 1) * BLOCK))
        slot = permuted(sum(after) - sum(before), at, 9, 0, block, BLEND_STREAM)
        source = int(slot >= after[0] - before[0])
        drawn = before[source] + slot - source * (after[0] - before[0])
        epoch, row = divmod(drawn, lengths[source])
        assert place == [source, epoch, permuted(lengths[source], row, 9, source, epoch)]


def test_every_epoch_of_a_source_has_each_of_its_rows_once(sources):
    blend = bloomdata.BlendedDataset([(sources[0], 3), (sources[1], 2)], by="epochs")
    places = blend.locate(np.arange(len(blend)))
    assert len(blend) == 80
    for source, epochs, rows in ((0, 3, 10), (1, 2, 25)):
        mine = places[places[:, 0] == source]
        for epoch in range(epochs):
            assert sorted(mine[mine[:, 1] == epoch, 2]) == list(range(rows))


def test_stop_first_never_repeats_and_ends_with_the_first_source_that_is_used_up(sources):
    blend = bloomdata.BlendedDataset({sources[0]: 0.5, sources[1]: 0.25, sources[2]: 0.25})
    assert len(blend) == 20
    assert [source.samples for source in blend.plan().sources] == [10, 5, 5]
    assert not blend.locate(np.arange(20))[:, 1].any()


def test_stop_all_has_every_row_of_every_source(sources):
    blend = bloomdata.BlendedDataset([(source, 1.0) for source in sources], on_exhausted="stop_all")
    assert len(blend) == 120
    places = blend.locate(np.arange(120))
    for number, source in enumerate(sources):
        assert set(places[places[:, 0] == number, 2]) == set(range(len(source)))


def test_a_source_that_is_too_short_is_an_error_when_planned(sources):
    pairs = [(sources[0], 0.001), (sources[1], 0.999)]
    with pytest.raises(ConfigError, match=r"source 1 has 25 samples, 100 are needed \(4.00 epochs\)"):
        bloomdata.BlendedDataset(pairs, num_samples=100, on_exhausted="error")
    assert len(bloomdata.BlendedDataset(pairs, num_samples=100, on_exhausted="repeat")) == 100
    assert len(bloomdata.BlendedDataset(pairs, num_samples=20, on_exhausted="error")) == 20


def test_weights_by_tokens_count_what_is_not_padding(tmp_path):
    class Counted:
        def __init__(self, rows, tokens):
            self.rows, self.num_tokens, self.fingerprint = rows, tokens, str(tokens)

        def __len__(self):
            return self.rows

        def read_batch(self, indices):
            return {"input_ids": np.zeros((len(indices), 4))}

    blend = bloomdata.BlendedDataset([(Counted(1_000, 4_000), 1), (Counted(1_000, 1_000), 1)], by="tokens")
    plan = blend.plan()
    assert [source.samples for source in plan.sources] == [250, 1_000]
    assert [source.tokens for source in plan.sources] == [1_000, 1_000]


def test_batches_have_the_rows_of_their_sources(sources):
    blend = bloomdata.BlendedDataset(list(zip(sources, (1, 2, 3), strict=True)), num_samples=300, on_exhausted="repeat")
    positions = np.random.default_rng(0).permutation(300)[:64]
    batch, places = blend.read_batch(positions), blend.locate(positions)
    assert batch["source"].tolist() == places[:, 0].tolist()
    assert batch["input_ids"][:, 3].tolist() == (1_000 * places[:, 0] + places[:, 2]).tolist()
    assert batch["cu_seqlens"].tolist() == list(range(0, 65 * LENGTH, LENGTH))
    assert blend[5]["input_ids"].tolist() == blend.read_batch([5])["input_ids"][0].tolist()
    assert blend.read_batch([])["input_ids"].shape == (0, LENGTH)


def test_a_blend_of_blends_and_a_pickled_blend_read_the_same(sources):
    inner = bloomdata.BlendedDataset([(sources[0], 1), (sources[1], 1)])
    outer = bloomdata.BlendedDataset([(inner, 1), (sources[2], 1)], seed=4)
    copied = pickle.loads(pickle.dumps(outer))
    assert copied.fingerprint == outer.fingerprint
    everything = np.arange(len(outer))
    assert (copied.read_batch(everything)["input_ids"] == outer.read_batch(everything)["input_ids"]).all()


def test_fingerprints_change_with_whatever_changes_samples(sources):
    pairs = [(sources[0], 0.5), (sources[1], 0.5)]
    base = {"num_samples": 10}
    blends = [base, {**base, "seed": 1}, {**base, "shuffle": False}, {"num_samples": 11}]
    prints = [bloomdata.BlendedDataset(pairs, **options).fingerprint for options in blends]
    prints.append(bloomdata.BlendedDataset([(sources[0], 0.6), (sources[1], 0.4)], **base).fingerprint)
    prints.append(bloomdata.BlendedDataset([(sources[0], 0.5), (sources[2], 0.5)], **base).fingerprint)
    assert len(set(prints)) == len(prints)


def test_megatrons_order_is_taken_as_arrays(sources):
    indices = (np.array([1, 0, 1], np.int16), np.array([24, 3, 0]))
    blend = bloomdata.BlendedDataset([(s, 1) for s in sources], order="megatron", indices=indices)
    assert blend.read_batch([0, 1, 2])["input_ids"][:, 0].tolist() == [1_024, 3, 1_000]
    assert [source.samples for source in blend.plan().sources] == [1, 2, 0]
    copied = pickle.loads(pickle.dumps(blend))
    assert copied.locate([0]).tolist() == [[1, 0, 24]]
    with pytest.raises(ConfigError, match="expected below 10 for source 0, got 10"):
        bloomdata.BlendedDataset([(sources[0], 1)], order="megatron", indices=([0], [10]))
    with pytest.raises(IndexError):
        bloomdata.BlendedDataset([(sources[0], 1)], order="megatron", indices=([1], [0]))


def test_the_lines_of_other_tools_are_read():
    assert parse_blend("a:0.2,b:0.3") == [("a", 0.2), ("b", 0.3)]
    assert parse_blend("a") == [("a", 1.0)]
    assert parse_blend("a, b:2") == [("a", 1.0), ("b", 2.0)]
    assert parse_blend("0.2 a 3e-1 b/c") == [("a", 0.2), ("b/c", 0.3)]
    assert parse_blend("http://host:8080/a.hdf5:0.5,https://h/b") == [
        ("http://host:8080/a.hdf5", 0.5),
        ("https://h/b", 1.0),
    ]
    assert parse_blend("http://host:8080/a.hdf5") == [("http://host:8080/a.hdf5", 1.0)]
    assert parse_blend("C:\\data\\x:0.5,D:/y") == [("C:\\data\\x", 0.5), ("D:/y", 1.0)]


@pytest.mark.parametrize("line", ["", "  ", "a:0", "a:-1", "a:nan", "a:inf", "a,,b", "1 a 2", "x a", "0 a", "http:5"])
def test_a_line_that_says_nothing_clear_is_refused(line):
    with pytest.raises(ConfigError, match="blend"):
        parse_blend(line)


def test_paths_are_opened_and_named_in_the_plan(raw):
    for name in ("one", "two"):
        bloomdata.pack("raw", name, tokenizer="bytes", sequence_length=8)
    blend = bloomdata.BlendedDataset("one:0.5,two:0.5")
    text = str(blend.plan())
    assert "one" in text
    assert "50.0000%" in text
    bloomdata.pack("raw", "documents", tokenizer="bytes", format="megatron")
    with pytest.raises(ConfigError, match="expected samples, got documents"):
        bloomdata.BlendedDataset("documents")


@pytest.mark.parametrize(
    ("weights", "options"),
    [
        ([0, 0], {}), ([-1, 1], {}), ([float("nan"), 1], {}), ([float("inf"), 1], {}), ([1e-40, 1], {}), (["a", 1], {}),
        ([1e-14, 1], {}), ([1, 1], {"by": "bytes"}), ([1, 1], {"on_exhausted": "stop"}), ([1, 1], {"num_samples": -1}),
        ([1, 1], {"by": "epochs", "num_samples": 5}), ([1, 1], {"order": "megatron"}), ([1, 1], {"order": "x"}),
    ],
)  # fmt: skip
def test_options_that_cannot_work_are_refused(sources, weights, options):
    with pytest.raises(ConfigError):
        bloomdata.BlendedDataset(list(zip(sources[:2], weights, strict=True)), **options)


def test_rows_of_different_lengths_are_refused(sources, tmp_path):
    with pytest.raises(ConfigError, match="rows of one length"):
        bloomdata.BlendedDataset([(sources[0], 1), (numbered(tmp_path / "x.hdf5", 5, length=8), 1)])


def test_the_order_of_blends_never_changes():
    for vector in GOLDEN["mixture"]:
        mix = mixture(vector["weights"], vector["lengths"], vector["num_samples"], vector["seed"])
        assert locate(mix, vector["positions"]).tolist() == vector["places"]
        assert mix.counts(vector["num_samples"]) == vector["counts"]
