"""Parquet files in a store are cut between row groups, as local ones are; each part brings its own, and the footer."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from stores import UNIT, FaultyStore, upload

import bloomdata
from bloomdata.storage import listing, staging

NAMES = ["a.parquet", "b.parquet", "c.parquet"]


@pytest.fixture(autouse=True)
def _small_files_are_cut(monkeypatch):
    monkeypatch.setattr(listing, "_MIN_CUT_BYTES", UNIT)
    monkeypatch.setattr(staging, "CHUNK_BYTES", 1000)


def write(folder, rows=300, size=40, **options):
    """Files of many row groups, of one, and of none."""
    folder.mkdir()
    rng = np.random.default_rng(rows)
    for name, count in zip(NAMES, (rows, size, 0), strict=True):
        texts = [f"{name} {row} " + "".join(map(chr, rng.integers(97, 122, 60))) for row in range(count)]
        table = pa.table({"n": range(count), "text": pa.array(texts, pa.string())})
        parquet.write_table(table, folder / name, row_group_size=size, **options)
    upload(folder)
    return folder


def lines(folder, report):
    return b"".join((folder / output["path"]).read_bytes() for output in report.outputs)


@pytest.mark.parametrize("parts", [1, 2, 7])
@pytest.mark.parametrize("options", [{}, {"compression": "zstd"}, {"use_dictionary": False, "write_page_index": True}])
def test_parts_are_those_of_a_local_run(options, parts, tmp_path):
    inputs = write(tmp_path / "in", **options)
    here = bloomdata.shard(inputs, tmp_path / "here", compression="none", parts=parts)
    FaultyStore.seen.clear()
    there = bloomdata.shard(
        "faulty://raw", tmp_path / "there", compression="none", parts=parts, scratch=tmp_path / "scratch"
    )
    assert there.fingerprint == here.fingerprint
    assert there.ledger == here.ledger
    cuts = [[read.get("range") for read in report.manifest["inputs"]] for report in (here, there)]
    assert cuts[0] == cuts[1]
    assert len(cuts[0]) > len(NAMES) or parts == 1
    assert lines(tmp_path / "there", there).count(b"\n") == 340
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_part_brings_its_row_groups_alone(tmp_path, monkeypatch):
    write(tmp_path / "in", rows=600)
    brought, held = [], []
    bring = staging.Staging._bring

    def counted(self, share):
        brought.append(share.end - share.start)
        bring(self, share)
        # All else of the local file is a hole, but for its end.
        content = share.local.read_bytes()
        held.append(
            (len(content) == share.size, content.endswith(b"PAR1"), content[: share.start].count(0) == share.start)
        )

    monkeypatch.setattr(staging.Staging, "_bring", counted)
    options = {"parts": 8, "scratch": tmp_path / "scratch"}
    for part in range(8):
        before = len(brought)
        report = bloomdata.shard("faulty://raw", tmp_path / "out", **options, part=part, allow_empty=True)
        assert sum(brought[before:]) == sum(read["size"] for read in report.manifest["inputs"])
    total = sum(path.stat().st_size for path in (tmp_path / "in").iterdir())
    assert sum(brought) == total
    assert max(brought) < total / 3
    assert set(held) == {(True, True, True)}


@pytest.mark.parametrize("guessed", [8, 100, 1 << 20])
def test_a_footer_is_brought_whatever_its_size(guessed, tmp_path, monkeypatch):
    inputs = write(tmp_path / "in")
    monkeypatch.setattr(listing, "_GUESSED_BYTES", guessed)
    ends = {one[0].rpartition("/")[2]: one[3] for one in listing.list_objects(["faulty://raw"])}
    content = (inputs / NAMES[0]).read_bytes()
    length = int.from_bytes(content[-8:-4], "little") + 8
    assert ends == {NAMES[0]: content[-length:], NAMES[1]: ends[NAMES[1]], NAMES[2]: b""}
    # A larger one is not worth it: the file is one unit.
    monkeypatch.setattr(listing, "_MOST_BYTES", length - 1)
    report = bloomdata.shard("faulty://raw", tmp_path / "out", parts=3, scratch=tmp_path / "scratch")
    assert all("range" not in read for read in report.manifest["inputs"])
    assert report.ledger["documents_kept"] == 340


def zigzag(value):
    """A number as the footer has it: zigzag, in groups of seven bits."""
    value, out = value << 1, bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def test_row_groups_that_are_not_in_order_are_not_cut(tmp_path):
    inputs = tmp_path / "in"
    inputs.mkdir()
    path = inputs / "a.parquet"
    options = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    parquet.write_table(pa.table({"n": range(1500)}), path, row_group_size=500, **options)
    upload(inputs)
    cut = bloomdata.shard("faulty://raw", tmp_path / "cut", parts=3, scratch=tmp_path / "scratch")
    assert len(cut.manifest["inputs"]) == 3
    # The footer names the first two groups, which are of one size, in the other order.
    groups = parquet.read_metadata(path)
    first, second = (zigzag(groups.row_group(number).column(0).data_page_offset) for number in (1, 2))
    data, footer = path.read_bytes()[: -groups.serialized_size - 8], path.read_bytes()[-groups.serialized_size - 8 :]
    assert len(first) == len(second)
    path.write_bytes(data + footer.replace(first, b"swap").replace(second, first).replace(b"swap", second))
    upload(inputs)
    numbers = [*range(500), *range(1000, 1500), *range(500, 1000)]
    assert parquet.read_table(path)["n"].to_pylist() == numbers
    for name, source in (("here", inputs), ("there", "faulty://raw")):
        report = bloomdata.shard(source, tmp_path / name, compression="none", parts=3, scratch=tmp_path / "scratch")
        assert [json.loads(line)["n"] for line in lines(tmp_path / name, report).splitlines()] == numbers
        assert "range" not in report.manifest["inputs"][0]


def damage(good, place):
    """Files with a damaged footer."""
    length = int.from_bytes(good[-8:-4], "little")
    changes = {
        "mark": [(1, b"2")],
        "length": [(8, (length + 40).to_bytes(4, "little"))],
        "longer": [(8, (len(good) * 2).to_bytes(4, "little"))],
        "start": [(8 + length, b"\xff\xff\xff")],
        "middle": [(8 + length // 2, b"\xff" * 40)],
        "every": [(8 + offset, b"\xff") for offset in range(1, length, length // 8)],
    }
    for before_end, content in changes[place]:
        at = len(good) - before_end
        yield good[:at] + content + good[at + len(content) :]


@pytest.mark.parametrize("place", ["mark", "length", "longer", "start", "middle", "every"])
def test_a_damaged_footer_is_named_here_and_there(place, tmp_path):
    inputs = write(tmp_path / "in", rows=120)
    path = inputs / NAMES[0]
    told = []
    for content in damage(path.read_bytes(), place):
        path.write_bytes(content)
        upload(inputs)
        for source in (inputs, "faulty://raw"):
            options = {"parts": 3, "scratch": tmp_path / "scratch", "overwrite": True, "allow_empty": True}
            try:
                told.append(str(bloomdata.shard(source, tmp_path / "out", **options).ledger["documents_in"]))
            except (bloomdata.BloomdataError, OSError) as error:
                told.append(str(error))
    # Bytes of a footer that are never read, such as statistics, may be anything.
    assert all(NAMES[0] in one or one.isdigit() for one in told)
    assert place == "every" or not any(one.isdigit() for one in told)
    assert sum(NAMES[0] in one for one in told) > len(told) / 4
    assert list(tmp_path.glob("scratch/*")) == []


def test_a_file_that_changes_between_plan_and_part_is_noticed(tmp_path):
    inputs = write(tmp_path / "in")
    options = {"parts": 3, "scratch": tmp_path / "scratch"}
    bloomdata.shard("faulty://raw", "faulty://out", **options, part=0)
    # The same size, at another time.
    upload(inputs)
    with pytest.raises(bloomdata.MismatchError, match=r"ETag or last change of input faulty:///raw/a\.parquet"):
        bloomdata.shard("faulty://raw", "faulty://out", **options, part=1)


def test_a_file_that_changes_while_its_footer_is_known_is_noticed(tmp_path, monkeypatch):
    inputs = write(tmp_path / "in")
    bring = staging.Staging._bring

    def late(self, share):
        upload(inputs)
        bring(self, share)

    monkeypatch.setattr(staging.Staging, "_bring", late)
    with pytest.raises(bloomdata.MismatchError, match=r"a\.parquet: ETag .*\(changed since it was listed\)"):
        bloomdata.shard("faulty://raw", tmp_path / "out", parts=3, scratch=tmp_path / "scratch")


def test_packing_reads_the_same_rows(tmp_path):
    inputs = write(tmp_path / "in")
    options = {"tokenizer": "bytes", "format": "megatron", "parts": 4}
    here = bloomdata.pack(inputs, tmp_path / "here", **options)
    FaultyStore.period = 5
    there = bloomdata.pack("faulty://raw", "faulty://out", **options, scratch=tmp_path / "scratch")
    FaultyStore.period = 0
    assert there.fingerprint == here.fingerprint
    plans = [FaultyStore().cat("/out/plan.json"), (tmp_path / "here/plan.json").read_bytes()]
    there, here = ([one.get("cuts") for one in json.loads(plan)["inputs"]] for plan in plans)
    assert there == here
