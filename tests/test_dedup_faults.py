"""`dedup` and `pack(exact=…)` on disks that are full or fail, in any of their phases.

The system's error names a path, nothing half-written has a final name, and once the cause is gone the same call gives
the same bytes.
"""

from __future__ import annotations

import sys

import pytest

from deduping import similar_texts, write_files
from disks import FAILURES, check_full_from_the_start, check_refusal, check_strikes, mounted, run_limited
from faults import strike, wrong
from runs import DEDUP, HDF5, QUARANTINE, differences, half_written, run, tree

PASSAGES = ["dedup", "--exact", "none", "--substring", "--substring-words", "4", *QUARANTINE]
# Many bands and little memory: sorted runs go to the disk.
SPILLING = ["--bands", "64", "--rows", "2", "--memory-limit", "60MB", "--num-threads", "1"]
COMMANDS = {
    "near": [*DEDUP, *SPILLING],
    "passages": [*PASSAGES, "--substring-words", "2", "--memory-limit", "60MB", "--num-threads", "1"],
    "lines": ["dedup", "--exact", "line", "--min-characters", "1", *QUARANTINE],
    "pack": [*HDF5, "--sequence-length", "512", "--exact", "document"],
}
SMALL = {
    "passages": PASSAGES,
    "lines": ["dedup", "--exact", "paragraph", "--min-characters", "1", "--report-only", *QUARANTINE],
}


@pytest.fixture(scope="module")
def wanted(medium_corpus, tmp_path_factory):
    """What each command writes."""
    results = {}
    for name, command in COMMANDS.items():
        output = tmp_path_factory.mktemp("wanted") / name
        status, errors = run(command, medium_corpus, output)
        assert status == 0, errors
        results[name] = tree(output)
    return results


@pytest.fixture(scope="module")
def medium_corpus(tmp_path_factory):
    """Texts of which many resemble others; one file has a bad record."""
    folder = write_files(tmp_path_factory.mktemp("medium") / "in", similar_texts(5, 5000), [2000, 1, 900])
    with (folder / "002.jsonl").open("a") as file:
        file.write("bad\n")
    return folder


@pytest.mark.parametrize("name", COMMANDS)
def test_a_disk_that_gets_full_in_any_phase_is_an_os_error(name, medium_corpus, wanted, tmp_path):
    size, num_failures = 8192, 0
    while True:
        disk = tmp_path / f"disk-{size}"
        with mounted(disk, f"size={size}") as remount:
            status, errors = run(COMMANDS[name], medium_corpus, disk / "output")
            if status == 0:
                break
            num_failures += 1
            check_refusal(status, errors, "OSError", "No space left on device", disk)
            assert half_written(disk / "output", wanted[name]) == []
            remount("size=1G")
            status, errors = run(COMMANDS[name], medium_corpus, disk / "output")
            assert status == 0, errors
            assert differences(tree(disk / "output"), wanted[name]) == []
        size = size * 8 // 5 // 4096 * 4096
    assert num_failures > 5


@pytest.mark.parametrize("name", COMMANDS)
def test_a_disk_that_is_full_from_the_start_is_an_os_error(name, medium_corpus, wanted, tmp_path):
    check_full_from_the_start(COMMANDS[name], medium_corpus, tmp_path / "disk", wanted[name])


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on the size of files")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_limit_on_the_size_of_files_is_an_os_error_in_any_phase(name, medium_corpus, wanted, tmp_path):
    limit, num_failures = 1000, 0
    while True:
        output = tmp_path / f"output-{limit}"
        status, errors = run_limited(limit, COMMANDS[name], medium_corpus, output)
        if status == 0:
            break
        num_failures += 1
        check_refusal(status, errors, "OSError", "File too large", output)
        assert half_written(output, wanted[name]) == []
        status, errors = run(COMMANDS[name], medium_corpus, output)
        assert status == 0, errors
        assert differences(tree(output), wanted[name]) == []
        limit *= 2
    assert num_failures > 5


@pytest.mark.parametrize("how", FAILURES, ids=["full", "failing"])
@pytest.mark.parametrize("name", SMALL)
def test_a_disk_that_fails_at_some_call_is_an_os_error(name, how, shim, small_corpus, tmp_path):
    check_strikes(strike(shim, SMALL[name], small_corpus, tmp_path, how, every=5), FAILURES[how])


@pytest.mark.parametrize("name", SMALL)
def test_a_run_killed_at_some_change_of_its_folder_gives_the_same_bytes(name, shim, small_corpus, tmp_path):
    assert wrong(strike(shim, SMALL[name], small_corpus, tmp_path, 1, every=4)) == ""
