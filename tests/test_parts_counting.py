"""Runs in parts that draw by numbers of lines or articles: the same is drawn for every number of parts."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata.parts import sharing
from bloomdata.parts.processes import Processes
from bloomdata.parts.sharing import part_name
from bloomdata.parts.table import read_table
from reference.parts import share_out, splits_of
from runs import tree, write_files
from test_parts import UNIT, corpus, files, records, trees, write
from test_parts_killed import Deadly

SHARES = {"train": 0.5, "dev": 0.3, "test": 0.2}
NUMBERS = {"dev": 5, "test": 7}
KEPT = {"compression": "none", "on_bad_record": "quarantine", "allow_empty": True, "allow_duplicate_inputs": True}
# A fifth of the lines is bad.
mixed = st.one_of(*[records] * 4, st.just(b'{"text": \n'))


@pytest.fixture(autouse=True, scope="module")
def _small_units():
    """Files of a few lines are cut as those of gigabytes are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharing, "UNIT_BYTES", UNIT)
        yield


@pytest.fixture
def inputs(tmp_path):
    return corpus(tmp_path / "in", 60)


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out"


def split_lines(folder):
    """The lines of each split that has any, from all shards below a folder."""
    found = {}
    for path in sorted(folder.rglob("*.jsonl")):
        if path.name != "quarantine.jsonl":
            found.setdefault(path.parent.name, []).extend(path.read_bytes().splitlines())
    return found


def is_kept(line):
    try:
        return bool(line.strip() and json.loads(line))
    except ValueError:
        return False


# --- what is drawn ---------------------------------------------------------------------------------------------------


@settings(max_examples=15)
@given(
    given=st.lists(files(mixed), min_size=1, max_size=3),
    splits=st.sampled_from([SHARES, NUMBERS]),
    parts=st.integers(1, 12),
    seed=st.integers(0, 9),
    data=st.data(),
)
def test_splits_are_those_of_the_reference_and_of_one_run(tmp_path_factory, given, splits, parts, seed, data):
    tmp_path = tmp_path_factory.mktemp("splits")
    inputs = write(tmp_path / "in", given)
    shard = partial(bloomdata.shard, inputs, **KEPT, splits=splits, seed=seed)
    whole = shard(tmp_path / "whole")
    at_once = shard(tmp_path / "at-once", parts=parts)
    assert split_lines(at_once.folder) == split_lines(whole.folder)
    assert at_once.ledger == whole.ledger
    assert bloomdata.verify(at_once.folder).files == len(at_once.outputs)
    if parts == 1:
        return
    shares = share_out([facts for *_, facts in given], parts, UNIT)
    shares = [[line.rstrip(b"\n") for line in lines if is_kept(line)] for lines in shares]
    for part in data.draw(st.permutations(range(parts))):
        shard(tmp_path / "out", parts=parts, part=part, counting=True)
    for part in data.draw(st.permutations(range(parts))):
        report = shard(tmp_path / "out", parts=parts, part=part, num_threads=data.draw(st.sampled_from([1, 3])))
        assert split_lines(report.folder) == splits_of(shares, splits, seed)[part]
    bloomdata.finish(tmp_path / "out", allow_empty=True)
    assert tree(tmp_path / "out") == tree(at_once.folder)


def test_lines_dealt_out_to_files_go_on_where_the_part_before_ends(inputs, output, tmp_path, monkeypatch):
    monkeypatch.setattr(bloomdata.verbs.shard, "split_config", lambda _: {"files": ["a.jsonl", "b.jsonl", "c.jsonl"]})
    bloomdata.shard(inputs, tmp_path / "whole", **KEPT, splits=NUMBERS)
    bloomdata.shard(inputs, output, **KEPT, splits=NUMBERS, parts=7)
    for name in ("a.jsonl", "b.jsonl", "c.jsonl"):
        found = b"".join(path.read_bytes() for path in sorted(output.glob(f"part-*/{name}")))
        assert found == (tmp_path / "whole" / name).read_bytes()


