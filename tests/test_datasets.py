"""`open`: documents and rows as views of the files, in every kind of worker; damaged indices are refused."""

import gc
import json
import multiprocessing
import pickle
import struct
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import h5py
import numpy as np
import pytest

import bloomdata
from bloomdata.errors import BloomdataError, ConfigError, CorruptDataError, UnsupportedFormatError
from reference import pack as reference

TEXTS = ["hello", "é€😀", "x" * 40, "a", "b\nc", "y" * 17, "zz", "last one"]
DOCUMENTS = [reference.tokens(text) for text in TEXTS]
LENGTH, ROWS_PER_FILE = 7, 4
IDS, TYPES = reference.full_rows(DOCUMENTS, LENGTH)
COLUMNS = {"input_ids": IDS, "token_type_ids": TYPES}
KINDS = ["megatron", "contiguous", "gzip"]
OPTIONS = {
    "megatron": {"format": "megatron"},
    "contiguous": {"sequence_length": LENGTH, "rows_per_file": ROWS_PER_FILE},
    "gzip": {"sequence_length": LENGTH, "rows_per_file": ROWS_PER_FILE, "compression": "gzip"},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The same documents in every format."""
    folder = tmp_path_factory.mktemp("datasets")
    source = folder / "a.jsonl"
    source.write_bytes(b"".join(json.dumps({"text": text}).encode() + b"\n" for text in TEXTS))
    for kind, options in OPTIONS.items():
        bloomdata.pack(str(source), folder / kind, tokenizer="bytes", **options)
    return folder


def expected_of(kind):
    """What a list of all items would hold."""
    if kind == "megatron":
        return DOCUMENTS
    return [{name: column[row].tolist() for name, column in COLUMNS.items()} for row in range(len(IDS))]


def plain(item):
    """An item or a slice as lists."""
    if isinstance(item, dict):
        return {name: value.tolist() for name, value in item.items()}
    return [document.tolist() for document in item] if isinstance(item, list) else item.tolist()


def read_all(dataset):
    """Module level, so that workers can be told to call it."""
    return [plain(dataset[index]) for index in range(len(dataset))]


def read_one(job):
    dataset, index = job
    return plain(dataset[index])


@pytest.mark.parametrize("kind", KINDS)
def test_every_item_is_there_once_and_counts_from_both_ends(kind, folders):
    dataset, expected = bloomdata.open(folders / kind), expected_of(kind)
    assert len(dataset) == len(expected)
    assert read_all(dataset) == expected
    assert [plain(dataset[index - len(expected)]) for index in range(len(expected))] == expected
    assert [plain(item) for item in dataset] == expected
    assert plain(dataset[np.int64(1)]) == expected[1]


@pytest.mark.parametrize("kind", KINDS)
def test_indices_outside_are_errors(kind, folders):
    dataset = bloomdata.open(folders / kind)
    for index in (len(dataset), -len(dataset) - 1, 10**12, -(10**12)):
        with pytest.raises(IndexError):
            dataset[index]


@pytest.mark.parametrize("kind", KINDS)
def test_slices_are_those_of_a_list(kind, folders):
    dataset, expected = bloomdata.open(folders / kind), expected_of(kind)
    bounds = [None, 0, 1, 3, 4, 5, 8, len(expected) - 1, len(expected), 99, -1, -5, -99]
    for start in bounds:
        for stop in bounds:
            for step in (None, 1, 2, 5, -1, -3):
                found, wanted = dataset[start:stop:step], expected[start:stop:step]
                if kind == "megatron":
                    assert plain(found) == wanted
                    continue
                assert {*found} == {*COLUMNS}
                for name, column in found.items():
                    assert column.shape == (len(wanted), LENGTH)
                    assert column.dtype == np.dtype("<i4")
                    assert column.tolist() == [row[name] for row in wanted]


def test_documents_are_read_only_views_of_the_file(folders):
    dataset = bloomdata.open(folders / "megatron")
    assert dataset.num_tokens == sum(map(len, DOCUMENTS))
    for index, document in enumerate(dataset):
        assert document.dtype == dataset.dtype == np.dtype("<u2")
        assert not document.flags.writeable
        assert not document.flags.owndata
        assert np.shares_memory(document, dataset[index])
        assert np.shares_memory(document, dataset[index : index + 1][0])
        with pytest.raises(ValueError, match=r"read-only"):
            document[0] = 1
    addresses = [document.__array_interface__["data"][0] for document in dataset]
    lengths = [2 * len(document) for document in DOCUMENTS]
    assert [second - first for first, second in pairwise(addresses)] == lengths[:-1]


def test_rows_of_contiguous_files_are_read_only_views(folders):
    dataset = bloomdata.open(folders / "contiguous")
    for index in range(len(dataset)):
        for name, row in dataset[index].items():
            assert not row.flags.writeable
            assert not row.flags.owndata
            assert np.shares_memory(row, dataset[index][name])
    within = dataset[1:ROWS_PER_FILE]
    across = dataset[1 : ROWS_PER_FILE + 1]
    for name in COLUMNS:
        assert np.shares_memory(within[name], dataset[1][name])
        assert not within[name].flags.writeable
        assert not np.shares_memory(across[name], dataset[1][name])


@pytest.mark.parametrize("kind", ["megatron", "contiguous"])
def test_views_outlive_the_dataset(kind, folders):
    dataset = bloomdata.open(folders / kind)
    items = [dataset[index] for index in range(len(dataset))]
    del dataset
    gc.collect()
    assert [plain(item) for item in items] == expected_of(kind)


def test_part_of_a_document_is_a_view_too(folders):
    dataset = bloomdata.open(folders / "megatron")
    document = DOCUMENTS[2]
    for offset in (0, 1, 20, len(document)):
        assert dataset.get(2, offset).tolist() == document[offset:]
        for length in (0, 1, len(document) - offset):
            if offset + length <= len(document):
                part = dataset.get(2, offset, length)
                assert part.tolist() == document[offset : offset + length]
                assert length == 0 or np.shares_memory(part, dataset[2])
    for offset, length in [(-1, None), (0, -1), (0, len(document) + 1), (len(document) + 1, None), (10, len(document))]:
        with pytest.raises(IndexError):
            dataset.get(2, offset, length)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pickled_dataset_reads_the_same(kind, folders):
    dataset = bloomdata.open(folders / kind)
    data = pickle.dumps(dataset)
    assert read_all(pickle.loads(data)) == expected_of(kind)
    assert len(data) < 2000


@pytest.mark.parametrize("kind", KINDS)
def test_threads_can_share_a_dataset(kind, folders):
    dataset, expected = bloomdata.open(folders / kind), expected_of(kind)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda index: plain(dataset[index % len(expected)]), range(40 * len(expected))))
    assert found == 40 * expected


# Python 3.12 warns of every fork while NumPy's own threads exist.
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_forked_and_spawned_workers_read_the_same(method, folders):
    datasets = [bloomdata.open(folders / kind) for kind in KINDS]
    before = [read_all(dataset) for dataset in datasets]  # every file is open when the workers start
    assert before == [expected_of(kind) for kind in KINDS]
    jobs = [(dataset, index) for dataset in datasets for index in range(len(dataset))]
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(read_one, jobs, chunksize=3) == [item for items in before for item in items]
        assert pool.map(read_all, datasets) == before
    assert [read_all(dataset) for dataset in datasets] == before


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_forked_workers_can_use_a_dataset_that_they_inherit(folders):
    """Not pickled: the open files themselves cross the fork, as in a `DataLoader`."""
    datasets = [bloomdata.open(folders / kind) for kind in KINDS]
    before = [read_all(dataset) for dataset in datasets]
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    workers = [context.Process(target=lambda: queue.put([read_all(dataset) for dataset in datasets])) for _ in range(3)]
    for worker in workers:
        worker.start()
    assert [queue.get() for _ in workers] == [before] * 3
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0


def test_compressed_rows_equal_contiguous_ones(folders):
    first, second = bloomdata.open(folders / "contiguous"), bloomdata.open(folders / "gzip")
    for name, column in COLUMNS.items():
        assert np.array_equal(first[:][name], column)
        assert np.array_equal(second[:][name], column)


@pytest.mark.parametrize("kind", ["contiguous", "gzip"])
def test_h5py_reads_the_same_rows(kind, folders):
    dataset, start = bloomdata.open(folders / kind), 0
    for path in sorted((folders / kind).glob("*.hdf5")):
        with h5py.File(path, "r") as file:
            stop = start + len(file["input_ids"])
            for name in COLUMNS:
                assert np.array_equal(file[name][:], dataset[start:stop][name])
            start = stop
    assert start == len(dataset)


def test_bare_files_open_as_folders_do(folders):
    pair = folders / "megatron" / "data_text_document"
    for path in (pair, f"{pair}.idx", f"{pair}.bin"):
        assert read_all(bloomdata.open(path)) == DOCUMENTS
    for kind in ("contiguous", "gzip"):
        dataset = bloomdata.open(folders / kind / "data-00001.hdf5")
        assert np.array_equal(dataset[:]["input_ids"], IDS[ROWS_PER_FILE : 2 * ROWS_PER_FILE])
    views = bloomdata.open(folders / "contiguous" / "data-00001.hdf5")
    assert np.shares_memory(views[1]["input_ids"], views[1]["input_ids"])


def test_files_of_h5py_itself_open_too(tmp_path):
    for name, options in {
        "contiguous": {},
        "chunked": {"chunks": (2, LENGTH)},
        "gzip": {"compression": "gzip"},
    }.items():
        with h5py.File(tmp_path / f"{name}.hdf5", "w") as file:
            for column, values in COLUMNS.items():
                file.create_dataset(column, data=values, **options)
        dataset = bloomdata.open(tmp_path / f"{name}.hdf5")
        assert np.array_equal(dataset[:]["input_ids"], IDS)
        assert np.array_equal(dataset[3:5]["token_type_ids"], TYPES[3:5])


@pytest.mark.parametrize(
    "columns",
    [
        {"input_ids": IDS},
        {"input_ids": IDS, "token_type_ids": TYPES.astype("<i8")},
        {"input_ids": IDS, "token_type_ids": TYPES[:-1]},
        {"input_ids": IDS, "token_type_ids": TYPES[:, 0]},
        {"input_ids": IDS.astype("<u4"), "token_type_ids": TYPES},
        {"input_ids": IDS.astype(">i4"), "token_type_ids": TYPES},
    ],
    ids=["one column", "int64", "fewer rows", "one dimension", "unsigned", "big-endian"],
)
def test_an_hdf5_file_with_other_columns_is_refused(columns, tmp_path):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        for name, values in columns.items():
            file.create_dataset(name, data=values)
    with pytest.raises(CorruptDataError, match=r"a\.hdf5"):
        bloomdata.open(tmp_path / "a.hdf5")


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_dataset_has_no_items(kind, tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"\n")
    bloomdata.pack(str(tmp_path / "a.jsonl"), tmp_path / "out", tokenizer="bytes", **OPTIONS[kind])
    dataset = bloomdata.open(tmp_path / "out")
    assert len(dataset) == 0
    assert [*dataset] == []
    with pytest.raises(IndexError):
        dataset[0]
    with pytest.raises(IndexError):
        dataset[-1]
    if kind == "megatron":
        assert dataset[:] == []
    else:
        assert {name: column.shape for name, column in dataset[:].items()} == dict.fromkeys(COLUMNS, (0, LENGTH))
    assert len(pickle.loads(pickle.dumps(dataset))) == 0


def test_documents_without_tokens_are_empty_arrays(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"a":"x","b":""}\n{"a":"yy","b":""}\n')
    options = {"tokenizer": "bytes", "format": "megatron", "text_field": ["a", "b"]}
    bloomdata.pack(str(tmp_path / "a.jsonl"), tmp_path / "out", **options)
    dataset = bloomdata.open(tmp_path / "out", field="b")
    assert len(dataset) == 2
    assert [(document.shape, document.dtype) for document in dataset] == [((0,), np.dtype("<u2"))] * 2


def test_a_folder_of_several_fields_opens_the_one_that_is_named(tmp_path):
    record = {"a": "1", "x_a": "2", "text": "4", "context": "5"}
    (tmp_path / "a.jsonl").write_bytes(json.dumps(record).encode())
    options = {"tokenizer": "bytes", "format": "megatron", "text_field": [*record]}
    bloomdata.pack(str(tmp_path / "a.jsonl"), tmp_path / "out", **options)
    for field, text in record.items():
        assert plain(bloomdata.open(tmp_path / "out", field=field)[0]) == reference.tokens(text)
    for field in (None, "other", "x"):
        with pytest.raises(ConfigError, match=r"field"):
            bloomdata.open(tmp_path / "out", field=field)


def test_folders_and_files_that_hold_no_tokens_are_refused(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"text":"x"}\n')
    bloomdata.shard(str(tmp_path / "a.jsonl"), tmp_path / "shards")
    with pytest.raises(ConfigError, match=r"shards"):
        bloomdata.open(tmp_path / "shards")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"empty"):
        bloomdata.open(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match=r"none"):
        bloomdata.open(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"none\.hdf5"):
        bloomdata.open(tmp_path / "none.hdf5")
    with pytest.raises(UnsupportedFormatError, match=r"a\.jsonl"):
        bloomdata.open(tmp_path / "a.jsonl")
    (tmp_path / "text.hdf5").write_bytes(b"no HDF5")
    with pytest.raises(CorruptDataError, match=r"text\.hdf5"):
        bloomdata.open(tmp_path / "text.hdf5")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"outputs": 1}', b'{"outputs": [], "config": {}}', b"\xff"], ids=repr
)
def test_a_damaged_manifest_is_an_error_of_ours_that_names_it(content, tmp_path):
    """DESIGN 5, promise 6: one error family."""
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(BloomdataError, match=r"manifest\.json"):
        bloomdata.open(tmp_path)


@pytest.mark.parametrize("kind", ["contiguous", "gzip"])
def test_a_truncated_hdf5_file_is_refused(kind, tmp_path):
    (tmp_path / "a.txt").write_bytes(b"x" * 10_000)
    bloomdata.pack(
        str(tmp_path / "a.txt"), tmp_path / "out", tokenizer="bytes", **OPTIONS[kind] | {"rows_per_file": 9999}
    )
    path = tmp_path / "out" / "data-00000.hdf5"
    data = path.read_bytes()
    for size in (0, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        for opened in (tmp_path / "out", path):
            with pytest.raises(CorruptDataError, match=r"data-00000\.hdf5"):
                bloomdata.open(opened)


# Megatron pairs that are not our own.


def write_pair(folder, lengths, documents, *, code=4, pointers=None, tail=b"", data=None, version=1):
    """A pair with int32 tokens 0, 1, 2 and so on; every part can be wrong."""
    item = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 8: 2}.get(code, 4)
    right = [item * sum(lengths[:number]) for number in range(len(lengths))]
    index = b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", version, code, len(lengths), len(documents))
    index += struct.pack(f"<{len(lengths)}i", *lengths)
    index += struct.pack(f"<{len(lengths)}q", *(right if pointers is None else pointers))
    index += struct.pack(f"<{len(documents)}q", *documents) + tail
    (folder / "pair.idx").write_bytes(index)
    tokens = b"".join(token.to_bytes(item, "little") for token in range(sum(lengths)))
    (folder / "pair.bin").write_bytes(tokens if data is None else data)
    return folder / "pair"


@pytest.mark.parametrize(("code", "dtype"), [(1, "<u1"), (2, "<i1"), (3, "<i2"), (4, "<i4"), (5, "<i8"), (8, "<u2")])
def test_every_token_type_of_the_format_is_read(code, dtype, tmp_path):
    dataset = bloomdata.open(write_pair(tmp_path, [3, 2], [0, 1, 2], code=code))
    assert plain(dataset[:]) == [[0, 1, 2], [3, 4]]
    assert dataset[0].dtype == np.dtype(dtype)


def test_a_document_of_several_sequences_is_all_of_them(tmp_path):
    dataset = bloomdata.open(write_pair(tmp_path, [3, 2, 1, 4], [0, 2, 2, 3, 4]))
    assert plain(dataset[:]) == [[0, 1, 2, 3, 4], [], [5], [6, 7, 8, 9]]
    assert plain(dataset.get(0, 2, 2)) == [2, 3]


def test_an_index_with_modes_is_read(tmp_path):
    """Multimodal indices hold one more byte for each sequence."""
    assert plain(bloomdata.open(write_pair(tmp_path, [1, 1], [0, 1, 2], tail=b"\x00\x01"))[:]) == [[0], [1]]


CORRUPT = {
    "version": {"version": 2},
    "type code 6, a float in some versions": {"code": 6},
    "type code 7, a float in some versions": {"code": 7},
    "type code 0": {"code": 0},
    "a byte too many": {"tail": b"\x00"},
    "no document index": {"documents": []},
    "the document index does not start with 0": {"documents": [1, 2, 3]},
    "the document index does not end with the number of sequences": {"documents": [0, 1, 2]},
    "the document index goes beyond the sequences": {"documents": [0, 9, 3]},
    "the document index goes back": {"documents": [0, 2, 1, 3]},
    "a negative entry in the document index": {"documents": [0, -1, 3]},
    "the first pointer is not 0": {"pointers": [4, 12, 20]},
    "a pointer in the middle points elsewhere": {"pointers": [0, 4, 20]},
    "a pointer in the middle points behind the file": {"pointers": [0, 4000, 20]},
    "a negative pointer": {"pointers": [0, -12, 20]},
    "the last pointer is wrong": {"pointers": [0, 12, 16]},
    "a negative length": {"lengths": [4, -1, 3], "pointers": [0, 16, 12], "data": bytes(24)},
    "a .bin that is too short": {"data": bytes(23)},
    "a .bin that is too long": {"data": bytes(25)},
    "a .bin with a token too many": {"data": bytes(28)},
    "an empty .bin": {"data": b""},
    "tokens without a sequence": {"lengths": [], "documents": [0], "data": bytes(4)},
}


@pytest.mark.parametrize("changes", CORRUPT.values(), ids=CORRUPT.keys())
def test_an_index_that_breaks_a_rule_is_refused_with_its_name(changes, tmp_path):
    right = {"lengths": [3, 2, 1], "documents": [0, 1, 2, 3]}
    assert len(bloomdata.open(write_pair(tmp_path, **right))) == 3
    path = write_pair(tmp_path, **(right | changes))
    with pytest.raises(CorruptDataError, match=r"pair\.(idx|bin): "):
        bloomdata.open(path)


def test_an_index_cut_at_any_byte_is_refused(tmp_path):
    path = write_pair(tmp_path, [3, 2, 1], [0, 1, 2, 3])
    index = (tmp_path / "pair.idx").read_bytes()
    for size in range(len(index)):
        (tmp_path / "pair.idx").write_bytes(index[:size])
        with pytest.raises(CorruptDataError, match=r"pair\.idx: offset \d+: "):
            bloomdata.open(path)


def test_counts_that_would_overflow_are_refused(tmp_path):
    path = write_pair(tmp_path, [3], [0, 1])
    index = bytearray((tmp_path / "pair.idx").read_bytes())
    for count in (2**61, 2**63, 2**64 - 1):
        for at in (18, 26):
            damaged = bytearray(index)
            struct.pack_into("<Q", damaged, at, count)
            (tmp_path / "pair.idx").write_bytes(damaged)
            with pytest.raises(CorruptDataError, match=r"pair\.idx: offset 18: "):
                bloomdata.open(path)


def test_a_pair_without_its_tokens_is_not_found(tmp_path):
    path = write_pair(tmp_path, [3], [0, 1])
    (tmp_path / "pair.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"pair\.bin"):
        bloomdata.open(path)
