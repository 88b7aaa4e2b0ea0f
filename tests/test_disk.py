"""Disks that are full, read-only or failing, and inputs that change under a run.

The system's error comes out with the path, nothing half-written has a final name, and once the cause is gone the same
command goes on to the same bytes.
"""

from __future__ import annotations

import gzip
import os
import random
import shutil
import sys
import threading
from typing import TYPE_CHECKING

import pytest
import zstandard

import bloomdata
from disks import (
    FAILURES,
    check_full_from_the_start,
    check_refusal,
    check_strikes,
    fill,
    mounted,
    run_limited,
)
from faults import strike
from runs import (
    QUARANTINE,
    SMALL_COMMANDS,
    differences,
    end,
    half_written,
    run,
    running,
    tree,
    write_corpus,
)

if TYPE_CHECKING:
    from pathlib import Path

# Outputs of 1 to 10 MB in several files.
COMMANDS = {
    "shard": ["shard", "--max-lines", "600", *QUARANTINE],
    "shard-plain": ["shard", "--compression", "none", "--max-lines", "600", *QUARANTINE],
    "shuffle": ["shard", "--shuffle", "--max-lines", "600", *QUARANTINE],
    "megatron": ["pack", "--tokenizer", "bytes", "--format", "megatron", "--checkpoint-seconds", "0", *QUARANTINE],
    "hdf5": ["pack", "--tokenizer", "bytes", "--sequence-length", "256", "--rows-per-file", "800", *QUARANTINE],
    "hdf5-gzip": [
        *["pack", "--tokenizer", "bytes", "--sequence-length", "256", "--rows-per-file", "800"],
        *["--compression", "gzip", *QUARANTINE],
    ],
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "raw", num_records=4_000, words=40)


@pytest.fixture(scope="module")
def undisturbed(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes | None]]:
    """What each command writes."""
    results = {}
    for name, command in COMMANDS.items():
        output = tmp_path_factory.mktemp("undisturbed") / name
        status, errors = run(command, corpus, output)
        assert status == 0, errors
        results[name] = tree(output)
    return results


def size_of(content: dict[str, bytes | None]) -> int:
    return sum(len(data) for data in content.values() if data is not None)


# --- full ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_is_an_os_error_and_the_run_goes_on_once_there_is_space(name, corpus, undisturbed, tmp_path):
    wanted = undisturbed[name]
    # HDF5's library can fail in many ways: look closer.
    for percent in range(0, 100, 12) if name == "hdf5-gzip" else (0, 20, 50, 80, 97):
        disk = tmp_path / f"disk-{percent}"
        # At least a page each for the folder and a file.
        with mounted(disk, f"size={max(8192, size_of(wanted) * percent // 100)}") as remount:
            status, errors = run(COMMANDS[name], corpus, disk / "output")
            check_refusal(status, errors, "OSError", "No space left on device", disk)
            assert half_written(disk / "output", wanted) == []
            remount("size=1G")
            status, errors = run(COMMANDS[name], corpus, disk / "output")
            assert status == 0, errors
            assert differences(tree(disk / "output"), wanted) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_a_disk_that_is_full_from_the_start_is_an_os_error(name, corpus, undisturbed, tmp_path):
    check_full_from_the_start(COMMANDS[name], corpus, tmp_path / "disk", undisturbed[name])


def test_a_full_folder_for_temporary_files_is_an_os_error(corpus, undisturbed, tmp_path, monkeypatch):
    # h5py describes files there before they are written.
    disk = tmp_path / "temporary"
    with mounted(disk, "size=64K"):
        fill(disk / "filler")
        monkeypatch.setenv("TMPDIR", str(disk))
        for name in ("shard", "megatron", "hdf5", "hdf5-gzip"):
            output = tmp_path / name
            status, errors = run(COMMANDS[name], corpus, output)
            if status == 0:
                assert differences(tree(output), undisturbed[name]) == []
            else:
                check_refusal(status, errors, "OSError", "No space left on device", disk)
                assert half_written(output, undisturbed[name]) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on the size of files")
