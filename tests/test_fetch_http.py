"""Fetching from web servers that misbehave in every way that is known of them."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

import bloomdata
from bloomdata.errors import ConfigError, CorruptDataError
from bloomdata.fetching import connections
from bloomdata.fetching.sets import FetchSet
from file_server import Served, serving

CONTENT = random.Random(0).randbytes(300_000)
OTHER = random.Random(1).randbytes(300_000)


def sha256(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(connections, "FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server():
    with serving({"/a.bin": Served(CONTENT)}) as one:
        yield one


def fetch(server, output, *, path="/a.bin", **options):
    return bloomdata.fetch(server.at(path), output, **{"num_retries": 2, **options})


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def leave_part(folder, url, content, **state):
    """What a killed run leaves."""
    folder.mkdir()
    (folder / "a.bin.part").write_bytes(content)
    (folder / "a.bin.part.state").write_text(json.dumps({"url": url, "size": len(CONTENT), "validator": '"1"'} | state))


def test_a_file_comes_whole_and_only_once(server, tmp_path):
    report = fetch(server, tmp_path / "out")
    assert (tmp_path / "out" / "a.bin").read_bytes() == CONTENT
    assert report.files == json.loads((tmp_path / "out" / "fetched.json").read_text())["files"]
    [entry] = report.files
    assert (entry["size"], f"sha256:{entry['sha256']}") == (len(CONTENT), sha256(CONTENT))
    assert names(tmp_path / "out") == [".fetch.lock", "a.bin", "fetched.json"]
    assert fetch(server, tmp_path / "out").num_fetched == 0
    assert len(server.asked) == 1


def test_a_stream_that_is_cut_is_gone_on_with(server, tmp_path):
    server.files["/a.bin"].cuts = [1000, 50_000, 0, 7]
    fetch(server, tmp_path / "out")
    assert (tmp_path / "out" / "a.bin").read_bytes() == CONTENT
    ranges = [asked[1:] for asked in server.asked]
    assert ranges == [(None, None), *((f"bytes={at}-", '"1"') for at in (1000, 51_000, 51_000, 51_007))]


def test_a_cut_stream_in_chunks_is_gone_on_with(server, tmp_path):
    server.files["/a.bin"] = Served(CONTENT, chunked=True, cuts=[40_960])
    fetch(server, tmp_path / "out")
    assert (tmp_path / "out" / "a.bin").read_bytes() == CONTENT
    assert server.asked[1][1] == "bytes=40960-"


def test_a_killed_run_is_gone_on_with_by_the_etag_or_by_the_date(server, tmp_path):
    date = "Mon, 01 Jan 2024 00:00:00 GMT"
    for number, (etag, modified) in enumerate([('"1"', date), ('W/"1"', date)]):
        server.files["/a.bin"] = Served(CONTENT, etag=etag, modified=modified)
        validator = date if etag.startswith("W") else etag
        leave_part(tmp_path / f"{number}", server.at("/a.bin"), CONTENT[:5000], validator=validator)
        fetch(server, tmp_path / f"{number}")
        assert (tmp_path / f"{number}" / "a.bin").read_bytes() == CONTENT
        assert server.asked[-1][1:] == ("bytes=5000-", validator)


@pytest.mark.parametrize("trouble", [{}, {"if_range": False}, {"ranges": False}], ids=str)
def test_a_file_that_has_changed_since_begins_anew(server, tmp_path, trouble):
    server.files["/a.bin"] = Served(OTHER, etag='"2"', **trouble)
    leave_part(tmp_path / "out", server.at("/a.bin"), CONTENT[:5000])
    fetch(server, tmp_path / "out")
    assert (tmp_path / "out" / "a.bin").read_bytes() == OTHER


def test_a_file_that_is_shorter_now_begins_anew(server, tmp_path):
    server.files["/a.bin"] = Served(OTHER[:100], etag=None)
    leave_part(tmp_path / "out", server.at("/a.bin"), CONTENT[:5000], validator=None)
    fetch(server, tmp_path / "out", checksums={"a.bin": sha256(OTHER[:100])})
    assert (tmp_path / "out" / "a.bin").read_bytes() == OTHER[:100]


def test_without_validator_and_checksum_nothing_is_gone_on_with(server, tmp_path):
    server.files["/a.bin"] = Served(OTHER, etag=None)
    leave_part(tmp_path / "out", server.at("/a.bin"), CONTENT[:5000], validator=None)
    fetch(server, tmp_path / "out")
    assert (tmp_path / "out" / "a.bin").read_bytes() == OTHER
    assert server.asked == [("/a.bin", None, None)]


def test_wrong_bytes_of_an_earlier_run_are_fetched_again(server, tmp_path):
    leave_part(tmp_path / "out", server.at("/a.bin"), bytes(5000))
    fetch(server, tmp_path / "out", checksums={"a.bin": sha256(CONTENT)})
    assert (tmp_path / "out" / "a.bin").read_bytes() == CONTENT
    assert [asked[1] for asked in server.asked] == ["bytes=5000-", None]


def test_a_part_of_another_address_is_not_gone_on_with(server, tmp_path):
    leave_part(tmp_path / "out", "http://elsewhere/a.bin", OTHER[:5000])
    fetch(server, tmp_path / "out")
    assert (tmp_path / "out" / "a.bin").read_bytes() == CONTENT


def test_a_wrong_checksum_names_both_and_leaves_nothing(server, tmp_path):
    with pytest.raises(CorruptDataError) as error:
        fetch(server, tmp_path / "out", checksums={"a.bin": sha256(OTHER)})
    assert sha256(OTHER) in str(error.value)
    assert sha256(CONTENT) in str(error.value)
    assert names(tmp_path / "out") == [".fetch.lock"]
    assert len(server.asked) == 1


def test_a_stream_that_always_ends_early_is_an_error(server, tmp_path):
    server.files["/a.bin"] = Served(CONTENT, length=10, ranges=False)
    with pytest.raises(CorruptDataError, match="expected 300010 bytes, the stream has 300000"):
        fetch(server, tmp_path / "out")
    assert names(tmp_path / "out") == [".fetch.lock", "a.bin.part", "a.bin.part.state"]


def test_a_length_that_is_too_small_is_told_by_the_checksum(server, tmp_path):
    server.files["/a.bin"] = Served(CONTENT, length=-10)
    with pytest.raises(CorruptDataError, match="expected sha256"):
        fetch(server, tmp_path / "out", checksums={"a.bin": sha256(CONTENT)})


def test_a_server_that_says_no_length_is_believed(server, tmp_path):
    server.files["/a.bin"] = Served(CONTENT, length=None, ranges=False)
    fetch(server, tmp_path / "out")
    assert (tmp_path / "out" / "a.bin").read_bytes() == CONTENT


def test_an_empty_file_is_a_file(server, tmp_path):
    server.files["/a.bin"] = Served(b"")
    assert fetch(server, tmp_path / "out").files[0]["size"] == 0
    assert (tmp_path / "out" / "a.bin").read_bytes() == b""


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_server_that_cannot_answer_now_is_asked_again(server, tmp_path, status):
    server.files["/a.bin"].statuses = [status, status]
    fetch(server, tmp_path / "out")
    assert len(server.asked) == 3
    server.files["/a.bin"].statuses = [status] * 9
    with pytest.raises(OSError, match=rf"status {status}.*after 3 attempts"):
        fetch(server, tmp_path / "other")


def test_a_server_says_how_long_to_wait(server, tmp_path, monkeypatch):
    monkeypatch.setattr(connections, "FIRST_WAIT_SECONDS", 3600)
    server.files["/a.bin"].statuses = [503]
    server.files["/a.bin"].headers = {"Retry-After": "0"}
    fetch(server, tmp_path / "out")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, FileNotFoundError),
        (410, FileNotFoundError),
        (401, PermissionError),
        (403, PermissionError),
        (400, OSError),
    ],
)
def test_a_refusal_is_not_asked_again(server, tmp_path, status, kind):
    server.files["/a.bin"].statuses = [status] * 9
    with pytest.raises(kind, match=f"status {status}"):
        fetch(server, tmp_path / "out")
    assert len(server.asked) == 1


def test_redirects_are_followed_but_not_for_ever(server, tmp_path):
    server.files["/b.bin"] = Served(leads_to="/a.bin")
    fetch(server, tmp_path / "out", path="/b.bin")
    assert (tmp_path / "out" / "b.bin").read_bytes() == CONTENT
    server.files["/c.bin"] = Served(leads_to="/d.bin")
    server.files["/d.bin"] = Served(leads_to="/c.bin")
    with pytest.raises(OSError, match="infinite loop"):
        fetch(server, tmp_path / "out", path="/c.bin")


def test_a_redirect_to_a_local_file_is_refused(server, tmp_path):
    (tmp_path / "secret").write_text("x")
    server.files["/a.bin"] = Served(leads_to=f"file://{tmp_path}/secret")
    with pytest.raises(OSError, match="302"):
        fetch(server, tmp_path / "out")


def test_nobody_listening_is_an_error(tmp_path):
    with serving({}) as gone:
        url = gone.at("/a.bin")
    with pytest.raises(OSError, match=r"refused.*after 2 attempts"):
        bloomdata.fetch(url, tmp_path / "out", num_retries=1)


def test_a_silent_server_is_given_up(server, tmp_path):
    server.files["/a.bin"].pause_seconds = 30
    with pytest.raises(OSError, match="timed out"):
        fetch(server, tmp_path / "out", timeout_seconds=0.05, num_retries=0)


def test_names_and_passwords_in_addresses_are_refused(tmp_path):
    with pytest.raises(ConfigError) as error:
        bloomdata.fetch("http://me:secret@localhost/a.bin", tmp_path / "out")
    assert "secret" not in str(error.value)


def test_missing_files_of_a_list_are_reported(server, tmp_path):
    urls = [server.at("/a.bin"), server.at("/gone.bin")]
    with pytest.raises(FileNotFoundError):
        bloomdata.fetch(urls, tmp_path / "out")
    report = bloomdata.fetch(urls, tmp_path / "out", missing="report")
    assert report.missing == [urls[1]]
    assert [entry["file"] for entry in report.files] == ["a.bin"]
    assert f"missing: {urls[1]}" in str(report)
    books = json.loads((tmp_path / "out" / "fetched.json").read_text())
    assert books["missing"] == [{"url": urls[1], "file": "gone.bin"}]
    server.files["/gone.bin"] = Served(OTHER)
    assert bloomdata.fetch(urls, tmp_path / "out", missing="report").missing == []
    assert json.loads((tmp_path / "out" / "fetched.json").read_text())["missing"] == []


def test_a_list_of_checksums_comes_from_a_server_too(server, tmp_path):
    server.files["/SHA256SUMS"] = Served(f"{sha256(CONTENT)[7:]}  ./a.bin\n".encode())
    report = fetch(server, tmp_path / "out", checksums=server.at("/SHA256SUMS"))
    assert report.files[0]["checked"] == sha256(CONTENT)


def test_many_files_give_the_same_books_for_any_number_of_connections(server, tmp_path):
    rng = random.Random(2)
    for number in range(20):
        server.files[f"/{number}.bin"] = Served(rng.randbytes(rng.randrange(20_000)), cuts=[rng.randrange(9000)])
    urls = [server.at(f"/{number}.bin") for number in range(20)]
    seen = []
    reports = [
        bloomdata.fetch(urls, tmp_path / f"{count}", num_connections=count, on_progress=lambda *now: seen.append(now))
        for count in (1, 8)
    ]
    assert reports[0].files == reports[1].files
    books = [(tmp_path / name / "fetched.json").read_bytes() for name in ("1", "8")]
    assert books[0] == books[1]
    size = sum(len(server.files[f"/{number}.bin"].content) for number in range(20))
    assert seen[-1] == (size, size, 20, size)


def test_an_exception_of_the_progress_function_stops_the_run_which_can_go_on(server, tmp_path):
    def fail(*_):
        raise RuntimeError("enough")

    server.files["/a.bin"].pause_seconds = 0.001
    with pytest.raises(RuntimeError, match="enough"):
        fetch(server, tmp_path / "out", on_progress=fail)
    fetch(server, tmp_path / "out")
    assert (tmp_path / "out" / "a.bin").read_bytes() == CONTENT


def test_a_named_set_brings_its_own_checksums(server, tmp_path, monkeypatch):
    server.files["/SUMS"] = Served(f"{sha256(OTHER)[7:]}  a.bin\n".encode())
    options = {"title": "", "licence": "", "origin": ""}
    sets = {"mine": FetchSet(urls=(server.at("/a.bin"),), checksums=server.at("/SUMS"), **options)}
    monkeypatch.setattr("bloomdata.fetching.names.FETCH_SETS", sets)
    monkeypatch.setattr("bloomdata.fetching.wanted.FETCH_SETS", sets)
    for sources in ("mine", ["mine"]):
        with pytest.raises(CorruptDataError, match=sha256(OTHER)):
            bloomdata.fetch(sources, tmp_path / "out")
    report = bloomdata.fetch("mine", tmp_path / "out", checksums={"a.bin": sha256(CONTENT)})
    assert report.files[0]["checked"] == sha256(CONTENT)


def test_ctrl_c_stops_a_run_that_can_go_on(server, tmp_path):
    server.files["/a.bin"].pause_seconds = 0.05
    out = tmp_path / "out"
    command = [sys.executable, "-m", "bloomdata", "fetch", server.at("/a.bin"), "-o", str(out), "-q"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        _wait_for_bytes(out / "a.bin.part", 0, process)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "resumes from here" in errors
    assert "Traceback" not in errors
    assert not (out / "a.bin").exists()
    server.files["/a.bin"].pause_seconds = 0
    fetch(server, out)
    assert (out / "a.bin").read_bytes() == CONTENT
    assert server.asked[-1][1] is not None


def _wait_for_bytes(path, more_than, process):
    until = time.monotonic() + 60
    while not (path.exists() and path.stat().st_size > more_than):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.002)


def test_a_killed_run_leaves_nothing_under_the_final_name_and_goes_on(server, tmp_path):
    server.files["/a.bin"].pause_seconds = 0.01
    out = tmp_path / "out"
    command = [sys.executable, "-m", "bloomdata", "fetch", server.at("/a.bin"), "-o", str(out), "-q"]
    part = out / "a.bin.part"
    for _ in range(2):
        before = part.stat().st_size if part.exists() else 0
        with subprocess.Popen(command) as process:
            _wait_for_bytes(part, before + 10_000, process)
            process.send_signal(signal.SIGKILL)
        assert not (out / "a.bin").exists()
    assert 0 < part.stat().st_size < len(CONTENT)
    server.files["/a.bin"].pause_seconds = 0
    at = part.stat().st_size
    subprocess.run([*command, "--checksums", str(_list(tmp_path))], check=True)
    assert (out / "a.bin").read_bytes() == CONTENT
    assert server.asked[-1][1:] == (f"bytes={at}-", '"1"')
    assert names(out) == [".fetch.lock", "a.bin", "fetched.json"]


def _list(folder):
    path = folder / "SHA256SUMS"
    path.write_text(f"{sha256(CONTENT)[7:]} *a.bin\n")
    return path


def test_a_part_that_was_not_asked_for_is_refused_and_ends(server, tmp_path):
    server.files["/a.bin"].statuses = [206] * 100
    server.files["/a.bin"].headers = {"Content-Range": "bytes 50-149/200"}
    with pytest.raises(OSError, match="expected bytes from 0 on, got bytes from 50 on"):
        fetch(server, tmp_path / "out")
    assert len(server.asked) == 3


@pytest.mark.parametrize("address", ["http://[::1", "http://host:port/"])
def test_an_address_that_is_none_is_an_error_of_the_fetch(address, server, tmp_path):
    server.files["/a.bin"].leads_to = address
    with pytest.raises(OSError, match=r"a\.bin: "):
        fetch(server, tmp_path / "out")


def test_numbers_that_only_look_like_some_are_none(server, tmp_path):
    server.files["/a.bin"].statuses = [429]
    server.files["/a.bin"].headers = {"Retry-After": "\u00b2"}
    fetch(server, tmp_path / "out")
    assert (tmp_path / "out" / "a.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_file_is_refused_and_not_waited_for(kind, tmp_path):
    path = tmp_path / "a.jsonl"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(OSError, match="expected a regular file"):
        bloomdata.fetch(path, tmp_path / "out")
