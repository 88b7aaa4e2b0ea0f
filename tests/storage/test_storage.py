"""Object storage: the bytes of a local run, whatever the store does; what others change or write is noticed."""

from __future__ import annotations

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import fsspec
import pytest
from stores import FAULTY, OPTIONS, UNIT, FaultyStore, names, upload

import bloomdata
from bloomdata.cli import main
from bloomdata.storage import staging
from runs import tree


@pytest.mark.parametrize(
    "inputs", ["faulty://raw", "faulty://raw/*.jsonl", ["faulty://raw/a.jsonl", "faulty://raw/[bc].jsonl"]]
)
def test_objects_give_the_bytes_of_files(inputs, corpus, tmp_path):
    here = bloomdata.pack(corpus, tmp_path / "here", **OPTIONS)
    there = bloomdata.pack(inputs, tmp_path / "there", **OPTIONS, scratch=tmp_path / "scratch")
    assert there.fingerprint == here.fingerprint
    assert there.ledger == here.ledger
    assert [one["path"] for one in there.manifest["inputs"]] == [f"faulty:///raw/{name}.jsonl" for name in "abc"]
    assert list((tmp_path / "scratch").iterdir()) == []
    assert bloomdata.pack(inputs, tmp_path / "there", **OPTIONS, scratch=tmp_path / "scratch").was_finished


@pytest.mark.parametrize("period", [0, 5, 3])
def test_parts_in_a_store_are_those_of_a_local_run(period, corpus, tmp_path):
    here = bloomdata.pack(corpus, tmp_path / "here", **OPTIONS, parts=4)
    FaultyStore.period = period
    options = OPTIONS | {"parts": 4, "scratch": tmp_path / "scratch", "scratch_limit": 2 * UNIT}
    for part in (2, 0):
        bloomdata.pack("faulty://raw/", "faulty://out/packed", **options, part=part)
    there = bloomdata.pack("faulty://raw/", "faulty://out/packed", **options)
    FaultyStore.period = 0
    assert there.fingerprint == here.fingerprint
    assert there.ledger == here.ledger
    assert str(there.folder) == "faulty://out/packed"
    store = fsspec.filesystem(FAULTY)
    for output in here.outputs:
        assert store.cat(f"/out/packed/{output['path']}") == (tmp_path / "here" / output["path"]).read_bytes()
    assert list((tmp_path / "scratch").iterdir()) == []
    assert bloomdata.finish("faulty://out/packed", scratch=tmp_path / "scratch").was_finished
    again = bloomdata.pack("faulty://raw/", "faulty://out/packed", **options)
    assert again.was_finished
    assert again.fingerprint == here.fingerprint


def test_parts_in_a_store_count_before_they_draw(corpus, tmp_path):
    shard = partial(bloomdata.shard, splits={"train": 0.5, "dev": 0.5}, parts=4)
    here = shard(corpus, tmp_path / "here")
    shard = partial(shard, "faulty://raw", "faulty://out", scratch=tmp_path / "scratch")
    shard(part=1, counting=True)
    with pytest.raises(bloomdata.ConfigError, match="expected counts of part 0 before part 3"):
        shard(part=3)
    FaultyStore.period = 5
    assert shard().fingerprint == here.fingerprint
    FaultyStore.period = 0
    assert list((tmp_path / "scratch").iterdir()) == []
    counts = {name for name in names() if name.startswith("/out/counts/")}
    assert counts == {f"/out/counts/{name}" for name in tree(tmp_path / "here" / "counts") if name.endswith(".json")}
    fsspec.filesystem(FAULTY).rm("/out/part-00002-of-00004", recursive=True)
    assert shard(part=2).ledger["documents_kept"] > 0
    assert shard().was_finished
    shard(splits=None, overwrite=True)
    assert not any("/counts/" in name for name in names())


def test_parts_of_one_machine_do_not_get_in_each_others_way(corpus, tmp_path):
    here = bloomdata.pack(corpus, tmp_path / "here", **OPTIONS, parts=9)
    FaultyStore.period = 7
    with ThreadPoolExecutor(3) as executor:
        there = bloomdata.pack(
            "faulty://raw", "faulty://out", **OPTIONS, parts=9, scratch=tmp_path / "scratch", executor=executor
        )
    assert there.fingerprint == here.fingerprint
    assert list((tmp_path / "scratch").iterdir()) == []


