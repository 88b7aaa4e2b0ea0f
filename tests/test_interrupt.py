"""Ctrl+C, and an error in one of many files, end a run at once; what was interrupted can go on."""

from __future__ import annotations

import signal
import threading
import time

import pytest

import bloomdata
from runs import COMMANDS, QUARANTINE, end, finish, half_written, run, running, wait_for


@pytest.mark.parametrize("name", COMMANDS)
def test_ctrl_c_ends_a_run_within_two_seconds_and_leaves_a_run_to_resume_or_nothing(name, slow_corpus, tmp_path):
    output = tmp_path / "output"
    with running(COMMANDS[name], slow_corpus, output) as process:
        assert wait_for(output / "journal.jsonl", process)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        begin = time.monotonic()
        status, errors = end(process, timeout=10)
    assert time.monotonic() - begin < 2
    assert status == 130, errors
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert (output / "journal.jsonl").exists() or not output.exists()
    assert not (output / "manifest.json").exists()


@pytest.mark.parametrize("name", ["shard", "megatron", "hdf5"])
def test_ctrl_c_and_a_rerun_give_the_same_bytes(name, corpus, undisturbed, tmp_path):
    wanted, working, done = undisturbed[name]
    with running(COMMANDS[name], corpus, tmp_path / "output") as process:
        time.sleep((working + done) / 2)
        process.send_signal(signal.SIGINT)
        end(process, timeout=10)
    assert half_written(tmp_path / "output", wanted) == []
    finish(COMMANDS[name], corpus, tmp_path / "output", wanted)


@pytest.mark.parametrize("level", [12, 19])
def test_ctrl_c_ends_a_run_that_compresses_hard(level, corpus, tmp_path):
    # Compression falls behind reading, so every queue is full when the signal comes.
    folder = tmp_path / "raw"
    folder.mkdir()
    for number in range(40):
        content = (corpus / "part-1.jsonl").read_bytes()
        (folder / f"{number}.jsonl").write_bytes(content + b'\n{"text": "%d"}\n' % number)
    output = tmp_path / "output"
    with running(["shard", "--level", str(level), *QUARANTINE], folder, output) as process:
        assert wait_for(output / "journal.jsonl", process)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        begin = time.monotonic()
        status, errors = end(process, timeout=20)
    assert time.monotonic() - begin < 3
    assert status == 130, errors


def test_keyboard_interrupt_of_a_python_call_comes_at_once_and_the_call_can_go_on(slow_corpus, tmp_path, interruptible):
    timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
    timer.start()
    begin = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            bloomdata.shard(slow_corpus, tmp_path / "output", max_lines=600, on_bad_record="quarantine")
    finally:
        timer.join()
    assert time.monotonic() - begin < 2.3
    resumed = bloomdata.shard(slow_corpus, tmp_path / "output", max_lines=600, on_bad_record="quarantine")
    assert resumed.was_resumed
    bloomdata.verify(tmp_path / "output")


@pytest.mark.parametrize("bad_file", [0, 1])
def test_an_error_in_an_early_file_ends_the_run_while_later_files_are_still_being_read(bad_file, tmp_path):
    # Each file is longer than what is read ahead of it.
    folder = tmp_path / "raw"
    folder.mkdir()
    for number in range(5):
        good = b'{"text": "%d' % number + b"x" * 1000 + b'"}\n'
        (folder / f"{number}.jsonl").write_bytes((b"broken\n" if number == bad_file else b"") + good * 12_000)
    for command in (["shard"], ["pack", "--tokenizer", "bytes", "--format", "megatron"]):
        status, errors = run(command, folder, tmp_path / command[0], timeout=20)
        assert status == 1
        assert f"{bad_file}.jsonl: line 1: offset 0" in errors
