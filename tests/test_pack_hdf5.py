"""`pack` to HDF5: the rows of the reference, in files that other programs read and map."""

import json
import subprocess
import sys

import h5py
import numpy as np
import pytest

import bloomdata
from files import write
from packing import CONTENT, GOLDEN, TEXTS, documents_of, pack, rows_in
from reference import pack as reference


@pytest.fixture
def source(tmp_path):
    return write(tmp_path / "a.jsonl", CONTENT)


@pytest.mark.parametrize("vector", GOLDEN["rows"], ids=lambda vector: vector["origin"])
def test_rows_of_packing_full_are_the_golden_ones(vector, tmp_path):
    """They are those of generative_data_prep, which leaves out rows of ends alone."""
    lines = [json.dumps({"text": text}).encode() for text in vector["texts"]]
    length, append_eos = vector["sequence_length"], vector["append_eos"]
    source = write(tmp_path / "a.jsonl", b"\n".join(lines))
    pack(source, tmp_path / "out", sequence_length=length, append_eos=append_eos, keep_end_only_sequences=False)
    found = rows_in(tmp_path / "out")
    assert [column.tolist() for column in found] == [vector["input_ids"], vector["token_type_ids"]]
    assert all(column.shape == (len(vector["input_ids"]), length) for column in found)
    expected = reference.full_rows(documents_of(vector["texts"], append_eos=append_eos), length)
    has_text = (expected[1] == reference.TEXT).any(axis=1)
    assert [column[has_text].tolist() for column in expected] == [vector["input_ids"], vector["token_type_ids"]]


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("sequence_length", [1, 2, 7, 64, 1000])
@pytest.mark.parametrize("append_eos", [True, False])
def test_hdf5_rows_are_those_of_the_reference(append_eos, sequence_length, compression, source, tmp_path):
    options = {"sequence_length": sequence_length, "append_eos": append_eos, "compression": compression}
    report = pack(source, tmp_path / "out", **options)
    documents = documents_of(TEXTS, append_eos=append_eos)
    for found, expected in zip(rows_in(tmp_path / "out"), reference.full_rows(documents, sequence_length), strict=True):
        assert found.dtype == np.dtype("<i4")
        assert np.array_equal(found, expected)
    ledger = report.ledger
    assert ledger["tokens_in"] == sum(map(len, documents))
    ids, types = rows_in(tmp_path / "out")
    assert ledger["tokens_padding"] == (types == reference.PADDING).sum()
    assert ledger["tokens_out"] == ids.size
    assert ledger["tokens_in"] == ids.size - ledger["tokens_padding"] + ledger["tokens_dropped"]
    bloomdata.verify(tmp_path / "out")


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("rows_per_file", [1, 2, 3, 1000])
def test_only_the_last_hdf5_file_is_short(rows_per_file, compression, source, tmp_path):
    options = {"sequence_length": 7, "compression": compression}
    report = pack(source, tmp_path / "out", rows_per_file=rows_per_file, **options)
    ids, types = reference.full_rows(documents_of(TEXTS), 7)
    counts = [min(rows_per_file, len(ids) - start) for start in range(0, len(ids), rows_per_file)]
    assert [output["rows"] for output in report.outputs] == counts
    assert [output["path"] for output in report.outputs] == [f"data-{n:05}.hdf5" for n in range(len(counts))]
    found = rows_in(tmp_path / "out")
    assert np.array_equal(found[0], ids)
    assert np.array_equal(found[1], types)


def test_contiguous_hdf5_files_can_be_mapped_where_the_manifest_says(source, tmp_path):
    report = pack(source, tmp_path / "out", sequence_length=7)
    (output,) = report.outputs
    data = (tmp_path / "out" / output["path"]).read_bytes()
    with h5py.File(tmp_path / "out" / output["path"], "r") as file:
        assert sorted(file) == ["input_ids", "token_type_ids"]
        for name, place in output["datasets"].items():
            assert file[name].chunks is None
            assert file[name].id.get_offset() == place["offset"]
            assert list(file[name].shape) == place["shape"]
            assert file[name].dtype == np.dtype(place["dtype"]) == np.dtype("<i4")
            mapped = np.frombuffer(data, "<i4", file[name].size, place["offset"])
            assert np.array_equal(mapped.reshape(file[name].shape), file[name][:])


@pytest.mark.parametrize("num_characters", [1024, 5000, 100_000])
def test_contiguous_datasets_that_fill_a_page_start_on_one(num_characters, tmp_path):
    source = write(tmp_path / "a.txt", b"x" * num_characters)
    (output,) = pack(source, tmp_path / "out", sequence_length=16).outputs
    assert [place["offset"] % 4096 for place in output["datasets"].values()] == [0, 0]


def test_compressed_hdf5_files_are_chunked_as_generative_data_prep_writes_them(source, tmp_path):
    """SYSTEMS.md 2.6: little-endian int32, maxshape (unlimited, L), gzip at level 4, chunks chosen by h5py."""
    pack(source, tmp_path / "out", sequence_length=7, compression="gzip")
    with h5py.File(tmp_path / "out" / "data-00000.hdf5", "r") as file:
        assert sorted(file) == ["input_ids", "token_type_ids"]
        for dataset in file.values():
            assert dataset.dtype == np.dtype("<i4")
            assert dataset.maxshape == (None, 7)
            assert (dataset.compression, dataset.compression_opts) == ("gzip", 4)
            assert dataset.chunks is not None


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_documents_longer_than_a_file_of_rows_are_cut_and_nothing_is_lost(compression, tmp_path):
    texts = ["a" * 1000, "b", "c" * 333, "d" * 64]
    source = write(tmp_path / "a.txt", "\n".join(texts).encode())
    report = pack(source, tmp_path / "out", sequence_length=16, rows_per_file=4, compression=compression)
    assert len(report.outputs) == 22
    found = rows_in(tmp_path / "out")
    assert all(map(np.array_equal, found, reference.full_rows(documents_of(texts), 16)))


@pytest.mark.parametrize("rows_per_file", [2**40, 2**62, 2**63])
def test_more_rows_than_a_file_can_hold_are_refused_and_not_waited_for(rows_per_file, source, tmp_path):
    """In a process of its own, so that a hang ends."""
    program = (
        "import sys, bloomdata\n"
        "try:\n"
        f"    bloomdata.pack({source!r}, {str(tmp_path / 'out')!r}, tokenizer='bytes', sequence_length=2048,"
        f" rows_per_file={rows_per_file})\n"
        "except bloomdata.ConfigError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], timeout=20, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "rows_per_file" in done.stdout