def test_the_manifest_of_a_part_comes_last_and_is_created_only(corpus, tmp_path):
    del corpus
    options = OPTIONS | {"parts": 2, "scratch": tmp_path / "scratch"}
    bloomdata.pack("faulty://raw/", "faulty://out", **options, part=1)
    written = [
        path for name, path in FaultyStore.seen if name in ("put_file", "pipe_file") and "/part-00001-of-00002/" in path
    ]
    assert [path.rpartition("/")[2] for path in written] == ["data-00001-00000.hdf5", "manifest.json"]
    manifest = "/out/part-00001-of-00002/manifest.json"
    store = fsspec.filesystem(FAULTY)
    content = store.cat(manifest)
    # Somebody else has finished the part meanwhile: with the same result, and with another one.
    for found, fails in ((content, False), (content.replace(b'"fingerprint": "', b'"fingerprint": "0'), True)):
        store.rm("/out", recursive=True)
        create = FaultyStore.pipe_file

        def late(self, path, value, mode="overwrite", found=found, create=create, **options):
            if path == manifest and mode == "create" and not self.exists(path):
                create(self, path, found)
            return create(self, path, value, mode=mode, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(FaultyStore, "pipe_file", late)
            if fails:
                with pytest.raises(bloomdata.MismatchError, match="fingerprint of another run of this part"):
                    bloomdata.pack("faulty://raw/", "faulty://out", **options, part=1)
            else:
                bloomdata.pack("faulty://raw/", "faulty://out", **options, part=1)


def change(name):
    """Another content of the same size, at another time."""
    store = fsspec.filesystem(FAULTY)
    content = store.cat(f"/raw/{name}")
    store.rm(f"/raw/{name}")
    FaultyStore.pipe_file(store, f"/raw/{name}", content.replace(b"word", b"WORD"))


def test_an_object_that_changes_is_noticed(corpus, tmp_path, monkeypatch):
    del corpus
    options = OPTIONS | {"parts": 2, "scratch": tmp_path / "scratch"}
    bloomdata.pack("faulty://raw/", "faulty://out", **options, part=0)
    bloomdata.pack("faulty://raw/", "faulty://out", **options, part=1)
    change("b.jsonl")
    with pytest.raises(bloomdata.MismatchError, match=r"raw/b\.jsonl: size and ETag \(changed since the parts"):
        bloomdata.finish("faulty://out", scratch=tmp_path / "scratch")
    with pytest.raises(bloomdata.MismatchError, match=r"ETag or last change of input faulty:///raw/b\.jsonl"):
        bloomdata.pack("faulty://raw/", "faulty://out", **options, part=1)
    # While it is read.
    bring = staging.Staging._bring

    def slow(self, share):
        if share.address.endswith("c.jsonl"):
            change("c.jsonl")
        bring(self, share)

    monkeypatch.setattr(staging.Staging, "_bring", slow)
    with pytest.raises(bloomdata.MismatchError, match=r"c\.jsonl: ETag or last change \(changed since it was listed\)"):
        bloomdata.pack("faulty://raw/", tmp_path / "local", **OPTIONS, scratch=tmp_path / "scratch")


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"sequence_length": 32}, "option sequence_length: expected 64, found 32"),
        ({"parts": 3}, "parts: expected 2, found 3"),
    ],
)
def test_a_part_of_another_machine_with_other_options_is_refused(other, told, corpus, tmp_path):
    del corpus
    options = OPTIONS | {"parts": 2}
    bloomdata.pack("faulty://raw/", "faulty://out", **options, part=0, scratch=tmp_path / "one")
    before = names()
    with pytest.raises(bloomdata.MismatchError, match=told):
        bloomdata.pack("faulty://raw/", "faulty://out", **options | other, part=1, scratch=tmp_path / "two")
    assert set(names()) - set(before) <= {"/out/part-00001-of-00002.error"}
    bloomdata.pack("faulty://raw/", "faulty://out", **options, part=1, scratch=tmp_path / "two")
    assert not any(name.endswith(".error") for name in names())
    assert bloomdata.finish("faulty://out", scratch=tmp_path / "one").ledger["documents_kept"] == 600


