"""Names, links and pipes: nothing of a folder or a pattern is left out in silence."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hostile import TEN, gz, jsonl, write

if TYPE_CHECKING:
    from hostile import Outcome


@pytest.mark.parametrize("name", ["a.csv", "a", "a.jsonl.tmp", "a.gz", "a.parquet.gz", "a.jsonlx"])
def test_a_name_that_says_nothing_is_an_unsupported_format(name, pack, tmp_path):
    path = write(tmp_path / name, jsonl(TEN))
    assert str(path) in pack(path).refused("UnsupportedFormatError")


def test_suffixes_are_read_in_any_case(pack, tmp_path):
    assert pack(write(tmp_path / "A.JSONL.GZ", gz(jsonl(TEN)))).texts == TEN


def test_a_file_of_unknown_format_in_a_folder_is_named(pack, tmp_path):
    write(tmp_path / "a.jsonl", jsonl(TEN))
    other = write(tmp_path / "b.csv", b"text\nx\n")
    outcome = pack(tmp_path)
    assert (outcome.texts, outcome.ignored) == (TEN, [str(other)])


def test_a_folder_with_the_name_of_a_file_is_a_folder(pack, tmp_path):
    # Spark writes such folders.
    write(tmp_path / "out.jsonl" / "part-0.jsonl", jsonl(TEN))
    assert pack(tmp_path / "out.jsonl").texts == TEN
    assert pack(tmp_path).texts == TEN


def accounted_for(outcome: Outcome, good: list[str], odd: Path) -> None:
    """Refused, or `odd` is named among what was not read."""
    if outcome.error is None:
        assert outcome.texts == good
        assert any(odd.name in path for path in outcome.ignored), f"nobody was told of {odd}"


def test_a_folder_that_a_pattern_matches_is_not_lost_in_silence(pack, tmp_path):
    write(tmp_path / "a.jsonl", jsonl(TEN[:5]))
    write(tmp_path / "b.jsonl" / "part-0.jsonl", jsonl(TEN[5:]))
    outcome = pack(str(tmp_path / "*.jsonl"))
    if outcome.texts != TEN:
        accounted_for(outcome, TEN[:5], tmp_path / "b.jsonl")


def test_a_dangling_link_is_not_lost_in_silence(pack, tmp_path):
    write(tmp_path / "a.jsonl", jsonl(TEN))
    (tmp_path / "b.jsonl").symlink_to("nowhere.jsonl")
    assert "b.jsonl" in pack(tmp_path / "b.jsonl").refused("FileNotFoundError")
    accounted_for(pack(tmp_path), TEN, tmp_path / "b.jsonl")
    accounted_for(pack(str(tmp_path / "*.jsonl")), TEN, tmp_path / "b.jsonl")


def test_links_that_go_in_circles_are_refused(pack, tmp_path):
    write(tmp_path / "a.jsonl", jsonl(TEN))
    (tmp_path / "b.jsonl").symlink_to("b.jsonl")
    assert "b.jsonl" in pack(tmp_path / "b.jsonl").refused("OSError")
    accounted_for(pack(tmp_path), TEN, tmp_path / "b.jsonl")
    accounted_for(pack(str(tmp_path / "*.jsonl")), TEN, tmp_path / "b.jsonl")
    (tmp_path / "b.jsonl").unlink()
    (tmp_path / "folder").symlink_to(".")
    outcome = pack(tmp_path)
    if outcome.error is None:
        assert outcome.texts == TEN
    else:
        outcome.refused("OSError", "ConfigError")


def test_a_link_to_a_file_is_read_once(pack, tmp_path):
    write(tmp_path / "a.jsonl", jsonl(TEN))
    (tmp_path / "b.jsonl").symlink_to("a.jsonl")
    assert pack(tmp_path / "b.jsonl").texts == TEN
    assert "twice" in pack(tmp_path).refused("ConfigError")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_named_pipe_is_refused_and_never_waited_for(pack, tmp_path):
    write(tmp_path / "a.jsonl", jsonl(TEN))
    os.mkfifo(tmp_path / "b.jsonl")
    assert "b.jsonl" in pack(tmp_path / "b.jsonl").refused("ConfigError")
    accounted_for(pack(tmp_path), TEN, tmp_path / "b.jsonl")
    accounted_for(pack(str(tmp_path / "*")), TEN, tmp_path / "b.jsonl")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names are Unicode there")
def test_names_that_are_not_utf8_are_read_or_refused(pack, shard, tmp_path):
    write(tmp_path / "a.jsonl", jsonl(TEN[:5]))
    odd = os.fsencode(tmp_path) + b"/caf\xe9.jsonl"
    Path(os.fsdecode(odd)).write_bytes(jsonl(TEN[5:]))
    for call in (pack, shard):
        for inputs in (os.fsdecode(odd), tmp_path, str(tmp_path / "*.jsonl")):
            outcome = call(inputs)
            if outcome.error is None:
                expected = TEN[5:] if inputs == os.fsdecode(odd) else TEN
                assert outcome.ledger["documents_kept"] == len(expected), f"a file was lost in silence: {inputs!r}"
            else:
                outcome.refused("ConfigError", "UnsupportedFormatError", "OSError")


def test_odd_but_legal_names_are_read(pack, tmp_path):
    for name in [
        "with space.jsonl",
        "[1].jsonl",
        "*.jsonl",
        "?.jsonl",
        "naïve 文字.jsonl",
        "new\nline.jsonl",
        "-o.jsonl",
    ]:
        path = write(tmp_path / name, jsonl(TEN))
        assert pack(path).texts == TEN
        path.unlink()


def test_inputs_that_do_not_exist_are_named(pack, tmp_path):
    assert "missing.jsonl" in pack(tmp_path / "missing.jsonl").refused("FileNotFoundError")
    assert "*.nothing" in pack(str(tmp_path / "*.nothing")).refused("ConfigError")
    assert str(tmp_path) in pack(tmp_path).refused("ConfigError")
    pack([]).refused("ConfigError")
    pack("").refused("ConfigError", "FileNotFoundError")


def test_the_same_file_named_twice_is_refused(pack, tmp_path):
    path = write(tmp_path / "a.jsonl", jsonl(TEN))
    assert "a.jsonl" in pack([path, tmp_path]).refused("ConfigError")


def test_hidden_and_set_aside_files_of_a_folder_are_named(pack, tmp_path):
    folder = tmp_path / "raw"
    (folder / "_temporary").mkdir(parents=True)
    for name in ("a.jsonl", "_b.jsonl", ".c.jsonl", "quarantine.jsonl", "_temporary/d.jsonl", "e.jsonl.tmp"):
        write(folder / name, jsonl([f"{name} {text}" for text in TEN[:2]]))
    outcome = pack(folder)
    assert outcome.ledger["documents_kept"] == 4
    names = [".c.jsonl", "_temporary", "e.jsonl.tmp", "quarantine.jsonl"]
    assert outcome.ignored == [str(folder / name) for name in names]
    assert pack(str(folder / "*.jsonl")).ignored == [str(folder / "quarantine.jsonl")]
