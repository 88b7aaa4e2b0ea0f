"""Kill it anywhere, run it again, get the same bytes; nothing that looks finished is ever half.

Three ways to die: SIGKILL at random moments, SIGKILL as soon as a given file appears, and SIGKILL at every single
change that a run makes to its folder (a preloaded library counts the system calls; needs Linux and a C compiler).
"""

from __future__ import annotations

import random
import shutil
import signal
import time

import pytest

from faults import strike, wrong
from runs import COMMANDS, SEED, SMALL_COMMANDS, finish, half_written, kill, running, wait_for

# Kills of `test_a_run_killed_at_random_moments...`, per command.
KILLS = {
    "shard": 4,
    "dedup": 4,
    "decontaminate": 4,
    "shuffle": 3,
    "splits": 3,
    "megatron": 4,
    "hdf5": 4,
    "hdf5-gzip": 3,
    "best-fit": 3,
    "pairs": 3,
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_run_killed_at_random_moments_goes_on_to_the_same_bytes(name, corpus, undisturbed, tmp_path):
    wanted, working, done = undisturbed[name]
    rng = random.Random(f"{SEED} {name}")
    kills = attempts = 0
    while kills < KILLS[name]:
        attempts += 1
        assert attempts < 5 * KILLS[name], "runs end before they can be killed"
        output = tmp_path / f"output-{attempts}"
        # Up to three kills of the same folder before it may finish.
        for _ in range(rng.randint(1, 3)):
            with running(COMMANDS[name], corpus, output) as process:
                time.sleep(rng.uniform(0.8 * working, done))
                was_running = kill(process)
            if not was_running:
                # The machine was busier when the time was taken.
                done = max(0.95 * done, 0.8 * working)
                break
            kills += 1
            assert half_written(output, wanted) == []
        finish(COMMANDS[name], corpus, output, wanted)
        shutil.rmtree(output)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_run_killed_when_a_file_appears_goes_on_to_the_same_bytes(name, corpus, undisturbed, tmp_path):
    wanted = undisturbed[name][0]
    files = [path for path, content in wanted.items() if content is not None]
    # Some early, some late, and always the manifest.
    chosen = {*random.Random(f"{SEED} {name}").sample(files, 1), "manifest.json", "quarantine.jsonl"}
    for number, path in enumerate(sorted(chosen)):
        output = tmp_path / f"output-{number}"
        with running(COMMANDS[name], corpus, output) as process:
            assert wait_for(output / path, process), f"{path} never came"
            kill(process)
        assert half_written(output, wanted) == []
        finish(COMMANDS[name], corpus, output, wanted)


@pytest.mark.parametrize("name", SMALL_COMMANDS)
def test_a_run_killed_at_many_changes_of_its_folder_goes_on_to_the_same_bytes(name, shim, small_corpus, tmp_path):
    # Some have a thousand of them; the next test is about all.
    every = 7 if "dedup" in name or "exact" in name or name == "decontaminate" else 3
    results = strike(shim, SMALL_COMMANDS[name], small_corpus, tmp_path, 1, every=every)
    assert all(result["status"] == -signal.SIGKILL for result in results)
    assert wrong(results) == ""


@pytest.mark.slow
@pytest.mark.parametrize("how", [1, 2], ids=["before any call", "in the middle of any write"])
@pytest.mark.parametrize("name", SMALL_COMMANDS)
def test_a_run_killed_at_every_change_of_its_folder_goes_on_to_the_same_bytes(name, how, shim, small_corpus, tmp_path):
    assert wrong(strike(shim, SMALL_COMMANDS[name], small_corpus, tmp_path, how)) == ""


@pytest.mark.parametrize(
    ("killed", "then"), [("megatron", "hdf5"), ("shuffle", "splits"), ("splits", "shard"), ("hdf5", "megatron")]
)
def test_overwriting_a_run_that_was_killed_anywhere_leaves_nothing_of_it(killed, then, shim, small_corpus, tmp_path):
    other = [*SMALL_COMMANDS[then], "--overwrite"]
    results = strike(shim, SMALL_COMMANDS[killed], small_corpus, tmp_path, 1, every=4, then=other)
    for result in results:
        result["half"] = []  # of the first command, which is not what is compared here
    assert wrong(results) == ""
