"""Runs in parts whose processes are killed: parts, drivers, pools. A rerun makes the folder of an undisturbed run."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import pytest

import bloomdata
from bloomdata.parts.processes import Processes
from bloomdata.parts.sharing import part_name
from faults import strike, wrong
from runs import QUARANTINE, write_files


@pytest.fixture
def inputs(tmp_path):
    return write_files(tmp_path / "in", 8)


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def wanted(inputs, tmp_path):
    """The fingerprint of the run with four parts."""
    return bloomdata.shard(inputs, tmp_path / "wanted", parts=4).fingerprint


def manifests(output):
    return sorted(path.parent.name for path in output.glob("part-*/manifest.json"))


@pytest.mark.parametrize(
    ("options", "changes"), [(["--max-lines", "50"], 20), (["--splits", "train=0.5,dev=0.5", "--counting"], 10)]
)
def test_a_part_killed_at_every_change_of_the_folder_goes_on_to_the_same_bytes(
    options, changes, shim, small_corpus, tmp_path
):
    command = ["shard", *options, "--parts", "3", "--part", "0", *QUARANTINE]
    results = strike(shim, command, small_corpus, tmp_path, 1)
    assert len(results) >= changes
    assert all(result["status"] == -signal.SIGKILL for result in results)
    for result in results:
        # The end of the run removes plans that were not written to their end.
        for found in ("half", "differences"):
            result[found] = [
                told for told in result[found] if not told.removeprefix("counts/").startswith("plan.json.")
            ]
    assert wrong(results) == ""


def test_a_plan_that_was_not_written_to_its_end_is_in_nobodys_way(inputs, output, wanted):
    output.mkdir()
    (output / "plan.json.0123456789abcdef").write_text('{"format')
    assert bloomdata.shard(inputs, output, parts=4).fingerprint == wanted
    assert not list(output.glob("plan.json.*"))


def run_to(call, job_of, job, folder):
    """Runs a part whose process dies before that change of the folder."""
    ctypes.CDLL(None).fault_arm(os.fsencode(folder), ctypes.c_long(call), 1 if call else 0)
    return job_of(job)


class Deadly:
    """An executor whose processes die in each part: at another change of the folder, as often as is said."""

    def __init__(self, executor, folder, calls):
        self.executor, self.folder = executor, folder
        self.calls = {number: list(calls) for number, calls in calls.items()}

    def submit(self, function, job):
        calls = self.calls.get(job.number)
        return self.executor.submit(run_to, calls.pop(0) if calls else 0, function, job, self.folder)


def test_parts_whose_processes_are_killed_are_tried_again(shim, inputs, output, wanted, monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", str(shim))
    with Processes(2) as processes:
        deadly = Deadly(processes, output, {0: [8], 1: [9, 14], 3: [20]})
        report = bloomdata.shard(inputs, output, parts=4, executor=deadly)
    assert not any(deadly.calls.values())
    assert report.fingerprint == wanted


def test_a_part_whose_process_dies_each_time_is_given_up_and_takes_no_other_along(
    shim, inputs, output, wanted, monkeypatch
):
    monkeypatch.setenv("LD_PRELOAD", str(shim))
    with Processes(2) as processes:
        deadly = Deadly(processes, output, {1: [9] * 3})
        with pytest.raises(BrokenProcessPool) as error:
            bloomdata.shard(inputs, output, parts=4, executor=deadly)
    assert error.value.__notes__ == ["parts that failed: 1 (this is the error of part 1); a rerun does what is missing"]
    assert manifests(output) == [part_name(number, 4) for number in (0, 2, 3)]
    assert bloomdata.shard(inputs, output, parts=4).fingerprint == wanted


def test_a_pool_that_breaks_says_which_parts_are_missing(shim, inputs, output, wanted, monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", str(shim))
    with (
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool,
        pytest.raises(BrokenProcessPool) as error,
    ):
        bloomdata.shard(inputs, output, parts=4, executor=Deadly(pool, output, {1: [9]}))
    assert "parts that failed: 1, 2, 3 " in error.value.__notes__[0]
    assert bloomdata.shard(inputs, output, parts=4).fingerprint == wanted


DRIVER = """
import sys, time
from pathlib import Path
import bloomdata
from bloomdata.parts.processes import Processes

def run(function, job, marker):
    if job.number >= 2:
        Path(f"{marker}-{job.number}").touch()
        time.sleep(250)
    return function(job)

class Stuck:
    def submit(self, function, job):
        return processes.submit(run, function, job, sys.argv[3])

if __name__ == "__main__":
    with Processes(2) as processes:
        bloomdata.shard(sys.argv[1], sys.argv[2], parts=4, executor=Stuck())
"""


def test_a_driver_that_is_killed_leaves_no_process_and_a_rerun_does_what_is_missing(inputs, output, wanted, tmp_path):
    script, marker = tmp_path / "driver.py", tmp_path / "marker"
    script.write_text(DRIVER)
    with subprocess.Popen(
        [sys.executable, script, inputs, output, marker], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as driver:
        while not (tmp_path / "marker-2").exists() or not (tmp_path / "marker-3").exists():
            assert driver.poll() is None
            time.sleep(0.01)
        driver.send_signal(signal.SIGKILL)
        # At the end when all have closed it.
        assert driver.stdout.read() == b""
    finished = {name: (output / name / "manifest.json").stat().st_mtime_ns for name in manifests(output)}
    assert list(finished) == [part_name(0, 4), part_name(1, 4)]
    assert bloomdata.shard(inputs, output, parts=4).fingerprint == wanted
    assert finished.items() <= {
        (name, (output / name / "manifest.json").stat().st_mtime_ns) for name in manifests(output)
    }
