"""What of a folder is data: metadata, text beside records, pointers, copies, and the folders of `datasets`."""

import gzip
import json
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata import ConfigError, CorruptDataError, UnsupportedFormatError, _core
from files import write
from reference import choosing
from sharding import contents_of

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 120392\n" % (b"4d" * 32)


def lines_of(inputs, output, **options):
    """The records that `shard` writes, and its report."""
    report = bloomdata.shard(inputs, output, **options)
    content = b"".join(contents_of(output).values())
    return [json.loads(line) for line in content.splitlines()], report


def jsonl(*texts):
    return b"".join(json.dumps({"text": text}).encode() + b"\n" for text in texts)


NAMES = [
    "a",
    "train",
    "README",
    "readme.de",
    "LICENSE",
    "license-MIT",
    "Notice",
    "notice_board",
    "checksums",
    "train_md5",
]
NAMES += [
    "SHA256SUMS",
    "shadow",
    "dataset_info",
    "state",
    "states",
    "metadata",
    "train.metadata",
    "web_stats",
    "licensed",
]
stems = st.sampled_from(NAMES)
suffixes = st.sampled_from(["", ".txt", ".txt.gz", ".jsonl", ".jsonl.zst", ".json", ".ndjson", ".csv", ".md"])
folders = st.sampled_from(["", "", "en/", "en/books/", "web/"])
trees = st.lists(st.builds("{}{}{}".format, folders, stems, suffixes), max_size=9, unique_by=str.lower)


@settings(max_examples=150, deadline=None)
@given(trees)
def test_a_file_is_read_or_not_by_the_rules(names):
    expected = choosing.data_files(names)
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(names):
            write(Path(folder) / name, jsonl(f"{number}"))
        try:
            listed = {Path(path).relative_to(folder).as_posix() for path, _ in _core.list_files([folder])}
        except ConfigError as error:
            listed = str(error)
        if isinstance(listed, set):
            assert listed == expected
        else:
            suffixes_read = {choosing.split_name(name)[1] for name in expected}
            assert not expected or ("stand beside .json" in listed and suffixes_read <= {".json", ".txt"})
        # Whoever names a file means it.
        for name in names:
            if choosing.split_name(name)[1] in {".txt", *choosing.RECORDS}:
                assert len(_core.list_files([f"{folder}/{name}"])) == 1


def test_text_beside_records_is_named_in_the_manifest_and_the_report(tmp_path):
    names = {
        "train.jsonl": jsonl("one"),
        "notes.txt": b"no data\n",
        "LICENSE.txt": b"Copyright\n",
        "md5sums.txt": b"0a\n",
    }
    for name, content in names.items():
        write(tmp_path / "in" / name, content)
    write(tmp_path / "in" / "poems" / "a.txt", b"a text of its own\n")
    records, report = lines_of(tmp_path / "in", tmp_path / "out")
    assert records == [{"text": "a text of its own"}, {"text": "one"}]
    ignored = [Path(path).name for path in report.manifest["ignored_inputs"]]
    assert ignored == ["LICENSE.txt", "md5sums.txt", "notes.txt"]
    assert report.manifest["ignored_reasons"] == {"metadata by its name": 2, "text beside records": 1}
    assert "1 text beside records" in str(report)
    for pattern, expected in (("*", ["one"]), ("*.txt", ["no data"]), ("note*.t*t", [])):
        given = str(tmp_path / "in" / pattern)
        if expected:
            found, _ = lines_of(given, tmp_path / f"out-{len(pattern)}")
            assert [record["text"] for record in found] == expected


def test_many_texts_beside_a_json_file_are_not_decided_for_the_user(tmp_path):
    for name in ("a.txt", "b.txt"):
        write(tmp_path / name, name.encode())
    write(tmp_path / "chapters.json", b'[{"text": "a list of chapters"}]')
    with pytest.raises(ConfigError, match=r"2 files of text such as .*a\.txt stand beside .*chapters\.json.*'\*\.txt'"):
        bloomdata.count(tmp_path, tokenizer="bytes")


