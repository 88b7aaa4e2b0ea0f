"""`decontaminate` in parts: counted in any order, then written in any order, and together what one run gives."""

from __future__ import annotations

import bz2
import gzip
import json
import os
import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata import ConfigError, CorruptDataError, MismatchError
from bloomdata.parts import sharing
from faults import strike, wrong
from runs import QUARANTINE, differences, tree
from sharding import DECOMPRESS, seekable
from test_decontaminate import VOCABULARY, prose, write

STORED = {
    ".jsonl": bytes,
    ".jsonl.zst": lambda content: seekable([content[at : at + 90] for at in range(0, len(content), 90)]),
    ".jsonl.gz": partial(gzip.compress, mtime=0),
    ".jsonl.bz2": bz2.compress,
    ".txt": bytes,
    ".json": lambda content: b"[%s]" % b",".join(line for line in content.splitlines() if line[-1:] == b"}"),
}


@pytest.fixture(autouse=True, scope="module")
def _small_units():
    """Files of a few lines are cut as those of gigabytes are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharing, "UNIT_BYTES", 256)
        yield


def run(inputs, output, **options):
    return bloomdata.decontaminate(inputs, output, **({"num_threads": 1, "allow_duplicate_inputs": True} | options))


def by_hand(inputs, output, parts, rng, **options):
    """All parts one by one, in any order and with any number of threads."""
    for counting in (True, False):
        for part in rng.sample(range(parts), parts):
            threads = rng.choice([1, 3])
            run(inputs, output, parts=parts, part=part, counting=counting, num_threads=threads, **options)
    return bloomdata.finish(output)


def lines_of(report):
    """All lines of all shards, in order."""
    paths = [Path(report.folder) / output["path"] for output in report.outputs if "lines" in output]
    return b"".join(DECOMPRESS[path.suffix](path.read_bytes()) for path in paths)


def list_of(report, name):
    """All lines of the lists of a name, in order."""
    paths = [Path(report.folder) / output["path"] for output in report.outputs]
    return b"".join(path.read_bytes() for path in paths if path.name == name)


def quarantined(report):
    """Bad records, but their lines, which are not known in a file that is cut."""
    return [json.loads(line) | {"line": None} for line in list_of(report, "quarantine.jsonl").splitlines()]


def check_same(parts, whole):
    """The folder of all parts holds what the one run wrote, and says the same of it."""
    assert lines_of(parts) == lines_of(whole)
    for name in ("contamination.jsonl", "ignored.jsonl"):
        assert list_of(parts, name) == list_of(whole, name)
    assert quarantined(parts) == quarantined(whole)
    assert parts.ledger == whole.ledger
    assert whole.manifest["details"].items() <= parts.manifest["details"].items()
    assert (parts.contaminated, list(parts.matches())) == (whole.contaminated, list(whole.matches()))
    assert bloomdata.verify(parts.folder).files == len(parts.outputs)


def write_any(folder, rng):
    """Rows, and files of several formats with documents that hold some of them, blank lines and bad records."""
    words = [[rng.choice(VOCABULARY) for _ in range(rng.randint(5, 40))] for _ in range(rng.randint(1, 4))]
    rows = [
        {"id": number, rng.choice(["text", "question"]): " ".join(row), "passage": " ".join(rng.choice(words))}
        for number, row in enumerate(words)
    ]
    (folder / "in").mkdir(parents=True)
    for number in range(rng.randint(1, 4)):
        suffix = rng.choice(list(STORED))
        lines = []
        for _ in range(rng.randrange(15)):
            pieces = [rng.choice(words)[rng.randrange(9) :] for _ in range(rng.randrange(3))]
            pieces += [prose(rng, rng.choice([3, 60])) for _ in range(rng.randrange(3))]
            text = " ".join(word for piece in rng.sample(pieces, len(pieces)) for word in piece)
            lines += rng.choices([[], [b"{"], [b""]], [20, 1, 1])[0]
            lines.append(text.encode() if suffix == ".txt" else json.dumps({"text": text}).encode())
        content = b"".join(line + b"\n" for line in lines)
        (folder / "in" / f"{number}{suffix}").write_bytes(STORED[suffix](content))
    half = (len(rows) + 1) // 2
    files = [write(folder / f"rows-{at}.jsonl", rows[at : at + half]) for at in range(0, len(rows), half)]
    return sorted((folder / "in").iterdir()), files


@given(seed=st.integers(0, 1 << 30), parts=st.integers(2, 12))
@settings(max_examples=30)
def test_parts_in_any_order_are_one_run(tmp_path_factory, seed, parts):
    folder, rng = tmp_path_factory.mktemp("parts"), random.Random(seed)
    inputs, evaluations = write_any(folder, rng)
    options = {
        "evaluations": evaluations,
        "action": rng.choice(["report", "drop", "cut"]),
        "preset": rng.choice([None, None, "lineage"]),
        "ngram": rng.choice([2, 5, 13]),
        "common": rng.choice([1, 2, 4, 10]),
        "on_bad_record": "quarantine",
        "max_lines": rng.choice([3, 1000]),
    }
    if options["preset"] is None:
        options["threshold"] = rng.choice([0.3, 0.8, 1.0])
    whole = run(inputs, folder / "whole", **options)
    output = folder / "parts"
    report = by_hand(inputs, output, parts, rng, **options)
    check_same(report, whole)
    if rng.random() < 0.2:
        # Again in another order: every file has the same bytes.
        shutil.move(output, folder / "first")
        by_hand(inputs, output, parts, rng, **options)
        assert differences(tree(output), tree(folder / "first")) == []
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Inputs of which some are cut, some rows, and a phrase that is common only in all parts together."""
    rng = random.Random(11)
    folder = tmp_path_factory.mktemp("given")
    phrase = " ".join(prose(rng, 8))
    questions = [" ".join(prose(rng, 20)) for _ in range(6)] + [f"{phrase} {' '.join(prose(rng, 30))}", phrase]
    write(folder / "rows.jsonl", [{"id": number, "text": text} for number, text in enumerate(questions)])
    (folder / "in").mkdir()
    for number in range(4):
        lines = []
        for at in range(8):
            words = [*prose(rng, 20), *([questions[(at + number) % 7]] if at % 3 == 0 else []), *prose(rng, 20)]
            words += [phrase] if at == 5 else []
            lines.append(json.dumps({"text": " ".join(words)}) if at != 6 else '{"text"')
        (folder / "in" / f"{number}.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return folder


@pytest.fixture(scope="module")
def options(given):
    return {"evaluations": given / "rows.jsonl", "action": "cut", "common": 4, "on_bad_record": "quarantine"}


@pytest.fixture(scope="module")
def whole(given, options, tmp_path_factory):
    report = run(given / "in", tmp_path_factory.mktemp("whole") / "out", **options)
    assert report.contaminated > 5
    assert 0 < report.manifest["details"]["ngrams_common"] < report.manifest["details"]["ngrams"]
    return report


def test_more_parts_than_there_is_to_read_are_one_run_too(given, options, whole, tmp_path):
    report = run(given / "in", tmp_path / "out", parts=45, **options)
    check_same(report, whole)
    assert any(not bloomdata.Report.open(path.parent).manifest["inputs"] for path in tmp_path.glob("out/part*/man*"))
    assert bloomdata.verify(tmp_path / "out/counts/part-00003-of-00045").files > 0


@pytest.mark.parametrize("parts", [3, 8])
def test_tables_are_cut_between_row_groups(parts, given, options, tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for path in (given / "in").iterdir():
        texts = [json.loads(line)["text"] for line in path.read_bytes().splitlines() if line[-1:] == b"}"]
        parquet.write_table(pa.table({"text": texts}), tmp_path / f"{path.stem}.parquet", row_group_size=2)
    report = run([*tmp_path.glob("*.parquet")], tmp_path / "out", parts=parts, **options)
    assert any("range" in read for read in report.manifest["inputs"])
    check_same(report, run([*tmp_path.glob("*.parquet")], tmp_path / "whole", **options))


def test_an_executor_counts_first_and_all_ways_give_one_fingerprint(given, options, whole, tmp_path):
    jobs = []

    class Watched(ThreadPoolExecutor):
        def submit(self, function, job):
            jobs.append((job.arguments.get("counting", False), job.number))
            return super().submit(function, job)

    with Watched(2) as executor:
        report = run(given / "in", tmp_path / "executor", parts=3, executor=executor, **options)
        assert [counting for counting, _ in jobs] == [True] * 3 + [False] * 3
        assert run(given / "in", tmp_path / "executor", parts=3, executor=executor, **options).was_finished
    check_same(report, whole)
    by_hand(given / "in", tmp_path / "by-hand", 3, random.Random(1), **options)
    run(given / "in", tmp_path / "in-turn", parts=3, **options)
    for name in ("by-hand", "in-turn"):
        assert differences(tree(tmp_path / name), tree(report.folder)) == []


@pytest.mark.parametrize("at", range(4))
def test_a_driver_that_was_stopped_goes_on_with_what_is_missing(given, options, whole, tmp_path, at):
    jobs = []

    class Stopped(ThreadPoolExecutor):
        def submit(self, function, job):
            jobs.append(job)
            if len(jobs) == at + 1:
                raise KeyboardInterrupt
            return super().submit(function, job)

    call = partial(run, given / "in", tmp_path / "out", parts=2, **options)
    with Stopped(1) as executor, pytest.raises(KeyboardInterrupt):
        call(executor=executor)
    with Stopped(1) as executor:
        check_same(call(executor=executor), whole)
    # Of counts that are all there, one compares options and inputs.
    assert len(jobs) == 5 + (at >= 2)


def test_parts_come_after_the_counts_of_all_of_them(given, options, tmp_path):
    output = tmp_path / "out"
    call = partial(run, given / "in", output, parts=3, **options)
    with pytest.raises(ConfigError, match=r"counting: expected counts of part 0 before part 1, .* --part 0 --counting"):
        call(part=1)
    call(part=0, counting=True)
    call(part=2, counting=True)
    with pytest.raises(ConfigError, match=r"counting: expected counts of part 1 before part 0, .*part=1"):
        call(part=0)
    assert not list(output.glob("part-*"))
    with pytest.raises(ConfigError, match=r"expected a folder with the parts of a run and their plan\.json"):
        bloomdata.finish(output)
    call(part=1, counting=True)
    call(part=0)
    with pytest.raises(ConfigError, match="of 3 parts, not finished: 1, 2"):
        bloomdata.finish(output)


def test_counts_of_something_else_are_refused(given, options, tmp_path):
    output, rows = tmp_path / "out", shutil.copy(given / "rows.jsonl", tmp_path / "rows.jsonl")
    inputs = shutil.copytree(given / "in", tmp_path / "in")
    call = partial(run, inputs, output, parts=2, **options | {"evaluations": rows})
    for part in range(2):
        call(part=part, counting=True)
    # What is done with what was found does not matter to the counts.
    for changed, told in [({"ngram": 8}, "option ngram"), ({"common": 5}, "option common"), ({"parts": 3}, "parts")]:
        with pytest.raises(MismatchError, match=f"counts: .*{told}: expected"):
            call(part=0, **changed)
        with pytest.raises(MismatchError, match=f"{told}: expected"):
            call(part=0, counting=True, **changed)
    content = rows.read_bytes()
    rows.write_bytes(content + b'{"text": "one more"}\n')
    with pytest.raises(MismatchError, match=r"counts: .*option evaluations"):
        call(part=0)
    rows.write_bytes(content)
    # Counts that were made by themselves of other content, and the parts' own counts again.
    call(part=0)
    path = sorted(inputs.iterdir())[-1]
    before, stored = path.stat(), path.read_bytes()
    path.write_bytes(stored.replace(b" ", b"x", 9))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(MismatchError, match=r"3\.jsonl: (content|records|documents) \(changed while it was"):
        call(part=1)
    call(part=1, counting=True, overwrite=True)
    with pytest.raises(MismatchError, match="option counts"):
        call(part=1)
    path.write_bytes(stored)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    call(part=1, counting=True, overwrite=True)
    call(part=1)
    (output / "counts/part-00001-of-00002/ngrams").write_bytes(b"")
    with pytest.raises(MismatchError, match="ngrams: size in bytes"):
        bloomdata.finish(output)
    shutil.rmtree(output / "counts/part-00001-of-00002")
    with pytest.raises(ConfigError, match="counting: expected counts of part 1"):
        bloomdata.finish(output)
    call(part=1, counting=True)
    report = bloomdata.finish(output)
    check_same(report, run(inputs, tmp_path / "whole", **options | {"evaluations": rows}))


def test_counts_that_are_damaged_are_named(given, options, tmp_path):
    call = partial(run, given / "in", tmp_path / "out", parts=2, **options)
    for part in range(2):
        call(part=part, counting=True)
    for name in ("ngrams", "00000.hits", "quarantine.jsonl"):
        path = tmp_path / "out/counts/part-00001-of-00002" / name
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 255]))
        with pytest.raises(MismatchError, match=rf"{name}: content \(changed since it was counted\)"):
            call(part=1)
        path.write_bytes(content)
    call(part=1)


