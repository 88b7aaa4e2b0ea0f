"""`verify`: whatever happens to a file of a finished folder, its name is in the error."""

import gzip
import json
import shutil
import struct

import h5py
import pytest
import zstandard

import bloomdata
from bloomdata.errors import BloomdataError, ConfigError, CorruptDataError

CONTENT = b"".join(b'{"text":"document %d","n":%d}\n' % (number, number) for number in range(30)) + b"bad\n"
KINDS = {
    "zstd shards": ("shard", {"max_lines": 12}),
    "gzip shards": ("shard", {"max_lines": 12, "compression": "gzip"}),
    "plain shards": ("shard", {"max_lines": 12, "compression": "none"}),
    "split shards": ("shard", {"splits": {"dev": 5, "test": 3}}),
    "Megatron": ("pack", {"tokenizer": "bytes", "format": "megatron"}),
    "HDF5": ("pack", {"tokenizer": "bytes", "sequence_length": 16, "rows_per_file": 9}),
    "compressed HDF5": (
        "pack",
        {"tokenizer": "bytes", "sequence_length": 16, "rows_per_file": 9, "compression": "gzip"},
    ),
    "words": ("pack", {"tokenizer": "words", "format": "megatron"}),
    "merged": ("merge", {}),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished folder of every kind, never changed."""
    folder = tmp_path_factory.mktemp("verify")
    model = {"type": "WordLevel", "vocab": {"</s>": 0, "<unk>": 1}, "unk_token": "<unk>"}
    definition = {"version": "1.0", "model": model, "added_tokens": []}
    definition |= dict.fromkeys(("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder"))
    (folder / "tokenizer.json").write_text(json.dumps(definition))
    (folder / "a.jsonl").write_bytes(CONTENT)
    for kind, (verb, options) in KINDS.items():
        if verb == "merge":
            bloomdata.merge([folder / "Megatron", folder / "Megatron"], folder / kind)
            continue
        words = {"tokenizer": folder / "tokenizer.json"} if options.get("tokenizer") == "words" else {}
        run = getattr(bloomdata, verb)
        run(str(folder / "a.jsonl"), folder / kind, on_bad_record="quarantine", **(options | words))
    return folder


@pytest.fixture
def folder(request, finished, tmp_path):
    """A copy of a finished folder, to be damaged."""
    shutil.copytree(finished / request.param, tmp_path / "out")
    return tmp_path / "out"


def files_of(folder):
    return [output["path"] for output in json.loads((folder / "manifest.json").read_bytes())["outputs"]]


def problems_of(folder):
    with pytest.raises(CorruptDataError) as caught:
        bloomdata.verify(folder)
    first, *problems = str(caught.value).splitlines()
    assert first == f"{folder}: {len(problems)} problem(s)"
    return [problem.strip().split(": ", 1)[0] for problem in problems]


every_kind = pytest.mark.parametrize("folder", KINDS, indirect=True)


@every_kind
def test_a_folder_as_it_was_written_is_verified_whole(folder):
    names = files_of(folder)
    sizes = [(folder / name).stat().st_size for name in names]
    for num_threads in (1, 4):
        checked = bloomdata.verify(folder, num_threads=num_threads)
        assert (checked.files, checked.bytes) == (len(names), sum(sizes))
    assert len(names) >= 2
    on_disk = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert on_disk == {*names, "manifest.json"}


@every_kind
def test_a_flipped_bit_in_any_file_is_found_and_the_file_is_named(folder):
    for name in files_of(folder):
        path = folder / name
        data = path.read_bytes()
        for at in {0, 1, len(data) // 3, len(data) // 2, len(data) - 2, len(data) - 1}:
            path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            assert problems_of(folder) == [name]
        path.write_bytes(data)
    bloomdata.verify(folder)


@every_kind
def test_a_file_that_is_too_short_or_too_long_is_named(folder):
    for name in files_of(folder):
        path = folder / name
        data = path.read_bytes()
        for damaged in (b"", data[:1], data[: len(data) // 2], data[:-1], data + b"\x00", data + data):
            path.write_bytes(damaged)
            problems = problems_of(folder)
            assert name in problems
            # The index of a pair is compared with the size of its tokens, too.
            assert set(problems) <= {name, name.removesuffix(".bin") + ".idx"}
        path.write_bytes(data)


@every_kind
def test_a_file_that_is_gone_is_named(folder):
    for name in files_of(folder):
        path = folder / name
        data = path.read_bytes()
        path.unlink()
        assert name in problems_of(folder)
        path.write_bytes(data)


@every_kind
def test_every_damaged_file_is_named_not_only_the_first(folder):
    for name in files_of(folder):
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert problems_of(folder) == sorted(files_of(folder))


@every_kind
def test_two_files_that_changed_places_are_named(folder):
    first, second = files_of(folder)[:2]
    data = (folder / first).read_bytes()
    (folder / first).write_bytes((folder / second).read_bytes())
    (folder / second).write_bytes(data)
    problems = problems_of(folder)
    assert first in problems
    assert second in problems


@every_kind
def test_what_an_unfinished_run_leaves_is_named(folder):
    name = files_of(folder)[0]
    (folder / f"{name}.tmp").write_bytes(b"half")
    (folder / "journal.jsonl").write_bytes(b"")
    assert problems_of(folder) == sorted([f"{name}.tmp", "journal.jsonl"])


@every_kind
def test_a_file_that_the_manifest_does_not_know_is_named(folder):
    """A shard of an earlier run would be read with the others by the next command."""
    name = files_of(folder)[0]
    extra = (folder / name).with_name("part-99999.jsonl")
    extra.write_bytes(b'{"text":"of another run"}\n')
    assert problems_of(folder) == [extra.relative_to(folder).as_posix()]


@every_kind
def test_a_manifest_that_is_cut_is_an_error_that_names_it(folder):
    path = folder / "manifest.json"
    data = path.read_bytes()
    for size in (0, 1, len(data) // 2, len(data) - 3):
        path.write_bytes(data[:size])
        with pytest.raises(BloomdataError, match=r"manifest\.json"):
            bloomdata.verify(folder)
    path.unlink()
    with pytest.raises(ConfigError, match=r"manifest\.json"):
        bloomdata.verify(folder)


def edit(folder, change):
    path = folder / "manifest.json"
    manifest = json.loads(path.read_bytes())
    change(manifest)
    path.write_text(json.dumps(manifest, indent=2) + "\n")


@every_kind
def test_books_in_the_manifest_that_do_not_balance_are_found(folder):
    text = (folder / "manifest.json").read_text()
    for name, count in json.loads(text)["ledger"].items():
        if name.startswith(("documents", "tokens")):
            changed = {**count, "another reason": 1} if isinstance(count, dict) else count + 1
            edit(folder, lambda manifest: manifest["ledger"].update({name: changed}))  # noqa: B023 - called at once
            assert {*problems_of(folder)} == {"manifest.json"}
            (folder / "manifest.json").write_text(text)
    bloomdata.verify(folder)


@every_kind
@pytest.mark.parametrize(
    "count", ["size", "lines", "content_bytes", "rows", "documents", "sequences", "tokens", "records"]
)
def test_a_count_in_the_manifest_that_does_not_fit_its_file_is_found(count, folder):
    text = (folder / "manifest.json").read_text()
    for number, output in enumerate(json.loads(text)["outputs"]):
        if count in output:
            edit(folder, lambda manifest: manifest["outputs"][number].update({count: output[count] + 1}))  # noqa: B023
            assert {*problems_of(folder)} & {"manifest.json", output["path"]}
            (folder / "manifest.json").write_text(text)
    bloomdata.verify(folder)


@every_kind
def test_an_output_that_the_manifest_forgot_is_found(folder):
    edit(folder, lambda manifest: manifest["outputs"].pop())
    assert "manifest.json" in problems_of(folder)


@pytest.mark.parametrize("folder", [kind for kind in KINDS if "HDF5" not in kind], indirect=True)
def test_counts_of_documents_that_were_changed_together_are_found(folder):
    """The books still balance, but say something else than the shards and indices."""

    def change(manifest):
        manifest["ledger"]["documents_in"] += 1
        manifest["ledger"]["documents_kept"] += 1

    edit(folder, change)
    assert problems_of(folder) == ["manifest.json"]


@pytest.mark.parametrize("folder", [kind for kind in KINDS if "shards" not in kind], indirect=True)
def test_counts_of_tokens_that_were_changed_together_are_found(folder):
    def change(manifest):
        manifest["ledger"]["tokens_in"] += 1
        manifest["ledger"]["tokens_out"] += 1

    edit(folder, change)
    assert problems_of(folder) == ["manifest.json"]


# Files whose hash is right and whose content is wrong: a defect of the writer would look like this.


def hash_of(content, tmp_path):
    """BLAKE3, as manifests have it (test_records.py compares that with published vectors)."""
    path = tmp_path / "hashed"
    path.write_bytes(content)
    return bloomdata._core.hash_file(path)[1]


def forge(folder, name, content, tmp_path, **details):
    """Replaces a file, and everything that the manifest says of its bytes."""
    (folder / name).write_bytes(content)

    def change(manifest):
        for output in manifest["outputs"]:
            if output["path"] == name:
                output.update(size=len(content), hash=hash_of(content, tmp_path), **details)
        lines = [f"{output['hash']}  {output['path']}\n" for output in manifest["outputs"]]
        manifest["fingerprint"] = hash_of("".join(lines).encode(), tmp_path)

    edit(folder, change)


@every_kind
def test_a_file_that_is_replaced_by_itself_is_no_forgery(folder, tmp_path):
    for name in files_of(folder):
        forge(folder, name, (folder / name).read_bytes(), tmp_path)
    bloomdata.verify(folder)


@pytest.mark.parametrize("folder", ["Megatron", "merged"], indirect=True)
@pytest.mark.parametrize(
    ("part", "number", "value"),
    [
        ("lengths", 2, 3),
        ("lengths", 2, -1),
        ("pointers", 0, 2),
        ("pointers", 5, 0),
        ("pointers", -1, 2**40),
        ("documents", 0, 1),
        ("documents", 7, 3),
        ("documents", 7, 2**40),
        ("documents", -1, 2),
    ],
)
def test_an_index_that_does_not_tile_its_tokens_is_named(part, number, value, folder, tmp_path):
    name = "data_text_document.idx"
    index = bytearray((folder / name).read_bytes())
    sequences, entries = struct.unpack_from("<QQ", index, 18)
    start, size, count, kind = {
        "lengths": (34, 4, sequences, "<i"),
        "pointers": (34 + 4 * sequences, 8, sequences, "<q"),
        "documents": (34 + 12 * sequences, 8, entries, "<q"),
    }[part]
    struct.pack_into(kind, index, start + size * (number % count), value)
    forge(folder, name, bytes(index), tmp_path)
    assert problems_of(folder) == [name]


@pytest.mark.parametrize("folder", ["Megatron", "HDF5"], indirect=True)
@pytest.mark.parametrize("where", ["first", "last"])
def test_a_token_outside_of_the_vocabulary_is_named(where, folder, tmp_path):
    name = "data_text_document.bin" if (folder / "data_text_document.bin").exists() else "data-00001.hdf5"
    data = bytearray((folder / name).read_bytes())
    if name.endswith(".bin"):
        struct.pack_into("<H", data, 0 if where == "first" else len(data) - 2, 259)
    else:
        with h5py.File(folder / name, "r") as file:
            start, count = file["input_ids"].id.get_offset(), file["input_ids"].size
        struct.pack_into("<i", data, start if where == "first" else start + 4 * (count - 1), 259)
    forge(folder, name, bytes(data), tmp_path)
    assert problems_of(folder) == [name]


@pytest.mark.parametrize("folder", ["HDF5"], indirect=True)
@pytest.mark.parametrize(("column", "value"), [("input_ids", -1), ("token_type_ids", 4), ("token_type_ids", -1)])
def test_a_value_that_no_column_may_hold_is_named(column, value, folder, tmp_path):
    data = bytearray((folder / "data-00000.hdf5").read_bytes())
    with h5py.File(folder / "data-00000.hdf5", "r") as file:
        start = file[column].id.get_offset()
    struct.pack_into("<i", data, start + 8, value)
    forge(folder, "data-00000.hdf5", bytes(data), tmp_path)
    assert problems_of(folder) == ["data-00000.hdf5"]


@pytest.mark.parametrize("folder", ["compressed HDF5"], indirect=True)
@pytest.mark.parametrize(("column", "value"), [("input_ids", 259), ("input_ids", -1), ("token_type_ids", 4)])
def test_a_value_that_no_compressed_column_may_hold_is_named(column, value, folder, tmp_path):
    """`verify` checks "every token against the vocabulary"."""
    with h5py.File(folder / "data-00000.hdf5", "r+") as file:
        file[column][0, 3] = value
    forge(folder, "data-00000.hdf5", (folder / "data-00000.hdf5").read_bytes(), tmp_path)
    assert problems_of(folder) == ["data-00000.hdf5"]


@pytest.mark.parametrize("folder", ["compressed HDF5", "HDF5"], indirect=True)
def test_an_hdf5_file_with_fewer_rows_than_the_manifest_says_is_named(folder, tmp_path):
    """`verify` checks "every hash, size and count"."""
    name = "data-00000.hdf5"
    with h5py.File(folder / name, "r") as file:
        columns = {column: file[column][:-1] for column in file}
    with h5py.File(folder / name, "w") as file:
        for column, rows in columns.items():
            file.create_dataset(column, data=rows)
    forge(folder, name, (folder / name).read_bytes(), tmp_path)
    assert problems_of(folder) == [name]


@pytest.mark.parametrize("folder", ["zstd shards", "gzip shards", "plain shards", "split shards"], indirect=True)
def test_a_shard_with_other_lines_than_the_manifest_says_is_named(folder, tmp_path):
    name = files_of(folder)[0]
    compress = {".zst": zstandard.compress, ".gz": gzip.compress}.get((folder / name).suffix, bytes)
    (lines,) = {o["lines"] for o in json.loads((folder / "manifest.json").read_bytes())["outputs"] if o["path"] == name}
    for content in (b'{"text":"x"}\n' * (lines + 1), b'{"text":"x"}\n' * lines):
        forge(folder, name, compress(content), tmp_path)
        assert problems_of(folder) == [name]


@pytest.mark.parametrize("folder", ["zstd shards"], indirect=True)
def test_a_shard_whose_compression_is_broken_is_named(folder, tmp_path):
    forge(folder, "part-00000.jsonl.zst", b"not compressed at all\n", tmp_path)
    assert problems_of(folder) == ["part-00000.jsonl.zst"]


def test_a_folder_that_is_not_ours_or_not_finished_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"empty"):
        bloomdata.verify(tmp_path / "empty")
    (tmp_path / "a.jsonl").write_bytes(b'{"text":"a"}\n' * 3 + b"bad\n")
    with pytest.raises(CorruptDataError):
        bloomdata.shard(str(tmp_path / "a.jsonl"), tmp_path / "out", max_lines=1)
    with pytest.raises(ConfigError, match=r"not finished"):
        bloomdata.verify(tmp_path / "out")
