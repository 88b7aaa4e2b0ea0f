"""`PackedMTFDataset`: samples of the slow reference, padded in batches, from parallel pairs that must agree."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata import ConfigError, MismatchError, PackedMTFDataset
from reference.megatron_order import legacy_split_bounds
from reference.packed_mtf import samples
from token_pairs import write_pair

FIELDS = ("input_ids", "attention_mask", "labels")


def instructions(rng, count, longest=12):
    found = []
    for size in rng.integers(1, longest, count).tolist():
        ids = rng.integers(3, 90, size)
        prompt = rng.integers(0, size + 1)
        mask = rng.integers(0, 2, size)
        labels = np.where(np.arange(size) < prompt, -100, ids)
        found.append({"input_ids": ids.tolist(), "attention_mask": mask.tolist(), "labels": labels.tolist()})
    return found


def write(folder, documents):
    for name in FIELDS:
        write_pair(folder / f"a_packed_{name}_document", [document[name] for document in documents])
    return folder / "a"


@settings(deadline=None, max_examples=60)
@given(
    count=st.integers(1, 30),
    num_samples=st.integers(0, 90),
    length=st.integers(1, 14),
    seed=st.sampled_from([0, 1234, 2**32 - 1]),
    keep_last_token=st.booleans(),
    split=st.sampled_from([None, "100", "969,30,1", "5/3/2"]),
    split_name=st.sampled_from(["train", "valid", "test"]),
)
def test_samples_are_those_of_the_reference(
    count, num_samples, length, seed, keep_last_token, split, split_name, tmp_path_factory
):
    documents = instructions(np.random.default_rng(count), count)
    prefix = write(tmp_path_factory.mktemp("mtf"), documents)
    options = {"sequence_length": length, "num_samples": num_samples, "seed": seed}
    first, last = (0, count) if split is None else legacy_split_bounds(split, count)[FIELDS_OF[split_name]]
    options |= {"keep_last_token": keep_last_token, "split": split, "split_name": split_name}
    if first == last:
        with pytest.raises(ConfigError, match=f"instructions for {split_name}"):
            PackedMTFDataset(prefix, **options)
        return
    dataset = PackedMTFDataset(prefix, pad_token_id=1, **options)
    expected = samples(documents[first:last], num_samples, length, seed, keep_last_token=keep_last_token)
    assert len(dataset) == len(expected) > num_samples
    found = [{name: values.tolist() for name, values in sample.items()} for sample in dataset]
    assert found == expected
    assert {values.dtype for values in dataset[-1].values()} == {np.dtype(np.int64)}
    check_batch(dataset.read_batch(np.arange(len(dataset))[::-1]), expected[::-1], length)


FIELDS_OF = {"train": 0, "valid": 1, "test": 2}


def check_batch(batch, expected, length):
    boundaries = []
    for row, sample in enumerate(expected):
        size = len(sample["labels"])
        for name, padding in (("input_ids", 1), ("attention_mask", 0), ("labels", -100)):
            assert batch[name][row].tolist() == sample[name] + [padding] * (length - size)
        assert batch["loss_weights"][row].tolist() == [float(label != -100) for label in batch["labels"][row]]
        assert batch["position_ids"][row].tolist() == [*range(size), *range(length - size)]
        boundaries += [row * length, row * length + size]
    assert batch["cu_seqlens"].tolist() == sorted({*boundaries, len(expected) * length})
    assert batch["cu_seqlens"].dtype == np.int32


def test_loaders_take_it_and_workers_reopen_it(tmp_path):
    prefix = write(tmp_path, instructions(np.random.default_rng(0), 20))
    dataset = PackedMTFDataset(prefix, sequence_length=8, num_samples=40)
    again = pickle.loads(pickle.dumps(dataset))
    assert again.fingerprint == dataset.fingerprint
    loader = bloomdata.DataLoader(again, batch_size=4, num_threads=2)
    assert not loader.shuffle
    ids = np.concatenate([batch["input_ids"] for batch in loader])
    assert np.array_equal(ids, dataset.read_batch(np.arange(len(loader) * 4))["input_ids"])
    for other in ({"seed": 1}, {"sequence_length": 9}, {"num_samples": 60}, {"keep_last_token": True}):
        options = {"sequence_length": 8, "num_samples": 40} | other
        assert PackedMTFDataset(prefix, **options).fingerprint != dataset.fingerprint


def test_pairs_that_do_not_agree_are_refused(tmp_path):
    documents = instructions(np.random.default_rng(0), 5)
    prefix = write(tmp_path, documents)
    options = {"sequence_length": 8, "num_samples": 1}
    write_pair(tmp_path / "a_packed_labels_document", [document["labels"] for document in documents[:-1]])
    with pytest.raises(MismatchError, match="a_packed_labels_document: expected the lengths"):
        PackedMTFDataset(prefix, **options)
    write_pair(tmp_path / "a_packed_input_ids_document", [[1], [], [2]])
    with pytest.raises(ConfigError, match="document 1: expected tokens"):
        PackedMTFDataset(prefix, **options)
    (tmp_path / "a_packed_labels_document.idx").unlink()
    with pytest.raises(FileNotFoundError, match="labels"):
        PackedMTFDataset(prefix, **options)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"sequence_length": 0}, "sequence_length"),
        ({"num_samples": -1}, "num_samples"),
        ({"seed": -1}, "seed"),
        ({"split_name": "dev"}, "split_name"),
    ],
)
def test_options_that_cannot_work_are_named(options, named, tmp_path):
    prefix = write(tmp_path, instructions(np.random.default_rng(0), 5))
    with pytest.raises(ConfigError, match=named):
        PackedMTFDataset(prefix, **{"sequence_length": 8, "num_samples": 1} | options)
