"""Links between folders: what is behind them is read once, and no circle is followed."""

import pytest

import bloomdata


def names_read(report):
    return [entry["path"] for entry in report.manifest["inputs"]]


def ignored(report):
    return sorted(report.manifest["ignored_inputs"])


@pytest.fixture
def looped(raw):
    """`raw/` with `inner/b.jsonl`, two links to itself, one upwards, and one to a folder outside."""
    (raw / "inner").mkdir()
    (raw / "inner" / "b.jsonl").write_text('{"text":"inner"}\n')
    outside = raw.parent / "outside"
    outside.mkdir()
    (outside / "c.jsonl").write_text('{"text":"outside"}\n')
    for link, target in [("x", "."), ("y", "."), ("inner/up", ".."), ("far", outside), ("far-2", outside)]:
        (raw / link).symlink_to(target)
    return raw


@pytest.mark.parametrize("inputs", ["raw", "raw/**/*.jsonl", "./raw/**/*.jsonl"])
def test_each_folder_is_read_once(inputs, looped):
    report = bloomdata.shard(inputs, "out")
    start = "./" if inputs.startswith("./") else ""
    assert names_read(report) == [f"{start}{name}" for name in ("raw/a.jsonl", "raw/far/c.jsonl", "raw/inner/b.jsonl")]
    assert ignored(report) == [f"{start}{name}" for name in ("raw/far-2", "raw/inner/up", "raw/x", "raw/y")]


def test_a_folder_that_a_pattern_finds_by_its_own_name_is_not_read_behind_links(looped):
    report = bloomdata.shard("**/*.jsonl", "out")
    assert names_read(report) == ["outside/c.jsonl", "raw/a.jsonl", "raw/inner/b.jsonl"]
    assert {"raw/far", "raw/far-2"} <= set(ignored(report))


def test_links_that_a_pattern_names_are_followed(looped):
    assert names_read(bloomdata.shard("raw/far-*/*.jsonl", "one")) == ["raw/far-2/c.jsonl"]
    assert names_read(bloomdata.shard("raw/far-*/**/*.jsonl", "two")) == ["raw/far-2/c.jsonl"]
    assert names_read(bloomdata.shard("./raw/x/*.jsonl", "three")) == ["./raw/x/a.jsonl"]


def test_every_verb_ends_with_links_in_its_output(looped, tmp_path):
    bloomdata.pack("raw/a.jsonl", "packed", tokenizer="bytes", format="megatron")
    for link in ("x", "y"):
        (tmp_path / "packed" / link).symlink_to(".")
    assert bloomdata.pack("raw/a.jsonl", "packed", tokenizer="bytes", format="megatron").was_finished
    with pytest.raises(bloomdata.CorruptDataError, match="x: the manifest does not know it"):
        bloomdata.verify("packed")
    assert len(bloomdata.open("packed")) == 2
    assert bloomdata.count("raw", tokenizer="bytes").documents == 4
    assert bloomdata.prepare("pile", ["raw", "no/**/*.jsonl"], "p", missing="report").ledger["documents_kept"] == 4
    bloomdata.pack("raw/a.jsonl", "packed", tokenizer="bytes", format="megatron", overwrite=True)
