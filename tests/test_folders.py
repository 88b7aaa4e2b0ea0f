"""Folders that others use: two runs never share one, and what is not ours is untouched."""

from __future__ import annotations

import json
from contextlib import ExitStack, suppress

import pytest

import bloomdata
from runs import COMMANDS, PACK_HDF5, SHARD, SMALL_COMMANDS, differences, end, run, running, tree, wait_for


def test_two_runs_at_once_in_one_folder_are_refused(slow_corpus, tmp_path):
    output = tmp_path / "output"
    with running(COMMANDS["shard"], slow_corpus, output) as first:
        assert wait_for(output / "part-00000.jsonl.zst", first)
        with pytest.raises(bloomdata.ConfigError, match="another run is at work in"):
            bloomdata.shard(slow_corpus, output, max_lines=600, on_bad_record="quarantine")
        status, errors = run(COMMANDS["shard"], slow_corpus, output)
        assert status == 1
        assert "another run is at work in" in errors
        # Not even with another wish, or a strong one.
        with pytest.raises(bloomdata.ConfigError, match="another run is at work in"):
            bloomdata.shard(slow_corpus, output, overwrite=True)
        status, errors = end(first)
    assert status == 0, errors
    bloomdata.verify(output)


def test_runs_that_start_in_the_same_moment_share_nothing(small_corpus, tmp_path):
    command = SMALL_COMMANDS["shard"]
    for attempt in range(5):
        output = tmp_path / f"output-{attempt}"
        with ExitStack() as stack:
            processes = [stack.enter_context(running(command, small_corpus, output)) for _ in range(3)]
            results = [end(process) for process in processes]
        for status, errors in results:
            assert status == 0 or "another run is at work in" in errors, errors
        assert any(status == 0 for status, _ in results)
        bloomdata.verify(output)
        assert not (output / "journal.jsonl").exists()


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", b"mine"),
        (".hidden", b"mine"),
        ("part-00000.jsonl.zst", b"mine"),
        ("manifest.json", b'{"name": "some other tool"}'),
        ("manifest.json", b"mine"),
        ("manifest.json", b""),
        ("journal.jsonl", b"a diary without a newline at its end"),
        ("journal.jsonl", b"a diary\n"),
        ("journal.jsonl", b'{"date": "today"}\n{"date": "tomorr'),
    ],
)
def test_a_folder_that_is_not_ours_is_refused_and_untouched(name, content, overwrite, records, tmp_path):
    output = tmp_path / "output"
    output.mkdir()
    (output / name).write_bytes(content)
    (output / "sub").mkdir()
    (output / "sub" / "photo.jpg").write_bytes(b"mine")
    before = tree(output)
    for verb, options in ((bloomdata.shard, SHARD), (bloomdata.pack, PACK_HDF5)):
        with pytest.raises(bloomdata.BloomdataError, match=r"an output of bloomdata|not a manifest of"):
            verb(records, output, on_bad_record="quarantine", overwrite=overwrite, **options)
        assert differences(tree(output), before) == []


def test_a_manifest_cannot_make_us_delete_files_outside_its_folder(records, tmp_path):
    options = {**SHARD, "on_bad_record": "quarantine"}
    bloomdata.shard(records, tmp_path / "output", **options)
    precious = tmp_path / "precious.txt"
    precious.write_text("mine")
    manifest = json.loads((tmp_path / "output" / "manifest.json").read_text())
    manifest["outputs"][0]["path"] = "../precious.txt"
    (tmp_path / "output" / "manifest.json").write_text(json.dumps(manifest))
    with suppress(bloomdata.BloomdataError, OSError):
        bloomdata.shard(records, tmp_path / "output", overwrite=True, **options)
    assert precious.exists()


def test_what_was_made_of_a_file_is_not_read_beside_it(tmp_path):
    """Of a folder that holds both, each document would be read twice."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jsonl").write_text('{"text": "one"}\n' * 5)
    bloomdata.shard(folder, folder / "shards", splits={"train": 0.5, "dev": 0.5})
    for inputs in (folder / "**" / "*.jsonl*", [folder / "a.jsonl", folder / "shards" / "train"]):
        with pytest.raises(bloomdata.ConfigError, match=r"shards was made of .*a\.jsonl, which is read, too"):
            bloomdata.shard(inputs, tmp_path / "out")
    assert bloomdata.shard(folder / "shards" / "train", tmp_path / "out").ledger["documents_kept"] <= 5
    report = bloomdata.shard(
        [folder / "a.jsonl", folder / "shards" / "dev"], tmp_path / "both", allow_duplicate_inputs=True
    )
    assert report.ledger["documents_kept"] >= 5
