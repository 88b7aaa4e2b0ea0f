"""Megatron-core reads ours, we read Megatron-core's, and for the same documents the files are the same bytes.

Run by `make test-peers`, which installs megatron-core 0.16.1.
"""

from __future__ import annotations

import json
import random
import warnings
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import bloomdata

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.peers

# A document is a list of sequences, a sequence a list of tokens.
Documents = list[list[list[int]]]


@pytest.fixture(scope="module")
def megatron() -> Any:
    """The module `megatron.core.datasets.indexed_dataset`."""
    with warnings.catch_warnings():
        # About optional packages for GPUs.
        warnings.simplefilter("ignore")
        pytest.importorskip("megatron.core")
        return pytest.importorskip("megatron.core.datasets.indexed_dataset")


def build(megatron: Any, prefix: Path, dtype: type, documents: Documents) -> Path:
    """Writes a pair with Megatron-core."""
    builder = megatron.IndexedDatasetBuilder(f"{prefix}.bin", dtype=dtype)
    for document in documents:
        builder.add_document(list(chain(*document)), [len(sequence) for sequence in document])
    builder.finalize(f"{prefix}.idx")
    return prefix


def pair(prefix: Path) -> tuple[bytes, bytes]:
    return Path(f"{prefix}.bin").read_bytes(), Path(f"{prefix}.idx").read_bytes()


def check_equal(ours: Path, theirs: Path) -> None:
    for our, their, name in zip(pair(ours), pair(theirs), ("bin", "idx"), strict=True):
        assert len(our) == len(their), name
        assert our == their, name


def write_records(path: Path, records: Sequence[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def random_text(rng: random.Random, length: int) -> str:
    return "".join(rng.choices("abc é文😀\n", k=length))


def word_tokenizer(folder: Path, vocab_size: int) -> Path:
    """Words `0`, `1`, … are their own ids; the last id ends documents."""
    vocabulary = {str(number): number for number in range(vocab_size - 1)} | {"</s>": vocab_size - 1}
    definition = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "0"},
    }
    folder.mkdir()
    (folder / "tokenizer.json").write_text(json.dumps(definition))
    return folder


def random_numbers(rng: random.Random, vocab_size: int, num_documents: int) -> list[list[int]]:
    lengths = [rng.choice([1, 2, rng.randint(1, 300)]) for _ in range(num_documents)]
    return [[rng.choice([rng.randrange(vocab_size - 1), 0, vocab_size - 2]) for _ in range(n)] for n in lengths]


def test_documents_of_the_byte_tokenizer_are_the_same_bytes(megatron, tmp_path):
    rng = random.Random(1)
    texts = [random_text(rng, rng.choice([1, 2, 50, 3000])) for _ in range(500)]
    records = write_records(tmp_path / "a.jsonl", [{"text": text} for text in texts])
    bloomdata.pack(records, tmp_path / "out", tokenizer="bytes", format="megatron")
    end = bloomdata.Tokenizer("bytes").eos_token_id
    theirs = build(megatron, tmp_path / "theirs", np.uint16, [[[*text.encode(), end]] for text in texts])
    check_equal(tmp_path / "out" / "data_text_document", theirs)


# Around Megatron's limit for two bytes.
@pytest.mark.parametrize("vocab_size", [100, 65_499, 65_500, 65_536, 70_000])
def test_documents_of_a_tokenizer_are_the_same_bytes_in_the_same_width(vocab_size, megatron, tmp_path):
    documents = random_numbers(random.Random(vocab_size), vocab_size, 200)
    records = [{"text": " ".join(map(str, document))} for document in documents]
    tokenizer = word_tokenizer(tmp_path / "tokenizer", vocab_size)
    report = bloomdata.pack(
        write_records(tmp_path / "a.jsonl", records), tmp_path / "out", tokenizer=tokenizer, format="megatron"
    )
    dtype = megatron.DType.optimal_dtype(vocab_size)
    assert report.manifest["details"]["token_dtype"] == dtype.__name__
    ours = tmp_path / "out" / "data_text_document"
    theirs = build(megatron, tmp_path / "theirs", dtype, [[[*document, vocab_size - 1]] for document in documents])
    check_equal(ours, theirs)


