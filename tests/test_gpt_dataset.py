"""`GPTDataset`: both orders over one or many pairs, caches, workers, hostile files."""

import json
import multiprocessing
import pickle
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bloomdata
from bloomdata import ConfigError, CorruptDataError, GPTDataset, MismatchError
from bloomdata.datasets.megatron_cache import cache_prefix
from token_pairs import documents_of, write_pair

FILES = ("description.txt", "document_index.npy", "sample_index.npy", "shuffle_index.npy")


@pytest.fixture
def pair(tmp_path):
    return write_pair(tmp_path / "data", documents_of(0), "<u2")


def read_all(dataset):
    return {name: values.tolist() for name, values in dataset.read_batch(np.arange(len(dataset))).items()}


sequences = st.lists(st.lists(st.integers(0, 9), max_size=12), min_size=1, max_size=20).filter(any)


@given(sequences, st.integers(1, 9), st.booleans(), st.lists(st.integers(0, 20), max_size=4))
def test_sequential_samples_are_slices_of_all_tokens(tmp_path_factory, documents, length, extra, cuts):
    """In one pair, or cut into several."""
    folder = tmp_path_factory.mktemp("pairs")
    cuts = [0, *sorted(cut for cut in cuts if cut <= len(documents)), len(documents)]
    parts = [documents[start:end] for start, end in pairwise(cuts)]
    prefixes = [write_pair(folder / f"{number}", part) for number, part in enumerate(parts)]
    dataset = GPTDataset(
        prefixes,
        sequence_length=length,
        order="sequential",
        split=None,
        split_name="valid",
        drop_last_partial_validation_sequence=False,
        add_extra_token=extra,
        reset_attention_mask=True,
        max_open_files=2,
    )
    tokens = [token for document in documents for token in document]
    starts = np.cumsum([0, *map(len, documents)]).tolist()
    assert len(dataset) == -(-max(0, len(tokens) - extra) // length)
    for number in range(len(dataset)):
        sample, at = dataset[number], number * length
        expected = tokens[at : at + length + extra]
        assert sample["input_ids"].tolist()[: len(expected)] == expected[:length]
        assert sample["labels"].tolist()[: len(expected) - 1] == expected[1:]
        assert sample["loss_weights"].sum() == len(expected) - 1
        within = {start - at for start in starts if 0 < start - at < length and start < len(tokens)}
        assert sample["cu_seqlens"].tolist() == sorted({0, length} | within)


@pytest.mark.parametrize("order", ["megatron", "sequential"])
@pytest.mark.parametrize("mode", ["mmap", "pread"])
def test_many_pairs_give_the_samples_of_all_in_one(tmp_path, order, mode):
    documents = documents_of(1)
    whole = write_pair(tmp_path / "whole", documents)
    parts = [write_pair(tmp_path / f"{at}", documents[at : at + 7]) for at in range(0, 60, 7)]
    options = {"sequence_length": 9, "split": "3,1", "order": order, "reset_attention_mask": True}
    expected = read_all(GPTDataset(whole, **options))
    assert len(expected["input_ids"]) > 30
    assert read_all(GPTDataset(parts, mode=mode, max_open_files=2, **options)) == expected
    several = bloomdata.ShardedIndexedDataset(parts, mode=mode)
    assert read_all(GPTDataset(several, **options)) == expected


def test_paths_of_every_kind_are_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "hello world"}) + "\n")
    bloomdata.pack("a.jsonl", "packed", tokenizer="bytes", format="megatron")
    prefix = bloomdata.open("packed").path_prefix
    options = {"sequence_length": 4, "split": None}
    expected = read_all(GPTDataset("packed", **options))
    for path in (prefix, f"{prefix}.idx", f"{prefix}.bin", bloomdata.open("packed"), [prefix]):
        assert read_all(GPTDataset(path, **options)) == expected
    bloomdata.pack("a.jsonl", "rows", tokenizer="bytes", sequence_length=4)
    with pytest.raises(ConfigError, match="found rows"):
        GPTDataset("rows", **options)
    with pytest.raises(FileNotFoundError):
        GPTDataset("nothing", **options)


