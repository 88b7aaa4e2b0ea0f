"""The same folder again: finished, asked for something else, or with inputs that are no longer what they were."""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING

import pytest

import bloomdata
from runs import (
    COMMANDS,
    MEGATRON,
    PACK_HDF5,
    PACK_MEGATRON,
    SHARD,
    differences,
    finish,
    kill,
    running,
    tree,
    wait_for,
)

if TYPE_CHECKING:
    from pathlib import Path

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


def unfinished(verb, folder: Path, corpus: Path, **options) -> None:
    """Leaves an unfinished folder behind: the last record of the corpus is bad."""
    with pytest.raises(bloomdata.CorruptDataError):
        verb(corpus, folder, **options)
    assert (folder / "journal.jsonl").exists()
    assert not (folder / "manifest.json").exists()


def test_a_finished_folder_is_left_alone_by_the_same_command(corpus, undisturbed, tmp_path):
    for name, (wanted, _, _) in undisturbed.items():
        output = tmp_path / name
        finish(COMMANDS[name], corpus, output, wanted)
        times = {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()}
        finish(COMMANDS[name], corpus, output, wanted)
        assert {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()} == times


# --- asked for something else ----------------------------------------------------------------------------------


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
        bloomdata.shard(records, tmp_path / "output", allow_duplicate_inputs=True, **options)
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
