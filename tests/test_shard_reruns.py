"""`shard` again into the same folder: finished, refused, overwritten, or gone on after a failure."""

import json
import os
import re

import pytest

import bloomdata
from bloomdata.errors import ConfigError, CorruptDataError, MismatchError, UnsupportedFormatError
from damaged_corpus import write_corpus
from files import everything_in, write
from reference.shard import shard as reference_shard
from sharding import CONTENT, contents_of, shard


@pytest.fixture
def source(tmp_path):
    return write(tmp_path / "in" / "a.jsonl", CONTENT)


def test_a_finished_run_does_nothing_when_it_is_called_again(source, tmp_path):
    first = shard(source, tmp_path / "out", max_lines=7)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "out").iterdir()}
    again = shard(source, tmp_path / "out", max_lines=7, num_threads=4)
    after = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "out").iterdir()}
    assert (first.was_finished, again.was_finished) == (False, True)
    assert again.manifest == first.manifest
    assert before == after


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_lines", 8),
        ("max_bytes", 10_000),
        ("compression", "gzip"),
        ("level", 4),
        ("prefix", "shard"),
        ("digits", 4),
        ("first_index", 1),
        ("text_field", "content"),
        ("validate", False),
        ("on_bad_record", "quarantine"),
        ("shuffle", True),
        ("seed", 1),
        ("splits", {"dev": 1}),
    ],
)
def test_a_rerun_with_another_option_is_refused_and_the_option_is_named(option, value, source, tmp_path):
    shard(source, tmp_path / "out", max_lines=7)
    before = everything_in(tmp_path / "out")
    with pytest.raises(MismatchError, match=rf"\b{option}\b"):
        shard(source, tmp_path / "out", **({"max_lines": 7} | {option: value}))
    assert everything_in(tmp_path / "out") == before
    shard(source, tmp_path / "out", **({"max_lines": 7, "overwrite": True} | {option: value}))
    shard(source, tmp_path / "new", **({"max_lines": 7} | {option: value}))
    assert everything_in(tmp_path / "out") == everything_in(tmp_path / "new")


def test_a_rerun_with_other_inputs_is_refused(source, tmp_path):
    other = write(tmp_path / "b.jsonl", CONTENT)
    shard(source, tmp_path / "out")
    with pytest.raises(MismatchError, match=r"number of inputs"):
        shard([source, other], tmp_path / "out")
    with pytest.raises(MismatchError, match=r"b\.jsonl"):
        shard(other, tmp_path / "out")
    write(tmp_path / "in" / "a.jsonl", CONTENT.replace(b"line 3", b"LINE 3"))
    with pytest.raises(MismatchError, match=r"content of input .*a\.jsonl"):
        shard(source, tmp_path / "out")


def test_a_finished_run_whose_output_is_gone_is_not_called_finished(source, tmp_path):
    shard(source, tmp_path / "out", max_lines=7)
    (tmp_path / "out" / "part-00001.jsonl.zst").unlink()
    with pytest.raises(MismatchError, match=r"part-00001\.jsonl\.zst: an output of a finished run .*found no file"):
        shard(source, tmp_path / "out", max_lines=7)


def test_overwriting_leaves_nothing_of_the_run_before(source, tmp_path):
    shard(source, tmp_path / "out", max_lines=2, splits={"dev": 4})
    shard(source, tmp_path / "out", max_lines=7, overwrite=True)
    assert contents_of(tmp_path / "out") == reference_shard([("a.jsonl", CONTENT)], max_lines=7)[0]


def test_a_run_never_destroys_its_own_inputs(source, tmp_path):
    shard(source, tmp_path / "out", max_lines=7)
    before = everything_in(tmp_path / "out")
    with pytest.raises((ConfigError, MismatchError)):
        shard(str(tmp_path / "out"), tmp_path / "out", max_lines=5, overwrite=True)
    assert everything_in(tmp_path / "out") == before


