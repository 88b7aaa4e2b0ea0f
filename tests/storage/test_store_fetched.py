"""Finished folders in a store are fetched, then read; who tries to read them there is told how."""

from __future__ import annotations

import numpy as np
import pytest
from stores import OPTIONS, FaultyStore

import bloomdata
from bloomdata.cli import main

OUTPUT = "faulty://out/packed"
MEGATRON = {"tokenizer": "bytes", "format": "megatron"}
CALL = r"by bloomdata\.fetch\('faulty://out/packed', 'packed'\) or bloomdata-cli fetch \S+/packed --output packed/"


@pytest.mark.parametrize("period", [0, 6])
def test_rows_that_were_fetched_are_those_of_a_local_run(period, corpus, tmp_path, monkeypatch):
    here = bloomdata.pack(corpus, tmp_path / "here", **OPTIONS, parts=3)
    bloomdata.pack("faulty://raw", OUTPUT, **OPTIONS, parts=3, scratch=tmp_path / "scratch")
    monkeypatch.setattr("bloomdata.fetching.connections.time.sleep", lambda _: None, raising=False)
    FaultyStore.period = period
    report = bloomdata.fetch(OUTPUT, tmp_path / "local")
    FaultyStore.period = 0
    assert len(report.files) == len(here.outputs) + 3 + 2
    assert bloomdata.verify(tmp_path / "local").files == len(here.outputs)
    rows, wanted = bloomdata.open(tmp_path / "local"), bloomdata.open(tmp_path / "here")
    assert rows.fingerprint == wanted.fingerprint
    assert np.array_equal(rows[:]["input_ids"], wanted[:]["input_ids"])
    assert bloomdata.fetch(f"{OUTPUT}/", tmp_path / "local").num_fetched == 0


@pytest.mark.parametrize("joined", [False, True])
def test_pairs_that_were_fetched_are_those_of_one_run(joined, corpus, tmp_path):
    bloomdata.pack(corpus, tmp_path / "whole", **MEGATRON)
    bloomdata.pack("faulty://raw", OUTPUT, **MEGATRON, parts=3, scratch=tmp_path / "scratch")
    if joined:
        bloomdata.finish(OUTPUT, joined=True, scratch=tmp_path / "scratch")
    assert main(["fetch", OUTPUT, "--output", str(tmp_path / "local"), "--quiet"]) == 0
    bloomdata.verify(tmp_path / "local")
    samples = [
        bloomdata.GPTDataset(tmp_path / name, sequence_length=32, num_samples=50, seed=1) for name in ("local", "whole")
    ]
    assert all(np.array_equal(a["input_ids"], b["input_ids"]) for a, b in zip(*samples, strict=True))
    batches = bloomdata.DataLoader(samples[0], batch_size=2)
    assert len(list(zip(batches, range(3), strict=False))) == 3


def test_folders_that_are_named_lie_beside_each_other(corpus, tmp_path):
    bloomdata.fetch({"one": "faulty://raw", "a.jsonl": "faulty://raw/a.jsonl"}, tmp_path / "local")
    names = sorted(path.relative_to(tmp_path / "local").as_posix() for path in (tmp_path / "local").rglob("*.jsonl"))
    assert names == ["a.jsonl", "one/a.jsonl", "one/b.jsonl", "one/c.jsonl"]
    assert (tmp_path / "local/one/c.jsonl").read_bytes() == (corpus / "c.jsonl").read_bytes()
    FaultyStore.pipe_file(FaultyStore(), "/other/a.jsonl", b"{}")
    with pytest.raises(bloomdata.ConfigError, match=r"both called a\.jsonl; give names"):
        bloomdata.fetch(["faulty://raw", "faulty://other"], tmp_path / "two")


@pytest.mark.parametrize("address", [OUTPUT, "faulty:/out/packed", f"{OUTPUT}/"])
@pytest.mark.parametrize(
    "read",
    [
        bloomdata.open,
        bloomdata.verify,
        bloomdata.check_consumer,
        bloomdata.IndexedDataset,
        lambda path: bloomdata.plan(path, sequence_length=8),
        lambda path: bloomdata.PackedDataset([f"{path.rstrip('/')}/data-00000.hdf5"]),
        lambda path: bloomdata.ShardedIndexedDataset([f"{path.rstrip('/')}/data_text_document"]),
        lambda path: bloomdata.GPTDataset(path, sequence_length=8, num_samples=1),
        lambda path: bloomdata.GPTDataset([f"{path.rstrip('/')}/data_text_document.bin"], sequence_length=8),
        lambda path: bloomdata.merge([path], "merged"),
        lambda path: bloomdata.dedup("in", "out", near=bloomdata.MinHash(), signatures=path),
        lambda path: bloomdata.count(path, tokenizer="bytes"),
    ],
)
def test_whoever_reads_a_finished_folder_there_is_told_how_to_bring_it(read, address):
    with pytest.raises(bloomdata.ConfigError, match=CALL):
        read(address)


@pytest.mark.parametrize("verb", ["verify", "report", "inspect", "count"])
def test_so_says_the_command_line(verb, capsys):
    assert main([verb, OUTPUT, *(["--tokenizer", "bytes"] if verb == "count" else [])]) == 1
    assert "bloomdata-cli fetch faulty://out/packed --output packed/" in capsys.readouterr().err
