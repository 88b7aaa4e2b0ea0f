"""Kill `gdp pipeline` anywhere, run it again, get the same files; disks that fail, Ctrl-C, and two runs at once."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time

import pytest

import bloomdata
import faults
from gdp_runs import files_under, tree, write_corpus
from runs import differences

KILLS = 6
FLAGS = ["--pretrained_tokenizer", "bytes", "--max_seq_length", "256", "--shuffle", "on_RAM", "--silent"]
FLAGS += ["--num_training_splits", "3", "--num_dev_splits", "1", "--num_test_splits", "1", "--num_workers", "2"]
FLAGS += ["--keep_split_jsonls", "--ignore_input_format_error"]
# After the manifest got its name, and just before: `test_gdp_folder` is about these moments.
LAST = ("manifest.json", "manifest.json.tmp")


def words(source, output, *more):
    return ["gdp", "pipeline", "--input_path", str(source), "--output_path", str(output), *FLAGS, *more]


def start(source, output, *more):
    command = [sys.executable, "-m", "bloomdata", *words(source, output, *more)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def wait_until_it_works(process, output):
    while not (output / ".gdp").exists() and process.poll() is None:
        time.sleep(0.001)


def end(process):
    """Exit status, and what was said on stderr."""
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A second of work, some bad lines among it."""
    path = write_corpus(tmp_path_factory.mktemp("corpus") / "a.jsonl", 25_000)
    with path.open("a") as file:
        file.write('bad line\n\n{"completion": "a"}\n{"prompt": "no completion"}\n')
    return path


@pytest.fixture(scope="module")
def undisturbed(corpus, tmp_path_factory):
    """What a run writes, the seconds until it starts to work, and until it is done."""
    output = tmp_path_factory.mktemp("undisturbed") / "out"
    begin = time.monotonic()
    process = start(corpus, output)
    wait_until_it_works(process, output)
    working = time.monotonic() - begin
    assert end(process) == (0, "")
    return tree(output), working, time.monotonic() - begin


@pytest.fixture(scope="module")
def small_corpus(tmp_path_factory):
    path = write_corpus(tmp_path_factory.mktemp("small") / "a.jsonl", 100)
    path.write_bytes(path.read_bytes() + b"bad line\n")
    return path


def test_a_run_killed_at_moments_spread_over_it_goes_on_to_the_same_files(corpus, undisturbed, tmp_path):
    """Every third one is killed twice."""
    wanted, working, done = undisturbed
    output = tmp_path / "out"
    for number in range(KILLS):
        for _ in range(2 if number % 3 == 0 else 1):
            process = start(corpus, output)
            time.sleep(working + (done - working) * number / KILLS)
            process.kill()
            end(process)
        if not any((output / name).exists() for name in LAST):
            assert end(start(corpus, output)) == (0, ""), number
            assert differences(tree(output), wanted) == []
            assert not [name for name in files_under(output) if name.endswith(".tmp") or name.startswith(".gdp")]
            bloomdata.verify(output)
        shutil.rmtree(output)


def test_ctrl_c_ends_a_run_at_once_and_the_same_command_goes_on(corpus, undisturbed, tmp_path):
    """While it shuffles: later on, libraries of Python may swallow the interrupt until the program ends by force."""
    wanted, working, done = undisturbed
    process = start(corpus, tmp_path / "out")
    wait_until_it_works(process, tmp_path / "out")
    time.sleep((done - working) / 8)
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    status, errors = end(process)
    assert (status, errors.splitlines()[-1:]) == (130, ["interrupted; the same command resumes from here"])
    assert "Traceback" not in errors
    assert time.monotonic() - begin < 2
    assert end(start(corpus, tmp_path / "out")) == (0, "")
    assert differences(tree(tmp_path / "out"), wanted) == []


def test_of_two_runs_at_once_one_is_refused_and_the_other_is_undisturbed(small_corpus, tmp_path, monkeypatch):
    """The other one starts when the first has packed all rows: here, in the middle of its call."""
    module = sys.modules["bloomdata.gdp.pipeline"]
    write_group, results = module.write_group, []

    def other(*arguments, **options):
        if not results:
            results.append(end(start(small_corpus, tmp_path / "out")))
        return write_group(*arguments, **options)

    monkeypatch.setattr(module, "write_group", other)
    from bloomdata.cli import main

    assert main(words(small_corpus, tmp_path / "out")) == 0
    assert results[0][0] == 1
    assert "another run is at work" in results[0][1]
    bloomdata.verify(tmp_path / "out")


def test_a_run_that_ends_while_another_opens_its_folder_is_not_removed(small_corpus, tmp_path, monkeypatch):
    """The other one has other options, and starts just before the first one asks for the lock."""
    module = sys.modules["bloomdata.gdp.opening"]
    locked, results = module._locked, []

    def late(path, folder):
        if not results:
            results.append(end(start(small_corpus, tmp_path / "out")))
            path.parent.mkdir(exist_ok=True)
        return locked(path, folder)

    monkeypatch.setattr(module, "_locked", late)
    from bloomdata.cli import main

    assert main(words(small_corpus, tmp_path / "out", "--seed", "1")) == 1
    assert results == [(0, "")]
    bloomdata.verify(tmp_path / "out")


# --- struck at every system call --------------------------------------------------------------------------------------


def strike(shim, source, folder, how, every):
    """As `faults.strike`, for this command; times of last changes are no difference."""
    command = words(source, folder / "output")
    specification = {"command": command, "then": command, "output": str(folder / "output"), "how": how, "every": every}
    results = faults.strikes(shim, specification)
    for result in results:
        result["half"] = []  # a work folder is half of everything
        result["differences"] = [text for text in result["differences"] if not text.startswith(("sha256/", "logs.log"))]
    return results


@pytest.mark.slow
@pytest.mark.parametrize("how", [1, 2], ids=["before any call", "in the middle of any write"])
def test_a_run_killed_at_every_change_of_its_folder_goes_on_to_the_same_files(how, shim, small_corpus, tmp_path):
    assert faults.wrong(strike(shim, small_corpus, tmp_path, how, 1)) == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "every"),
    [
        pytest.param(1028, 23, id="disk full"),
        pytest.param(1028, 1, id="disk full, everywhere", marks=pytest.mark.slow),
        pytest.param(2028, 1, id="disk full once", marks=pytest.mark.slow),
        pytest.param(2005, 1, id="disk failing once", marks=pytest.mark.slow),
    ],
)
def test_a_disk_that_fails_is_an_error_and_never_a_crash_or_damaged_data(how, every, shim, small_corpus, tmp_path):
    for result in strike(shim, small_corpus, tmp_path, how, every):
        assert result["status"] in {0, 1}, result["call"]
        assert "Traceback" not in result["errors"], result["call"]
        if result["status"] == 1:
            assert "OSError" in result["errors"], result["call"]
        assert result["rerun"] == 0, result["rerun_errors"]
        if not result["call"].endswith("kind u"):  # of the work folder, when all is done
            assert result["differences"] == [], result["call"]
