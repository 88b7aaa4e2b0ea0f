"""`MegatronBlend`: samples of several data sets; one that would run out is refused when it is made."""

import numpy as np
import pytest

from bloomdata import ConfigError, GPTDataset, MegatronBlend
from token_pairs import documents_of, write_pair


@pytest.fixture
def three(tmp_path):
    return [write_pair(tmp_path / f"source-{seed}", documents_of(seed)) for seed in range(3)]


def test_a_blend_gives_the_samples_of_its_sources(three):
    blend = MegatronBlend.build(three, [0.7, 0.2, 0.1], num_samples=100, sequence_length=8, reset_attention_mask=True)
    order = np.random.default_rng(0).permutation(len(blend))
    batch = blend.read_batch(order)
    starts = np.split(batch["cu_seqlens"], np.searchsorted(batch["cu_seqlens"], np.arange(1, len(order)) * 8))
    for row, index in enumerate(order.tolist()):
        source, sample = int(blend.dataset_index[index]), int(blend.dataset_sample_index[index])
        expected = blend.datasets[source][sample]
        for name in ("input_ids", "labels", "loss_weights", "position_ids"):
            np.testing.assert_array_equal(batch[name][row], expected[name])
        assert [*(starts[row] - row * 8)][: len(expected["cu_seqlens"]) - 1] == expected["cu_seqlens"][:-1].tolist()
        np.testing.assert_array_equal(blend[index]["input_ids"], expected["input_ids"])
    assert blend.read_batch([])["input_ids"].shape == (0, 8)
    assert sum(blend.num_samples_per_dataset) == len(blend)


def test_a_blend_of_everything_has_every_sample_once(three):
    blend = MegatronBlend.build(three, sequence_length=8)
    assert len(blend) == sum(map(len, blend.datasets))
    pairs = set(zip(blend.dataset_index.tolist(), blend.dataset_sample_index.tolist(), strict=True))
    assert len(pairs) == len(blend)
    capped = MegatronBlend.build(three, num_samples=10**9, sequence_length=8)
    assert len(capped) == len(blend)
    assert capped.fingerprint != blend.fingerprint


def test_a_blend_that_would_run_out_is_refused_when_it_is_made(three):
    datasets = [GPTDataset(pair, sequence_length=8) for pair in three]
    with pytest.raises(ConfigError, match="of data set 0, which has"):
        MegatronBlend(datasets, [0.98, 0.01, 0.01], size=sum(map(len, datasets)))


@pytest.mark.parametrize("weights", [[1, 2], [1, 1, 0], [1, 1, -1], [1, 1, float("nan")], []])
def test_weights_that_are_none_are_refused(three, weights):
    with pytest.raises(ConfigError, match="weights"):
        MegatronBlend.build(three, weights, num_samples=10, sequence_length=8)


def test_weights_without_a_size_are_refused(three):
    with pytest.raises(ConfigError, match="num_samples"):
        MegatronBlend.build(three, [1, 1, 1], sequence_length=8)