def test_a_part_that_was_deleted_is_made_again_and_a_finished_run_does_nothing(given, options, tmp_path):
    call = partial(run, given / "in", tmp_path / "out", parts=3, **options)
    before = tree(call().folder)
    shutil.rmtree(tmp_path / "out/part-00001-of-00003")
    call(part=1)
    assert bloomdata.finish(tmp_path / "out").was_finished
    shutil.rmtree(tmp_path / "out/counts/part-00000-of-00003")
    call(part=0, counting=True)
    assert call().was_finished
    assert differences(tree(tmp_path / "out"), before) == []
    again = call(common=1, overwrite=True)
    check_same(again, run(given / "in", tmp_path / "whole", **options | {"common": 1}))


def test_the_next_verb_reads_the_shards_alone(given, options, tmp_path):
    report = run(given / "in", tmp_path / "out", parts=3, **options)
    after = bloomdata.shard(tmp_path / "out", tmp_path / "next")
    assert after.ledger["documents_in"] == report.manifest["details"]["lines"]


def test_other_ways_to_ask_for_counts_are_refused(given, options, tmp_path):
    for wrongly, told in [
        ({"counting": True}, "counting: expected only with part"),
        ({"counting": True, "parts": 3}, "counting: expected only with part"),
        ({"output": "s3://bucket/out", "parts": 3}, "output: expected a path on this machine"),
        ({"inputs": ["s3://bucket/in.jsonl"], "parts": 3}, "inputs: expected files, got s3://bucket"),
    ]:
        with pytest.raises(ConfigError, match=told):
            run(**{"inputs": given / "in", "output": tmp_path / "out"} | options | wrongly)
    assert not (tmp_path / "out").exists()
    (tmp_path / "mine.txt").write_text("mine")
    for wrongly in ({}, {"part": 0, "counting": True}):
        with pytest.raises(ConfigError, match="expected a new or empty folder, or one with the parts of a run"):
            run(given / "in", tmp_path, parts=3, **options, **wrongly)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_run_killed_at_some_changes_of_its_folder_gives_the_same_bytes(shim, small_corpus, tmp_path):
    command = ["decontaminate", "--action", "cut", "--parts", "3", "--num-threads", "1", *QUARANTINE]
    # Journals below the folder are no half files of it.
    results = [result | {"half": []} for result in strike(shim, command, small_corpus, tmp_path, 1, every=17)]
    assert wrong(results) == ""