def test_records_with_an_empty_field_give_the_same_documents_without_a_sequence(megatron, tmp_path):
    rng = random.Random(2)
    records = [
        {"text": random_text(rng, rng.choice([0, 1, 20])), "title": random_text(rng, rng.choice([0, 1, 5]))}
        for _ in range(300)
    ]
    bloomdata.pack(
        write_records(tmp_path / "a.jsonl", records),
        tmp_path / "out",
        tokenizer="bytes",
        format="megatron",
        text_field=["text", "title"],
    )
    end = bloomdata.Tokenizer("bytes").eos_token_id
    kept = [record for record in records if record["text"] or record["title"]]
    assert 0 < len(kept) < len(records)
    for field in ("text", "title"):
        # As `tools/preprocess_data.py`: an empty text is a document of no sequence.
        documents = [[[*record[field].encode(), end]] if record[field] else [] for record in kept]
        theirs = build(megatron, tmp_path / field, np.uint16, documents)
        check_equal(tmp_path / "out" / f"data_{field}_document", theirs)


def test_no_documents_are_the_same_bytes(megatron, tmp_path):
    records = write_records(tmp_path / "a.jsonl", [])
    bloomdata.pack(records, tmp_path / "out", tokenizer="bytes", format="megatron")
    check_equal(tmp_path / "out" / "data_text_document", build(megatron, tmp_path / "theirs", np.uint16, []))


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("vocab_size", [300, 70_000])
def test_megatron_core_reads_ours(vocab_size, mmap, megatron, tmp_path):
    documents = random_numbers(random.Random(3), vocab_size, 100)
    records = [{"text": " ".join(map(str, document))} for document in documents]
    tokenizer = word_tokenizer(tmp_path / "tokenizer", vocab_size)
    bloomdata.pack(
        write_records(tmp_path / "a.jsonl", records), tmp_path / "out", tokenizer=tokenizer, format="megatron"
    )
    dataset = megatron.IndexedDataset(str(tmp_path / "out" / "data_text_document"), mmap=mmap)
    expected = [[*document, vocab_size - 1] for document in documents]
    assert len(dataset) == len(expected)
    assert [dataset[at].tolist() for at in range(len(dataset))] == expected
    assert dataset.get(5, offset=1, length=1).tolist() == expected[5][1:2]
    assert dataset.sequence_lengths.tolist() == [len(document) for document in expected]
    assert dataset.document_indices.tolist() == list(range(len(expected) + 1))
    assert dataset[0].dtype == megatron.DType.optimal_dtype(vocab_size)


def many_sequences(rng: random.Random, highest: int, num_documents: int) -> Documents:
    """Documents of no, one or several sequences, some of them empty."""
    return [
        [[rng.randint(0, highest) for _ in range(rng.choice([0, 1, 40]))] for _ in range(rng.choice([0, 1, 1, 3]))]
        for _ in range(num_documents)
    ]


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.int32, np.int64, np.uint16])
def test_we_read_megatron_cores(dtype, megatron, tmp_path):
    documents = many_sequences(random.Random(4), np.iinfo(dtype).max, 200)
    prefix = build(megatron, tmp_path / "theirs", dtype, documents)
    theirs = megatron.IndexedDataset(str(prefix))
    for path in (prefix, f"{prefix}.bin", f"{prefix}.idx"):
        ours = bloomdata.open(path)
        assert len(ours) == len(documents)
        assert ours.dtype == dtype
        assert [document.tolist() for document in ours] == [list(chain(*document)) for document in documents]
        np.testing.assert_array_equal(ours.sequence_lengths, theirs.sequence_lengths)
        np.testing.assert_array_equal(ours.document_indices, theirs.document_indices)
        np.testing.assert_array_equal(ours.sequence_pointers, theirs.index.sequence_pointers)


def test_we_read_documents_that_were_added_item_by_item(megatron, tmp_path):
    torch = pytest.importorskip("torch")
    builder = megatron.IndexedDatasetBuilder(str(tmp_path / "a.bin"), dtype=np.int32)
    for sequence in ([1, 2], [3]):
        builder.add_item(torch.tensor(sequence))
    builder.end_document()
    builder.end_document()
    builder.add_item(torch.tensor([4]))
    builder.end_document()
    builder.finalize(str(tmp_path / "a.idx"))
    assert [document.tolist() for document in bloomdata.open(tmp_path / "a")] == [[1, 2, 3], [], [4]]