@settings(max_examples=12)
@given(
    lengths=st.lists(st.lists(st.integers(-1, 60), max_size=20), min_size=1, max_size=3),
    parts=st.integers(2, 9),
    seed=st.integers(0, 9),
)
def test_sampled_stretches_are_those_of_one_run(tmp_path_factory, lengths, parts, seed):
    tmp_path = tmp_path_factory.mktemp("sample")
    (tmp_path / "in").mkdir()
    for number, of_file in enumerate(lengths):
        # Bad records, and texts without tokens: neither has a number.
        lines = [json.dumps({"text": "abcdefgh"[:length] * 8} if length >= 0 else []) + "\n" for length in of_file]
        (tmp_path / f"in/{number}.jsonl").write_text("".join(lines))
    pack = partial(bloomdata.pack, tmp_path / "in", tokenizer="bytes", sequence_length=16, packing="single::sample")
    kept = {name: KEPT[name] for name in ("on_bad_record", "allow_empty", "allow_duplicate_inputs")}
    pack = partial(pack, **kept, append_eos=False, seed=seed)
    whole, report = pack(tmp_path / "whole"), pack(tmp_path / "parts", parts=parts)
    rows = [
        np.array([row["input_ids"] for row in bloomdata.open(one.folder)]) for one in (whole, report) if one.outputs
    ]
    assert np.array_equal(*rows)
    assert report.ledger == whole.ledger
    assert report.manifest["details"]["metrics"] == whole.manifest["details"]["metrics"]
    bloomdata.verify(report.folder)


@pytest.mark.parametrize("splits", [None, SHARES, NUMBERS])
@pytest.mark.parametrize("options", [{}, {"max_rows_per_input": 7, "sampling": "reservoir"}, {"max_rows_per_input": 9}])
def test_prepare_repeats_samples_and_splits_as_in_one_run(options, splits, tmp_path):
    inputs = tmp_path / "in"
    inputs.mkdir()
    for number in range(5):
        rows = [{"instruction": f"{number} {row}", "response": "yes" * (row % 5)} for row in range(20)]
        (inputs / f"{number}.jsonl").write_text("".join(json.dumps(row | {"context": ""}) + "\n" for row in rows))
    prepare = partial(bloomdata.prepare, "dolly", inputs, **options, splits=splits, repeat={"[13].jsonl": 3, "4*": 0})
    prepare = partial(prepare, compression="none", on_bad_record="quarantine", seed=5)
    whole, report = prepare(tmp_path / "whole"), prepare(tmp_path / "parts", parts=4)
    found = [split_lines(one.folder) for one in (whole, report)]
    assert [sum(map(len, of.values())) for of in found] == [whole.manifest["details"]["lines"]] * 2
    if splits is None:
        found = [[line for lines in of.values() for line in lines] for of in found]
    assert found[0] == found[1]
    assert report.ledger == whole.ledger
    bloomdata.verify(report.folder)
    with pytest.raises(bloomdata.ConfigError, match="repeat: expected the name of an input, got"):
        bloomdata.prepare("dolly", inputs, tmp_path / "wrong", repeat={"5.jsonl": 2}, parts=4, part=0)


def test_conversations_of_trees_are_split_as_in_one_run(tmp_path):
    prepare = partial(bloomdata.prepare, "oasst1", trees(tmp_path / "in"), compression="none", splits=NUMBERS)
    whole, report = prepare(tmp_path / "whole"), prepare(tmp_path / "parts", parts=3)
    assert split_lines(report.folder) == split_lines(whole.folder)
    assert report.ledger == whole.ledger


# --- who runs it, and what can go wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", [partial(ThreadPoolExecutor, 3), partial(Processes, 2)])
def test_executors_count_first(executor, output, tmp_path):
    inputs = write_files(tmp_path / "files", 6)
    here = bloomdata.shard(inputs, tmp_path / "here", splits=SHARES, parts=3)
    with executor() as pool:
        report = bloomdata.shard(inputs, output, splits=SHARES, parts=3, executor=pool)
    assert report.fingerprint == here.fingerprint
    assert split_lines(output) == split_lines(here.folder)


def test_the_first_part_without_a_count_is_named_with_the_call_that_makes_it(inputs, output):
    shard = partial(bloomdata.shard, inputs, output, splits=SHARES, parts=4)
    shard(part=0)
    for part in (0, 2):
        shard(part=part, counting=True)
    shard(part=1)
    for part in (2, 3):
        with pytest.raises(bloomdata.ConfigError, match=rf"part 1 before part {part}, found none .*counting=True"):
            shard(part=part)
    shard(part=1, counting=True)
    shard(part=2)
    assert shard().manifest["details"]["parts"] == 4