def test_a_folder_without_data_says_what_it_holds(tmp_path):
    for name in ("README.md", "LICENSE.txt", "dataset_info.json", "photo.png", ".hidden.jsonl", "state.json", "x.csv"):
        write(tmp_path / name, b"{}\n")
    with pytest.raises(ConfigError) as error:
        bloomdata.shard(tmp_path, tmp_path / "out")
    for part in ("LICENSE.txt (metadata by its name)", ".hidden.jsonl (hidden)", "and 2 more", "is always read"):
        assert part in str(error.value)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.txt", "a.parquet", "a.arrow", "a.jsonl.gz", "a.jsonl.zst"])
@pytest.mark.parametrize("pointer", [LFS, b"/annex/objects/SHA256E-s10--00.jsonl\n"])
def test_a_pointer_is_an_error_that_says_what_fetches_the_file(name, pointer, tmp_path):
    path = write(tmp_path / "in" / name, pointer)
    for inputs in (path, tmp_path / "in", str(tmp_path / "in" / "*")):
        with pytest.raises(UnsupportedFormatError, match=r"pointer in place of the data.*`git (lfs pull|annex get)`"):
            bloomdata.shard(inputs, tmp_path / "out")
    quoted = write(tmp_path / "b.txt", b"It says:\n" + LFS)
    assert bloomdata.shard(quoted, tmp_path / "out").ledger["documents_kept"] == 4


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a.jsonl", "a.jsonl.gz"),
        ("a.json", "a.jsonl"),
        ("a.txt", "a.txt.gz"),
        ("a.jsonl", "z.jsonl"),
        ("a.txt", "b.txt"),
    ],
)
def test_one_content_under_two_names_is_an_error_unless_allowed(first, second, tmp_path):
    content = jsonl("one") if ".json" in first else b"one\n"
    for name in (first, second):
        data = gzip.compress(content) if name.endswith(".gz") else content
        write(tmp_path / "in" / name, data)
    pairs = [tmp_path / "in", [tmp_path / "in" / first, tmp_path / "in" / second]]
    for number, inputs in enumerate(pairs):
        with pytest.raises(ConfigError, match=r"read twice; remove or name one of them .*allow_duplicate_inputs"):
            bloomdata.shard(inputs, tmp_path / "out")
        with pytest.raises(ConfigError, match="read twice"):
            bloomdata.count(inputs, tokenizer="bytes")
        found, _ = lines_of(inputs, tmp_path / f"out-{number}", allow_duplicate_inputs=True)
        assert found == [{"text": "one"}] * 2
    report = bloomdata.dedup(tmp_path / "in", tmp_path / "clean")
    assert report.ledger["documents_kept"] == 1


def test_files_that_only_look_alike_are_read(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for name in ("part-0", "part-1"):
        write(tmp_path / "in" / f"{name}.jsonl.gz", gzip.compress(b"", mtime=0))
        write(tmp_path / "in" / f"{name}-x.jsonl", b"\n \n")
        write(tmp_path / "in" / f"{name}-y.json", b"[]")
        pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "in" / f"{name}-z.parquet")
        write(tmp_path / "in" / name / "same-name.jsonl", jsonl(f"in {name}"))
    found, _ = lines_of(tmp_path / "in", tmp_path / "out")
    assert found == [{"text": "in part-0"}, {"text": "in part-1"}]


@pytest.mark.parametrize("form", ["stream", "file"])
@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_arrow_files_are_read_as_pyarrow_reads_them(form, compression, tmp_path):
    pa = pytest.importorskip("pyarrow")
    rows = [{"text": f"row {number}", "n": number, "tags": ["x"] * (number % 3)} for number in range(700)]
    table = pa.Table.from_pylist(rows)
    table = table.append_column("kind", table["text"].dictionary_encode())
    options = pa.ipc.IpcWriteOptions(compression=compression)
    make = pa.ipc.new_stream if form == "stream" else pa.ipc.new_file
    path = tmp_path / "a.arrow"
    with make(path, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=300)
    found, report = lines_of(path, tmp_path / "out")
    assert found == table.to_pylist()
    assert report.manifest["inputs"][0]["format"] == "ipc"
    packed = bloomdata.pack(path, tmp_path / "packed", tokenizer="bytes", sequence_length=64)
    assert packed.ledger["documents_kept"] == 700
    content = path.read_bytes()
    for end in (0, 3, 7, 100, len(content) // 2, len(content) - 12, len(content) - 8, len(content) - 1):
        cut = write(tmp_path / "cut.arrow", content[:end])
        with pytest.raises(CorruptDataError, match=r"cut\.arrow"):
            bloomdata.shard(cut, tmp_path / "cut", overwrite=True)


def test_damaged_arrow_files_are_refused_or_read(tmp_path):
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"text": ["one", "two", "three"] * 20, "n": range(60)})
    for make in (pa.ipc.new_stream, pa.ipc.new_file):
        with make(tmp_path / "a.arrow", table.schema) as writer:
            writer.write_table(table)
        content = (tmp_path / "a.arrow").read_bytes()
        for at in range(0, len(content), 29):
            for value in (0x00, 0x7F, 0xFF):
                path = write(tmp_path / "b.arrow", content[:at] + bytes([value]) + content[at + 1 :])
                with suppress(bloomdata.BloomdataError):
                    bloomdata.shard(path, tmp_path / "out", overwrite=True, on_bad_record="quarantine")


