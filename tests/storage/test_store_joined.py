"""`finish(joined=True)` in a store: the pair of one run, byte for byte, whatever happens meanwhile."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from stores import FaultyStore, names

import bloomdata
from bloomdata.cli import main
from bloomdata.parts import store_end
from bloomdata.storage import staging

OUTPUT = "faulty://out/packed"
OPTIONS = {"tokenizer": "bytes", "format": "megatron", "num_threads": 2}
PAIR = [f"data_text_document.{suffix}" for suffix in ("bin", "idx")]
ROOT = "/out/packed"


@pytest.fixture
def parts(corpus, tmp_path, store):
    """Three finished parts in the store; the pair of one run, and the folder of the same parts, joined here."""
    bloomdata.pack(corpus, tmp_path / "whole", **OPTIONS)
    bloomdata.pack(corpus, tmp_path / "here", **OPTIONS, parts=3)
    bloomdata.finish(tmp_path / "here", joined=True)
    for part in range(3):
        bloomdata.pack("faulty://raw", OUTPUT, **OPTIONS, parts=3, part=part, scratch=tmp_path / "scratch")

    def check():
        for name in PAIR:
            assert store.cat(f"{ROOT}/{name}") == (tmp_path / "whole" / name).read_bytes()
        found, wanted = json.loads(store.cat(f"{ROOT}/manifest.json")), (tmp_path / "here/manifest.json").read_text()
        for key in ("fingerprint", "outputs", "ledger"):
            assert found[key] == json.loads(wanted)[key]
        assert list((tmp_path / "scratch").iterdir()) == []

    return check


def finish(tmp_path, **options):
    return bloomdata.finish(OUTPUT, joined=True, scratch=tmp_path / "scratch", **options)


@pytest.mark.parametrize("period", [0, 5])
def test_the_pair_is_that_of_one_run(period, parts, tmp_path):
    FaultyStore.period = period
    FaultyStore.seen.clear()
    report = finish(tmp_path, scratch_limit=1)
    FaultyStore.period = 0
    assert str(report.folder) == OUTPUT
    written = [path for name, path in FaultyStore.seen if name in ("put_file", "pipe_file")]
    assert written[-1] == f"{ROOT}/manifest.json"
    parts()
    FaultyStore.seen.clear()
    assert finish(tmp_path).was_finished
    assert not [path for name, path in FaultyStore.seen if path.endswith((".bin", ".idx"))]
    parts()


def test_tokens_are_brought_one_part_after_the_other(parts, tmp_path, monkeypatch):
    held, most = set(), []
    bring, release = staging.Staging._bring, staging.Staging.release

    def counted(self, share):
        held.add(share.address)
        most.append(len(held))
        bring(self, share)

    def released(self, file):
        held.discard(self._shares[file].address)
        release(self, file)
        assert not self._shares[file].local.exists()

    monkeypatch.setattr(staging.Staging, "_bring", counted)
    monkeypatch.setattr(staging.Staging, "release", released)
    finish(tmp_path, scratch_limit=1)
    assert most == [1, 1, 1]
    parts()


def test_a_finished_run_is_joined_later_and_stays_so(parts, tmp_path, capsys):
    assert not bloomdata.finish(OUTPUT, scratch=tmp_path / "scratch").was_finished
    command = ["pack", "faulty://raw", "--output", OUTPUT, "--tokenizer", "bytes", "--format", "megatron"]
    command += ["--parts", "3", "--scratch", str(tmp_path / "scratch"), "--quiet"]
    assert main([*command, "--finish", "--joined"]) == 0, capsys.readouterr()
    parts()
    assert main([*command, "--finish"]) == 0
    assert main(command) == 0
    parts()


def test_overwriting_removes_the_joined_pair(parts, tmp_path):
    finish(tmp_path)
    parts()
    bloomdata.pack("faulty://raw", OUTPUT, **OPTIONS, parts=2, overwrite=True, scratch=tmp_path / "scratch")
    left = {name.removeprefix(f"{ROOT}/").split("/")[0] for name in names() if name.startswith(ROOT)}
    assert left == {"manifest.json", "plan.json", "part-00000-of-00002", "part-00001-of-00002"}


@pytest.mark.parametrize("step", ["upload_files", "_publish_manifest", "create_object"])
def test_a_run_that_is_killed_before_its_manifest_ends_well_the_next_time(step, parts, tmp_path, monkeypatch):
    bloomdata.finish(OUTPUT, scratch=tmp_path / "scratch")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store_end, step, killed)
        with pytest.raises(KeyboardInterrupt):
            finish(tmp_path)
    assert not finish(tmp_path).was_finished
    parts()


def test_two_at_once_end_well(parts, tmp_path):
    with ThreadPoolExecutor(4) as pool:
        # Two take turns on this machine, two others are on machines of their own.
        scratch = [tmp_path / name for name in ("scratch", "scratch", "other", "third")]
        reports = list(pool.map(lambda folder: bloomdata.finish(OUTPUT, joined=True, scratch=folder), scratch))
    assert len({report.fingerprint for report in reports}) == 1
    parts()


@pytest.mark.parametrize("name", ["data-00001_text_document.bin", "data-00001_text_document.idx"])
def test_a_pair_that_is_damaged_is_named_by_its_address(name, parts, tmp_path, store):
    place = f"{ROOT}/part-00001-of-00003/{name}"
    content = bytearray(store.cat(place))
    content[len(content) // 2] ^= 1
    FaultyStore.pipe_file(store, place, bytes(content))
    with pytest.raises(bloomdata.CorruptDataError, match=f"{OUTPUT}/part-00001-of-00003/{name}: ") as error:
        finish(tmp_path)
    assert str(tmp_path) not in str(error.value)
    assert f"{ROOT}/manifest.json" not in names()
    assert list((tmp_path / "scratch").glob("*-finish")) == []


def test_what_an_early_finish_refuses_loses_nothing_of_the_parts_at_work(corpus, tmp_path):
    del corpus
    options = OPTIONS | {"parts": 3, "scratch": tmp_path / "scratch"}
    bloomdata.pack("faulty://raw", OUTPUT, **options, part=0)
    work = next((tmp_path / "scratch").glob("*/plan.json")).parent
    (work / "part-00001-of-00003").mkdir()
    # A finish that was killed has left something.
    (tmp_path / "scratch" / f"{work.name}-finish" / "part-00000-of-00003").mkdir(parents=True)
    with pytest.raises(bloomdata.ConfigError, match="of 3 parts, not finished: 1, 2"):
        finish(tmp_path)
    assert sorted(path.name for path in (tmp_path / "scratch").iterdir()) == [work.name]
    assert (work / "part-00001-of-00003").exists()


def test_rows_cannot_be_joined(corpus, tmp_path):
    del corpus
    options = {"tokenizer": "bytes", "sequence_length": 64, "parts": 2, "scratch": tmp_path / "scratch"}
    bloomdata.pack("faulty://raw", OUTPUT, **options)
    with pytest.raises(bloomdata.ConfigError, match="joined: expected Megatron pairs"):
        finish(tmp_path)
    assert bloomdata.finish(OUTPUT, scratch=tmp_path / "scratch").was_finished
