"""`prepare` killed anywhere and run again: the same bytes, nothing twice, nothing lost."""

from __future__ import annotations

import json
import random
import signal
from typing import TYPE_CHECKING

import pytest

from faults import strike, wrong
from preparing import SOURCES, check, same_everywhere, write_files
from runs import differences, finish, half_written, kill, run, running, tree, wait_for
from test_prepare import chats

if TYPE_CHECKING:
    from pathlib import Path

QUARANTINE = ["--on-bad-record", "quarantine", "--num-threads", "2"]
SEPARATE = ["sharegpt", "--option", "turns=separate", "--repeat", "b.jsonl=3", *QUARANTINE]
# Lines of a record, and its repeats, fall into several shards.
COMMANDS = {
    "lines": ["prepare", *SEPARATE, "--max-lines", "7"],
    "splits": ["prepare", *SEPARATE, "--max-lines", "7", "--splits", "train=0.5,dev=0.3,test=0.2"],
    "shuffle": ["prepare", *SEPARATE, "--max-lines", "25", "--shuffle"],
    "head": ["prepare", *SEPARATE, "--max-lines", "5", "--max-rows-per-input", "9"],
    "reservoir": [
        *["prepare", *SEPARATE, "--max-lines", "7", "--max-rows-per-input", "9", "--sampling", "reservoir"],
        *["--splits", "train=0.5,dev=0.5"],
    ],
    "trees": ["prepare", "oasst1", *QUARANTINE, "--max-lines", "5", "--repeat", "a.jsonl=2"],
    "trees-shuffled": ["prepare", "oasst1", *QUARANTINE, "--max-lines", "9", "--shuffle"],
}


def with_bad_records(content: bytes, every: int) -> bytes:
    lines = content.splitlines(keepends=True)
    bad = [b'{"broken": \n', b"\n", b'{"conversations": 1}\n', b"\xff\n"]
    return b"".join(line + bad[at % 4] * (at % every == 0) for at, line in enumerate(lines))


def chat_files(count: int) -> list[tuple[str, bytes, str]]:
    content = {name: with_bad_records(chats(count, name=name), 6) for name in "abc"}
    return [("a.jsonl", content["a"], ""), ("b.jsonl", content["b"], ""), ("c.jsonl", content["c"], ".zst")]


def tree_messages(count: int, seed: int = 1) -> bytes:
    """Messages whose parents stand anywhere, some nowhere, some above themselves; some names twice."""
    rng = random.Random(seed)
    rows = []
    for at in range(count):
        parent = None if rng.random() < 0.3 else str(rng.randrange(count + 2))
        rows.append(
            {
                "message_id": str(at if rng.random() < 0.95 else at - 1),
                "parent_id": parent,
                "role": rng.choice(["prompter", "assistant"]),
                "text": f"text {at}",
                "emojis": {"name": ["+1"], "count": [rng.randrange(3)]},
            }
        )
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def tree_files(count: int) -> list[tuple[str, bytes, str]]:
    """Trees whose messages lie in three files."""
    lines = tree_messages(count).splitlines(keepends=True)
    names = (("a.jsonl", ""), ("b.jsonl", ".gz"), ("c.jsonl", ""))
    return [
        (name, with_bad_records(b"".join(lines[number::3]), 9), suffix) for number, (name, suffix) in enumerate(names)
    ]


def files_of(name: str, *, chats: int, messages: int) -> list[tuple[str, bytes, str]]:
    return tree_files(messages) if name.startswith("trees") else chat_files(chats)


def corpus_of(name: str, folder: Path, *, chats: int = 14, messages: int = 60) -> Path:
    write_files(folder, files_of(name, chats=chats, messages=messages))
    return folder


@pytest.mark.parametrize("name", COMMANDS)
def test_a_run_killed_at_many_changes_of_its_folder_goes_on_to_the_same_bytes(name, shim, tmp_path):
    corpus = corpus_of(name, tmp_path / "raw")
    results = strike(shim, COMMANDS[name], corpus, tmp_path, 1, every=11)
    assert all(result["status"] == -signal.SIGKILL for result in results)
    assert len(results) >= 6
    assert wrong(results) == ""


@pytest.mark.slow
@pytest.mark.parametrize("how", [1, 2], ids=["before any call", "in the middle of any write"])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_run_killed_at_every_change_of_its_folder_goes_on_to_the_same_bytes(name, how, shim, tmp_path):
    corpus = corpus_of(name, tmp_path / "raw")
    assert wrong(strike(shim, COMMANDS[name], corpus, tmp_path, how)) == ""


@pytest.mark.parametrize("name", ["lines", "reservoir", "trees"])
def test_a_process_that_is_killed_when_shards_appear_goes_on_to_the_same_bytes(name, tmp_path):
    corpus = corpus_of(name, tmp_path / "raw", chats=3000, messages=9000)
    command = [*COMMANDS[name], "--max-lines", "400"]
    if name == "reservoir":
        command += ["--max-rows-per-input", "800"]
    status, errors = run(command, corpus, tmp_path / "wanted")
    assert status == 0, errors
    wanted = tree(tmp_path / "wanted")
    shards = sorted(path for path in wanted if "part-" in path)
    output = tmp_path / "output"
    for shard in (shards[0], shards[len(shards) // 2], shards[-1]):
        with running(command, corpus, output) as process:
            assert wait_for(output / shard, process)
            kill(process)
        assert half_written(output, wanted) == []
    finish(command, corpus, output, wanted)
    assert differences(tree(output), wanted) == []


@pytest.mark.parametrize("name", ["lines", "trees"])
def test_what_the_killed_runs_are_compared_with_is_what_the_oracle_says(name, tmp_path):
    """Else a run that loses records every time would go unnoticed."""
    repeat = {"a.jsonl": 2} if name == "trees" else {"b.jsonl": 3}
    options = {"max_lines": 5 if name == "trees" else 7, "repeat": repeat}
    source = COMMANDS[name][1]
    check(source, files_of(name, chats=14, messages=60), tmp_path, **SOURCES[source], **options)
    status, errors = run(COMMANDS[name], tmp_path / "in", tmp_path / "program")
    assert status == 0, errors
    for folder in ("program", "out-2"):
        (tmp_path / folder / "manifest.json").unlink()
    same_everywhere(tmp_path / "program", tmp_path / "out-2")


def test_a_file_whose_run_was_killed_comes_with_the_rerun(tmp_path):
    corpus = corpus_of("lines", tmp_path / "raw", chats=200)
    command = [*COMMANDS["lines"][:-2], "--compression", "none"]
    output = tmp_path / "chats.jsonl"
    status, errors = run(command, corpus, tmp_path / "wanted.jsonl")
    assert status == 0, errors
    for name in ("journal.jsonl", "part-00000.jsonl", "manifest.json"):
        with running(command, corpus, output) as process:
            assert wait_for(tmp_path / "chats.jsonl.books" / name, process) or output.exists()
            kill(process)
    status, errors = run(command, corpus, output)
    assert status == 0, errors
    assert output.read_bytes() == (tmp_path / "wanted.jsonl").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith((".", "chats"))) == [
        "chats.jsonl",
        "chats.jsonl.books",
    ]