def test_feather_of_version_1_says_what_to_do(tmp_path):
    pa, feather = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.feather")
    feather.write_feather(pa.table({"text": ["a"]}), tmp_path / "two.feather", version=2)
    assert lines_of(tmp_path / "two.feather", tmp_path / "out")[0] == [{"text": "a"}]
    path = write(tmp_path / "one.feather", b"FEA1" + bytes(60) + b"FEA1")
    with pytest.raises(UnsupportedFormatError, match="Feather of version 1"):
        bloomdata.shard(path, tmp_path / "one")


@settings(max_examples=8, deadline=None)
@given(st.lists(st.text(), min_size=1, max_size=12), st.integers(1, 3))
def test_saved_datasets_are_read_as_their_library_reads_them(texts, num_shards):
    datasets = pytest.importorskip("datasets")
    dataset = datasets.Dataset.from_dict({"text": texts, "n": range(len(texts))})
    with tempfile.TemporaryDirectory() as folder:
        dataset.select(range(len(texts) - 1, -1, -1)).save_to_disk(
            f"{folder}/saved", num_shards=min(num_shards, len(texts))
        )
        loaded = datasets.load_from_disk(f"{folder}/saved")
        loaded.map(lambda row: {"text": "of a cache"}, cache_file_name=f"{folder}/saved/tmp-0.arrow")
        found, report = lines_of(f"{folder}/saved", Path(folder) / "out")
        assert found == list(loaded)
        assert report.manifest["ignored_reasons"]["not named by state.json"] == 1


def test_splits_of_a_saved_dataset_dict_are_not_mixed(tmp_path):
    datasets = pytest.importorskip("datasets")
    parts = {name: datasets.Dataset.from_dict({"text": [name]}) for name in ("train", "test")}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "both")
    with pytest.raises(
        ConfigError, match=r"a DatasetDict with the splits train, test: name one of them \(.*both/train"
    ):
        bloomdata.shard(tmp_path / "both", tmp_path / "out")
    assert lines_of(tmp_path / "both" / "test", tmp_path / "out")[0] == [{"text": "test"}]
    datasets.DatasetDict({"only": parts["train"]}).save_to_disk(tmp_path / "one")
    assert lines_of(tmp_path / "one", tmp_path / "out-one")[0] == [{"text": "train"}]


def test_rows_in_another_order_than_in_their_files_are_refused(tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_dict({"text": ["a", "b"]}).save_to_disk(tmp_path / "saved")
    state = json.loads((tmp_path / "saved" / "state.json").read_bytes())
    for key in ("_indices_files", "_indices_data_files"):
        write(tmp_path / "saved" / "state.json", json.dumps(state | {key: [{"filename": "indices.arrow"}]}).encode())
        with pytest.raises(ConfigError, match=r"mapping of indices.*flatten_indices"):
            bloomdata.shard(tmp_path / "saved", tmp_path / "out")
    write(tmp_path / "saved" / "state.json", json.dumps(state | {"_data_files": [{"filename": "gone.arrow"}]}).encode())
    with pytest.raises(FileNotFoundError, match=r"gone\.arrow"):
        bloomdata.shard(tmp_path / "saved", tmp_path / "out")
