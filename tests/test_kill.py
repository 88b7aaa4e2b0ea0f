"""Kill it anywhere, run it again, get the same bytes; nothing that looks finished is ever half.

Three ways to die: SIGKILL at random moments, SIGKILL as soon as a given file appears, and SIGKILL at every single
change that a run makes to its folder (a preloaded library counts the system calls; needs Linux and a C compiler).
"""

from __future__ import annotations

import ctypes
import gzip
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import zstandard

import bloomdata

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = 20_260
# Kills of `test_a_run_killed_at_random_moments...`, per command; they sum up to 50.
KILLS = {"shard": 9, "shuffle": 8, "splits": 8, "megatron": 9, "hdf5": 8, "hdf5-gzip": 8}

QUARANTINE = ["--on-bad-record", "quarantine"]
MEGATRON = ["pack", "--tokenizer", "bytes", "--format", "megatron", "--text-field", "text", "title", *QUARANTINE]
HDF5 = ["pack", "--tokenizer", "bytes", *QUARANTINE]

# On about 10 MB, a second or less each.
COMMANDS = {
    "shard": ["shard", "--max-lines", "600", *QUARANTINE],
    "shuffle": ["shard", "--max-lines", "600", "--shuffle", "--seed", "3", *QUARANTINE],
    "splits": ["shard", "--max-lines", "600", "--splits", "train=0.8,dev=0.15,test=0.05", *QUARANTINE],
    "megatron": [*MEGATRON, "--checkpoint-seconds", "0"],
    "hdf5": [*HDF5, "--sequence-length", "512", "--rows-per-file", "600"],
    "hdf5-gzip": [*HDF5, "--sequence-length", "512", "--rows-per-file", "1500", "--compression", "gzip"],
}

# The same on some 20 kB: few enough system calls to stop at every one of them.
SMALL_COMMANDS = {
    "shard": ["shard", "--max-lines", "150", *QUARANTINE],
    "shuffle": ["shard", "--max-lines", "150", "--shuffle", *QUARANTINE],
    "splits": ["shard", "--max-lines", "150", "--splits", "train=0.6,dev=0.2,test=0.2", *QUARANTINE],
    "megatron": [*MEGATRON, "--checkpoint-seconds", "0"],
    "hdf5": [*HDF5, "--sequence-length", "64", "--rows-per-file", "200"],
    "hdf5-gzip": [*HDF5, "--sequence-length", "64", "--rows-per-file", "200", "--compression", "gzip"],
}


def write_corpus(folder: Path, *, num_records: int, words: int, seed: int = SEED) -> Path:
    """Five files, plain, .gz and .zst, with some bad, blank and empty records; the same for the same arguments."""
    rng = random.Random(seed)
    vocabulary = ["".join(rng.choices("abcdefghijklmnopé字", k=rng.randint(1, 9))) for _ in range(500)]

    def record() -> dict[str, str]:
        text = " ".join(rng.choices(vocabulary, k=rng.randint(0, 2 * words)))
        return {"text": text, "title": " ".join(rng.choices(vocabulary, k=rng.randint(0, 3)))}

    def line() -> bytes:
        kind = rng.random()
        if kind < 0.01:
            return b""
        if kind < 0.02:
            return b'{"text": "broken'
        if kind < 0.03:
            return b'{"text": "\xff\xfe", "title": "not UTF-8"}'
        if kind < 0.04:
            return b'{"text": "", "title": ""}'
        return json.dumps(record(), ensure_ascii=rng.random() < 0.5).encode()

    def lines(share: float) -> bytes:
        return b"\n".join(line() for _ in range(int(num_records * share)))

    compressor = zstandard.ZstdCompressor(level=1)
    folder.mkdir(parents=True)
    (folder / "part-1.jsonl").write_bytes(lines(0.3))
    (folder / "part-2.jsonl.gz").write_bytes(gzip.compress(lines(0.2), 1, mtime=0))
    frames = [lines(0.02) + b"\n" for _ in range(10)]
    (folder / "part-3.jsonl.zst").write_bytes(b"".join(compressor.compress(frame) for frame in frames))
    (folder / "part-4.json").write_text(json.dumps([record() for _ in range(int(num_records * 0.2))], indent=1))
    text = "\n".join(record()["text"] for _ in range(int(num_records * 0.1)))
    # Without the size of its content in the frame.
    (folder / "part-10.txt.zst").write_bytes(zstandard.ZstdCompressor(write_content_size=False).compress(text.encode()))
    return folder


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every file's bytes, and every folder, by relative name."""
    found = {}
    for path in sorted(folder.rglob("*")):
        found[path.relative_to(folder).as_posix()] = None if path.is_dir() else path.read_bytes()
    return found