def test_the_table_of_a_run_that_is_being_counted_says_where_to_look(inputs, output):
    bloomdata.shard(inputs, output, splits=SHARES, parts=4, part=2, counting=True)
    with pytest.raises(bloomdata.ConfigError, match=r"those of the phase before them are in .*/counts"):
        read_table(output)
    assert [row.state for row in read_table(output / "counts")] == ["missing", "missing", "done", "missing"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"seed": 1}, r"/counts: .*option seed: expected 0, found 1"),
        ({"splits": NUMBERS}, r"/counts: .*option splits"),
        ({"parts": 5}, r"/counts: .*parts: expected 4, found 5"),
    ],
)
def test_counts_of_another_run_are_refused(options, told, inputs, output):
    given = {"splits": SHARES, "parts": 4}
    for part in range(4):
        bloomdata.shard(inputs, output, **given, part=part, counting=True)
    for part in (0, 2):
        with pytest.raises(bloomdata.MismatchError, match=told):
            bloomdata.shard(inputs, output, **given | options, part=part)
    report = bloomdata.shard(inputs, output, **given | options, overwrite=True)
    assert bloomdata.verify(output).files == len(report.outputs)
    # Nothing is left of what another call needs no counts for.
    bloomdata.shard(inputs, output, parts=3, overwrite=True)
    assert not (output / "counts").exists()


def test_an_input_that_changes_after_it_was_counted_is_named(inputs, output):
    shard = partial(bloomdata.shard, inputs, output, splits=SHARES, parts=4)
    for part in range(4):
        shard(part=part, counting=True)
    with (inputs / "b.jsonl").open("a") as file:
        file.write('{"text": "more"}\n')
    for call in (partial(shard, part=1), partial(shard, part=3, counting=True), shard):
        with pytest.raises(bloomdata.MismatchError, match=r"size of input \S*/b\.jsonl"):
            call()


def recount(output, part, parts, change):
    """Changes what is said of a part."""
    path = output / "counts" / part_name(part, parts) / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["details"]["counted"] += change
    path.write_text(json.dumps(manifest))


def test_a_part_is_not_done_again_by_other_counts_and_the_end_compares_them(inputs, output):
    shard = partial(bloomdata.shard, inputs, output, splits=SHARES, parts=4)
    for part in range(4):
        shard(part=part, counting=True)
    shard(part=3)
    recount(output, 1, 4, 1)
    with pytest.raises(bloomdata.MismatchError, match=r"option counted_before: expected \d+, found"):
        shard(part=3)
    for part in range(3):
        shard(part=part)
    with pytest.raises(bloomdata.MismatchError, match=r"part 2: lines or articles before it .*: expected \d+, found"):
        bloomdata.finish(output)
    recount(output, 1, 4, -1)
    shard(part=2, overwrite=True)
    path = output / part_name(2, 4) / "manifest.json"
    before = path.read_text()
    manifest = json.loads(before)
    del manifest["config"]["counted_before"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(bloomdata.MismatchError, match=r"part 2: lines .*: expected \d+, found none"):
        bloomdata.finish(output)
    path.write_text(before)
    assert bloomdata.finish(output).ledger["documents_kept"] == 60


def test_parts_and_counts_that_are_deleted_are_done_again_with_the_same_bytes(inputs, output):
    shard = partial(bloomdata.shard, inputs, output, splits=NUMBERS, parts=4)
    shard()
    before = tree(output)
    shutil.rmtree(output / part_name(2, 4))
    shard(part=2)
    assert tree(output) == before
    # The next verb wants to know which split, and nothing of counts.
    with pytest.raises(bloomdata.ConfigError, match="holds the splits train, dev, test: name one of them"):
        bloomdata.shard(output, output.with_name("next"))
    test = bloomdata.shard(str(output / "part-*/test/*"), output.with_name("next"))
    assert test.ledger["documents_kept"] == NUMBERS["test"]
    shutil.rmtree(output / "counts")
    # All parts are there, which need no counts any more.
    shard()
    assert not (output / "counts").exists()
    shutil.rmtree(output / part_name(3, 4))
    shard()
    assert tree(output) == before


def test_killed_parts_and_counts_go_on_to_the_same_bytes(shim, output, tmp_path, monkeypatch):
    inputs = write_files(tmp_path / "files", 8)
    options = {"splits": SHARES, "parts": 4, "max_lines": 4, "on_bad_record": "quarantine"}
    wanted = bloomdata.shard(inputs, tmp_path / "wanted", **options)
    monkeypatch.setenv("LD_PRELOAD", str(shim))
    with Processes(2) as processes:
        # The first part that is killed has begun the plan of all of them.
        deadly = Deadly(processes, output, {0: [2], 1: [6], 2: [9]})
        report = bloomdata.shard(inputs, output, **options, executor=deadly)
        for part in range(4):
            shutil.rmtree(output / part_name(part, 4))
        again = bloomdata.shard(inputs, output, **options, executor=Deadly(processes, output, {1: [18, 30], 3: [35]}))
    assert not any(deadly.calls.values())
    assert report.fingerprint == again.fingerprint == wanted.fingerprint
    bloomdata.verify(output)