def test_lines_that_cross_cuts_are_brought_however_long_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(staging, "CHUNK_BYTES", 1 << 20)
    folder = tmp_path / "in"
    folder.mkdir()
    texts = ["a" * 3000, "b" * 9_000_000, "c" * 5000, "d"]
    (folder / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    upload(folder)
    options = {"compression": "none", "parts": 3}
    here = bloomdata.shard(folder, tmp_path / "here", **options)
    there = bloomdata.shard("faulty://raw", tmp_path / "there", **options, scratch=tmp_path / "scratch")
    assert there.fingerprint == here.fingerprint
    assert there.ledger["documents_kept"] == 4


def test_what_is_brought_stays_within_its_limit_and_is_ahead(corpus, tmp_path, monkeypatch):
    del corpus
    held, most = [0], [0]
    bring, release = staging.Staging._bring, staging.Staging.release

    def counted(self, share):
        bring(self, share)
        held[0] += share.end - share.start
        most[0] = max(most[0], held[0])

    def released(self, file):
        share = self._shares[file]
        release(self, file)
        held[0] -= share.end - share.start

    monkeypatch.setattr(staging.Staging, "_bring", counted)
    monkeypatch.setattr(staging.Staging, "release", released)
    sizes = [
        facts["size"] for facts in fsspec.filesystem(FAULTY).find("/raw", detail=True).values() if facts["size"] > 9
    ]
    limit = sizes[0] + sizes[1]
    bloomdata.pack("faulty://raw", tmp_path / "out", **OPTIONS, scratch=tmp_path / "s", scratch_limit=limit)
    assert held[0] == 0
    assert max(sizes) <= most[0] <= limit


@pytest.mark.parametrize("threads", [1, 4])
def test_a_run_that_resumes_brings_only_what_it_needs(threads, corpus, tmp_path):
    options = {"max_lines": 20, "num_threads": threads, "scratch": tmp_path / "scratch", "scratch_limit": 1}
    FaultyStore.broken = "c.jsonl"
    with pytest.raises(OSError, match="the store is tired"):
        bloomdata.shard("faulty://raw", tmp_path / "out", **options)
    FaultyStore.broken = None
    FaultyStore.seen.clear()
    report = bloomdata.shard("faulty://raw", tmp_path / "out", **options)
    assert report.was_resumed
    assert not any(path.endswith("a.jsonl") for name, path in FaultyStore.seen if name == "cat_file")
    assert report.fingerprint == bloomdata.shard(corpus, tmp_path / "here", max_lines=20).fingerprint
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_full_scratch_is_an_os_error_and_leaves_nothing(corpus, tmp_path, monkeypatch):
    del corpus

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "scratch")

    monkeypatch.setattr(staging.os, "pwrite", full)
    with pytest.raises(OSError, match="No space left"):
        bloomdata.pack("faulty://raw", tmp_path / "out", **OPTIONS, scratch=tmp_path / "scratch")
    assert list((tmp_path / "scratch").iterdir()) == []
    monkeypatch.undo()
    assert bloomdata.pack("faulty://raw", tmp_path / "out", **OPTIONS).ledger["documents_kept"] == 600


def test_a_store_that_is_gone_is_its_own_error(corpus, tmp_path):
    del corpus
    FaultyStore.period = 1
    with pytest.raises(OSError, match="the store is tired"):
        bloomdata.pack("faulty://raw", tmp_path / "out", **OPTIONS, scratch=tmp_path / "scratch")


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ("faulty://nothing", "no such object"),
        ("nope://raw", "nope"),
        ("ftp://me:secret@host/raw", r"ftp://\*\*\*@host/raw: expected no password and no key in an address"),
        ("https://host/a.jsonl?n=1&X-Amz-Signature=secret", r"https://host/a\.jsonl\?n=1&X-Amz-Signature=\*\*\*: exp"),
        (["faulty://raw/a.jsonl", "b.jsonl"], "expected files or objects in a store, got both"),
        ("faulty://raw/README.md", "README.md: found md"),
    ],
)
def test_addresses_that_cannot_be_read_are_refused(inputs, told, corpus, tmp_path):
    del corpus
    with pytest.raises((bloomdata.BloomdataError, OSError), match=told) as error:
        bloomdata.pack(inputs, tmp_path / "out", **OPTIONS, scratch=tmp_path / "scratch")
    assert "secret" not in str(error.value)


def test_overwriting_removes_all_parts_and_nothing_else(corpus, tmp_path):
    del corpus
    store = fsspec.filesystem(FAULTY)
    FaultyStore.pipe_file(store, "/out/mine.txt", b"mine")
    options = OPTIONS | {"scratch": tmp_path / "scratch"}
    bloomdata.pack("faulty://raw", "faulty://out", **options, parts=3)
    before = dict(FaultyStore.store)
    with pytest.raises(bloomdata.ConfigError):
        bloomdata.pack("faulty://raw", "faulty://out", **options | {"sequence_length": 0}, parts=2, overwrite=True)
    assert FaultyStore.store == before
    report = bloomdata.pack("faulty://raw", "faulty://out", **options, parts=2, overwrite=True)
    left = {name.split("/")[2] for name in names() if name.startswith("/out/")}
    assert left == {"manifest.json", "plan.json", "mine.txt", "part-00000-of-00002", "part-00001-of-00002"}
    assert report.ledger["documents_kept"] == 600


