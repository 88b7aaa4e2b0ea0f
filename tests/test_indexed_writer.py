"""`IndexedDatasetWriter`: pairs from tokens, whole or not at all."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata.errors import ConfigError, MismatchError
from token_pairs import CODES, write_pair

DOCUMENTS = st.lists(st.lists(st.lists(st.integers(0, 100), max_size=5), max_size=4), max_size=6)


def files_of(prefix):
    return [prefix.with_name(f"{prefix.name}{suffix}").read_bytes() for suffix in (".bin", ".idx")]


def write_all(writer, documents):
    for number, sequences in enumerate(documents):
        if number % 2:
            writer.add_document([token for sequence in sequences for token in sequence], list(map(len, sequences)))
        else:
            for sequence in sequences:
                writer.add_item(np.array(sequence, np.int64))
            writer.end_document()


def expected(prefix, documents, dtype):
    sequences = [sequence for document in documents for sequence in document]
    ends = np.cumsum([0, *map(len, documents)]).tolist()
    return files_of(write_pair(prefix, sequences, dtype, ends))


@settings(max_examples=40, deadline=None)
@given(documents=DOCUMENTS, others=DOCUMENTS, dtype=st.sampled_from(sorted(CODES)))
def test_pairs_hold_what_was_added_in_the_bytes_of_the_format(documents, others, dtype, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    with bloomdata.IndexedDatasetWriter(folder / "one", dtype=dtype) as writer:
        write_all(writer, documents)
    assert files_of(folder / "one") == expected(folder / "expected", documents, dtype)
    with bloomdata.IndexedDatasetWriter(folder / "both", dtype=dtype) as writer:
        write_all(writer, others)
        writer.add_index(folder / "one")
        writer.add_index(folder / "one")
    assert files_of(folder / "both") == expected(folder / "expected", [*others, *documents, *documents], dtype)
    assert sorted(path.suffix for path in folder.iterdir() if path.name.startswith("both")) == [".bin", ".idx"]
    assert not list(folder.glob(".*"))


def test_the_size_of_the_vocabulary_chooses_the_type_as_in_megatron(tmp_path):
    chosen = []
    for size in (1, 65_499, 65_500):
        with bloomdata.IndexedDatasetWriter(tmp_path / str(size), vocab_size=size) as writer:
            chosen.append(writer.dtype.str)
    assert chosen == ["<u2", "<u2", "<i4"]


@pytest.mark.parametrize(
    ("tokens", "reason"),
    [
        ([70_000], "expected ids that fit"),
        ([-1], "expected ids that fit"),
        ([1.5], "expected a row of whole numbers"),
        ([[1]], "expected a row of whole numbers"),
        (["a"], "expected a row of whole numbers"),
        ([True], "expected a row of whole numbers"),
    ],
)
def test_tokens_that_do_not_fit_are_refused_and_change_nothing(tokens, reason, tmp_path):
    with bloomdata.IndexedDatasetWriter(tmp_path / "a", dtype="u2") as writer:
        writer.add_item([1, 2])
        with pytest.raises(ConfigError, match=reason):
            writer.add_item(tokens)
        writer.end_document()
    assert [tokens.tolist() for tokens in bloomdata.IndexedDataset(tmp_path / "a")] == [[1, 2]]


def fail(prefix, **options):
    with bloomdata.IndexedDatasetWriter(prefix, dtype="i4", **options) as writer:
        writer.add_document([3])
        raise KeyError


def test_an_exception_leaves_nothing(tmp_path):
    with pytest.raises(KeyError):
        fail(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_documents_must_be_ended_and_lengths_must_fit(tmp_path):
    writer = bloomdata.IndexedDatasetWriter(tmp_path / "a", dtype="i4")
    with pytest.raises(ConfigError, match="a sum of 3 tokens"):
        writer.add_document([1, 2, 3], [1, 1])
    writer.add_item([1])
    with pytest.raises(ConfigError, match="a document is open"):
        writer.add_document([1])
    with pytest.raises(ConfigError, match="a document is open"):
        writer.finalize()
    writer.end_document()
    writer.finalize()
    assert [tokens.tolist() for tokens in bloomdata.IndexedDataset(tmp_path / "a")] == [[1]]


def test_a_pair_that_is_there_is_replaced_only_when_asked_and_only_at_the_end(tmp_path):
    prefix = write_pair(tmp_path / "a", [[1, 2]])
    before = files_of(prefix)
    with pytest.raises(ConfigError, match="exists"):
        bloomdata.IndexedDatasetWriter(prefix, dtype="i4")
    with pytest.raises(KeyError):
        fail(prefix, overwrite=True)
    assert files_of(prefix) == before
    with bloomdata.IndexedDatasetWriter(prefix, dtype="i4", overwrite=True) as writer:
        writer.add_document([3])
    assert [tokens.tolist() for tokens in bloomdata.IndexedDataset(prefix)] == [[3]]


def test_another_type_and_names_without_a_type_are_refused(tmp_path):
    write_pair(tmp_path / "a", [[1]], "<i8")
    with bloomdata.IndexedDatasetWriter(tmp_path / "b", dtype="i4") as writer:
        writer.add_document([1])
        with pytest.raises(MismatchError, match="expected int32, found int64"):
            writer.add_index(tmp_path / "a")
    for options in ({}, {"dtype": "i4", "vocab_size": 3}, {"dtype": "f4"}, {"dtype": "u4"}):
        with pytest.raises(ConfigError, match="dtype"):
            bloomdata.IndexedDatasetWriter(tmp_path / "c", **options)


@pytest.mark.peers
def test_bytes_are_those_of_megatron_core(tmp_path):
    import torch

    with warnings.catch_warnings():
        # It misses packages that it does not need here.
        warnings.simplefilter("ignore")
        from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder

    documents = [[[1, 2], [3]], [[]], [], [[4] * 9]]
    theirs = IndexedDatasetBuilder(str(tmp_path / "theirs.bin"), dtype=np.int32)
    for sequences in documents:
        for sequence in sequences:
            theirs.add_item(torch.tensor(sequence, dtype=torch.int32))
        theirs.end_document()
    theirs.finalize(str(tmp_path / "theirs.idx"))
    with bloomdata.IndexedDatasetWriter(tmp_path / "ours", dtype=np.int32) as writer:
        write_all(writer, documents)
    assert files_of(tmp_path / "ours") == files_of(tmp_path / "theirs")