def test_columns_and_types_are_those_that_are_asked_for(pair):
    wide = GPTDataset(pair, sequence_length=8)
    narrow = GPTDataset(pair, sequence_length=8, columns=["labels", "tokens", "loss_mask"], dtype="int32")
    a, b = wide.read_batch([3, 1]), narrow.read_batch([3, 1])
    assert {name: str(values.dtype) for name, values in a.items()} == {
        "input_ids": "int64",
        "labels": "int64",
        "loss_weights": "float32",
        "position_ids": "int64",
        "cu_seqlens": "int32",
    }
    assert [(name, str(values.dtype)) for name, values in b.items()] == [
        ("labels", "int32"),
        ("tokens", "int32"),
        ("loss_mask", "float32"),
    ]
    np.testing.assert_array_equal(a["input_ids"], b["tokens"])
    assert wide.read_batch([])["input_ids"].shape == (0, 8)
    assert wide.read_batch([])["cu_seqlens"].tolist() == [0]
    assert wide.fingerprint != narrow.fingerprint


def test_labels_without_weight_can_be_ignored(pair):
    options = {"sequence_length": 8, "eod_token_id": 5, "eod_mask_loss": True}
    plain = GPTDataset(pair, **options).read_batch(range(20))
    ignored = GPTDataset(pair, ignore_index=-100, **options).read_batch(range(20))
    np.testing.assert_array_equal(ignored["labels"], np.where(plain["loss_weights"] == 0, -100, plain["labels"]))
    assert (plain["loss_weights"] == 0).any()


def test_documents_without_an_end_token_start_where_sequences_do(tmp_path):
    pair = write_pair(tmp_path / "data", [[1] * 3, [2] * 4, [3] * 5])
    dataset = GPTDataset(pair, sequence_length=11, split=None, reset_position_ids=True, reset_attention_mask=True)
    sample = dataset[0]
    ends = np.flatnonzero(np.diff(sample["input_ids"])) + 1
    assert sample["cu_seqlens"].tolist() == [0, *ends, 11]
    expected = np.concatenate([np.arange(size) for size in np.diff(sample["cu_seqlens"])])
    np.testing.assert_array_equal(sample["position_ids"], expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sequence_length": 0}, "sequence_length"),
        ({"sequence_length": 2**31}, "sequence_length"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"num_samples": -1}, "num_samples"),
        ({"num_samples": 2**62}, "num_samples"),
        ({"num_samples": 2**45}, "num_samples"),
        ({"split": "0,0"}, "split"),
        ({"split": "1", "split_name": "test"}, "no tokens"),
        ({"split_name": "dev"}, "split_name"),
        ({"columns": ["ids"]}, "columns"),
        ({"dtype": "uint16"}, "dtype"),
        ({"order": "random"}, "random"),
        ({"mode": "fast"}, "fast"),
        ({"eod_mask_loss": True}, "eod_token_id"),
        ({"separate_threshold": 2.0}, "separate_threshold"),
        ({"order": "sequential", "num_samples": 10**6}, "several times"),
    ],
)
def test_options_that_cannot_work_are_refused(pair, options, message):
    with pytest.raises(ConfigError, match=message):
        GPTDataset(pair, **({"sequence_length": 8} | options))


@pytest.mark.parametrize("order", ["megatron", "sequential"])
def test_samples_that_are_not_there_are_errors(pair, order):
    dataset = GPTDataset(pair, sequence_length=8, order=order)
    for index in (len(dataset), -len(dataset) - 1, 2**40):
        with pytest.raises(IndexError):
            dataset[index]
    for indices in ([len(dataset)], [0, -1], [2**62]):
        with pytest.raises(IndexError):
            dataset.read_batch(indices)
    for indices in ([0.5], [[1]], ["a"]):
        with pytest.raises(ConfigError, match="indices"):
            dataset.read_batch(indices)
    np.testing.assert_array_equal(dataset[-1]["input_ids"], dataset[len(dataset) - 1]["input_ids"])


