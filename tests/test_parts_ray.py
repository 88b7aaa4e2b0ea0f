"""Runs in parts on Ray: the folder of any other run, whatever dies. Needs Ray; all tests share one cluster."""

from __future__ import annotations

import json
import os
import signal
import time
import warnings
from functools import partial
from pathlib import Path

import pytest

ray = pytest.importorskip("ray")

import bloomdata  # noqa: E402 - after the line that may skip all
from bloomdata.cli import main  # noqa: E402 - as above
from bloomdata.parts.ray_tasks import RayTasks  # noqa: E402 - as above
from bloomdata.parts.sharing import part_name  # noqa: E402 - as above
from runs import write_files  # noqa: E402 - as above

# Ray leaves files of its log open, and its own processes, to the end of the program.
pytestmark = pytest.mark.filterwarnings("ignore:(unclosed file|subprocess .* is still running):ResourceWarning")


@pytest.fixture(scope="module")
def cluster():
    """A cluster of this machine alone."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Its tasks import this file, too.
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
        RayTasks("local")
        yield
        ray.shutdown()


@pytest.fixture
def inputs(tmp_path):
    return write_files(tmp_path / "in", 12)


def kill_once(marker, function, job):
    """Runs a part; one part's process dies the first time."""
    if job.number == 3 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return function(job)


class Deadly:
    """Ray, whose processes die."""

    def __init__(self, run):
        self.tasks, self.run, self.numbers = RayTasks(), run, []

    def submit(self, function, job):
        self.numbers.append(job.number)
        return self.tasks.submit(self.run, function, job)


def test_parts_on_ray_are_those_of_one_process(cluster, inputs, tmp_path, capfd):
    options = ["--tokenizer", "bytes", "--sequence-length", "64", "--parts", "4", "--num-threads", "1"]
    reports = {}
    for name, who in {"ray": ["--ray"], "local": ["--local", "1"]}.items():
        assert main(["pack", str(inputs), "--output", str(tmp_path / name), *options, *who, "--json"]) == 0
        told = capfd.readouterr()
        # A result, lines of progress, and nothing of Ray's.
        reports[name] = json.loads(told.out)["manifest"]
        assert "ray" not in told.err.lower().replace(str(tmp_path), "")
    assert reports["ray"]["fingerprint"] == reports["local"]["fingerprint"]


def test_parts_whose_processes_die_are_tried_again_and_all_else_once(cluster, inputs, tmp_path, capfd):
    deadly = Deadly(partial(kill_once, tmp_path / "marker"))
    report = bloomdata.shard(inputs, tmp_path / "out", parts=5, executor=deadly)
    assert sorted(deadly.numbers) == [0, 1, 2, 3, 3, 4]
    assert report.fingerprint == bloomdata.shard(inputs, tmp_path / "here", parts=5).fingerprint
    told = capfd.readouterr()
    assert (told.out, told.err) == ("", "")


def test_bad_data_are_the_error_of_the_part_and_not_tried_again(cluster, inputs, tmp_path):
    path = inputs / "07.jsonl"
    good = path.read_bytes()
    path.write_bytes(good.replace(b'{"text": "line 1 ', b'["text": "line 1 '))
    call = partial(bloomdata.on_ray, bloomdata.shard, inputs, tmp_path / "out", parts=12, num_threads=1)
    with pytest.raises(bloomdata.CorruptDataError, match=r"07\.jsonl: line 2: ") as error:
        call()
    assert type(error.value) is bloomdata.CorruptDataError
    assert error.value.record.line == 2
    assert error.value.__notes__[0].startswith("parts that failed: 7 ")
    finished = [tmp_path / "out" / part_name(number, 12) / "manifest.json" for number in range(12) if number != 7]
    times = [manifest.stat().st_mtime_ns for manifest in finished]
    # The record is mended, but the plan knows the file by its time.
    status = path.stat()
    path.write_bytes(good)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    deadly = Deadly(lambda function, job: function(job))
    report = bloomdata.shard(inputs, tmp_path / "out", parts=12, executor=deadly)
    assert deadly.numbers == [7]
    assert [manifest.stat().st_mtime_ns for manifest in finished] == times
    assert report.fingerprint == bloomdata.shard(inputs, tmp_path / "here", parts=12).fingerprint


def test_progress_grows_to_the_total(cluster, inputs, tmp_path):
    told = []
    total = sum(path.stat().st_size for path in inputs.iterdir())
    options = {"parts": 12, "executor": RayTasks(), "num_threads": 1}
    bloomdata.shard(inputs, tmp_path / "out", **options, on_progress=lambda *one: told.append(one))
    assert told == sorted(told)
    assert told[-1][:3] == (total, total, 240)


def test_a_part_costs_less_than_a_tenth_of_a_second(cluster, inputs, tmp_path):
    options = {"parts": 12, "num_threads": 1}
    bloomdata.shard(inputs, tmp_path / "warm", **options, executor=RayTasks())
    start = time.monotonic()
    bloomdata.shard(inputs, tmp_path / "out", **options, executor=RayTasks())
    assert (time.monotonic() - start) / 12 < 0.1


def test_a_machine_that_the_cluster_does_not_have_is_refused(cluster, inputs, tmp_path):
    with pytest.raises(bloomdata.ConfigError, match=r"num_threads: expected at most .* got 4096"):
        bloomdata.on_ray(bloomdata.shard, inputs, tmp_path / "out", parts=4, num_threads=4096)
    assert not (tmp_path / "out").exists()


def test_the_steps_of_a_recipe_are_those_of_one_process(cluster, inputs, tmp_path):
    steps = [
        f'[[step]]\nverb = "shard"\ninputs = ["{inputs}"]\noutput = "shards"\n',
        '[[step]]\nverb = "pack"\ninputs = ["shards"]\noutput = "packed"\ntokenizer = "bytes"\nsequence_length = 64\n',
        '[[step]]\nverb = "verify"\nfolder = "packed"\n',
    ]
    (tmp_path / "recipe.toml").write_text("\n".join(steps))
    found = []
    for name, executor in {"ray": RayTasks(), "here": None}.items():
        reports = bloomdata.run(
            tmp_path / "recipe.toml", folder=tmp_path / name, parts=3, executor=executor, num_threads=1
        )
        found.append([report.fingerprint for report in reports[:2]])
        assert len(list((tmp_path / name / "packed").glob("part-*-of-00003"))) == 3
    assert found[0] == found[1]


def test_counts_tokenizers_and_checks_on_ray_are_those_of_one_run(cluster, inputs, tmp_path):
    counts = bloomdata.on_ray(
        bloomdata.count, inputs, tokenizer="bytes", output=tmp_path / "c", parts=3, num_threads=1, address="auto"
    )
    assert counts == bloomdata.count(inputs, tokenizer="bytes")
    whole = bloomdata.train_tokenizer(inputs, tmp_path / "whole", vocab_size=300)
    report = bloomdata.train_tokenizer(inputs, tmp_path / "tok", vocab_size=300, parts=3, executor=RayTasks())
    assert report.path.read_bytes() == whole.path.read_bytes()
    assert bloomdata.verify(tmp_path / "tok", executor=RayTasks()) == bloomdata.verify(tmp_path / "tok")
