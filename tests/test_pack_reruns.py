"""`pack` again into the same folder: finished, refused, or gone on after a failure."""

import os
import re

import pytest

import bloomdata
from bloomdata.errors import CorruptDataError, MismatchError, UnsupportedFormatError
from damaged_corpus import write_corpus
from files import everything_in, write
from packing import CONTENT, pack


@pytest.fixture
def source(tmp_path):
    return write(tmp_path / "a.jsonl", CONTENT)


@pytest.mark.parametrize("options", [{"format": "megatron"}, {"sequence_length": 7}], ids=str)
def test_a_finished_run_does_nothing_when_it_is_called_again(options, source, tmp_path):
    first = pack(source, tmp_path / "out", **options)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "out").iterdir()}
    again = pack(source, tmp_path / "out", num_threads=4, checkpoint_seconds=1.0, **options)
    after = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "out").iterdir()}
    assert (first.was_finished, again.was_finished) == (False, True)
    assert again.manifest == first.manifest
    assert before == after


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("sequence_length", 8),
        ("rows_per_file", 2),
        ("compression", "gzip"),
        ("text_field", "other"),
        ("append_eos", False),
        ("exact", "document"),
        ("add_special_tokens", False),
        ("prefix", "other"),
        ("on_bad_record", "quarantine"),
        ("tokenizer", None),
    ],
)
def test_a_rerun_with_another_option_is_refused_and_the_option_is_named(
    option, value, source, word_tokenizers, tmp_path
):
    changed = {option: value if option != "tokenizer" else word_tokenizers[65_499]}
    pack(source, tmp_path / "out", sequence_length=7)
    before = everything_in(tmp_path / "out")
    with pytest.raises(MismatchError, match=rf"\b{option}\b"):
        pack(source, tmp_path / "out", **({"sequence_length": 7} | changed))
    assert everything_in(tmp_path / "out") == before
    if option == "text_field":
        return
    pack(source, tmp_path / "out", **({"sequence_length": 7, "overwrite": True} | changed))
    pack(source, tmp_path / "new", **({"sequence_length": 7} | changed))
    assert everything_in(tmp_path / "out") == everything_in(tmp_path / "new")


def test_a_rerun_with_another_format_or_verb_is_refused(source, tmp_path):
    pack(source, tmp_path / "out", sequence_length=7)
    with pytest.raises(MismatchError, match=r"\bformat\b"):
        pack(source, tmp_path / "out", format="megatron")
    with pytest.raises(MismatchError, match=r"\bverb\b"):
        bloomdata.shard(source, tmp_path / "out")


def test_a_tokenizer_at_another_path_with_the_same_content_is_the_same(word_tokenizers, source, tmp_path):
    folder = tmp_path / "copied"
    folder.mkdir()
    (folder / "tokenizer.json").write_bytes(word_tokenizers[65_499].read_bytes())
    pack(source, tmp_path / "out", sequence_length=7, tokenizer=word_tokenizers[65_499])
    assert pack(source, tmp_path / "out", sequence_length=7, tokenizer=folder).was_finished


@pytest.mark.parametrize(
    "options",
    [
        {"format": "megatron"},
        {"format": "megatron", "text_field": ["text", "other"]},
        {"sequence_length": 16, "rows_per_file": 20},
        {"sequence_length": 16, "rows_per_file": 20, "compression": "gzip"},
    ],
    ids=str,
)
def test_a_run_that_failed_goes_on_once_its_cause_is_gone_and_writes_the_same_bytes(options, tmp_path):
    """The last input comes back as it should have been: same size, same time, so the same run."""
    good = [b'{"text":"%d","other":"%x"}' % (number**3, number) for number in range(500)]
    contents = [b"\n".join([*good, b"bad", line]) for line in good[:4]]
    inputs = [write(tmp_path / f"{number}.jsonl", content) for number, content in enumerate(contents)]
    options |= {"on_bad_record": "quarantine", "checkpoint_seconds": 0.0}
    pack(inputs, tmp_path / "whole", **options)
    broken = tmp_path / "3.jsonl"
    times = broken.stat().st_atime_ns, broken.stat().st_mtime_ns
    broken.write_bytes(b"\x1f\x8b" + contents[3][2:])
    os.utime(broken, ns=times)
    with pytest.raises(UnsupportedFormatError, match=r"3\.jsonl"):
        pack(inputs, tmp_path / "out", **options)
    assert not (tmp_path / "out" / "manifest.json").exists()
    with pytest.raises(MismatchError, match=r"\bappend_eos\b"):
        pack(inputs, tmp_path / "out", append_eos=False, **options)
    broken.write_bytes(contents[3])
    os.utime(broken, ns=times)
    report = pack(inputs, tmp_path / "out", **options)
    assert report.was_resumed
    assert everything_in(tmp_path / "out") == everything_in(tmp_path / "whole")


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.txt"])
@pytest.mark.parametrize("options", [{"format": "megatron"}, {"sequence_length": 64, "rows_per_file": 5000}], ids=str)
def test_a_run_that_failed_inside_of_a_file_goes_on_there(options, name, suffix, tmp_path):
    """The file comes back as it should have been: same size, same time, so the same run."""
    source = tmp_path / (name + suffix)
    options |= {"checkpoint_seconds": 0.0}
    pack(write_corpus(source), tmp_path / "whole", **options)
    with pytest.raises(CorruptDataError, match=re.escape(str(source))):
        pack(write_corpus(source, damaged=True), tmp_path / "out", **options)
    assert len((tmp_path / "out" / "journal.jsonl").read_bytes().splitlines()) > 1
    report = pack(write_corpus(source), tmp_path / "out", **options)
    assert report.was_resumed
    assert everything_in(tmp_path / "out") == everything_in(tmp_path / "whole")