def test_fingerprints_change_with_everything_that_changes_samples(tmp_path, pair):
    base = {"sequence_length": 8, "num_samples": 90, "eod_token_id": 5}
    changes = [
        {"sequence_length": 9},
        {"num_samples": 91},
        {"seed": 1},
        {"split": "1"},
        {"split_name": "valid"},
        {"order": "sequential", "num_samples": 10},
        {"eod_mask_loss": True},
        {"pad_token_id": 3},
        {"reset_position_ids": True},
        {"reset_attention_mask": True},
        {"ignore_index": -100},
        {"separate_threshold": 0.95},
        {"dtype": "int32"},
        {"columns": ["labels"]},
    ]
    found = [GPTDataset(pair, **(base | change)).fingerprint for change in [{}, *changes]]
    other_tokens = write_pair(tmp_path / "other", [[token + 1 for token in part] for part in documents_of(0)], "<u2")
    found.append(GPTDataset(other_tokens, **base).fingerprint)
    assert len(set(found)) == len(found)
    moved = write_pair(tmp_path / "moved", documents_of(0), "<u2")
    same = GPTDataset(moved, mode="pread", num_threads=1, cache_folder=tmp_path / "cache", **base)
    assert same.fingerprint == found[0]


def test_a_cache_is_built_once_and_is_the_same(tmp_path, pair):
    options = {"sequence_length": 8, "num_samples": 200}
    expected = read_all(GPTDataset(pair, **options))
    cache = tmp_path / "cache"
    assert read_all(GPTDataset(pair, cache_folder=cache, **options)) == expected
    names = sorted(path.name for path in cache.iterdir() if path.suffix != ".lock")
    assert [name.rpartition("-")[2] for name in names] == list(FILES)
    before = {path: path.stat().st_mtime_ns for path in cache.iterdir() if path.suffix != ".lock"}
    assert read_all(GPTDataset(pair, cache_folder=cache, **options)) == expected
    assert {path: path.stat().st_mtime_ns for path in before} == before
    GPTDataset(pair, cache_folder=cache, **(options | {"seed": 3}))
    write_pair(pair, documents_of(5), "<u2")
    changed = read_all(GPTDataset(pair, **options))
    assert changed != expected
    assert read_all(GPTDataset(pair, cache_folder=cache, **options)) == changed
    assert len([path for path in cache.iterdir() if path.suffix != ".lock"]) == 12


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["gone", "cut", "empty", "other"])
def test_a_damaged_cache_is_built_again(tmp_path, pair, name, damage):
    options = {"sequence_length": 8, "num_samples": 200, "cache_folder": tmp_path / "cache"}
    expected = read_all(GPTDataset(pair, **options))
    path = next(path for path in (tmp_path / "cache").iterdir() if path.name.endswith(name))
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes({"cut": content[:-4], "empty": b"", "other": b"x" * len(content)}[damage])
    assert read_all(GPTDataset(pair, **options)) == expected
    assert path.read_bytes() == content


def open_and_read(job):
    pair, cache = job
    return read_all(GPTDataset(pair, sequence_length=8, num_samples=2000, cache_folder=cache))


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_many_processes_build_one_cache(tmp_path, pair):
    jobs = [(pair, tmp_path / "cache")] * 8
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        found = pool.map(open_and_read, jobs, chunksize=1)
    assert all(samples == found[0] for samples in found)
    assert found[0] == read_all(GPTDataset(pair, sequence_length=8, num_samples=2000))
    assert len(list((tmp_path / "cache").iterdir())) == 5


