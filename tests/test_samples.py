"""Rows become samples: what is trained, where documents end, and what is refused."""

import os
import pickle

import h5py
import numpy as np
import pytest

import bloomdata
from bloomdata.errors import ConfigError, CorruptDataError, UnsupportedFormatError
from reference.order import labelled
from sample_files import LENGTH, random_types, write_rows

ROWS = 200
IDS = np.random.default_rng(0).integers(3, 900, (ROWS, LENGTH)).astype(np.int32)
TYPES = random_types(ROWS, LENGTH, 0)


def write_pair(prefix, array, dtype):
    """A Megatron pair of one-sequence documents, by hand."""
    rows, length = array.shape
    data = array.astype(dtype)
    code = {"uint8": 1, "int32": 4, "int64": 5, "uint16": 8}[dtype]
    pointers = np.arange(rows, dtype="<i8") * data.itemsize * length
    header = b"MMIDIDX\0\0" + (1).to_bytes(8, "little") + bytes([code])
    header += rows.to_bytes(8, "little") + (rows + 1).to_bytes(8, "little")
    lengths = np.full(rows, length, "<i4")
    index = header + lengths.tobytes() + pointers.tobytes() + np.arange(rows + 1, dtype="<i8").tobytes()
    prefix.with_suffix(".bin").write_bytes(data.tobytes())
    prefix.with_suffix(".idx").write_bytes(index)
    return prefix


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    for number, part in enumerate((slice(0, 70), slice(70, 71), slice(71, ROWS))):
        write_rows(folder / f"{number}.hdf5", IDS[part], TYPES[part])
        write_rows(folder / f"{number}-gzip.hdf5", IDS[part], TYPES[part], compression="gzip")
    for dtype in ("uint16", "int32", "int64"):
        write_pair(folder / f"{dtype}_document", IDS, dtype)
    write_pair(folder / "types", TYPES, "uint8")
    return folder


def dataset_of(folder, kind):
    if kind == "megatron":
        return bloomdata.PackedDataset.from_megatron(folder / "uint16_document", folder / "types")
    if kind == "megatron int32":
        return bloomdata.PackedDataset.from_megatron(folder / "int32_document", folder / "types")
    names = {"mapped": ["0", "1", "2"], "gzip": ["0-gzip", "1-gzip", "2-gzip"], "both": ["0", "1-gzip", "2"]}[kind]
    return bloomdata.PackedDataset([folder / f"{name}.hdf5" for name in names])


