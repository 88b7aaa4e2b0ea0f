"""Runs in parts when something goes wrong: whoever runs which part how often, the finished folder is the same."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

import bloomdata
from bloomdata.cli import main
from bloomdata.parts import signs
from bloomdata.parts.sharing import part_name
from bloomdata.parts.signs import Signs, remove_signs
from bloomdata.parts.table import read_table
from runs import tree, write_files

NUM_FILES = 8


@pytest.fixture
def inputs(tmp_path):
    return write_files(tmp_path / "in", NUM_FILES)


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def wanted(inputs, tmp_path):
    """The fingerprint of the run with four parts."""
    return bloomdata.shard(inputs, tmp_path / "wanted", parts=4).fingerprint


def manifests(output):
    return sorted(path.parent.name for path in output.glob("part-*/manifest.json"))


# --- several at once, and elsewhere ----------------------------------------------------------------------------------


def test_a_part_at_work_is_refused_to_a_second_worker(inputs, output, wanted):
    bloomdata.shard(inputs, output, parts=4, part=0)
    folder = output / part_name(1, 4)
    folder.mkdir()
    with (folder / "journal.jsonl").open("a") as journal:
        fcntl.flock(journal, fcntl.LOCK_EX)
        with pytest.raises(bloomdata.ConfigError, match="another run"):
            bloomdata.shard(inputs, output, parts=4, part=1)
    assert bloomdata.shard(inputs, output, parts=4).fingerprint == wanted


def test_workers_that_start_together_on_the_same_parts_make_one_run(inputs, output, wanted):
    def work(number):
        try:
            return bloomdata.shard(inputs, output, parts=4, part=number % 4).fingerprint
        except bloomdata.ConfigError as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(work, range(16)))
    for number in range(4):
        refused = f"output: another run is at work in {output / part_name(number, 4)}"
        assert len({*found[number::4]} - {refused}) == 1
    assert bloomdata.shard(inputs, output, parts=4).fingerprint == wanted


@pytest.mark.parametrize("options", [{"format": "megatron"}, {"sequence_length": 16, "packing": "best_fit"}])
def test_a_part_that_is_done_again_with_other_threads_has_the_same_bytes(options, inputs, output):
    pack = partial(bloomdata.pack, inputs, output, tokenizer="bytes", parts=3, **options)
    pack(num_threads=1)
    before = tree(output)
    shutil.rmtree(output / part_name(1, 3))
    pack(part=1, num_threads=3)
    pack(part=2, num_threads=3, overwrite=True)
    bloomdata.finish(output)
    assert tree(output) == before


# --- changes in between ----------------------------------------------------------------------------------------------


def grow(path):
    with path.open("a") as file:
        file.write('{"text": "more"}\n')


def touch(path):
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000))


@pytest.mark.parametrize(("change", "told"), [(grow, "size of"), (touch, "last change of"), (Path.unlink, "expected")])
def test_an_input_that_changes_before_a_part_is_named(change, told, inputs, output):
    bloomdata.shard(inputs, output, parts=4, part=0)
    change(inputs / "06.jsonl")
    for part in (0, 1, 3):
        with pytest.raises(bloomdata.MismatchError, match=rf": (input: )?{told} (input )?\S*/06\.jsonl"):
            bloomdata.shard(inputs, output, parts=4, part=part)
    assert manifests(output) == [part_name(0, 4)]


@pytest.mark.parametrize(
    ("change", "told"), [(grow, "size in bytes"), (touch, "last change"), (Path.unlink, "06.jsonl")]
)
def test_an_input_that_changes_before_the_end_is_named(change, told, inputs, output):
    for part in range(4):
        bloomdata.shard(inputs, output, parts=4, part=part)
    change(inputs / "06.jsonl")
    with pytest.raises((bloomdata.BloomdataError, OSError), match=told) as error:
        bloomdata.finish(output)
    assert "06.jsonl" in str(error.value)
    assert not (output / "manifest.json").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"parts": 5}, "parts: expected 4, found 5"),
        ({"max_lines": 7}, "option max_lines: expected 16384, found 7"),
        ({"part": 2, "max_lines": 7}, "option max_lines: expected 16384, found 7"),
        ({"part": 2, "max_lines": 7, "overwrite": True}, "option max_lines: expected 16384, found 7"),
    ],
)
def test_parts_of_another_run_are_refused_and_leave_nothing(options, told, inputs, output, wanted):
    bloomdata.shard(inputs, output, parts=4, part=1)
    before = tree(output)
    with pytest.raises(bloomdata.MismatchError, match=told):
        bloomdata.shard(inputs, output, **{"parts": 4, **options})
    signs_of_the_planned = {f"{part_name(number, 4)}.error" for number in range(4)}
    assert tree(output).keys() - before.keys() <= signs_of_the_planned
    assert bloomdata.shard(inputs, output, parts=4).fingerprint == wanted


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_parts_of_two_versions_are_refused(inputs, output):
    bloomdata.shard(inputs, output, parts=2, part=0)
    edit(output / "plan.json", bloomdata_version="0.0.9")
    for call in (partial(bloomdata.shard, inputs, output, parts=2, part=1), partial(bloomdata.finish, output)):
        with pytest.raises(bloomdata.MismatchError, match=r'version of bloomdata.*: expected "?0\.0\.9'):
            call()


def test_a_part_of_another_version_is_refused_at_the_end(inputs, output):
    for part in range(2):
        bloomdata.shard(inputs, output, parts=2, part=part)
    edit(output / part_name(1, 2) / "manifest.json", bloomdata_version="0.0.9")
    with pytest.raises(bloomdata.MismatchError, match=r"part-00001-of-00002: version of bloomdata"):
        bloomdata.finish(output)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"parts": 2}'])
def test_a_damaged_plan_is_named(content, inputs, output, capsys):
    output.mkdir()
    (output / "plan.json").write_text(content)
    with pytest.raises(bloomdata.CorruptDataError, match=r"plan\.json"):
        bloomdata.shard(inputs, output, parts=2, part=1)
    with pytest.raises(bloomdata.CorruptDataError, match=r"plan\.json"):
        bloomdata.finish(output)
    assert main(["parts", str(output)]) == 1


# --- folders that are not as they were left --------------------------------------------------------------------------


def test_finish_twice_changes_nothing(inputs, output):
    bloomdata.shard(inputs, output, parts=4)
    before = tree(output)
    assert bloomdata.finish(output).was_finished
    assert tree(output) == before


def test_a_part_that_is_deleted_before_the_end_is_named_and_done_again(inputs, output, wanted):
    for part in range(4):
        bloomdata.shard(inputs, output, parts=4, part=part)
    shutil.rmtree(output / part_name(2, 4))
    with pytest.raises(bloomdata.ConfigError, match=r"of 4 parts, not finished: 2$"):
        bloomdata.finish(output)
    assert bloomdata.shard(inputs, output, parts=4).fingerprint == wanted


def test_a_part_that_is_deleted_after_the_end_is_named_and_done_again(inputs, output, wanted):
    bloomdata.shard(inputs, output, parts=4)
    shutil.rmtree(output / part_name(2, 4))
    with pytest.raises((bloomdata.BloomdataError, OSError), match="part-00002-of-00004"):
        bloomdata.finish(output)
    with pytest.raises(bloomdata.CorruptDataError, match="part-00002-of-00004"):
        bloomdata.verify(output)
    assert bloomdata.shard(inputs, output, parts=4).fingerprint == wanted
    bloomdata.verify(output)


def test_a_folder_of_another_number_of_parts_is_named_at_the_end(inputs, output):
    for part in range(4):
        bloomdata.shard(inputs, output, parts=4, part=part)
    (output / part_name(0, 7)).mkdir()
    with pytest.raises(bloomdata.MismatchError, match=r"part-00000-of-00007.*: expected 4, found 7"):
        bloomdata.finish(output)


def test_a_part_under_the_name_of_another_is_named_at_the_end(inputs, output):
    for part in (0, 1, 3):
        bloomdata.shard(inputs, output, parts=4, part=part)
    shutil.copytree(output / part_name(1, 4), output / part_name(2, 4))
    with pytest.raises(bloomdata.MismatchError, match=r"part-00002-of-00004: part: expected"):
        bloomdata.finish(output)


def test_parts_without_inputs_are_empty(inputs, output, tmp_path):
    one = bloomdata.shard(inputs, tmp_path / "one")
    report = bloomdata.shard(inputs, output, parts=40)
    assert len(manifests(output)) == 40
    assert report.ledger == one.ledger
    assert len(report.outputs) == NUM_FILES


def test_a_folder_of_others_is_refused_and_left_alone(inputs, output):
    output.mkdir()
    (output / "thesis.tex").write_text("years of work")
    before = tree(output)
    splits = {"splits": {"dev": 1}}
    for options in (
        *({}, {"part": 1}, {"overwrite": True}, {"overwrite": True, "part": 1}),
        *(splits, splits | {"overwrite": True}, splits | {"part": 2, "counting": True}),
    ):
        with pytest.raises(bloomdata.ConfigError, match="expected a new or empty folder"):
            bloomdata.shard(inputs, output, parts=4, **options)
    with pytest.raises(bloomdata.ConfigError, match=r"expected a folder with the parts of a run and their plan\.json"):
        bloomdata.finish(output)
    assert tree(output) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_the_error_of_the_system(inputs, output):
    output.mkdir(mode=0o555)
    with pytest.raises(PermissionError):
        bloomdata.shard(inputs, output, parts=4)


@pytest.mark.parametrize("options", [{"records": "data"}, {"compression": "rar"}, {"part": 9}, {"executor": 3}])
def test_a_corrected_call_just_works(options, inputs, output, wanted):
    with pytest.raises(bloomdata.ConfigError):
        bloomdata.shard(inputs, output, **{"parts": 4, **options})
    assert bloomdata.shard(inputs, output, parts=4).fingerprint == wanted


def test_a_run_in_which_nothing_was_done_stands_in_the_way_of_no_other(inputs, output, tmp_path):
    (inputs / "00.jsonl").write_text("{\n")
    with pytest.raises(bloomdata.CorruptDataError):
        bloomdata.shard(inputs, output, parts=4, part=0)
    report = bloomdata.shard(inputs, output, parts=2, on_bad_record="quarantine")
    assert report.ledger["documents_quarantined"] == {"malformed JSON": 1}


@pytest.mark.parametrize("is_finished", [True, False])
def test_overwriting_all_parts_leaves_nothing_of_the_earlier_run(is_finished, inputs, output, wanted):
    bloomdata.shard(inputs, output, parts=3, max_lines=5)
    if not is_finished:
        (output / "manifest.json").unlink()
        shutil.rmtree(output / part_name(1, 3))
    Signs(output, 1, 3).failed(ValueError("of old"))
    report = bloomdata.shard(inputs, output, parts=4, overwrite=True)
    assert report.fingerprint == wanted
    assert sorted(path.name for path in output.iterdir()) == [
        "manifest.json",
        *[part_name(number, 4) for number in range(4)],
        "plan.json",
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_lines": 0},
        {"level": 99},
        {"inputs": "nothing.jsonl"},
        {"splits": {"train": 0.5, "dev": 0.6}},
        {"splits": {"train": 0.5, "dev": 0.5}, "level": 99},
    ],
)
def test_a_call_that_cannot_run_overwrites_nothing(wrong, inputs, output):
    bloomdata.shard(inputs, output, parts=3, splits={"train": 0.5, "dev": 0.5})
    before = tree(output)
    with pytest.raises((bloomdata.ConfigError, FileNotFoundError)):
        bloomdata.shard(**{"inputs": inputs, "output": output, "parts": 2, "overwrite": True} | wrong)
    assert tree(output) == before


@pytest.mark.parametrize("named", ["", "part-00000-of-00002", "*/*.zst"])
def test_an_output_that_holds_the_inputs_is_not_overwritten(named, inputs, output):
    bloomdata.shard(inputs, output, parts=2)
    before = tree(output)
    with pytest.raises(bloomdata.ConfigError, match="holds the input"):
        bloomdata.shard(output / named, output, parts=3, overwrite=True)
    assert tree(output) == before


@pytest.mark.parametrize("name", ["mine.txt", "part-00000-of-00002/mine.txt"])
def test_nothing_is_overwritten_where_files_of_others_are(name, inputs, output):
    bloomdata.shard(inputs, output, parts=2)
    (output / name).write_text("mine")
    before = tree(output)
    with pytest.raises(bloomdata.ConfigError, match=f"holds {name}, which no run in parts has left"):
        bloomdata.shard(inputs, output, parts=3, overwrite=True)
    assert tree(output) == before


def test_a_refused_call_leaves_a_finished_folder_as_it_was(inputs, output):
    bloomdata.shard(inputs, output, parts=2)
    before = tree(output)
    for wrong in ({"max_lines": 7}, {"inputs": "nothing.jsonl"}, {"level": 99}):
        with pytest.raises((bloomdata.BloomdataError, FileNotFoundError)):
            bloomdata.shard(**{"inputs": inputs, "output": output, "parts": 2, "part": 1} | wrong)
    assert tree(output) == before
    with pytest.raises(bloomdata.MismatchError, match="overwrite=True without part starts anew"):
        bloomdata.shard(inputs, output, parts=3, part=1)


def test_an_output_that_is_gone_is_named_with_the_way_out(inputs, output):
    bloomdata.shard(inputs, output, parts=2)
    next((output / part_name(1, 2)).glob("*.zst")).unlink()
    with pytest.raises(bloomdata.MismatchError, match=r"overwrite=True makes it anew.*found no file"):
        bloomdata.shard(inputs, output, parts=2, part=1)
    with pytest.raises(bloomdata.CorruptDataError):
        bloomdata.verify(output)
    bloomdata.shard(inputs, output, parts=2, part=1, overwrite=True)
    bloomdata.verify(output)


def test_the_end_of_a_run_without_its_inputs_says_what_it_needs(inputs, output):
    for part in range(2):
        bloomdata.shard(inputs, output, parts=2, part=part)
    inputs.rename(inputs.with_name("moved"))
    with pytest.raises(bloomdata.ConfigError, match="is not there: the end of a run compares inputs with its plan"):
        bloomdata.finish(output)


def test_the_only_part_of_one_is_a_run_as_any_other(inputs, output, tmp_path):
    bloomdata.shard(inputs, output, parts=1, part=0)
    bloomdata.shard(inputs, tmp_path / "one")
    assert tree(output) == tree(tmp_path / "one")


def test_what_lies_among_the_inputs_is_overwritten_all_the_same(inputs):
    for parts in (3, 2):
        report = bloomdata.shard(inputs, inputs / "out", parts=parts, overwrite=True)
    assert report.manifest["config"]["parts"] == 2
    bloomdata.verify(inputs / "out")


def test_overwriting_parts_by_one_run_leaves_nothing_of_them(inputs, output, tmp_path):
    bloomdata.shard(inputs, output, parts=3)
    with pytest.raises(bloomdata.MismatchError, match="parts: expected 3"):
        bloomdata.shard(inputs, output)
    bloomdata.shard(inputs, output, overwrite=True)
    bloomdata.shard(inputs, tmp_path / "one")
    assert tree(output) == tree(tmp_path / "one")


def test_overwriting_one_part_does_it_again(inputs, output, wanted):
    bloomdata.shard(inputs, output, parts=4)
    path = next((output / part_name(1, 4)).glob("*.zst"))
    path.write_bytes(b"damaged")
    report = bloomdata.shard(inputs, output, parts=4, part=1, overwrite=True)
    assert not report.was_finished
    assert bloomdata.finish(output).fingerprint == wanted
    bloomdata.verify(output)


# --- data that are bad, and signs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", [None, ThreadPoolExecutor(2)])
def test_a_part_of_bad_data_is_not_tried_again_and_the_others_are_finished(executor, inputs, output, capsys):
    path = inputs / "02.jsonl"
    path.write_bytes(path.read_bytes().replace(b'{"text": "line 1 of', b'["text": "line 1 of'))
    tried = []

    class Counting:
        def submit(self, function, job):
            tried.append(job.number)
            return executor.submit(function, job)

    with pytest.raises(bloomdata.CorruptDataError, match=r"2\.jsonl: line 2: ") as error:
        bloomdata.shard(inputs, output, parts=8, executor=executor and Counting())
    assert error.value.__notes__ == ["parts that failed: 2 (this is the error of part 2); a rerun does what is missing"]
    assert tried in ([], [0, 1, 2, 3, 4, 5, 6, 7])
    assert len(manifests(output)) == 7
    assert main(["parts", str(output)]) == 1
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "8 parts: 7 done, 1 failed"
    assert "2 failed  CorruptDataError: " in told[1]
    assert "2.jsonl: line 2: " in told[1]
    assert main(["parts", str(output), "--json"]) == 1
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["state"] for row in rows] == ["done"] * 2 + ["failed"] + ["done"] * 5


def test_clocks_that_are_wrong_by_a_day_change_only_what_is_shown(inputs, output, wanted, monkeypatch):
    bloomdata.shard(inputs, output, parts=4, part=0)
    for days in (-1, 1):
        monkeypatch.setattr(signs.time, "time", partial(sum, (time.time(), 86_400 * days)))
        part = 2 + days
        (output / part_name(part, 4)).mkdir()
        (output / part_name(part, 4) / "journal.jsonl").touch()
        Signs(output, part, 4).beat(None)(10, 5, 1, 0)
    assert [row.state for row in read_table(output)] == ["done", "running", "missing", "running"]
    assert ", 50% read at " in read_table(output)[1].detail
    monkeypatch.undo()
    assert bloomdata.shard(inputs, output, parts=4).fingerprint == wanted
    assert not list(output.glob("*.heartbeat"))


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"kind": 3, "error": [], "started": "yesterday"}'])
def test_damaged_signs_are_no_trouble(content, inputs, output, wanted):
    bloomdata.shard(inputs, output, parts=4, part=0)
    for suffix in ("heartbeat", "error"):
        (output / f"{part_name(1, 4)}.{suffix}").write_text(content)
        (output / f"notes.{suffix}").write_text("{}")
    assert [row.state for row in read_table(output)] == ["done", "missing", "missing", "missing"]
    seen = []
    report = bloomdata.shard(inputs, output, parts=4, on_progress=lambda *told: seen.append(told))
    assert report.fingerprint == wanted
    assert sorted(path.name for path in output.glob("*.*r*")) == ["notes.error", "notes.heartbeat"]


def test_a_part_that_failed_and_runs_again_is_shown_as_running(inputs, output):
    bloomdata.shard(inputs, output, parts=4, part=0)
    part = Signs(output, 1, 4)
    part.failed(ValueError("of old"))
    assert read_table(output)[1].state == "failed"
    (output / part_name(1, 4)).mkdir()
    (output / part_name(1, 4) / "journal.jsonl").touch()
    part.beat(None)(0, 0, 0, 0)
    assert read_table(output)[1].state == "running"
    remove_signs(output)
    assert read_table(output)[1].state == "missing"