def test_we_read_multimodal_indices(megatron, tmp_path):
    builder = megatron.IndexedDatasetBuilder(str(tmp_path / "a.bin"), dtype=np.int32, multimodal=True)
    builder.add_document([1, 2, 3], [2, 1], [0, 1])
    builder.add_document([4], [1], [0])
    builder.finalize(str(tmp_path / "a.idx"))
    assert [document.tolist() for document in bloomdata.open(tmp_path / "a")] == [[1, 2, 3], [4]]


def add_indices(megatron: Any, prefix: Path, dtype: type, parts: Sequence[Path]) -> Path:
    """Merges pairs with Megatron-core."""
    builder = megatron.IndexedDatasetBuilder(f"{prefix}.bin", dtype=dtype)
    for part in parts:
        builder.add_index(str(part))
    builder.finalize(f"{prefix}.idx")
    return prefix


def test_merged_folders_are_the_bytes_of_add_index(megatron, tmp_path):
    rng = random.Random(5)
    for name, count in {"a": 50, "b": 1, "empty": 0, "c": 120}.items():
        records = [{"text": random_text(rng, 30), "title": random_text(rng, rng.choice([0, 3]))} for _ in range(count)]
        bloomdata.pack(
            write_records(tmp_path / f"{name}.jsonl", records),
            tmp_path / name,
            tokenizer="bytes",
            format="megatron",
            text_field=["text", "title"],
        )
    parts = [tmp_path / name for name in ("c", "empty", "a", "b")]
    bloomdata.merge(parts, tmp_path / "merged")
    bloomdata.verify(tmp_path / "merged")
    for name in ("data_text_document", "data_title_document"):
        theirs = add_indices(megatron, tmp_path / f"theirs_{name}", np.uint16, [part / name for part in parts])
        check_equal(tmp_path / "merged" / name, theirs)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_merged_pairs_of_megatron_core_are_the_bytes_of_add_index(dtype, megatron, tmp_path):
    rng = random.Random(6)
    parts = [
        build(megatron, tmp_path / f"part{number}", dtype, many_sequences(rng, np.iinfo(dtype).max, count))
        for number, count in enumerate([30, 0, 1, 200])
    ]
    bloomdata.merge(parts, tmp_path / "merged", prefix="all")
    check_equal(tmp_path / "merged" / "all", add_indices(megatron, tmp_path / "theirs", dtype, parts))


def test_merging_is_the_same_as_packing_everything_at_once(megatron, tmp_path):
    rng = random.Random(7)
    records = [{"text": random_text(rng, rng.randint(1, 100))} for _ in range(100)]
    options = {"tokenizer": "bytes", "format": "megatron"}
    first = write_records(tmp_path / "a.jsonl", records[:60])
    second = write_records(tmp_path / "b.jsonl", records[60:])
    for path in (first, second):
        bloomdata.pack(path, tmp_path / path.stem, **options)
    bloomdata.pack([first, second], tmp_path / "whole", **options)
    theirs = add_indices(
        megatron, tmp_path / "theirs", np.uint16, [tmp_path / name / "data_text_document" for name in "ab"]
    )
    check_equal(tmp_path / "whole" / "data_text_document", theirs)


def test_megatron_reads_the_token_types_of_pairs(megatron, tmp_path):
    record = {"prompt": "ab", "completion": "c"}
    (tmp_path / "a.jsonl").write_text(json.dumps(record) + "\n" + json.dumps([record, record]) + "\n")
    options = {"tokenizer": "bytes", "format": "megatron", "record": "prompt_completion"}
    bloomdata.pack(tmp_path / "a.jsonl", tmp_path / "out", **options)
    tokens = megatron.IndexedDataset(str(tmp_path / "out" / "data_text_document"))
    types = megatron.IndexedDataset(str(tmp_path / "out" / "data_text_token_types"))
    assert [document.tolist() for document in types] == [[0, 0, 1, 1, 3], [0, 0, 1, 1, 1, 0, 0, 1, 1, 3]]
    assert [len(document) for document in tokens] == [5, 10]