KINDS = ["mapped", "gzip", "both", "megatron", "megatron int32"]
RULES = [
    {},
    {"prompt_loss_weight": 0.25, "dtype": "int32"},
    {"eod_token_id": 5},
    {"eod_token_id": 7, "eod_mask_loss": False, "reset_position_ids": False},
    {"reset_attention_mask": False, "shift_labels": False},
    {"shift_labels": False, "eod_mask_loss": False, "prompt_loss_weight": 1.0},
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rules", RULES, ids=str)
def test_samples_are_what_the_slow_rules_say(folder, kind, rules):
    dataset = dataset_of(folder, kind).with_rules(**rules)
    rows = np.random.default_rng(1).integers(0, ROWS, 64)
    batch = dataset.read_batch(rows)
    ends = []
    for at, row in enumerate(rows.tolist()):
        labels, weights, positions, starts = labelled(
            IDS[row].tolist(),
            TYPES[row].tolist(),
            prompt_loss_weight=rules.get("prompt_loss_weight", 0.0),
            eod=rules.get("eod_token_id"),
            eod_mask_loss=rules.get("eod_mask_loss", True),
            resets=rules.get("reset_position_ids", True),
            boundaries=rules.get("reset_attention_mask", True),
            shift=rules.get("shift_labels", True),
        )
        assert batch["input_ids"][at].tolist() == IDS[row].tolist()
        assert batch["labels"][at].tolist() == labels
        assert batch["loss_weights"][at].tolist() == weights
        assert batch["position_ids"][at].tolist() == positions
        ends += [at * LENGTH + start for start in starts]
    assert batch["cu_seqlens"].tolist() == [*ends, 64 * LENGTH]
    kinds = {name: str(values.dtype) for name, values in batch.items()}
    dtype = rules.get("dtype", "int64")
    expected = {"input_ids": dtype, "labels": dtype, "loss_weights": "float32", "position_ids": dtype}
    assert kinds == {**expected, "cu_seqlens": "int32"}
    assert all(values.flags.writeable for values in batch.values())


def test_no_target_crosses_a_document_and_the_ends_of_documents_are_trained(folder):
    dataset = dataset_of(folder, "mapped")
    batch = dataset.read_batch(np.arange(ROWS))
    boundaries = np.zeros(ROWS * LENGTH, bool)
    boundaries[batch["cu_seqlens"][:-1]] = True
    after = np.roll(boundaries, -1)
    labels = batch["labels"].ravel()
    crossing, trained = after.sum(), (labels != -100).sum()
    assert crossing > 2 * ROWS
    assert trained > 2 * ROWS
    assert (labels[after] == -100).all()
    types = TYPES.ravel()
    separators = np.flatnonzero(types == 3)
    inside = separators[(separators % LENGTH > 0) & ~boundaries[separators]]
    assert len(inside) > ROWS
    assert (labels[inside - 1] == IDS.ravel()[inside]).all()
    targets = np.flatnonzero(labels != -100) + 1
    assert set(types[targets]) == {1, 3}
    assert ((labels == -100) == (batch["loss_weights"].ravel() == 0)).all()


def test_decoding_what_is_trained_gives_the_completions(tmp_path):
    pairs = [("2 + 2?", "4"), ("name a colour", "dark green"), ("é?", "ü!")] * 5
    lines = [f'{{"prompt": "{prompt}", "completion": "{completion}"}}' for prompt, completion in pairs]
    (tmp_path / "a.jsonl").write_text("\n".join(lines), "utf-8")
    options = {"record": "prompt_completion", "packing": "greedy", "sequence_length": 64, "tokenizer": "bytes"}
    bloomdata.pack(str(tmp_path / "a.jsonl"), tmp_path / "packed", **options)
    dataset = bloomdata.open(tmp_path / "packed")
    labels = dataset.read_batch(np.arange(len(dataset)))["labels"]
    tokenizer = bloomdata.Tokenizer("bytes")
    text = "".join(tokenizer.decode(row[row != -100].tolist()) for row in labels)
    assert text == "".join(f" {completion}<eos>" for _, completion in pairs)


def test_a_file_without_types_is_trained_on_everywhere(folder):
    dataset = bloomdata.PackedDataset.from_megatron(folder / "uint16_document")
    assert dataset.columns == ("input_ids",)
    batch = dataset.read_batch([4, 2])
    assert (batch["labels"][:, :-1] == IDS[[4, 2], 1:]).all()
    assert batch["cu_seqlens"].tolist() == [0, LENGTH, 2 * LENGTH]
    assert dataset[4]["input_ids"].tolist() == IDS[4].tolist()


def test_the_same_rows_have_one_fingerprint_wherever_they_lie(folder, tmp_path):
    kept = dataset_of(folder, "mapped").fingerprint
    for number in range(3):
        (tmp_path / f"x{number}.hdf5").write_bytes((folder / f"{number}.hdf5").read_bytes())
    moved = bloomdata.PackedDataset([tmp_path / f"x{number}.hdf5" for number in range(3)])
    assert moved.fingerprint == kept
    assert moved.with_rules(prompt_loss_weight=1.0).fingerprint == kept
    assert pickle.loads(pickle.dumps(moved)).fingerprint == kept
    other = bloomdata.PackedDataset([tmp_path / f"x{number}.hdf5" for number in (1, 0, 2)])
    assert len({kept, other.fingerprint, dataset_of(folder, "gzip").fingerprint}) == 3


def test_a_folder_has_the_fingerprint_and_the_tokens_of_its_manifest(raw):
    report = bloomdata.pack("raw", "packed", tokenizer="bytes", sequence_length=50, packing="greedy")
    dataset = bloomdata.open("packed")
    assert dataset.fingerprint == report.manifest["fingerprint"]
    ledger = report.manifest["ledger"]
    assert 0 < dataset.num_tokens == ledger["tokens_out"] - ledger["tokens_padding"] < 50 * len(dataset)


def test_hostile_indices_and_options_are_refused(folder):
    dataset = dataset_of(folder, "mapped")
    for indices in ([ROWS], [-1], [0, 1 << 62]):
        with pytest.raises(IndexError):
            dataset.read_batch(indices)
    for indices in ([0.5], [[0]], ["a"], [True]):
        with pytest.raises(ConfigError):
            dataset.read_batch(indices)
    assert dataset.read_batch([])["input_ids"].shape == (0, LENGTH)
    for rules in ({"prompt_loss_weight": -1.0}, {"prompt_loss_weight": float("nan")}, {"dtype": "int8"}, {"seed": 1}):
        with pytest.raises(ConfigError):
            dataset.with_rules(**rules)
    with pytest.raises(ConfigError):
        bloomdata.PackedDataset([])


def test_damaged_files_are_named_and_never_crash(tmp_path):
    types = TYPES.copy()
    types[3, 5] = 9
    dataset = bloomdata.open(write_rows(tmp_path / "types.hdf5", IDS, types))
    with pytest.raises(CorruptDataError, match="token type 9"):
        dataset.read_batch([0, 3])
    path = write_rows(tmp_path / "short.hdf5", IDS, TYPES)
    dataset = bloomdata.open(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CorruptDataError, match="ends inside row"):
        dataset.read_batch([ROWS - 1])
    path.unlink()
    gone = bloomdata.open(write_rows(path, IDS, TYPES))
    path.unlink()
    with pytest.raises(FileNotFoundError):
        gone.read_batch([0])
    for layout in (
        {"input_ids": {}},
        {"input_ids": {"offset": -1, "shape": [1, 1]}},
        {"input_ids": {"offset": 0, "shape": [2**62, 2**62]}},
    ):
        good = write_rows(tmp_path / "good.hdf5", IDS, TYPES)
        with pytest.raises(CorruptDataError):
            bloomdata.PackedDataset([good], [layout])


def test_pairs_that_are_no_rows_are_refused(folder, tmp_path):
    with pytest.raises(UnsupportedFormatError, match="int64"):
        bloomdata.PackedDataset.from_megatron(folder / "int64_document").read_batch([0])
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": "longer"}\n')
    bloomdata.pack(str(tmp_path / "a.jsonl"), tmp_path / "out", tokenizer="bytes", format="megatron")
    with pytest.raises(UnsupportedFormatError, match="one length"):
        bloomdata.PackedDataset.from_megatron(tmp_path / "out" / "data_text_document")
    write_pair(tmp_path / "few", TYPES[:5], "uint8")
    with pytest.raises(CorruptDataError, match="differ in shape"):
        bloomdata.PackedDataset.from_megatron(folder / "uint16_document", tmp_path / "few")


def test_compressed_rows_are_read_by_chunks_that_are_kept(tmp_path, monkeypatch):
    path = write_rows(tmp_path / "a.hdf5", IDS, TYPES, chunks=(10, LENGTH), compression="gzip")
    dataset = bloomdata.open(path)
    reads = []
    read = h5py.Dataset.__getitem__
    monkeypatch.setattr(h5py.Dataset, "__getitem__", lambda self, args: reads.append(args) or read(self, args))
    for _ in range(2):
        assert (dataset.read_batch(np.arange(70))["input_ids"] == IDS[:70]).all()
        assert len(reads) == 2 * 7


def test_names_that_are_no_text_are_read(folder, tmp_path):
    places = bloomdata.PackedDataset([folder / "0.hdf5"])._files[0].places
    layout = {name: {"offset": offset, "shape": [70, LENGTH]} for name, (_, offset, _) in places.items()}
    path = tmp_path / os.fsdecode(b"\xff.hdf5")
    path.write_bytes((folder / "0.hdf5").read_bytes())
    dataset = bloomdata.PackedDataset([path], [layout])
    assert (dataset.read_batch([5])["input_ids"] == IDS[5]).all()
