"""Megatron-core's `GPTDataset` and blends, and ours: the same indices, the same samples, the same files.

Run by `make test-peers`, which installs megatron-core 0.16.1.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import bloomdata
from bloomdata.datasets.megatron_cache import cache_prefix
from token_pairs import write_pair

pytestmark = pytest.mark.peers

SEEDS = [0, 1234, 2**32 - 1]
EOD = 7


class Tokenizer:
    """What Megatron-core asks of a tokenizer."""

    vocab_size = 1000
    eod = EOD
    eos = EOD

    @property
    def unique_identifiers(self):
        return {"class": "Tokenizer", "vocab": 1000}

    @property
    def pad(self):
        raise NotImplementedError


@pytest.fixture(scope="module")
def gpt() -> Any:
    """The module `megatron.core.datasets.gpt_dataset`."""
    with warnings.catch_warnings():
        # About optional packages for GPUs.
        warnings.simplefilter("ignore")
        pytest.importorskip("megatron.core")
        return pytest.importorskip("megatron.core.datasets.gpt_dataset")


@pytest.fixture(autouse=True)
def only_rank(gpt, monkeypatch):
    """Blends ask for the rank even where nothing is distributed."""
    import torch

    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 0)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 60, 400)
    return write_pair(tmp_path_factory.mktemp("pair") / "data", [rng.integers(0, 1000, n) for n in lengths], "<u2")


def build(gpt, prefixes, weights, sizes, cache, **options):
    """The three splits that Megatron-core makes."""
    from megatron.core.datasets.blended_megatron_dataset_builder import BlendedMegatronDatasetBuilder

    blend = ([str(prefix) for prefix in prefixes], weights)
    defaults = {"reset_position_ids": False, "reset_attention_mask": False, "eod_mask_loss": False}
    defaults |= {"random_seed": 1234, "sequence_length": 32, "split": "969,30,1", "create_attention_mask": False}
    config = gpt.GPTDatasetConfig(blend=blend, path_to_cache=str(cache), tokenizer=Tokenizer(), **(defaults | options))
    return BlendedMegatronDatasetBuilder(gpt.GPTDataset, sizes, lambda: True, config).build()


def check_equal(ours, theirs):
    """Indices with their types, and samples."""
    for name in ("document_index", "sample_index", "shuffle_index"):
        found, expected = getattr(ours, name), getattr(theirs, name)
        assert found.dtype == expected.dtype, name
        np.testing.assert_array_equal(found, expected, name)
    assert len(ours) == len(theirs)
    batch = ours.read_batch(np.arange(len(ours)))
    for index in range(len(theirs)):
        sample = theirs[index]
        np.testing.assert_array_equal(batch["input_ids"][index], sample["tokens"])
        np.testing.assert_array_equal(batch["labels"][index], sample["labels"])
        np.testing.assert_array_equal(batch["loss_weights"][index], sample["loss_mask"])
        np.testing.assert_array_equal(batch["position_ids"][index], sample["position_ids"])


@pytest.mark.parametrize("seed", SEEDS)
# One epoch, two with a separate last one, two without, three of each, and none asked for.
@pytest.mark.parametrize("epochs", [None, 0.5, 1.3, 1.9, 2.4, 2.95])
def test_every_index_and_sample_is_megatrons(gpt, pair, tmp_path, seed, epochs):
    per_epoch = len(bloomdata.GPTDataset(pair, sequence_length=32))
    wanted = None if epochs is None else int(epochs * per_epoch)
    theirs = build(gpt, [pair], None, [wanted, None, None], tmp_path, random_seed=seed)
    ours = bloomdata.GPTDataset(pair, sequence_length=32, seed=seed, num_samples=wanted)
    check_equal(ours, theirs[0])
    if epochs is not None:
        assert ours.num_epochs == int(np.ceil(epochs))
        assert (ours.num_samples_before_last_epoch is not None) == (epochs in {1.3, 2.4})


@pytest.mark.parametrize("split", ["969,30,1", "1,1,1", "100", "0.5/0.25/0.25", "0,1"])
def test_every_split_is_megatrons(gpt, pair, tmp_path, split):
    theirs = build(gpt, [pair], None, [None] * 3, tmp_path, split=split, sequence_length=5)
    for name, expected in zip(("train", "valid", "test"), theirs, strict=True):
        if expected is not None and len(expected.indices) and expected.dataset.sequence_lengths[expected.indices].sum():
            check_equal(bloomdata.GPTDataset(pair, sequence_length=5, split=split, split_name=name), expected)


@pytest.mark.parametrize("reset", [False, True])
def test_masks_and_positions_are_megatrons(gpt, pair, tmp_path, reset):
    options = {"eod_mask_loss": True, "reset_position_ids": reset}
    theirs = build(gpt, [pair], None, [50, None, None], tmp_path, **options)[0]
    check_equal(bloomdata.GPTDataset(pair, sequence_length=32, num_samples=50, eod_token_id=EOD, **options), theirs)


def test_attention_ends_where_megatrons_mask_ends(gpt, pair, tmp_path):
    options = {"create_attention_mask": True, "reset_attention_mask": True}
    theirs = build(gpt, [pair], None, [50, None, None], tmp_path, **options)[0]
    ours = bloomdata.GPTDataset(pair, sequence_length=32, num_samples=50, eod_token_id=EOD, reset_attention_mask=True)
    seen = set()
    for index in range(len(ours)):
        starts = ours[index]["cu_seqlens"]
        document = np.searchsorted(starts, np.arange(32), side="right")
        allowed = np.tril(document[:, None] == document[None, :])
        np.testing.assert_array_equal(~theirs[index]["attention_mask"][0].numpy(), allowed)
        seen.add(len(starts))
    assert len(seen) > 1


@pytest.mark.parametrize("extra", [True, False])
def test_a_padded_last_sample_is_megatrons(gpt, pair, tmp_path, extra):
    options = {"add_extra_token_to_sequence": extra, "drop_last_partial_validation_sequence": False}
    theirs = build(gpt, [pair], None, [None] * 3, tmp_path, split="50,50", **options)[1]
    ours = bloomdata.GPTDataset(
        pair,
        sequence_length=32,
        split="50,50",
        split_name="valid",
        add_extra_token=extra,
        drop_last_partial_validation_sequence=False,
    )
    check_equal(ours, theirs)
    assert (ours.read_batch(np.arange(len(ours)))["loss_weights"] == 0).any()


def test_megatron_loads_our_indices_and_we_load_its(gpt, pair, tmp_path, monkeypatch):
    ours = bloomdata.GPTDataset(pair, sequence_length=32, num_samples=700)
    saved = ours.save_indices(tmp_path / "ours", tokenizer=Tokenizer(), dataset_path=str(pair))
    theirs = build(gpt, [pair], None, [700, None, None], tmp_path / "theirs")[0]
    files = sorted(path.name for path in (tmp_path / "theirs").iterdir() if "train" in path.name)
    assert files == sorted(path.name for path in (tmp_path / "ours").iterdir())
    for name in files:
        assert (tmp_path / "ours" / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes(), name

    prefix = cache_prefix(tmp_path / "theirs", theirs.unique_description, "GPTDataset", "train")
    check_equal(bloomdata.GPTDataset(pair, sequence_length=32, num_samples=700, indices=prefix), theirs)

    # From here on, nothing can be built.
    monkeypatch.setattr(gpt, "_build_document_index", None)
    build(gpt, [pair], None, [700, None, None], tmp_path / "theirs")
    for path in (tmp_path / "theirs").iterdir():
        if "train" in path.name:
            path.unlink()
    for path in (tmp_path / "ours").iterdir():
        path.rename(tmp_path / "theirs" / path.name)
    check_equal(ours, build(gpt, [pair], None, [700, None, None], tmp_path / "theirs")[0])
    assert saved.name == prefix.name


WEIGHTS = {
    2: [1e-3, 0.999],
    5: [0.5, 1e-4, 0.3, 0.15, 0.05],
    200: np.geomspace(1e-4, 1, 200).tolist(),
}


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    rng = np.random.default_rng(1)
    folder = tmp_path_factory.mktemp("many")
    return [
        write_pair(folder / f"{number:03}", [rng.integers(0, 1000, n) for n in rng.integers(1, 30, 12)], "<u2")
        for number in range(200)
    ]


@pytest.mark.parametrize("count", WEIGHTS)
def test_blends_by_weight_are_megatrons(gpt, many, tmp_path, count):
    prefixes, weights = many[:count], WEIGHTS[count]
    options = {"split": "1", "sequence_length": 8}
    surplus = {"mid_level_dataset_surplus": 0.1} if count == 200 else {}
    theirs = build(gpt, prefixes, weights, [3000, 0, 0], tmp_path, **options, **surplus)[0]
    ours = bloomdata.MegatronBlend.build(
        prefixes, weights, num_samples=3000, surplus=surplus.get("mid_level_dataset_surplus", 0.005), **options
    )
    check_blend(ours, theirs, tmp_path)


def test_weights_whose_surplus_is_too_small_are_refused_by_both(gpt, many, tmp_path):
    with pytest.raises(IndexError, match="requests 64 samples from GPTDataset number 108 in excess of its size 63"):
        build(gpt, many, WEIGHTS[200], [3000, 0, 0], tmp_path, split="1", sequence_length=8)
    with pytest.raises(bloomdata.ConfigError, match="take 64 of data set 182, which has 63"):
        bloomdata.MegatronBlend.build(many, WEIGHTS[200], num_samples=3000, split="1", sequence_length=8)


@pytest.mark.parametrize("count", WEIGHTS)
@pytest.mark.parametrize("size", [None, 25, 10**6])
def test_blends_without_weights_are_megatrons(gpt, many, tmp_path, count, size):
    prefixes = many[:count]
    theirs = build(gpt, prefixes, None, [size, None, None], tmp_path, split="1", sequence_length=8)[0]
    ours = bloomdata.MegatronBlend.build(prefixes, num_samples=size, split="1", sequence_length=8)
    check_blend(ours, theirs, tmp_path)


def check_blend(ours, theirs, cache):
    for name in ("dataset_index", "dataset_sample_index"):
        found, expected = getattr(ours, name), getattr(theirs, name)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    batch = ours.read_batch(np.arange(min(len(ours), 300)))
    for index, tokens in enumerate(batch["input_ids"]):
        np.testing.assert_array_equal(tokens, theirs[index]["tokens"])
    saved = ours.save_indices(cache / "ours", tokenizer=Tokenizer())
    for path in (cache / "ours").iterdir():
        assert (cache / path.name).read_bytes() == path.read_bytes(), saved


def test_a_blend_that_megatron_refuses_is_refused(gpt, many, tmp_path):
    from megatron.core.datasets.blended_dataset import BlendedDataset

    datasets = build(gpt, many[:2], None, [None] * 3, tmp_path, split="1", sequence_length=8)[0].datasets
    with pytest.raises(IndexError, match="oversamples"):
        BlendedDataset(datasets, [0.5, 0.5], 500, datasets[0].config)
    ours = [bloomdata.GPTDataset(prefix, split="1", sequence_length=8) for prefix in many[:2]]
    with pytest.raises(bloomdata.ConfigError, match="take 250 of data set 0"):
        bloomdata.MegatronBlend(ours, [0.5, 0.5], size=500)
