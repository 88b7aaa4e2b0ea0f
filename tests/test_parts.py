"""Runs in parts: each line once, in the part that the reference says, whatever the number of parts and their order."""

from __future__ import annotations

import bz2
import gzip
import json
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bloomdata
from bloomdata.parts import sharing
from reference.parts import share_out
from sharding import seekable

shard, pack = (
    partial(verb, allow_empty=True, allow_duplicate_inputs=True) for verb in (bloomdata.shard, bloomdata.pack)
)
UNIT = 64
# Weights that the sizes of files have whose content only reading would tell.
RATIOS = {".gz": 3, ".bz2": 4}

records = st.builds(
    lambda text, blank: b" " * blank + b"\n" if blank else json.dumps({"text": text}).encode() + b"\n",
    st.text("ab é字", max_size=60),
    st.sampled_from([0] * 9 + [3]),
)


@pytest.fixture(autouse=True, scope="module")
def _small_units():
    """Files of a few lines are cut as those of gigabytes are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharing, "UNIT_BYTES", UNIT)
        yield


@st.composite
def files(draw, records=records):
    """A file: its suffix, its bytes as stored, and what the reference wants to know of it."""
    content = b"".join(draw(st.lists(records, max_size=12)))
    if content and draw(st.booleans()):
        content = content.removesuffix(b"\n")
    kind = draw(st.sampled_from([".jsonl", ".jsonl", ".jsonl.zst", ".jsonl.gz", ".jsonl.bz2"]))
    if kind == ".jsonl":
        return kind, content, (content, None, len(content))
    if kind == ".jsonl.zst":
        cuts = sorted(draw(st.lists(st.integers(0, len(content)), max_size=4)))
        frames = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
        stored = seekable(frames)
        return (
            kind,
            stored,
            (content, frames if len(stored) >= UNIT else [], len(content) if len(stored) >= UNIT else 3 * len(stored)),
        )
    suffix = kind.removeprefix(".jsonl")
    stored = {".gz": partial(gzip.compress, mtime=0), ".bz2": bz2.compress}[suffix](content)
    return kind, stored, (content, [], RATIOS[suffix] * len(stored))


def write(folder, given):
    folder.mkdir()
    for number, (suffix, stored, _) in enumerate(given):
        (folder / f"{number}{suffix}").write_bytes(stored)
    return folder


def lines_in(folder, report):
    return b"".join((folder / output["path"]).read_bytes() for output in report.outputs if output["path"].endswith("l"))


def kept(lines):
    """Lines as `shard` copies them: no blank ones, each with a newline."""
    return b"".join(line.rstrip(b"\n") + b"\n" for line in lines if line.strip())


@given(given=st.lists(files(), min_size=1, max_size=4), parts=st.integers(2, 12), data=st.data())
def test_every_part_has_the_lines_of_the_reference_and_all_of_them_are_one_run(tmp_path_factory, given, parts, data):
    tmp_path = tmp_path_factory.mktemp("parts")
    inputs = write(tmp_path / "in", given)
    whole = shard(inputs, tmp_path / "whole", compression="none")
    order = data.draw(st.permutations(range(parts)))
    threads = data.draw(st.sampled_from([1, 3]))
    reports = {
        part: shard(inputs, tmp_path / "out", compression="none", parts=parts, part=part, num_threads=threads)
        for part in order
    }
    expected = share_out([facts for *_, facts in given], parts, UNIT)
    for part, report in reports.items():
        assert lines_in(report.folder, report) == kept(expected[part])
        assert report.ledger["documents_in"] == len(expected[part])
    joined = bloomdata.finish(tmp_path / "out", allow_empty=True)
    assert lines_in(tmp_path / "out", joined) == lines_in(tmp_path / "whole", whole)
    assert joined.ledger == whole.ledger
    assert sum(read["size"] for read in joined.manifest["inputs"]) == sum(len(stored) for _, stored, _ in given)
    assert bloomdata.verify(tmp_path / "out").files == len(joined.outputs)
    # All at once, in any order: one fingerprint.
    again = shard(inputs, tmp_path / "again", compression="none", parts=parts)
    assert again.fingerprint == joined.fingerprint
    assert (tmp_path / "again/manifest.json").read_bytes() == (tmp_path / "out/manifest.json").read_bytes()


@given(given=st.lists(files(), min_size=1, max_size=3), parts=st.integers(2, 7))
def test_joined_pairs_are_those_of_one_run(tmp_path_factory, given, parts):
    tmp_path = tmp_path_factory.mktemp("pairs")
    inputs = write(tmp_path / "in", given)
    options = {"tokenizer": "bytes", "format": "megatron"}
    pack(inputs, tmp_path / "whole", **options)
    report = pack(inputs, tmp_path / "out", **options, parts=parts)
    whole, apart = bloomdata.open(tmp_path / "whole"), bloomdata.open(tmp_path / "out")
    assert len(apart) == len(whole)
    assert all(np.array_equal(a, b) for a, b in zip(apart, whole, strict=True))
    assert np.array_equal(apart.sequence_lengths, whole.sequence_lengths)
    assert bloomdata.verify(tmp_path / "out").files == len(report.outputs)
    joined = bloomdata.finish(tmp_path / "out", joined=True, allow_empty=True)
    assert joined.ledger == report.ledger
    for suffix in (".bin", ".idx"):
        name = f"data_text_document{suffix}"
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert bloomdata.verify(tmp_path / "out").files == 2
    for again in (True, False):
        assert bloomdata.finish(tmp_path / "out", joined=again, allow_empty=True).was_finished


def corpus(folder, lines=200):
    folder.mkdir(parents=True)
    text = [json.dumps({"text": f"line {number} {'x' * (number % 37)}"}) + "\n" for number in range(lines)]
    (folder / "a.jsonl").write_text("".join(text[: lines // 2]))
    (folder / "b.jsonl").write_text("".join(text[lines // 2 :]))
    return folder


def test_rows_of_parts_are_one_data_set(tmp_path):
    inputs = corpus(tmp_path / "in")
    report = bloomdata.pack(inputs, tmp_path / "out", tokenizer="bytes", sequence_length=64, parts=3)
    assert [output["path"] for output in report.outputs] == [
        f"part-0000{part}-of-00003/data-0000{part}-00000.hdf5" for part in range(3)
    ]
    dataset = bloomdata.open(tmp_path / "out")
    rows = [
        bloomdata.pack(inputs, tmp_path / "out", tokenizer="bytes", sequence_length=64, parts=3, part=part).folder
        for part in range(3)
    ]
    apart = [row["input_ids"] for folder in rows for row in bloomdata.open(folder)]
    assert np.array_equal(np.stack(apart), np.stack([row["input_ids"] for row in dataset]))
    ids = np.stack(apart)
    texts = bytes(ids[ids < 256].tolist()).decode()
    assert all(f"line {number} " in texts for number in range(200))
    assert report.ledger["tokens_out"] == ids.size
    assert report.manifest["details"]["metrics"]["sequences"] == len(ids)


def test_a_bad_record_of_a_share_is_named_by_its_offset(tmp_path):
    inputs = tmp_path / "in.jsonl"
    good = b'{"text": "a line that is long enough"}\n'
    inputs.write_bytes(good * 20 + b"{broken\n" + good * 20)
    with pytest.raises(bloomdata.CorruptDataError, match=rf"in\.jsonl: offset {20 * len(good)}: "):
        shard(inputs, tmp_path / "out", parts=4)
    report = shard(inputs, tmp_path / "kept", parts=4, on_bad_record="quarantine")
    path = next(output["path"] for output in report.outputs if output["path"].endswith("quarantine.jsonl"))
    entry = json.loads((tmp_path / "kept" / path).read_bytes())
    assert (entry["file"], entry["line"], entry["offset"]) == (str(inputs), None, 20 * len(good))
    assert report.ledger["documents_kept"] == 40


def trees(inputs):
    """Two files with messages of trees."""
    messages = [
        {"message_id": f"m{n}", "parent_id": f"m{n - 1}" if n % 2 else None, "message_tree_id": f"m{n - n % 2}"}
        | {"text": f"text {n}", "role": ["prompter", "assistant"][n % 2], "lang": "en", "deleted": False, "rank": 0}
        for n in range(40)
    ]
    inputs.mkdir()
    for number in range(2):
        rows = messages[20 * number : 20 * number + 20]
        (inputs / f"{number}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return inputs


def test_sources_whose_records_need_each_other_are_not_cut(tmp_path):
    inputs = trees(tmp_path / "in")
    whole = bloomdata.prepare("oasst1", inputs, tmp_path / "whole", compression="none")
    parts = bloomdata.prepare("oasst1", inputs, tmp_path / "parts", compression="none", parts=5)
    assert lines_in(tmp_path / "parts", parts) == lines_in(tmp_path / "whole", whole)
    assert parts.ledger == whole.ledger
    assert all("range" not in read for read in parts.manifest["inputs"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"parts": 0}, "parts: expected 1 to 100,000, got 0"),
        ({"part": 3}, "part: expected only with parts"),
        ({"parts": 4, "part": 4}, "part: expected 0 to 3, or 'slurm', got 4"),
        ({"parts": 4, "part": "slurm"}, "part: expected SLURM_ARRAY_TASK_ID in the environment"),
        ({"parts": 4, "part": 0, "shuffle": True}, "shuffle: expected none in a run of 4 parts"),
        ({"parts": 4, "part": 0, "counting": True}, "counting: expected False, since parts with these options"),
        ({"parts": 4, "counting": True, "splits": {"dev": 1}}, "counting: expected only with part"),
        ({"part": None, "counting": True, "splits": {"dev": 1}}, "counting: expected only with part"),
    ],
)
def test_what_cannot_be_is_refused(options, told, tmp_path, monkeypatch):
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID", raising=False)
    with pytest.raises(bloomdata.ConfigError, match=told):
        bloomdata.shard(corpus(tmp_path / "in"), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_table_has_no_parts(tmp_path):
    with pytest.raises(bloomdata.ConfigError, match="`shard` it first"):
        bloomdata.shard([{"text": "x"}], tmp_path / "out", parts=2)


def test_dedup_reads_signatures_of_parts(tmp_path):
    inputs = tmp_path / "in"
    inputs.mkdir()
    rng = np.random.default_rng(0)
    words = [" ".join(map(str, rng.integers(0, 99, 40))) for _ in range(60)]
    for number in range(6):
        texts = [words[index] for index in rng.integers(0, 60, 30)]
        (inputs / f"{number}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    near = bloomdata.MinHash(0.8)
    signed = bloomdata.signatures(inputs, tmp_path / "signed", near=near, parts=4)
    assert bloomdata.verify(tmp_path / "signed").files == len(signed.outputs) == 6
    whole = bloomdata.dedup(inputs, tmp_path / "whole", near=near)
    report = bloomdata.dedup(inputs, tmp_path / "clean", near=near, signatures=tmp_path / "signed")
    assert report.fingerprint == whole.fingerprint
    assert report.ledger == whole.ledger


@pytest.mark.parametrize("parts", [2, 5, 9])
def test_parquet_is_cut_between_row_groups(parts, tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    inputs = tmp_path / "in"
    inputs.mkdir()
    rng = np.random.default_rng(parts)
    for number, (rows, size) in enumerate([(300, 40), (0, 1), (70, 100), (90, 7)]):
        texts = [f"{number} {row} " + "x" * int(rng.integers(0, 30)) for row in range(rows)]
        parquet.write_table(
            pa.table({"n": range(rows), "text": pa.array(texts, pa.string())}),
            inputs / f"{number}.parquet",
            row_group_size=size,
        )
    whole = shard(inputs, tmp_path / "whole", compression="none")
    report = shard(inputs, tmp_path / "parts", compression="none", parts=parts)
    assert lines_in(tmp_path / "parts", report) == lines_in(tmp_path / "whole", whole)
    assert report.ledger == whole.ledger
    ranges = [read["range"] for read in report.manifest["inputs"] if "range" in read]
    assert len(ranges) > 1
    sizes = {path: path.stat().st_size for path in inputs.iterdir()}
    assert sum(read["size"] for read in report.manifest["inputs"]) == sum(sizes.values())
    packed = pack(inputs, tmp_path / "packed", tokenizer="bytes", format="megatron", parts=parts)
    assert packed.ledger["documents_kept"] == 460
    assert [read["content_bytes"] for read in report.manifest["inputs"]] == [
        read["documents_kept"] for read in packed.manifest["inputs"]
    ]
