"""Who runs the parts: executors of Python, processes of ours, tasks of Slurm. The folder is the same."""

from __future__ import annotations

import multiprocessing
import os
import stat
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import nullcontext

import pytest

import bloomdata
from bloomdata.cli import main
from bloomdata.parts import gathering
from bloomdata.parts.processes import Processes
from runs import tree, write_files

EXECUTORS = {
    "in turn": nullcontext,
    "threads": lambda: ThreadPoolExecutor(2),
    "processes of Python": lambda: ProcessPoolExecutor(2, multiprocessing.get_context("spawn")),
    "processes of ours": lambda: Processes(2),
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("executors") / "in", 6)


@pytest.fixture(scope="module")
def by_hand(inputs, tmp_path_factory):
    """The folder of parts that were run one by one, the last ones first."""
    output = tmp_path_factory.mktemp("by-hand") / "out"
    for part in (3, 1, 0, 2):
        bloomdata.shard(inputs, output, parts=4, part=part)
    bloomdata.finish(output)
    return tree(output)


@pytest.mark.parametrize("name", EXECUTORS)
def test_every_executor_makes_the_folder_of_parts_run_by_hand_and_tells_how_far_it_is(
    name, inputs, by_hand, tmp_path, monkeypatch
):
    monkeypatch.setattr(gathering, "_LOOK_SECONDS", 0)
    told = []
    with EXECUTORS[name]() as executor:
        report = bloomdata.shard(
            inputs, tmp_path / "out", parts=4, executor=executor, on_progress=lambda *one: told.append(one)
        )
    assert tree(tmp_path / "out") == by_hand
    total = sum(path.stat().st_size for path in inputs.iterdir())
    assert all(sorted(column) == list(column) for column in zip(*told, strict=True))
    assert told[-1] == (total, total, report.ledger["documents_in"], sum(output["size"] for output in report.outputs))


def test_a_part_that_ends_while_it_is_looked_at_is_not_lost(inputs, tmp_path):
    class Future:
        looks = 0

        def done(self):
            self.looks += 1
            return self.looks == 2

        def result(self):
            assert self.looks == 2
            return self.function(self.job)

    class Odd:
        def submit(self, function, job):
            future = Future()
            future.function, future.job = function, job
            return future

    report = bloomdata.shard(inputs, tmp_path / "out", parts=2, executor=Odd())
    assert report.ledger["documents_in"] == 120


def test_progress_begins_with_what_was_done_before(inputs, tmp_path):
    for part in (0, 2):
        bloomdata.shard(inputs, tmp_path / "out", parts=3, part=part)
    told = []
    bloomdata.shard(inputs, tmp_path / "out", parts=3, on_progress=lambda *one: told.append(one))
    total = sum(path.stat().st_size for path in inputs.iterdir())
    assert all(read >= total // 2 for _, read, _, _ in told)
    assert told[-1][:3] == (total, total, 120)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"executor": ThreadPoolExecutor(1)}, "executor: expected only with parts"),
        ({"executor": ThreadPoolExecutor(1), "parts": 2, "part": 1}, "executor: expected only with parts"),
        ({"executor": "threads", "parts": 2}, "executor: expected anything with a method submit, got 'threads'"),
    ],
)
def test_an_executor_that_runs_nothing_is_refused(options, told, inputs, tmp_path):
    with pytest.raises(bloomdata.ConfigError, match=told):
        bloomdata.shard(inputs, tmp_path / "out", **options)


def test_a_task_of_slurm_knows_its_part(inputs, by_hand, tmp_path, monkeypatch):
    for task in range(4):
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", str(task))
        bloomdata.shard(inputs, tmp_path / "out", parts=4, part="slurm")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "4")
    with pytest.raises(bloomdata.ConfigError, match="part: expected 0 to 3, or 'slurm', got "):
        bloomdata.shard(inputs, tmp_path / "out", parts=4, part="slurm")
    bloomdata.finish(tmp_path / "out")
    assert tree(tmp_path / "out") == by_hand


# Runs the tasks of an array one after the other; other jobs only after those that they depend on.
SBATCH = """#!/bin/sh
echo "$@" >> sbatch.log
for word; do
    case $word in
        --array=0-*) last=${word#--array=0-}; last=${last%%%*} ;;
        --wrap=*) command=${word#--wrap=} ;;
        --dependency=*) test "$word" = --dependency=afterok:4711 || exit 3 ;;
    esac
done
if test -n "$last"; then
    for task in $(seq 0 "$last"); do SLURM_ARRAY_TASK_ID=$task sh -c "$command" >&2 || exit 1; done
    echo '4711;cluster'
else
    sh -c "$command" >&2
fi
"""


def write_program(path, text):
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_the_script_for_slurm_makes_the_same_folder(inputs, tmp_path, capsys, monkeypatch):
    output = tmp_path / "an output"
    command = ["shard", str(inputs), "--output", str(output), "--parts", "4", "--quiet", "--allow-empty"]
    command += ["--splits", "train=0.75,test=0.25"]
    bloomdata.shard(inputs, tmp_path / "here", parts=4, splits={"train": 0.75, "test": 0.25})
    assert main(["slurm", *command, "--cpus-per-task", "2", "--time", "1:00:00", "--max-running", "3"]) == 0
    script = capsys.readouterr().out
    assert "--array=0-3%3 --cpus-per-task=2 --time=1:00:00" in script
    assert "--part slurm --num-threads 2'" in script
    assert script.index("--part slurm --counting --num-threads 2'") < script.index('afterok:"${count%%;*}"')
    assert script.rstrip().endswith("--allow-empty'")
    write_program(tmp_path / "sbatch", SBATCH)
    write_program(tmp_path / "bloomdata-cli", f'#!/bin/sh\nexec "{sys.executable}" -m bloomdata "$@"\n')
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [line.split()[1] for line in (tmp_path / "sbatch.log").read_text().splitlines()[:2]] == [
        "--job-name=bloomdata-count",
        "--dependency=afterok:4711",
    ]
    assert tree(output) == tree(tmp_path / "here")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["verify", "x"],
            "VERB: expected one of shard, prepare, pack, signatures, dedup, decontaminate, count, train-tokenizer",
        ),
        (["shard", "raw/", "--output", "out/"], "--parts: expected their number, 2 or more"),
        (
            ["shard", "raw/", "--output", "out/", "--parts", "4", "--local", "2"],
            "expected none of --part, --decide, --local",
        ),
    ],
)
def test_a_command_that_is_no_array_job_is_refused(words, told, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["slurm", *words])
    assert told in capsys.readouterr().err