def test_s3_itself(corpus, tmp_path, monkeypatch):
    moto = pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "hush",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    # Its file systems are kept, with the credentials of whoever was first.
    s3fs.S3FileSystem.clear_instance_cache()
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        store = fsspec.filesystem("s3", skip_instance_cache=True)
        store.mkdir("raw-data")
        store.mkdir("out-data")
        store.put(str(corpus), "raw-data/in", recursive=True)
        here = bloomdata.pack(corpus, tmp_path / "here", **OPTIONS, parts=3)
        options = OPTIONS | {"parts": 3, "scratch": tmp_path / "scratch"}
        there = bloomdata.pack("s3://raw-data/in", "s3://out-data/packed", **options)
        assert there.fingerprint == here.fingerprint
        again = bloomdata.pack(Path("s3://raw-data/in"), Path("s3://out-data/packed"), **options)
        assert again.was_finished
        # The store refuses to create what is there: 412, which s3fs calls FileExistsError.
        with pytest.raises(FileExistsError):
            store.pipe_file("out-data/packed/manifest.json", b"{}", mode="create")
        megatron = {"tokenizer": "bytes", "format": "megatron", "parts": 2, "scratch": tmp_path / "scratch"}
        whole = bloomdata.pack(corpus, tmp_path / "whole", tokenizer="bytes", format="megatron")
        bloomdata.pack("s3://raw-data/in", "s3://out-data/megatron", **megatron)
        joined = bloomdata.finish("s3://out-data/megatron", joined=True, scratch=tmp_path / "scratch")
        assert [one["hash"] for one in joined.outputs[:2]] == [one["hash"] for one in whole.outputs[:2]]
        assert (
            store.cat("out-data/megatron/data_text_document.bin")
            == next((tmp_path / "whole").glob("*.bin")).read_bytes()
        )
        assert main(["parts", "s3://out-data/megatron"]) == 0
        # As somebody makes a folder by hand.
        store.pipe_file("out-data/megatron/", b"")
        bloomdata.fetch("s3://out-data/megatron", tmp_path / "fetched")
        bloomdata.verify(tmp_path / "fetched")
        assert bloomdata.finish("s3://out-data/megatron", joined=True, scratch=tmp_path / "scratch").was_finished
        assert not any(b"hush" in store.cat(path) for path in store.find("out-data") if path.endswith(".json"))
    finally:
        server.stop()
        s3fs.S3FileSystem.clear_instance_cache()


class NoCredentialsError(Exception):
    """As packages of stores raise them."""


class BrokenPipeOfStoreError(OSError):
    """As packages of stores raise them."""


@pytest.mark.parametrize(
    ("raised", "kind", "told"),
    [
        (NoCredentialsError("no key"), PermissionError, "NoCredentialsError: no key"),
        (BrokenPipeOfStoreError("gone"), OSError, "BrokenPipeOfStoreError: gone"),
        (OSError("in the way"), OSError, "in the way"),
        (OSError(errno.EIO, "worn out"), OSError, "worn out"),
        (PermissionError("raw/a.jsonl"), PermissionError, "raw/a.jsonl"),
        (
            OSError("https://host/x?sig=secret&n=1 and ftp://me:secret@host"),
            OSError,
            "https.*sig=.*&n=1 and ftp.*@host",
        ),
    ],
)
@pytest.mark.parametrize("request_of", ["find", "cat_file", "put_file", "pipe_file", "info"])
def test_errors_of_single_requests_name_the_address(request_of, raised, kind, told, corpus, tmp_path, monkeypatch):
    del corpus

    def refuse(self, path, *_, **__):
        raise raised

    monkeypatch.setattr(FaultyStore, request_of, refuse)
    with pytest.raises(kind, match=f"faulty://[\\w/.-]*: {told}") as error:
        bloomdata.pack("faulty://raw", "faulty://out", **OPTIONS, scratch=tmp_path / "scratch")
    assert "secret" not in str(error.value)


def test_a_finished_folder_is_an_input_and_an_unfinished_one_is_refused(corpus, tmp_path):
    (corpus / "bad.jsonl").write_text("{broken\n")
    upload(corpus)
    options = {"scratch": tmp_path / "scratch", "compression": "none", "on_bad_record": "quarantine", "parts": 3}
    for part in range(3):
        bloomdata.shard("faulty://raw", "faulty://shards/one", **options, part=part)
    for address in ("faulty://shards", "faulty://shards/one"):
        with pytest.raises(bloomdata.ConfigError, match="shards/one is the output of a run in parts that was not fini"):
            bloomdata.shard(address, tmp_path / "again", scratch=tmp_path / "scratch")
    bloomdata.finish("faulty://shards/one", scratch=tmp_path / "scratch")
    for address in ("faulty://shards", "faulty://shards/one/", "faulty://shards/one/part-*/*"):
        report = bloomdata.pack(address, tmp_path / "packed", **OPTIONS, scratch=tmp_path / "scratch", overwrite=True)
        assert report.ledger["documents_in"] == report.ledger["documents_kept"] == 600