def differences(found: dict[str, bytes | None], wanted: dict[str, bytes | None]) -> list[str]:
    """What is wrong, in words; whole files do not belong in a test's output."""
    lost = [f"{name}: not there" for name in wanted.keys() - found.keys()]
    extra = [f"{name}: should not be there" for name in found.keys() - wanted.keys()]
    other = [f"{name}: other bytes" for name in wanted.keys() & found.keys() if wanted[name] != found[name]]
    return sorted(lost + extra + other)


def half_written(folder: Path, wanted: dict[str, bytes | None]) -> list[str]:
    """Files of an unfinished folder that look finished and are not."""
    if not folder.exists():
        return []
    return [
        name
        for name, content in tree(folder).items()
        if content is not None and not name.endswith(".tmp") and name != "journal.jsonl" and wanted.get(name) != content
    ]


def command_line(command: list[str], corpus: Path, output: Path) -> list[str]:
    """The program's arguments. Inputs come first: `--text-field` takes all that follows it."""
    return [command[0], str(corpus), "--output", str(output), "--quiet", *command[1:]]


@contextmanager
def running(command: list[str], corpus: Path, output: Path) -> Iterator[subprocess.Popen[str]]:
    """The program at work; it does not outlive the block."""
    arguments = [sys.executable, "-m", "bloomdata", *command_line(command, corpus, output)]
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def end(process: subprocess.Popen[str], *, timeout: float = 60) -> tuple[int, str]:
    """Waits for the program; its exit status, and what it said on stderr."""
    try:
        _, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        pytest.fail(f"{' '.join(process.args[2:])} hangs: not done after {timeout} seconds")
    return process.returncode, errors


def run(command: list[str], corpus: Path, output: Path, *, timeout: float = 60) -> tuple[int, str]:
    """Exit status, and what was said on stderr."""
    with running(command, corpus, output) as process:
        return end(process, timeout=timeout)


def finish(command: list[str], corpus: Path, output: Path, wanted: dict[str, bytes | None]) -> None:
    """Runs the command to its end and compares every byte."""
    status, errors = run(command, corpus, output)
    assert status == 0, errors
    assert differences(tree(output), wanted) == []


def wait_for(path: Path, process: subprocess.Popen[str]) -> bool:
    """Waits without a pause until `path` exists; false if the process ended without it."""
    while process.poll() is None:
        if path.exists():
            return True
    return path.exists()


def kill(process: subprocess.Popen[str]) -> bool:
    """Whether the process was still running."""
    process.kill()
    process.communicate()
    return process.returncode == -signal.SIGKILL


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "raw", num_records=20_000, words=50)


@pytest.fixture(scope="module")
def small_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("small") / "raw", num_records=500, words=5)


