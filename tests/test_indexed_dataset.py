"""Megatron pairs of every layout, mapped or not, one or thousands; damaged ones are refused."""

import multiprocessing
import os
import pickle
import resource
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bloomdata
from bloomdata import CorruptDataError, IndexedDataset, ShardedIndexedDataset
from token_pairs import CODES, write_legacy_pair, write_pair

WRITERS = {"core": write_pair, "legacy": write_legacy_pair}
MODES = ("mmap", "pread")
DESCRIPTORS = Path("/proc/self/fd")
SEQUENCES = [[1, 2, 3], [], [4], [5, 6], [7, 8, 9, 10]]
DOCUMENTS = [0, 2, 3, 3, 5]
EXPECTED = [[1, 2, 3], [4], [], [5, 6, 7, 8, 9, 10]]


def read_all(dataset):
    return [document.tolist() for document in dataset]


@pytest.mark.parametrize("layout", WRITERS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", CODES)
def test_documents_are_read_from_every_layout_and_type(tmp_path, layout, mode, dtype):
    pair = WRITERS[layout](tmp_path / "data", SEQUENCES, dtype, DOCUMENTS)
    dataset = IndexedDataset(pair, mode=mode)
    assert read_all(dataset) == EXPECTED
    assert dataset.dtype == np.dtype(dtype)
    assert dataset.get(3, 1, 4).tolist() == [6, 7, 8, 9]
    assert not dataset[0].flags.writeable
    assert read_all(pickle.loads(pickle.dumps(dataset))) == EXPECTED


@given(
    st.lists(st.lists(st.integers(-100, 100), max_size=9), max_size=9),
    st.sampled_from(sorted(WRITERS)),
    st.sampled_from(MODES),
)
def test_what_is_written_is_read(tmp_path_factory, sequences, layout, mode):
    pair = WRITERS[layout](tmp_path_factory.mktemp("pair") / "data", sequences)
    assert read_all(IndexedDataset(pair, mode=mode)) == sequences


def patched(content, at, format_, value):
    return content[:at] + struct.pack(format_, value) + content[at + struct.calcsize(format_) :]


LEGACY_DAMAGES = {
    "magic": lambda idx: b"TNTIDY" + idx[6:],
    "version": lambda idx: patched(idx, 8, "<Q", 2),
    "float tokens": lambda idx: patched(idx, 16, "<Q", 6),
    "size of a token": lambda idx: patched(idx, 24, "<Q", 8),
    "too many items": lambda idx: patched(idx, 32, "<Q", 2**60),
    "too many sizes": lambda idx: patched(idx, 40, "<Q", 2**63),
    "no documents": lambda idx: patched(idx, 48, "<Q", 0),
    "starts out of order": lambda idx: patched(idx, 56 + 8 * 6 + 8, "<q", 2**40),
    "starts below zero": lambda idx: patched(idx, 56 + 8 * 6, "<q", -1),
    "a longer item": lambda idx: patched(idx, 56 + 8 * 11, "<q", 11),
    "cut": lambda idx: idx[:-1],
    "cut in the header": lambda idx: idx[:30],
    "empty": lambda idx: b"",
}


@pytest.mark.parametrize("damage", LEGACY_DAMAGES)
def test_a_damaged_index_of_the_older_layout_is_refused(tmp_path, damage):
    pair = write_legacy_pair(tmp_path / "data", SEQUENCES)
    path = tmp_path / "data.idx"
    path.write_bytes(LEGACY_DAMAGES[damage](path.read_bytes()))
    with pytest.raises(CorruptDataError, match="data"):
        IndexedDataset(pair)
    with pytest.raises((CorruptDataError, bloomdata.ConfigError), match="data"):
        bloomdata.GPTDataset(pair, sequence_length=2, split=None).read_batch(range(4))


def test_a_file_that_becomes_shorter_is_an_error(tmp_path):
    pair = write_pair(tmp_path / "data", SEQUENCES)
    dataset = IndexedDataset(pair, mode="pread")
    os.truncate(f"{pair}.bin", 8)
    with pytest.raises(CorruptDataError, match="shorter"):
        dataset[3]


def write_many(folder, count):
    return [write_pair(folder / f"{number:04}", [[number, 1], [number, 2, 2]]) for number in range(count)]


@pytest.mark.parametrize("mode", MODES)
def test_many_pairs_are_one_data_set_with_few_open_files(tmp_path, mode):
    prefixes = write_many(tmp_path, 60)
    expected = [document for number in range(60) for document in ([number, 1], [number, 2, 2])]
    before = len(list(DESCRIPTORS.iterdir()))
    dataset = ShardedIndexedDataset(prefixes, mode=mode, max_open_files=4)
    assert len(dataset) == 120
    assert read_all(dataset) == expected
    order = np.random.default_rng(0).permutation(120).tolist()
    assert [dataset[index].tolist() for index in order] == [expected[index] for index in order]
    assert len(list(DESCRIPTORS.iterdir())) <= before + 4
    assert dataset[-1].tolist() == expected[-1]
    assert [document.tolist() for document in dataset[3:6]] == expected[3:6]
    assert read_all(pickle.loads(pickle.dumps(dataset))) == expected
    for index in (120, -121):
        with pytest.raises(IndexError):
            dataset[index]


def test_more_pairs_than_file_descriptors_are_read(tmp_path):
    prefixes = write_many(tmp_path, 200)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(DESCRIPTORS.iterdir())) + 40, hard))
    try:
        for mode in MODES:
            assert len(read_all(ShardedIndexedDataset(prefixes, mode=mode, max_open_files=16))) == 400
            samples = bloomdata.GPTDataset(
                prefixes, sequence_length=3, split=None, mode=mode, max_open_files=16, num_samples=500
            )
            samples.read_batch(range(len(samples)))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_pairs_are_opened_when_they_are_needed(tmp_path):
    prefixes = write_many(tmp_path, 3)
    os.truncate(f"{prefixes[1]}.bin", 3)
    dataset = ShardedIndexedDataset(prefixes)
    assert dataset[0].tolist() == [0, 1]
    with pytest.raises(CorruptDataError, match=r"0001\.bin"):
        dataset[2]


@pytest.mark.parametrize("content", [b"", b"MMIDIDX\0\0" + bytes(10), b"x" * 80])
def test_a_damaged_header_among_many_is_named(tmp_path, content):
    prefixes = write_many(tmp_path, 3)
    (tmp_path / "0002.idx").write_bytes(content)
    with pytest.raises(CorruptDataError, match=r"0002\.idx"):
        ShardedIndexedDataset(prefixes)
    with pytest.raises(CorruptDataError, match=r"0002\.idx"):
        bloomdata.GPTDataset(prefixes, sequence_length=2, split=None)


def test_options_that_cannot_work_are_refused(tmp_path):
    pair = write_pair(tmp_path / "data", SEQUENCES)
    with pytest.raises(bloomdata.ConfigError, match="mode"):
        IndexedDataset(pair, mode="mapped")
    with pytest.raises(bloomdata.ConfigError, match="path_prefixes"):
        ShardedIndexedDataset([])
    with pytest.raises(bloomdata.ConfigError, match="max_open_files"):
        ShardedIndexedDataset([pair], max_open_files=0)


@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_workers_read_what_the_parent_reads(tmp_path, start, mode):
    dataset = ShardedIndexedDataset(write_many(tmp_path, 20), mode=mode, max_open_files=3)
    expected = read_all(dataset)
    with multiprocessing.get_context(start).Pool(2) as pool:
        assert pool.map(read_all, [dataset, dataset]) == [expected, expected]
