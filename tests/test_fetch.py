"""Fetching without a network: names, checksums, books, archives, and what fsspec reads."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bloomdata
from bloomdata.cli import main
from bloomdata.errors import ConfigError, CorruptDataError, MismatchError
from bloomdata.fetching.checksums import from_list, parse_list
from bloomdata.fetching.names import Item, items_of

LINES = b'{"text": "one"}\n{"text": "two"}\n'


def digest(content, kind="sha256"):
    return hashlib.new(kind, content).hexdigest()


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.jsonl").write_bytes(LINES)
    Path("b.jsonl.gz").write_bytes(gzip.compress(LINES * 1000))
    return tmp_path


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir() if path.name != ".fetch.lock")


# --- names and sets --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://host/x/00.jsonl.zst?download=true", "00.jsonl.zst"),
        ("https://host/a%20b.txt", "a b.txt"),
        ("hf://datasets/laion/OIG/unified_nq.jsonl", "unified_nq.jsonl"),
        ("s3://bucket/a.jsonl", "a.jsonl"),
        ("memory://a.jsonl", "a.jsonl"),
        ("s3://bucket/a%20b#1.txt", "a%20b#1.txt"),
        ("zip://in/a.jsonl::https://host/b.zip", "a.jsonl"),
        ("folder/a#1?.jsonl", "a#1?.jsonl"),
        ("file:///folder/a.jsonl", "a.jsonl"),
    ],
)
def test_a_file_is_called_as_the_last_part_of_its_address(url, name):
    assert items_of(url) == [Item(url=url, name=name)]


@pytest.mark.parametrize(
    "url",
    ["https://host/", "https://host/..", "https://host/a%2Fb", "https://host/%2e%2e", "x/fetched.json", "x/a.part"],
)
def test_a_name_that_would_leave_the_folder_or_is_ours_is_refused(url):
    with pytest.raises(ConfigError, match="name"):
        items_of(url)


def test_two_files_of_one_name_are_refused_unless_they_are_given_names(here):
    Path("x").mkdir()
    Path("x/a.jsonl").write_text("other")
    with pytest.raises(ConfigError, match=r"both called a\.jsonl"):
        bloomdata.fetch(["a.jsonl", "x/a.jsonl"], "out")
    bloomdata.fetch({"1.jsonl": "a.jsonl", "2.jsonl": "x/a.jsonl"}, "out")
    assert names("out") == ["1.jsonl", "2.jsonl", "fetched.json"]
    with pytest.raises(ConfigError, match="expected at least one source"):
        bloomdata.fetch([], "out")


def test_every_named_set_has_addresses_that_can_be_fetched_and_a_licence():
    assert {"oig", "oig_moderation", "oasst1", "dolly", "pile"} <= bloomdata.FETCH_SETS.keys()
    for name, named in bloomdata.FETCH_SETS.items():
        items = items_of(name)
        assert [item.url for item in items] == list(named.urls)
        assert named.licence
        assert named.origin
    assert len(items_of("oig")) == 25
    assert items_of("oig")[0].name == "unified_multi_news.jsonl"
    assert [item.name for item in items_of("oig") if item.name.endswith(".gz")] == [
        f"unified_{name}.jsonl.gz" for name in ("p3", "ni", "flan")
    ]
    assert [item.name for item in items_of("pile")][::29] == ["00.jsonl.zst", "29.jsonl.zst"]


# --- checksums -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["md5", "sha1", "sha256", "sha512"])
def test_lists_of_every_kind_are_compared(here, kind):
    Path("sums").write_text(f"# {kind}\n\n{digest(LINES, kind).upper()}  train/a.jsonl\n")
    [entry] = bloomdata.fetch("a.jsonl", "out", checksums="sums").files
    assert entry["checked"] == f"{kind}:{digest(LINES, kind)}"
    Path("sums").write_text(f"{kind.upper()} (a.jsonl) = {digest(b'', kind)}\n")
    with pytest.raises(CorruptDataError, match=digest(b"", kind)):
        bloomdata.fetch("a.jsonl", "out-2", checksums="sums")
    assert names("out-2") == []


hexadecimal = st.binary(min_size=32, max_size=32).map(bytes.hex)
paths = st.lists(st.text("ab.*( ", min_size=1, max_size=4).map(str.strip).filter(bool), min_size=1, max_size=3)


@given(st.dictionaries(paths.map("/".join), hexadecimal, min_size=1), st.booleans())
def test_lists_give_back_what_was_written(entries, is_bsd):
    lines = [f"SHA256 ({path}) = {sum_}" if is_bsd else f"{sum_}  {path}" for path, sum_ in entries.items()]
    found = parse_list("\n".join(lines) + "\n", "list")
    assert {path: checksum.digest for path, checksum in found} == entries


@pytest.mark.parametrize(
    "text", ["", "\n# nothing\n", "<html>\n", "abc  a.jsonl\n", f"{'0' * 33}  a\n", "MD5 (a) = 12"]
)
def test_a_list_that_is_none_is_an_error(text):
    with pytest.raises((CorruptDataError, ConfigError), match="list"):
        parse_list(text, "list")


def test_the_path_in_a_list_tells_files_of_one_name_apart():
    sums = ["1" * 64, "2" * 64, "3" * 64]
    text = f"{sums[0]}  train/00.zst\n{sums[1]}  test/00.zst\n{sums[2]}  other.zst\n"
    entries = parse_list(text, "list")
    item = Item(url="https://host/pile/test/00.zst?x=1", name="00.zst")
    assert from_list(entries, [item], "list")["00.zst"].digest == sums[1]
    for name, problem in (("00.zst", "several"), ("01.zst", "none")):
        with pytest.raises(ConfigError, match=problem):
            from_list(entries, [Item(url=f"https://host/{name}", name=name)], "list")


@pytest.mark.parametrize(
    "given", [{}, {"a.jsonl": None, "b": None}, {"a.jsonl": "sha256:12"}, {"a.jsonl": "md5:" + "0" * 64}]
)
def test_a_mapping_of_checksums_must_fit(here, given):
    with pytest.raises(ConfigError, match="checksums"):
        bloomdata.fetch("a.jsonl", "out", checksums=given)


# --- folders ---------------------------------------------------------------------------------------------------


def test_a_finished_file_is_compared_with_a_checksum_that_comes_later(here):
    bloomdata.fetch("a.jsonl", "out")
    for kind in ("sha256", "md5"):
        assert bloomdata.fetch("a.jsonl", "out", checksums={"a.jsonl": digest(LINES, kind)}).num_fetched == 0
    with pytest.raises(MismatchError, match="0{64}.*" + digest(LINES)):
        bloomdata.fetch("a.jsonl", "out", checksums={"a.jsonl": "0" * 64})
    with pytest.raises(CorruptDataError, match="0{32}.*" + digest(LINES, "md5")):
        bloomdata.fetch("a.jsonl", "out", checksums={"a.jsonl": "0" * 32})
    assert Path("out/a.jsonl").read_bytes() == LINES


def test_a_file_of_somebody_else_is_not_replaced_unless_it_is_the_same(here):
    Path("out").mkdir()
    Path("out/a.jsonl").write_text("mine")
    with pytest.raises(ConfigError, match="overwrite"):
        bloomdata.fetch("a.jsonl", "out")
    with pytest.raises(CorruptDataError, match=digest(b"mine")):
        bloomdata.fetch("a.jsonl", "out", checksums={"a.jsonl": digest(LINES)})
    assert Path("out/a.jsonl").read_text() == "mine"
    assert bloomdata.fetch("a.jsonl", "out", checksums={"a.jsonl": digest(b"mine")}).files[0]["size"] == 4
    bloomdata.fetch("a.jsonl", "out", overwrite=True)
    assert Path("out/a.jsonl").read_bytes() == LINES


def test_a_run_killed_before_its_books_were_written_has_fetched_its_file(here):
    bloomdata.fetch("a.jsonl", "out")
    [entry] = json.loads(Path("out/fetched.json").read_text())["files"]
    Path("out/fetched.json").unlink()
    Path("out/a.jsonl.part.state").write_text(json.dumps(entry))
    Path("a.jsonl").unlink()  # so that fetching would fail
    assert bloomdata.fetch("a.jsonl", "out").files == [entry]
    assert names("out") == ["a.jsonl", "fetched.json"]


def test_a_file_that_was_deleted_is_fetched_again_and_a_changed_one_is_an_error(here):
    bloomdata.fetch("a.jsonl", "out")
    Path("out/a.jsonl").unlink()
    assert bloomdata.fetch("a.jsonl", "out").num_fetched == 1
    Path("out/a.jsonl").write_text("x")
    with pytest.raises(CorruptDataError, match="expected 32 bytes as fetched, found 1"):
        bloomdata.fetch("a.jsonl", "out")
    assert bloomdata.fetch("a.jsonl", "out", overwrite=True).num_fetched == 1


def test_a_file_from_elsewhere_is_refused_and_others_are_added(here):
    Path("x").mkdir()
    Path("x/a.jsonl").write_text("other")
    Path("c.jsonl").write_text("c")
    bloomdata.fetch("a.jsonl", "out")
    with pytest.raises(MismatchError, match=r"expected from x/a\.jsonl, found from a\.jsonl"):
        bloomdata.fetch("x/a.jsonl", "out")
    bloomdata.fetch("c.jsonl", "out")
    assert [entry["file"] for entry in json.loads(Path("out/fetched.json").read_text())["files"]] == [
        "a.jsonl",
        "c.jsonl",
    ]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"files": [{"file": 1}], "missing": []}'])
def test_damaged_books_are_an_error(here, content):
    Path("out").mkdir()
    Path("out/fetched.json").write_text(content)
    with pytest.raises(CorruptDataError, match=r"fetched\.json"):
        bloomdata.fetch("a.jsonl", "out")


@pytest.mark.skipif(sys.platform == "win32", reason="no flock")
def test_two_runs_do_not_fetch_into_one_folder(here):
    from bloomdata.fetching.books import locked

    Path("out").mkdir()
    with locked(Path("out")), pytest.raises(BlockingIOError, match="another run"):
        bloomdata.fetch("a.jsonl", "out")
    bloomdata.fetch("a.jsonl", "out")


def test_what_was_fetched_is_an_input_without_its_books(here):
    bloomdata.fetch(["a.jsonl", "b.jsonl.gz"], "raw")
    assert bloomdata.shard("raw", "shards").ledger["documents_kept"] == 2002


# --- archives --------------------------------------------------------------------------------------------------


def test_archives_are_unpacked_and_then_removed(here):
    report = bloomdata.fetch(["a.jsonl", "b.jsonl.gz"], "out", decompress=True)
    assert names("out") == ["a.jsonl", "b.jsonl", "fetched.json"]
    assert Path("out/b.jsonl").read_bytes() == LINES * 1000
    assert report.paths == [Path("out/a.jsonl"), Path("out/b.jsonl")]
    assert report.files[1]["unpacked"] == {"file": "b.jsonl", "size": 32_000, "sha256": digest(LINES * 1000)}
    assert bloomdata.fetch(["a.jsonl", "b.jsonl.gz"], "out", decompress=True).num_fetched == 0
    with pytest.raises(MismatchError, match="found it unpacked"):
        bloomdata.fetch("b.jsonl.gz", "out")


def test_what_was_fetched_packed_can_be_unpacked_later(here):
    bloomdata.fetch("b.jsonl.gz", "out")
    assert bloomdata.fetch("b.jsonl.gz", "out", decompress=True).num_fetched == 0
    assert names("out") == ["b.jsonl", "fetched.json"]


@pytest.mark.parametrize("damage", ["short", "bits", "none"])
def test_a_damaged_archive_is_an_error_and_is_kept(here, damage):
    content = bytearray(Path("b.jsonl.gz").read_bytes())
    damaged = {"short": content[:-9], "bits": content[:50] + b"\xff" * 9 + content[59:], "none": LINES}[damage]
    Path("b.jsonl.gz").write_bytes(damaged)
    with pytest.raises(CorruptDataError, match=r"out/b\.jsonl\.gz"):
        bloomdata.fetch("b.jsonl.gz", "out", decompress=True)
    assert names("out") == ["b.jsonl.gz", "fetched.json"]
    assert Path("out/b.jsonl.gz").read_bytes() == damaged


def test_unpacking_replaces_nothing_of_somebody_else(here):
    Path("out").mkdir()
    Path("out/b.jsonl").write_text("mine")
    with pytest.raises(ConfigError, match="overwrite"):
        bloomdata.fetch("b.jsonl.gz", "out", decompress=True)
    assert Path("out/b.jsonl").read_text() == "mine"
    Path("out/b.jsonl").write_bytes(LINES * 1000)  # as a killed run leaves it
    bloomdata.fetch("b.jsonl.gz", "out", decompress=True)
    with pytest.raises(ConfigError, match="decompress"):
        bloomdata.fetch({"c": "a.jsonl", "c.gz": "b.jsonl.gz"}, "out", decompress=True)


# --- where files come from -------------------------------------------------------------------------------------


def test_local_files_come_by_path_and_by_address(here):
    bloomdata.fetch([Path("a.jsonl"), (here / "b.jsonl.gz").as_uri()], "out")
    assert names("out") == ["a.jsonl", "b.jsonl.gz", "fetched.json"]
    with pytest.raises(FileNotFoundError, match="none"):
        bloomdata.fetch("none.jsonl", "out")
    with pytest.raises(IsADirectoryError):
        bloomdata.fetch({"x": "out"}, "out-2")


def test_a_local_part_is_gone_on_with(here):
    facts = Path("a.jsonl").stat()
    state = {"url": "a.jsonl", "size": 32, "validator": f"32-{facts.st_mtime_ns}"}
    Path("out").mkdir()
    Path("out/a.jsonl.part.state").write_text(json.dumps(state))
    Path("out/a.jsonl.part").write_bytes(b"-" * 10)  # to see that it is
    bloomdata.fetch("a.jsonl", "out")
    assert Path("out/a.jsonl").read_bytes() == b"-" * 10 + LINES[10:]


def test_other_addresses_are_read_by_fsspec(here):
    fsspec = pytest.importorskip("fsspec")
    files = fsspec.filesystem("memory")
    files.pipe("/bucket/m.jsonl", LINES)
    bloomdata.fetch("memory://bucket/m.jsonl", "out", checksums={"m.jsonl": digest(LINES)})
    assert Path("out/m.jsonl").read_bytes() == LINES
    with pytest.raises(FileNotFoundError):
        bloomdata.fetch("memory://bucket/none.jsonl", "out")
    assert bloomdata.fetch("memory://bucket/none.jsonl", "out", missing="report").missing == [
        "memory://bucket/none.jsonl"
    ]
    with pytest.raises(ConfigError, match="nosuch"):
        bloomdata.fetch("nosuch://bucket/a.jsonl", "out")


def test_a_part_that_came_by_fsspec_is_gone_on_with_unless_the_file_has_changed(here):
    fsspec = pytest.importorskip("fsspec")
    files = fsspec.filesystem("memory")
    files.pipe("/bucket/p.jsonl", LINES)
    state = {"url": "memory://bucket/p.jsonl", "size": 32, "validator": files.ukey("/bucket/p.jsonl")}
    for name in ("same", "changed"):
        Path(name).mkdir()
        Path(name, "p.jsonl.part.state").write_text(json.dumps(state))
        Path(name, "p.jsonl.part").write_bytes(b"-" * 10)
    bloomdata.fetch("memory://bucket/p.jsonl", "same")
    assert Path("same/p.jsonl").read_bytes() == b"-" * 10 + LINES[10:]
    files.pipe("/bucket/p.jsonl", LINES)
    bloomdata.fetch("memory://bucket/p.jsonl", "changed")
    assert Path("changed/p.jsonl").read_bytes() == LINES


def test_without_fsspec_the_error_says_what_to_install(here, monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(ConfigError, match=r"bloomdata\[remote\]"):
        bloomdata.fetch("hf://datasets/owner/name/a.jsonl", "out")


def test_fetching_loads_no_package_that_it_does_not_need(here):
    code = "import sys, bloomdata; bloomdata.fetch('a.jsonl', 'out'); "
    code += "print([m for m in ('fsspec', 'numpy', 'datasets', 'huggingface_hub') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


# --- command line ----------------------------------------------------------------------------------------------


def test_the_command_line_fetches_and_says_so(here, capsys):
    Path("sums").write_text(f"{digest(LINES)}  a.jsonl\n")
    assert main(["fetch", "a.jsonl", "--output", "out", "--checksums", "sums"]) == 0
    assert "1 files, 32 B, 1 of them new, 1 compared" in capsys.readouterr().out
    assert main(["fetch", "a.jsonl", "b.jsonl.gz", "--output", "out", "--decompress", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"][0]["size"] == 32
    assert main(["fetch", "none", "--output", "out"]) == 1
    assert "FileNotFoundError" in capsys.readouterr().err
    with pytest.raises(SystemExit) as exit_:
        main(["fetch", "--list"])
    assert exit_.value.code == 0
    assert "oig: " in capsys.readouterr().out


@pytest.mark.parametrize(
    "option", [{"num_connections": 0}, {"num_retries": -1}, {"timeout_seconds": 0}, {"missing": "skip"}], ids=str
)
def test_options_that_cannot_work_are_refused(here, option):
    with pytest.raises(ConfigError, match=next(iter(option))):
        bloomdata.fetch("a.jsonl", "out", **option)
