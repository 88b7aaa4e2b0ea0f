"""`prepare` into one file: its content, its books, what a rerun does, and what is never written over."""

import gzip
import json
import os
import shutil
import subprocess

import pytest
import zstandard

import bloomdata
from bloomdata.errors import ConfigError, CorruptDataError, MismatchError
from files import everything_in, write
from test_prepare_bad import DOLLY, LINE

SUFFIXES = [".jsonl", ".jsonl.gz", ".jsonl.zst"]
STORED = (json.dumps(LINE) + "\n").encode()


@pytest.fixture
def source(tmp_path):
    return write(tmp_path / "in" / "dolly.jsonl", DOLLY * 5)


def read(path):
    content = path.read_bytes()
    if path.suffix == ".zst":
        return zstandard.ZstdDecompressor().stream_reader(content, read_across_frames=True).read()
    return gzip.decompress(content) if path.suffix == ".gz" else content


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_holds_all_lines_and_its_books_lie_beside_it(suffix, source, tmp_path):
    output = tmp_path / "new" / f"chats{suffix}"
    report = bloomdata.prepare("dolly", source, output, max_lines=2, compression="none")
    assert read(output) == STORED * 5
    assert report.folder == output.with_name(output.name + ".books")
    assert sorted(path.name for path in output.parent.iterdir()) == [output.name, output.name + ".books"]
    bloomdata.verify(report.folder)
    assert output.samefile(report.folder / report.outputs[0]["path"])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_rerun_does_nothing_and_brings_a_deleted_file_back(suffix, source, tmp_path):
    output = tmp_path / f"chats{suffix}"
    bloomdata.prepare("dolly", source, output)
    before, status = everything_in(tmp_path), output.stat()
    assert bloomdata.prepare("dolly", source, output, num_threads=1).was_finished
    assert (output.stat().st_ino, output.stat().st_mtime_ns) == (status.st_ino, status.st_mtime_ns)
    assert everything_in(tmp_path) == before
    output.unlink()
    assert bloomdata.prepare("dolly", source, output).was_finished
    assert everything_in(tmp_path) == before


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("content", [b"", b"{}\n" * 3], ids=["an empty input", "bad records only"])
def test_a_file_without_records_is_one_that_every_reader_takes(suffix, content, tmp_path):
    path = write(tmp_path / "in" / "a.jsonl", content)
    output = tmp_path / f"chats{suffix}"
    for _ in range(2):
        bloomdata.prepare("dolly", path, output, on_bad_record="quarantine", allow_empty=True)
        assert read(output) == b""
    program = {".gz": ["gzip", "-t"], ".zst": ["zstd", "-tq"]}.get(output.suffix)
    if program and shutil.which(program[0]):
        subprocess.run([*program, output], check=True)
    assert bloomdata.shard(output, tmp_path / "shards").ledger["documents_in"] == 0


def test_another_call_is_refused_and_leaves_everything_as_it_was(source, tmp_path):
    output = tmp_path / "chats.jsonl"
    bloomdata.prepare("dolly", source, output)
    before = everything_in(tmp_path)
    with pytest.raises(MismatchError, match="ensure_ascii"):
        bloomdata.prepare("dolly", source, output, ensure_ascii=True)
    assert everything_in(tmp_path) == before
    bloomdata.prepare("dolly", source, output, style="text", overwrite=True)
    assert read(output) == b'{"text": "<human>: Hi\\n<bot>: Hello"}\n' * 5


def test_a_file_that_no_call_wrote_is_not_written_over(source, tmp_path):
    output = write(tmp_path / "mine.jsonl", b"mine\n")
    with pytest.raises(ConfigError, match=r"expected a file of an earlier call, got .*mine\.jsonl"):
        bloomdata.prepare("dolly", source, output)
    assert (tmp_path / "mine.jsonl").read_bytes() == b"mine\n"
    assert not (tmp_path / "mine.jsonl.books").exists()
    bloomdata.prepare("dolly", source, output, overwrite=True)
    assert read(tmp_path / "mine.jsonl") == STORED * 5


def test_a_file_that_was_changed_since_is_not_written_over(source, tmp_path):
    output = tmp_path / "chats.jsonl"
    bloomdata.prepare("dolly", source, output)
    output.unlink()
    output.write_bytes(b"changed\n")
    with pytest.raises(ConfigError, match="expected a file of an earlier call"):
        bloomdata.prepare("dolly", source, output)
    assert output.read_bytes() == b"changed\n"


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_input_is_never_the_output(overwrite, source, tmp_path):
    with pytest.raises(ConfigError, match="expected a file that is not an input"):
        bloomdata.prepare("dolly", source, source, overwrite=overwrite)
    assert (tmp_path / "in" / "dolly.jsonl").read_bytes() == DOLLY * 5


def test_a_folder_with_the_name_of_a_file_is_refused(source, tmp_path):
    (tmp_path / "chats.jsonl").mkdir()
    with pytest.raises(ConfigError, match="output: expected a file"):
        bloomdata.prepare("dolly", source, tmp_path / "chats.jsonl")


def test_a_place_where_nothing_can_be_written_is_the_systems_error(source, tmp_path):
    with pytest.raises(OSError, match=r"dolly\.jsonl"):
        bloomdata.prepare("dolly", source, f"{source}/chats.jsonl")
    if os.geteuid() != 0:
        (tmp_path / "locked").mkdir(mode=0o500)
        with pytest.raises(PermissionError):
            bloomdata.prepare("dolly", source, tmp_path / "locked" / "chats.jsonl")


def test_a_file_has_no_splits(source, tmp_path):
    with pytest.raises(ConfigError, match="splits: expected None or a folder as output"):
        bloomdata.prepare("dolly", source, tmp_path / "chats.jsonl", splits={"dev": 1})


def test_without_links_the_file_is_a_copy(source, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr("pathlib.Path.hardlink_to", refuse)
    for _ in range(2):
        bloomdata.prepare("dolly", source, tmp_path / "chats.jsonl")
        assert read(tmp_path / "chats.jsonl") == STORED * 5


def test_a_failed_call_leaves_no_file_and_the_next_goes_on(tmp_path):
    source = write(tmp_path / "in" / "dolly.jsonl", DOLLY * 5 + b"{")
    with pytest.raises(CorruptDataError, match="line 6"):
        bloomdata.prepare("dolly", source, tmp_path / "chats.jsonl")
    assert not (tmp_path / "chats.jsonl").exists()


def test_the_books_of_a_file_are_not_read_with_the_folder_that_holds_both(source, tmp_path):
    """They hold the same lines once more."""
    bloomdata.prepare("dolly", source, tmp_path / "out" / "chats.jsonl")
    for inputs in (tmp_path / "out", f"{tmp_path}/**/*s.jsonl", f"{tmp_path}/out/**/*"):
        report = bloomdata.prepare("messages", inputs, tmp_path / "again", overwrite=True)
        assert report.ledger["documents_kept"] == 5
    # By its own name the folder is read, as any other.
    report = bloomdata.prepare("messages", tmp_path / "out" / "chats.jsonl.books", tmp_path / "third")
    assert report.ledger["documents_kept"] == 5