@pytest.fixture(scope="module")
def slow_corpus(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus many times over: seconds of work."""
    folder = tmp_path_factory.mktemp("slow") / "raw"
    folder.mkdir()
    for number in range(40):
        for path in corpus.iterdir():
            os.link(path, folder / f"{number}-{path.name}")
    return folder


@pytest.fixture(scope="module")
def undisturbed(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict, float, float]]:
    """Per command: what it writes, the seconds until it starts to work, and until it is done."""
    results = {}
    for name, command in COMMANDS.items():
        output = tmp_path_factory.mktemp("undisturbed") / name
        begin = time.monotonic()
        with running(command, corpus, output) as process:
            assert wait_for(output / "journal.jsonl", process)
            working = time.monotonic() - begin
            status, errors = end(process)
        assert status == 0, errors
        results[name] = (tree(output), working, time.monotonic() - begin)
    return results


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
    chosen = {*random.Random(f"{SEED} {name}").sample(files, 2), "manifest.json", "quarantine.jsonl"}
    for number, path in enumerate(sorted(chosen)):
        output = tmp_path / f"output-{number}"
        with running(COMMANDS[name], corpus, output) as process:
            assert wait_for(output / path, process), f"{path} never came"
            kill(process)
        assert half_written(output, wanted) == []
        finish(COMMANDS[name], corpus, output, wanted)


@pytest.mark.parametrize("name", COMMANDS)
def test_ctrl_c_ends_a_run_within_two_seconds_and_the_run_can_go_on(name, slow_corpus, tmp_path):
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
    assert (output / "journal.jsonl").exists()
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
        os.link(corpus / "part-1.jsonl", folder / f"{number}.jsonl")
    output = tmp_path / "output"
    with running(["shard", "--level", str(level), *QUARANTINE], folder, output) as process:
        assert wait_for(output / "journal.jsonl", process)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        begin = time.monotonic()
        status, errors = end(process, timeout=20)
    assert time.monotonic() - begin < 3
    assert status == 130, errors


def test_keyboard_interrupt_of_a_python_call_comes_at_once_and_the_call_can_go_on(slow_corpus, tmp_path):
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
    good = b'{"text": "' + b"x" * 1000 + b'"}\n'
    for number in range(5):
        (folder / f"{number}.jsonl").write_bytes((b"broken\n" if number == bad_file else b"") + good * 12_000)
    for command in (["shard"], ["pack", "--tokenizer", "bytes", "--format", "megatron"]):
        status, errors = run(command, folder, tmp_path / command[0], timeout=20)
        assert status == 1
        assert f"{bad_file}.jsonl: line 1: offset 0" in errors


def test_a_finished_folder_is_left_alone_by_the_same_command(corpus, undisturbed, tmp_path):
    for name, (wanted, _, _) in undisturbed.items():
        output = tmp_path / name
        finish(COMMANDS[name], corpus, output, wanted)
        times = {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()}
        finish(COMMANDS[name], corpus, output, wanted)
        assert {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()} == times


# --- the same folder, asked for something else ---------------------------------------------------------------


def unfinished(verb, folder: Path, corpus: Path, **options) -> None:
    """Leaves an unfinished folder behind: the last record of the corpus is bad."""
    with pytest.raises(bloomdata.CorruptDataError):
        verb(corpus, folder, **options)
    assert (folder / "journal.jsonl").exists()
    assert not (folder / "manifest.json").exists()


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """A folder with one file of good records and a bad one at its end."""
    folder = tmp_path / "raw"
    folder.mkdir()
    lines = [json.dumps({"text": f"document {number}", "title": "t"}) for number in range(100)]
    (folder / "a.jsonl").write_text("\n".join([*lines, "bad"]))
    return folder


SHARD = {"max_lines": 10}
PACK_HDF5 = {"tokenizer": "bytes", "sequence_length": 8, "rows_per_file": 20}
PACK_MEGATRON = {"tokenizer": "bytes", "format": "megatron"}
OTHERS = [
    *[
        (bloomdata.shard, SHARD, {option: value})
        for option, value in {
            "max_lines": 11,
            "max_bytes": 1000,
            "compression": "gzip",
            "level": 4,
            "prefix": "other",
            "digits": 6,
            "first_index": 1,
            "text_field": "content",
            "validate": False,
            "on_bad_record": "quarantine",
            "shuffle": True,
            "seed": 1,
            "splits": {"train": 0.5, "dev": 0.5},
        }.items()
    ],
    *[
        (bloomdata.pack, PACK_HDF5, {option: value})
        for option, value in {
            "sequence_length": 16,
            "text_field": "title",
            "compression": "gzip",
            "rows_per_file": 21,
            "prefix": "other",
            "append_eos": False,
            "add_special_tokens": False,
            "on_bad_record": "quarantine",
        }.items()
    ],
    (bloomdata.pack, PACK_MEGATRON, {"text_field": ["text", "title"]}),
    (bloomdata.pack, PACK_MEGATRON, {"format": "hdf5", "sequence_length": 8}),
]


@pytest.mark.parametrize("is_finished", [False, True], ids=["unfinished", "finished"])
@pytest.mark.parametrize(
    ("verb", "options", "other"), OTHERS, ids=[f"{verb.__name__}-{'-'.join(other)}" for verb, _, other in OTHERS]
)
def test_other_options_on_a_rerun_are_refused_by_name(verb, options, other, is_finished, records, tmp_path):
    output = tmp_path / "output"
    if is_finished:
        content = (records / "a.jsonl").read_text().removesuffix("bad")
        (records / "a.jsonl").write_text(content)
        verb(records, output, **options)
    else:
        unfinished(verb, output, records, **options)
    before = tree(output)
    with pytest.raises(bloomdata.MismatchError) as caught:
        verb(records, output, **{**options, **other})
    assert any(f"option {option}" in str(caught.value) for option in other), caught.value
    assert "overwrite" in str(caught.value)
    assert differences(tree(output), before) == []


def test_another_verb_on_a_rerun_is_refused(records, tmp_path):
    unfinished(bloomdata.shard, tmp_path / "output", records, **SHARD)
    with pytest.raises(bloomdata.MismatchError, match="verb: expected shard, found pack"):
        bloomdata.pack(records, tmp_path / "output", **PACK_MEGATRON)


def test_options_that_do_not_decide_bytes_may_change_on_a_rerun(corpus, undisturbed, tmp_path):
    wanted = undisturbed["megatron"][0]
    with running([*COMMANDS["megatron"], "--num-threads", "1"], corpus, tmp_path / "output") as process:
        assert wait_for(tmp_path / "output" / "data_title_document.bin.tmp", process)
        assert kill(process)
    other = [*MEGATRON, "--num-threads", "3", "--checkpoint-seconds", "5"]
    finish(other, corpus, tmp_path / "output", wanted)


def test_overwriting_leaves_only_what_the_new_run_writes(records, tmp_path):
    (records / "a.jsonl").write_text((records / "a.jsonl").read_text().removesuffix("bad"))
    bloomdata.shard(records, tmp_path / "output", splits={"train": 0.5, "dev": 0.3, "test": 0.2})
    bloomdata.shard(records, tmp_path / "output", overwrite=True)
    bloomdata.shard(records, tmp_path / "fresh")
    assert differences(tree(tmp_path / "output"), tree(tmp_path / "fresh")) == []
    # And it can be read, as a fresh one.
    bloomdata.pack(tmp_path / "output", tmp_path / "packed", **PACK_MEGATRON)


# --- inputs that are no longer what they were ------------------------------------------------------------------


def append(path: Path) -> None:
    with path.open("a") as file:
        file.write('\n{"text": "more", "title": "t"}')


def rewrite(path: Path) -> None:
    """Same size, same time of last change, other bytes."""
    status = path.stat()
    path.write_bytes(path.read_bytes().replace(b"document 7", b"document X"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def touch(path: Path) -> None:
    os.utime(path, (1, 1))


@pytest.mark.parametrize("change", [append, touch])
def test_an_input_that_changed_since_an_unfinished_run_is_refused_by_name(change, records, tmp_path):
    unfinished(bloomdata.shard, tmp_path / "output", records, **SHARD)
    change(records / "a.jsonl")
    with pytest.raises(bloomdata.MismatchError, match=r"a\.jsonl") as caught:
        bloomdata.shard(records, tmp_path / "output", **SHARD)
    # "expected A, found A" would help nobody.
    expected, found = re.search(r"expected (.*), found (.*)", str(caught.value), re.DOTALL).groups()
    assert expected != found


@pytest.mark.parametrize("change", [append, rewrite])
def test_an_input_that_changed_since_a_finished_run_is_refused_by_name(change, records, tmp_path):
    options = {**SHARD, "on_bad_record": "quarantine"}
    bloomdata.shard(records, tmp_path / "output", **options)
    before = tree(tmp_path / "output")
    change(records / "a.jsonl")
    with pytest.raises(bloomdata.MismatchError, match=r"content of input .*a\.jsonl"):
        bloomdata.shard(records, tmp_path / "output", **options)
    assert differences(tree(tmp_path / "output"), before) == []


def test_a_finished_run_does_not_mind_that_an_input_was_only_touched(records, tmp_path):
    options = {**SHARD, "on_bad_record": "quarantine"}
    bloomdata.shard(records, tmp_path / "output", **options)
    touch(records / "a.jsonl")
    assert bloomdata.shard(records, tmp_path / "output", **options).was_finished


@pytest.mark.parametrize("is_finished", [False, True], ids=["unfinished", "finished"])
def test_inputs_that_came_or_went_since_the_last_run_are_refused(is_finished, records, tmp_path):
    options = {**SHARD, "on_bad_record": "quarantine"} if is_finished else SHARD
    if is_finished:
        bloomdata.shard(records, tmp_path / "output", **options)
    else:
        unfinished(bloomdata.shard, tmp_path / "output", records, **options)
    shutil.copy(records / "a.jsonl", records / "b.jsonl")
    with pytest.raises(bloomdata.MismatchError, match="number of inputs: expected 1, found 2"):
        bloomdata.shard(records, tmp_path / "output", **options)
    (records / "a.jsonl").unlink()
    with pytest.raises(bloomdata.MismatchError, match=r"a\.jsonl.*b\.jsonl"):
        bloomdata.shard(records, tmp_path / "output", **options)
    with pytest.raises(FileNotFoundError, match=r"a\.jsonl"):
        bloomdata.shard(records / "a.jsonl", tmp_path / "output", **options)


def test_a_rerun_that_writes_into_its_own_input_folder_is_a_no_op_or_refused_at_once(records, tmp_path):
    options = {**SHARD, "on_bad_record": "quarantine"}
    try:
        bloomdata.shard(records, records / "output", **options)
    except bloomdata.ConfigError:
        return
    assert bloomdata.shard(records, records / "output", **options).was_finished


# --- folders that others use -----------------------------------------------------------------------------------


def test_two_runs_at_once_in_one_folder_are_refused(slow_corpus, tmp_path):
    output = tmp_path / "output"
    with running(COMMANDS["shard"], slow_corpus, output) as first:
        assert wait_for(output / "part-00000.jsonl.zst", first)
        with pytest.raises(bloomdata.ConfigError, match="another run is at work in"):
            bloomdata.shard(slow_corpus, output, max_lines=600, on_bad_record="quarantine")
        status, errors = run(COMMANDS["shard"], slow_corpus, output)
        assert status == 1
        assert "another run is at work in" in errors
        # Not even with another wish, or a strong one.
        with pytest.raises(bloomdata.ConfigError, match="another run is at work in"):
            bloomdata.shard(slow_corpus, output, overwrite=True)
        status, errors = end(first)
    assert status == 0, errors
    bloomdata.verify(output)


def test_runs_that_start_in_the_same_moment_share_nothing(small_corpus, tmp_path):
    command = SMALL_COMMANDS["shard"]
    for attempt in range(5):
        output = tmp_path / f"output-{attempt}"
        with ExitStack() as stack:
            processes = [stack.enter_context(running(command, small_corpus, output)) for _ in range(3)]
            results = [end(process) for process in processes]
        for status, errors in results:
            assert status == 0 or "another run is at work in" in errors, errors
        assert any(status == 0 for status, _ in results)
        bloomdata.verify(output)
        assert not (output / "journal.jsonl").exists()


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", b"mine"),
        (".hidden", b"mine"),
        ("part-00000.jsonl.zst", b"mine"),
        ("manifest.json", b'{"name": "some other tool"}'),
        ("manifest.json", b"mine"),
        ("manifest.json", b""),
        ("journal.jsonl", b"a diary without a newline at its end"),
        ("journal.jsonl", b"a diary\n"),
        ("journal.jsonl", b'{"date": "today"}\n{"date": "tomorr'),
    ],
)
def test_a_folder_that_is_not_ours_is_refused_and_untouched(name, content, overwrite, records, tmp_path):
    output = tmp_path / "output"
    output.mkdir()
    (output / name).write_bytes(content)
    (output / "sub").mkdir()
    (output / "sub" / "photo.jpg").write_bytes(b"mine")
    before = tree(output)
    for verb, options in ((bloomdata.shard, SHARD), (bloomdata.pack, PACK_HDF5)):
        with pytest.raises(bloomdata.BloomdataError, match=r"no output of bloomdata|not a manifest of"):
            verb(records, output, on_bad_record="quarantine", overwrite=overwrite, **options)
        assert differences(tree(output), before) == []


def test_a_manifest_cannot_make_us_delete_files_outside_its_folder(records, tmp_path):
    options = {**SHARD, "on_bad_record": "quarantine"}
    bloomdata.shard(records, tmp_path / "output", **options)
    precious = tmp_path / "precious.txt"
    precious.write_text("mine")
    manifest = json.loads((tmp_path / "output" / "manifest.json").read_text())
    manifest["outputs"][0]["path"] = "../precious.txt"
    (tmp_path / "output" / "manifest.json").write_text(json.dumps(manifest))
    with suppress(bloomdata.BloomdataError, OSError):
        bloomdata.shard(records, tmp_path / "output", overwrite=True, **options)
    assert precious.exists()


# --- every change of the folder --------------------------------------------------------------------------------

# Counts the calls that change files below one folder, and strikes at one of them.
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[PATH_MAX], kinds[1 << 16];
static long at;
static int count, how;

/* how: 0 only count; 1 die before the call; 2 die after half of a write; 1000 + errno: from here on every call that
   needs space fails; 2000 + errno: this call fails. */
void fault_arm(const char *path, long call, int what) {
    strncpy(folder, path, sizeof folder - 1);
    at = call; how = what; count = 0;
}
const char *fault_kinds(void) { return kinds; }

static int inside(const char *path) {
    size_t n = strlen(folder);
    return n && path && !strncmp(path, folder, n) && (path[n] == '/' || !path[n]);
}
static int inside_fd(int fd) {
    char link[64], path[PATH_MAX];
    if (!folder[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return inside(path);
}
static void die(void) { kill(getpid(), SIGKILL); for (;;) pause(); }
/* 0: go on; -1: fail with errno; 1: do half of it and die. */
static int strike(char kind) {
    int now = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
    if (now < (int)sizeof kinds) kinds[now - 1] = kind;
    int grows = strchr("wocms", kind) != 0;
    if (at && how < 1000 && now == at) { if (how == 2 && kind == 'w') return 1; die(); }
    if (at && ((how >= 2000 && now == at) || (how >= 1000 && how < 2000 && now >= at && grows))) {
        errno = how % 1000;
        return -1;
    }
    return 0;
}
#define REAL(type, name, ...) static type (*real)(__VA_ARGS__); if (!real) real = dlsym(RTLD_NEXT, #name)
#define GUARD(test, kind) if (test) { if (strike(kind) < 0) return -1; }
#define WRITER(name, params, types, half, all) ssize_t name params { REAL(ssize_t, name, types); \
    if (inside_fd(fd)) { int s = strike('w'); if (s < 0) return -1; if (s) { (void)!real half; die(); } } \
    return real all; }
#define TYPES(...) __VA_ARGS__
WRITER(write, (int fd, const void *b, size_t n), TYPES(int, const void *, size_t), (fd, b, n / 2), (fd, b, n))
WRITER(pwrite, (int fd, const void *b, size_t n, off_t o), TYPES(int, const void *, size_t, off_t), (fd, b, n / 2, o),
       (fd, b, n, o))
WRITER(pwrite64, (int fd, const void *b, size_t n, off64_t o), TYPES(int, const void *, size_t, off64_t),
       (fd, b, n / 2, o), (fd, b, n, o))
/* A kill does not lose what the system has not yet written to the disk: syncing would only take time. */
int fsync(int fd) { REAL(int, fsync, int); GUARD(inside_fd(fd), 's') else return real(fd); return 0; }
int fdatasync(int fd) { REAL(int, fdatasync, int); GUARD(inside_fd(fd), 's') else return real(fd); return 0; }
int ftruncate(int fd, off_t n) { REAL(int, ftruncate, int, off_t); GUARD(inside_fd(fd), 't') return real(fd, n); }
int ftruncate64(int fd, off64_t n) {
    REAL(int, ftruncate64, int, off64_t); GUARD(inside_fd(fd), 't') return real(fd, n);
}
int rename(const char *a, const char *b) {
    REAL(int, rename, const char *, const char *); GUARD(inside(b), 'r') return real(a, b);
}
int unlink(const char *a) { REAL(int, unlink, const char *); GUARD(inside(a), 'u') return real(a); }
int rmdir(const char *a) { REAL(int, rmdir, const char *); GUARD(inside(a), 'u') return real(a); }
int unlinkat(int d, const char *a, int f) {
    REAL(int, unlinkat, int, const char *, int); GUARD(d == AT_FDCWD ? inside(a) : inside_fd(d), 'u')
    return real(d, a, f);
}
int mkdir(const char *a, mode_t m) { REAL(int, mkdir, const char *, mode_t); GUARD(inside(a), 'm') return real(a, m); }
#define OPENER(name) int name(const char *a, int f, ...) { REAL(int, name, const char *, int, ...); \
    va_list l; va_start(l, f); mode_t m = f & O_CREAT ? va_arg(l, mode_t) : 0; va_end(l); \
    GUARD((f & (O_CREAT | O_TRUNC)) && inside(a), 'o') return real(a, f, m); }
OPENER(open)
OPENER(open64)
"""


def build_shim(folder: Path) -> Path:
    """Compiles the library; skips the test where that cannot be done."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not sys.platform.startswith("linux") or compiler is None:
        pytest.skip("needs Linux and a C compiler")
    source, library = folder / "fault.c", folder / "fault.so"
    source.write_text(SHIM)
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return library


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_shim(tmp_path_factory.mktemp("shim"))


def strike(
    shim: Path,
    command: list[str],
    corpus: Path,
    folder: Path,
    how: int,
    *,
    every: int = 1,
    then: list[str] | None = None,
) -> list[dict]:
    """Runs `command` once for every change that it makes to its folder and strikes there; then runs it, or `then`.

    Returns one dict per strike: the call's number and kind, exit status and errors of both runs, `half` files after
    the first, and how the folder differs in the end from an undisturbed run's.
    """
    specification = {
        "command": command_line(command, corpus, folder / "output"),
        "then": command_line(then or command, corpus, folder / "output"),
        "output": str(folder / "output"),
        "how": how,
        "every": every,
    }
    process = subprocess.run(
        [sys.executable, __file__, json.dumps(specification)],
        env={**os.environ, "LD_PRELOAD": str(shim)},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert process.returncode == 0, process.stderr
    results = [json.loads(line) for line in process.stdout.splitlines()]
    assert results, "the library saw no call"
    return results


def wrong(results: list[dict]) -> str:
    """The strikes after which something is not as it must be, in words; a few are enough to see."""
    lines = [
        f"struck at call {result['call']}: exit {result['status']} {result['errors'].strip()!r}, half {result['half']}"
        f"; rerun: exit {result['rerun']} {result['rerun_errors'].strip()!r}, {result['differences']}"
        for result in results
        if result["half"] or result["rerun"] != 0 or result["differences"]
    ]
    return "\n".join([f"{len(lines)} of {len(results)}", *lines[:5]]) if lines else ""


@pytest.mark.parametrize("name", SMALL_COMMANDS)
def test_a_run_killed_at_every_second_change_of_its_folder_goes_on_to_the_same_bytes(
    name, shim, small_corpus, tmp_path
):
    results = strike(shim, SMALL_COMMANDS[name], small_corpus, tmp_path, 1, every=2)
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


def _in_a_child(arguments: list[str], output: Path, call: int, how: int) -> tuple[int, str, str]:
    """Runs the program in a fork; its exit status, errors, and the kinds of its calls."""
    shim = ctypes.CDLL(None)
    shim.fault_arm.argtypes = [ctypes.c_char_p, ctypes.c_long, ctypes.c_int]
    shim.fault_kinds.restype = ctypes.c_char_p
    log, kinds = output.with_suffix(".log"), output.with_suffix(".kinds")
    child = os.fork()
    if child == 0:
        from bloomdata.cli import main

        with log.open("w") as file:
            os.dup2(file.fileno(), sys.stderr.fileno())
        shim.fault_arm(os.fsencode(output), call, how)
        status = 70  # what no command returns: an exception that nobody has caught
        try:
            status = main(arguments)
        finally:
            kinds.write_bytes(shim.fault_kinds())
            sys.stderr.flush()
            os._exit(status)
    deadline = time.monotonic() + 60
    while (result := os.waitpid(child, os.WNOHANG)) == (0, 0):
        time.sleep(0.001)
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            deadline += 60
    return (
        os.waitstatus_to_exitcode(result[1]),
        log.read_text(errors="replace"),
        kinds.read_text() if kinds.exists() else "",
    )


def _strike_everywhere(specification: dict) -> None:
    """The other side of `strike`, in a process that has the library preloaded. Prints one line of JSON per strike."""
    import h5py  # noqa: F401 - here once, not in every child

    import bloomdata.cli.commands
    import bloomdata.verbs.pack
    import bloomdata.verbs.shard  # noqa: F401

    output, how = Path(specification["output"]), specification["how"]
    status, errors, kinds = _in_a_child(specification["then"], output, 0, 0)
    assert status == 0, errors
    wanted = tree(output)
    shutil.rmtree(output)
    if specification["then"] != specification["command"]:
        status, errors, kinds = _in_a_child(specification["command"], output, 0, 0)
        assert status == 0, errors
        shutil.rmtree(output)
    for call in range(1, len(kinds) + 1, specification["every"]):
        if how == 2 and kinds[call - 1] != "w":
            continue
        status, errors, _ = _in_a_child(specification["command"], output, call, how)
        half = half_written(output, wanted)
        rerun, rerun_errors, _ = _in_a_child(specification["then"], output, 0, 0)
        result = {
            "call": f"{call} of {len(kinds)}, kind {kinds[call - 1]}",
            "status": status,
            "errors": errors,
            "half": half,
            "rerun": rerun,
            "rerun_errors": rerun_errors[-500:],
            "differences": differences(tree(output), wanted),
        }
        print(json.dumps(result), flush=True)
        shutil.rmtree(output)


if __name__ == "__main__":
    _strike_everywhere(json.loads(sys.argv[1]))
