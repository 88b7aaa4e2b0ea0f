"""Signs of life of parts in a store: a table for people, and no trouble to anybody else."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from stores import OPTIONS, FaultyStore, names

import bloomdata
from bloomdata.cli import main
from bloomdata.parts import boards, gathering
from bloomdata.parts.signs import Signs
from bloomdata.parts.table import read_table
from bloomdata.storage import staging

OUTPUT = "faulty://out/packed"


def signs():
    return [name.rpartition("/")[2] for name in names() if name.endswith((".heartbeat", ".error"))]


def test_the_table_says_what_became_of_each_part(corpus, tmp_path, monkeypatch, capsys):
    del corpus
    options = OPTIONS | {"parts": 4, "scratch": tmp_path / "scratch"}
    bloomdata.pack("faulty://raw", OUTPUT, **options, part=0)
    FaultyStore.broken = "c.jsonl"
    with pytest.raises(OSError, match="tired"):
        bloomdata.pack("faulty://raw", OUTPUT, **options, part=3)
    FaultyStore.broken = None
    seen = []
    release = staging.Staging.release

    def watched(self, file):
        release(self, file)
        for _ in range(100 if not seen else 0):
            if "part-00002-of-00004.heartbeat" in signs():
                seen.append((main(["parts", OUTPUT]), capsys.readouterr().out.splitlines()))
                break
            time.sleep(0.02)

    monkeypatch.setattr(staging.Staging, "release", watched)
    bloomdata.pack("faulty://raw", OUTPUT, **options, part=2)
    status, lines = seen[0]
    assert status == 1
    assert lines[0] == "4 parts: 1 done, 1 running, 1 failed, 1 missing"
    assert lines[1].startswith("     2 running  since 20")
    assert lines[2].startswith("     3 failed  OSError: ")
    assert "c.jsonl" in lines[2]
    assert lines[3] == "missing: 1"
    assert {name.partition(".")[0] for name in signs()} == {"part-00003-of-00004"}
    bloomdata.pack("faulty://raw", OUTPUT, **options)
    assert main(["parts", OUTPUT, "--json"]) == 0
    assert [json.loads(line)["state"] for line in capsys.readouterr().out.splitlines()] == ["done"] * 4
    assert signs() == []


def test_signs_are_in_no_hash_and_the_end_removes_them(corpus, tmp_path):
    here = bloomdata.pack(corpus, tmp_path / "here", **OPTIONS, parts=3)
    for part in range(3):
        bloomdata.pack("faulty://raw", OUTPUT, **OPTIONS, parts=3, part=part, scratch=tmp_path / "scratch")
    for number in range(3):
        Signs(OUTPUT, number, 3)._leave("heartbeat", {"started": 1.0})
        Signs(OUTPUT, number, 3)._leave("error", {})
    FaultyStore.pipe_file(FaultyStore(), "/out/packed/notes.error", b"mine")
    assert [row.state for row in read_table(OUTPUT)] == ["done"] * 3
    assert bloomdata.finish(OUTPUT, scratch=tmp_path / "scratch").fingerprint == here.fingerprint
    assert signs() == ["notes.error"]


@pytest.mark.parametrize("threads", [0, 3])
def test_progress_is_told_and_heartbeats_that_fail_are_no_error(threads, corpus, tmp_path, monkeypatch):
    here = bloomdata.pack(corpus, tmp_path / "here", **OPTIONS, parts=6)
    monkeypatch.setattr(gathering, "_LOOK_SECONDS", 0)
    monkeypatch.setattr(boards.StoreBoard, "beat_seconds", 0)
    FaultyStore.period, told = 5, []
    there = bloomdata.pack(
        "faulty://raw",
        OUTPUT,
        **OPTIONS,
        parts=6,
        scratch=tmp_path / "scratch",
        executor=ThreadPoolExecutor(threads) if threads else None,
        on_progress=lambda *one: told.append(one),
    )
    FaultyStore.period = 0
    assert there.fingerprint == here.fingerprint
    assert all(sorted(column) == list(column) for column in zip(*told, strict=True))
    total = sum(one["size"] for one in there.manifest["inputs"])
    assert told[-1] == (total, total, 600, sum(output["size"] for output in there.outputs))
    assert signs() == []


def test_a_store_that_takes_no_signs_runs_parts_all_the_same(corpus, tmp_path, monkeypatch):
    del corpus
    write = FaultyStore.pipe_file

    def refuse(self, path, value, **options):
        if path.endswith((".heartbeat", ".error")):
            raise PermissionError(path)
        write(self, path, value, **options)

    monkeypatch.setattr(FaultyStore, "pipe_file", refuse)
    monkeypatch.setattr(boards.StoreBoard, "beat_seconds", 0)
    report = bloomdata.pack("faulty://raw", OUTPUT, **OPTIONS, parts=2, scratch=tmp_path / "scratch")
    assert report.ledger["documents_kept"] == 600


@pytest.mark.parametrize("content", [b"", b"[]", b'{"parts": []}'])
def test_a_folder_without_a_plan_of_ours_is_refused(content, capsys):
    if content:
        FaultyStore.pipe_file(FaultyStore(), "/out/packed/plan.json", content)
    assert main(["parts", OUTPUT]) == 1
    assert "plan" in capsys.readouterr().err


def test_signs_are_asked_for_and_left_rarely(corpus, tmp_path):
    del corpus
    bloomdata.pack("faulty://raw", OUTPUT, **OPTIONS, parts=3, scratch=tmp_path / "scratch", on_progress=print)
    written = [path for name, path in FaultyStore.seen if name == "pipe_file" and path.endswith(".heartbeat")]
    assert len(written) == len(set(written))
    read = [path for name, path in FaultyStore.seen if name == "cat_file" and path.endswith(".heartbeat")]
    assert len(read) <= 3