def test_a_script_for_slurm_counts_before_the_array_and_its_commands_make_the_same_folder(
    given, options, whole, tmp_path, capsys
):
    from bloomdata.cli import main

    words = ["decontaminate", str(given / "in"), "--output", str(tmp_path / "out"), "--parts", "2"]
    words += ["--evaluations", str(options["evaluations"]), "--action", "cut", "--common", "4", *QUARANTINE]
    assert main(["slurm", *words]) == 0
    text = capsys.readouterr().out
    assert text.index("--part slurm --counting") < text.index("--part slurm'") < text.index("bloomdata-cli finish")
    for switches in (["--counting"], []):
        for part in ("1", "0"):
            assert main([*words, "--part", part, *switches]) == 0
            assert f"part-0000{part}-of-00002" in capsys.readouterr().out
    assert main(["report", str(tmp_path / "out/counts/part-00000-of-00002")]) == 0
    assert main(["finish", str(tmp_path / "out")]) == 0
    check_same(bloomdata.Report.open(tmp_path / "out"), whole)


def test_a_step_of_a_recipe_runs_in_parts(given, whole, tmp_path):
    step = f'[[step]]\nverb = "decontaminate"\ninputs = ["{given / "in"}"]\noutput = "clean"\naction = "cut"\n'
    step += f'evaluations = ["{given / "rows.jsonl"}"]\ncommon = 4\non_bad_record = "quarantine"\n'
    (tmp_path / "recipe.toml").write_text(step)
    [report] = bloomdata.run(tmp_path / "recipe.toml", parts=2)
    check_same(report, whole)
    assert report.manifest["details"]["parts"] == 2


@pytest.mark.parametrize("verb", ["decontaminate", "dedup"])
@pytest.mark.parametrize("parts", [1, 2])
def test_a_run_with_more_bad_records_than_its_limit_stops(verb, parts, given, tmp_path):
    call = {"decontaminate": partial(run, evaluations=given / "rows.jsonl"), "dedup": bloomdata.dedup}[verb]
    call = partial(call, given / "in", on_bad_record="quarantine", parts=parts)
    call(tmp_path / "enough", max_bad=4)
    with pytest.raises(CorruptDataError, match=r"^max_bad: expected at most 1 bad records, got 2 of"):
        call(tmp_path / "out", max_bad=1)
    with pytest.raises(ConfigError, match="max_bad: expected only with on_bad_record='quarantine'"):
        call(tmp_path / "out", max_bad=1, on_bad_record="raise")