@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("percent", [1, 40, 99])
def test_a_limit_on_the_size_of_files_is_an_os_error_and_the_run_goes_on_without_it(
    name, percent, corpus, undisturbed, tmp_path
):
    wanted = undisturbed[name]
    output = tmp_path / "output"
    largest = max(len(data) for data in wanted.values() if data is not None)
    status, errors = run_limited(largest * percent // 100, COMMANDS[name], corpus, output)
    check_refusal(status, errors, "OSError", "File too large", output)
    assert half_written(output, wanted) == []
    status, errors = run(COMMANDS[name], corpus, output)
    assert status == 0, errors
    assert differences(tree(output), wanted) == []


# --- failing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", FAILURES, ids=["full", "failing"])
@pytest.mark.parametrize("name", SMALL_COMMANDS)
def test_a_disk_that_fails_at_some_call_is_an_os_error_and_the_run_goes_on_later(
    name, how, shim, small_corpus, tmp_path
):
    check_strikes(strike(shim, SMALL_COMMANDS[name], small_corpus, tmp_path, how, every=11), FAILURES[how])


@pytest.mark.slow
@pytest.mark.parametrize("how", FAILURES, ids=["full", "failing"])
@pytest.mark.parametrize("name", SMALL_COMMANDS)
def test_a_disk_that_fails_at_any_call_is_an_os_error_and_the_run_goes_on_later(
    name, how, shim, small_corpus, tmp_path
):
    check_strikes(strike(shim, SMALL_COMMANDS[name], small_corpus, tmp_path, how), FAILURES[how])


# --- not writable ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_an_output_that_cannot_be_a_folder_is_an_os_error(name, corpus, tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    status, errors = run(COMMANDS[name], corpus, file / "output")
    check_refusal(status, errors, "NotADirectoryError", "Not a directory", file)
    status, errors = run(COMMANDS[name], corpus, file)
    check_refusal(status, errors, "FileExistsError", "File exists", file)
    assert file.read_text() == "mine"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_read_only_disk_is_an_os_error(name, corpus, tmp_path):
    disk = tmp_path / "disk"
    with mounted(disk, "size=64M") as remount:
        (disk / "empty").mkdir()
        remount("ro")
        for output in (disk / "empty", disk / "new"):
            status, errors = run(COMMANDS[name], corpus, output)
            check_refusal(status, errors, "OSError", "Read-only file system", disk)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_finished_folder_on_a_read_only_disk_can_be_rerun_verified_and_opened(name, corpus, undisturbed, tmp_path):
    disk = tmp_path / "disk"
    with mounted(disk, "size=1G") as remount:
        status, errors = run(COMMANDS[name], corpus, disk / "output")
        assert status == 0, errors
        remount("ro")
        bloomdata.verify(disk / "output")
        if "shard" not in COMMANDS[name]:
            assert len(bloomdata.open(disk / "output")) > 0
        # The same command is a no-op, and a no-op writes nothing.
        status, errors = run(COMMANDS[name], corpus, disk / "output")
        assert status == 0, errors


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_the_right_to_write_is_a_permission_error(corpus, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o500)
    for output in (folder, folder / "output"):
        status, errors = run(COMMANDS["shard"], corpus, output)
        check_refusal(status, errors, "PermissionError", "Permission denied", folder)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may read everything")
def test_an_input_without_the_right_to_read_is_a_permission_error(corpus, tmp_path):
    copy = tmp_path / "a.jsonl"
    shutil.copy(corpus / "part-1.jsonl", copy)
    copy.chmod(0)
    status, errors = run(COMMANDS["shard"], copy, tmp_path / "output")
    check_refusal(status, errors, "PermissionError", "Permission denied", copy)


def test_an_output_folder_that_is_removed_under_a_run_is_an_os_error(slow_input, tmp_path):
    output = tmp_path / "output"

    def remove(*_: int) -> None:
        shutil.rmtree(output, ignore_errors=True)

    with pytest.raises(FileNotFoundError, match="output"):
        bloomdata.shard(slow_input, output, max_lines=100, num_threads=1, on_progress=remove)


# --- inputs that change ----------------------------------------------------------------------------------------

LINE = b'{"text": "one more"}\n'


@pytest.fixture(scope="module")
def slow_input(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that is read for long enough to do something to the next one: random, and every letter an escape."""
    digits = random.Random(1).randbytes(2_000_000).hex()
    escapes = "".join(f"\\u00e{digit}" for digit in digits)
    path = tmp_path_factory.mktemp("slow") / "1.jsonl"
    lines = (f'{{"text": "{escapes[start : start + 600]}"}}\n' for start in range(0, len(escapes), 600))
    path.write_text("".join(lines))
    return path


def write_input(path: Path) -> Path:
    """A thousand documents, compressed as the name says."""
    content = b"".join(b'{"text": "document %d"}\n' % number for number in range(1000))
    compress = {
        ".jsonl": lambda data: data,
        ".gz": lambda data: gzip.compress(data, mtime=0),
        ".zst": zstandard.ZstdCompressor().compress,
    }
    path.write_bytes(compress[path.suffix](content))
    return path


def vanish(path: Path) -> None:
    path.unlink()


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def grow(path: Path) -> None:
    more = {".jsonl": LINE, ".gz": gzip.compress(LINE), ".zst": zstandard.ZstdCompressor().compress(LINE)}
    with path.open("ab") as file:
        file.write(more[path.suffix])


def shrink_by_a_line(path: Path) -> None:
    data = path.read_bytes()
    os.truncate(path, data.rindex(b"\n", 0, -1) + 1)


def shrink(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 7)


def shrink_to_nothing(path: Path) -> None:
    os.truncate(path, 0)


PLAIN, GZIP, ZSTD = ".jsonl", ".jsonl.gz", ".jsonl.zst"
DAMAGED = (bloomdata.CorruptDataError, bloomdata.MismatchError)
CHANGES = [
    *[(vanish, suffix, FileNotFoundError) for suffix in (PLAIN, GZIP, ZSTD)],
    *[(become_a_folder, suffix, IsADirectoryError) for suffix in (PLAIN, GZIP, ZSTD)],
    *[(grow, suffix, bloomdata.MismatchError) for suffix in (PLAIN, GZIP, ZSTD)],
    (shrink_by_a_line, PLAIN, bloomdata.MismatchError),
    (shrink_to_nothing, PLAIN, bloomdata.MismatchError),
    # A line that is cut is bad before the size is known to be wrong; compressed files say so themselves.
    *[(shrink, suffix, DAMAGED) for suffix in (PLAIN, GZIP, ZSTD)],
    *[(shrink_to_nothing, suffix, DAMAGED) for suffix in (GZIP, ZSTD)],
]
VERBS = {
    "shard": (bloomdata.shard, {"max_lines": 5_000}),
    "megatron": (bloomdata.pack, {"tokenizer": "bytes", "format": "megatron", "checkpoint_seconds": 0.0}),
    "hdf5": (bloomdata.pack, {"tokenizer": "bytes", "sequence_length": 512, "rows_per_file": 10_000}),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("change", "suffix", "error"), CHANGES, ids=[f"{change.__name__}{suffix}" for change, suffix, _ in CHANGES]
)
def test_an_input_that_changes_between_plan_and_read_is_named(change, suffix, error, verb, slow_input, tmp_path):
    function, options = VERBS[verb]
    second, saved = write_input(tmp_path / f"2{suffix}"), tmp_path / "saved"
    inputs, output = [slow_input, second], tmp_path / "output"
    shutil.copy2(second, saved)

    def watch() -> None:
        # The journal comes after the plan, and before the first byte is read.
        while not (output / "journal.jsonl").exists():
            pass
        change(second)

    watcher = threading.Thread(target=watch)
    watcher.start()
    with pytest.raises(error, match=second.name):
        # One thread reads one input after the other.
        function(inputs, output, num_threads=1, **options)
    watcher.join()
    assert not (output / "manifest.json").exists()
    # The input comes back as it was: the same call goes on.
    if second.is_dir():
        second.rmdir()
    shutil.copy2(saved, second)
    resumed = function(inputs, output, **options)
    fresh = function(inputs, tmp_path / "fresh", **options)
    assert resumed.manifest == fresh.manifest
    assert differences(tree(output), tree(tmp_path / "fresh")) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_a_reader_of_an_unfinished_folder_is_told_so(name, corpus, tmp_path):
    output = tmp_path / "output"
    with running(COMMANDS[name], corpus, output) as process:
        while process.poll() is None and not (output / "journal.jsonl").exists():
            pass
        process.kill()
        status, _ = end(process)
    assert status == -9
    with pytest.raises(bloomdata.ConfigError, match="not finished"):
        bloomdata.verify(output)
    with pytest.raises(bloomdata.ConfigError, match="expected a finished output"):
        bloomdata.open(output)
    with pytest.raises(bloomdata.ConfigError, match="not finished"):
        bloomdata.shard(output, tmp_path / "next")