def test_files_of_indices_are_those_that_numpy_saves(tmp_path, pair):
    dataset = GPTDataset(pair, sequence_length=8, num_samples=500)
    prefix = dataset.save_indices(tmp_path / "ours")
    for name in ("document_index", "sample_index", "shuffle_index"):
        path = prefix.with_name(f"{prefix.name}-{name}.npy")
        np.save(tmp_path / "numpy.npy", getattr(dataset, name))
        assert path.read_bytes() == (tmp_path / "numpy.npy").read_bytes()
        np.testing.assert_array_equal(np.load(path, mmap_mode="r"), getattr(dataset, name))
    description = prefix.with_name(f"{prefix.name}-description.txt").read_text()
    assert cache_prefix(tmp_path / "ours", description, "GPTDataset", "train") == prefix
    assert read_all(GPTDataset(pair, sequence_length=8, num_samples=500, indices=prefix)) == read_all(dataset)
    with pytest.raises(MismatchError, match="number of elements"):
        GPTDataset(pair, sequence_length=8, num_samples=900, indices=prefix)
    with pytest.raises(FileNotFoundError):
        GPTDataset(pair, sequence_length=8, num_samples=900, indices=tmp_path / "nothing")


@pytest.mark.parametrize(
    ("name", "dtype", "at", "value"),
    [
        ("document_index", "<i4", 0, 10**9),
        ("document_index", "<i4", 0, -5),
        ("sample_index", "<i4", 2, 10**9),
        ("sample_index", "<i4", 3, 10**9),
        ("sample_index", "<i4", 3, -7),
        ("shuffle_index", "<u4", 0, 2**32 - 1),
    ],
)
def test_indices_that_lie_are_found_when_they_are_used(tmp_path, pair, name, dtype, at, value):
    options = {"sequence_length": 8, "num_samples": 100}
    prefix = GPTDataset(pair, **options).save_indices(tmp_path)
    path = prefix.with_name(f"{prefix.name}-{name}.npy")
    content = path.read_bytes()
    offset = 10 + struct.unpack_from("<H", content, 8)[0]
    elements = np.frombuffer(content[offset:], dtype).copy()
    elements[at] = value
    path.write_bytes(content[:offset] + elements.tobytes())
    dataset = GPTDataset(pair, indices=prefix, **options)
    with pytest.raises(MismatchError, match=r"index: .* sample"):
        dataset.read_batch(range(len(dataset)))