def test_an_output_inside_of_the_input_folder_is_no_input_of_the_rerun(source, tmp_path):
    inputs = str(tmp_path / "in")
    shard(inputs, tmp_path / "in" / "shards")
    assert shard(inputs, tmp_path / "in" / "shards").was_finished


@pytest.mark.parametrize(
    "options", [{}, {"splits": {"train": 0.7, "dev": 0.2, "test": 0.1}}, {"max_bytes": 2000}], ids=str
)
def test_a_run_that_failed_goes_on_once_its_cause_is_gone_and_writes_the_same_bytes(options, tmp_path):
    """The last input comes back as it should have been: same size, same time, so the same run."""
    good = [b'{"text":"%d"}' % number for number in range(500)]
    contents = [b"\n".join([*good, b"bad", line]) for line in good[:4]]
    inputs = [write(tmp_path / f"{number}.jsonl", content) for number, content in enumerate(contents)]
    options |= {"max_lines": 60, "on_bad_record": "quarantine"}
    shard(inputs, tmp_path / "whole", **options)
    broken = tmp_path / "3.jsonl"
    times = broken.stat().st_atime_ns, broken.stat().st_mtime_ns
    broken.write_bytes(b"\x1f\x8b" + contents[3][2:])
    os.utime(broken, ns=times)
    with pytest.raises(UnsupportedFormatError, match=r"3\.jsonl"):
        shard(inputs, tmp_path / "out", **options)
    assert not (tmp_path / "out" / "manifest.json").exists()
    with pytest.raises(MismatchError, match=r"\bmax_lines\b"):
        shard(inputs, tmp_path / "out", **(options | {"max_lines": 70}))
    broken.write_bytes(contents[3])
    os.utime(broken, ns=times)
    report = shard(inputs, tmp_path / "out", **options)
    assert report.was_resumed
    assert everything_in(tmp_path / "out") == everything_in(tmp_path / "whole")


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.txt"])
def test_a_run_that_failed_inside_of_a_file_goes_on_there(name, suffix, tmp_path):
    """The file comes back as it should have been: same size, same time, so the same run."""
    source = tmp_path / (name + suffix)
    options = {"max_lines": 700, "splits": {"train": 0.8, "dev": 0.15, "test": 0.05}}
    shard(write_corpus(source), tmp_path / "whole", **options)
    with pytest.raises(CorruptDataError, match=re.escape(str(source))):
        shard(write_corpus(source, damaged=True), tmp_path / "out", **options)
    assert [*(tmp_path / "out").rglob("part-*.zst")]
    report = shard(write_corpus(source), tmp_path / "out", **options)
    assert report.was_resumed
    assert everything_in(tmp_path / "out") == everything_in(tmp_path / "whole")


def test_a_failed_run_leaves_no_folder_that_looks_finished(tmp_path):
    source = write(tmp_path / "a.jsonl", CONTENT + b"bad\n")
    with pytest.raises(CorruptDataError):
        shard(source, tmp_path / "out", max_lines=2)
    with pytest.raises(ConfigError, match=r"has not finished"):
        bloomdata.verify(tmp_path / "out")
    with pytest.raises(ConfigError, match=r"has not finished"):
        shard(str(tmp_path / "out"), tmp_path / "other")


def test_what_a_shuffle_left_when_it_was_killed_at_the_very_end_is_removed_by_the_rerun(source, tmp_path):
    """The manifest is written first, then the buckets are removed; a kill in between leaves both."""
    shard(source, tmp_path / "out", shuffle=True)
    write(tmp_path / "out" / ".shuffle" / "bucket-000.tmp", b"")
    names = {"last": [], "numbered": [], "scratch": [], "folders": [".shuffle"]}
    start = {"kind": "start", "verb": "shard", "version": "0.1.0", "config": {}, "inputs": [], "names": names}
    line = json.dumps(start, separators=(",", ":")) + "\n"
    (tmp_path / "out" / "journal.jsonl").write_text(line)
    shard(source, tmp_path / "out", shuffle=True)
    bloomdata.verify(tmp_path / "out")
    assert not (tmp_path / "out" / ".shuffle").exists()