@pytest.mark.parametrize("damage", ["lengths", "pointers"])
@pytest.mark.parametrize("order", ["megatron", "sequential"])
def test_a_damaged_pair_is_an_error_and_never_other_tokens_of_memory(tmp_path, damage, order):
    pair = write_pair(tmp_path / "data", [[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    path = tmp_path / "data.idx"
    content = bytearray(path.read_bytes())
    if damage == "lengths":
        struct.pack_into("<i", content, 34 + 4, -3)
    else:
        struct.pack_into("<q", content, 34 + 12 + 8, 2**50)
    path.write_bytes(content)
    with pytest.raises((CorruptDataError, MismatchError)):
        read_all(GPTDataset(pair, sequence_length=2, split=None, order=order, reset_attention_mask=True))


@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_workers_read_what_the_parent_reads(tmp_path, start):
    documents = documents_of(2)
    parts = [write_pair(tmp_path / f"{at}", documents[at : at + 3]) for at in range(0, 60, 3)]
    dataset = GPTDataset(parts, sequence_length=8, max_open_files=3, cache_folder=tmp_path / "cache")
    expected = read_all(dataset)
    with multiprocessing.get_context(start).Pool(2) as pool:
        assert pool.map(read_all, [dataset, dataset]) == [expected, expected]
    again = pickle.loads(pickle.dumps(dataset))
    assert again.fingerprint == dataset.fingerprint


def test_threads_read_what_one_reads(tmp_path):
    documents = documents_of(2)
    parts = [write_pair(tmp_path / f"{at}", documents[at : at + 3]) for at in range(0, 60, 3)]
    dataset = GPTDataset(parts, sequence_length=8, max_open_files=2)
    expected = read_all(dataset)
    with ThreadPoolExecutor(4) as pool:
        assert all(found == expected for found in pool.map(lambda _: read_all(dataset), range(40)))


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_in_the_middle_of_reading_threads_does_not_hang(tmp_path):
    """A lock that a thread holds while the process forks is never released in the child."""
    documents = documents_of(2)
    parts = [write_pair(tmp_path / f"{at}", documents[at : at + 3]) for at in range(0, 60, 3)]
    dataset = GPTDataset(parts, sequence_length=8, max_open_files=2)
    expected, done = read_all(dataset), threading.Event()

    def keep_reading():
        while not done.is_set():
            read_all(dataset)

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(keep_reading) for _ in range(2)]
        try:
            for _ in range(10):
                child = multiprocessing.get_context("fork").Process(target=check_read, args=(dataset, expected))
                child.start()
                child.join(60)
                assert child.exitcode == 0
        finally:
            done.set()
        assert all(reader.result() is None for reader in readers)


def check_read(dataset, expected):
    assert read_all(dataset) == expected


# --- indices of Megatron before core ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "exact", "name"),
    [
        ({"num_samples": 100}, False, "data_train_indexmap_100ns_8sl_1234s"),
        ({"num_samples": 100, "seed": 7, "split_name": "valid"}, True, "data_valid_indexmap_100ns_8sl_7s"),
        ({"num_samples": 100}, True, "data_train_indexmap_exact3ep_8sl_1234s"),
        ({}, True, "data_train_indexmap_exact1ep_8sl_1234s"),
    ],
)
def test_older_megatrons_find_the_indices_beside_the_data(options, exact, name, pair):
    """As three arrays of NumPy with the types of the older code, which are read again, too."""
    options = {"sequence_length": 8, "split": "60,40,0"} | options
    dataset = GPTDataset(pair, **options)
    prefix = dataset.save_legacy_indices(exact_num_epochs=exact)
    assert prefix == pair.with_name(name)
    arrays = [np.load(f"{prefix}_{kind}_idx.npy", mmap_mode="r") for kind in ("doc", "sample", "shuffle")]
    assert [array.dtype for array in arrays] == [np.int32, np.int32, np.uint32]
    wanted = [dataset.document_index, dataset.sample_index, dataset.shuffle_index]
    for array, index in zip(arrays, wanted, strict=True):
        np.testing.assert_array_equal(array, index)
    np.random.RandomState(0).shuffle(changed := np.array(arrays[2]))
    np.save(f"{prefix}_shuffle_idx.npy", changed)
    again = GPTDataset(pair, indices=prefix, **options)
    np.testing.assert_array_equal(again.shuffle_index, changed)
    with pytest.raises(MismatchError):
        GPTDataset(pair, indices=prefix, **options | {"sequence_length": 9})


def test_older_names_need_a_number_of_samples_and_one_pair(pair, tmp_path):
    with pytest.raises(ConfigError, match="num_samples"):
        GPTDataset(pair, sequence_length=8).save_legacy_indices()
    with pytest.raises(ConfigError, match="order"):
        GPTDataset(pair, sequence_length=8, order="sequential").save_legacy_indices()
    two = GPTDataset([pair, write_pair(tmp_path / "b", documents_of(1))], sequence_length=8, num_samples=9)
    with pytest.raises(ConfigError, match="one pair"):
        two.save_legacy_indices()
    named = two.save_legacy_indices(tmp_path / "merged")
    assert named.name == "merged_train_indexmap_9ns_8sl_1234s"
    assert sorted(path.name for path in tmp_path.glob("merged*")) == [
        f"{named.name}_{kind}_idx.npy" for kind in ("doc", "sample", "shuffle")
    ]
