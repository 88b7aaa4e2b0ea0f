"""`dedup` in parts: decided once, written in any order, and together what one run gives."""

from __future__ import annotations

import bz2
import gzip
import json
import os
import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata import ConfigError, MinHash, MismatchError, Substring
from bloomdata.cli.slurm import DECISION, script
from bloomdata.parts.gathering import InTurn
from deduping import check_same, dedup, similar_texts, write_files
from faults import strike, wrong
from runs import QUARANTINE, differences, tree

NEAR = MinHash(0.6)
STORED = {
    ".jsonl": bytes,
    ".jsonl.gz": partial(gzip.compress, mtime=0),
    ".jsonl.zst": zstandard.compress,
    ".jsonl.bz2": bz2.compress,
    ".txt": bytes,
}
CASES = {
    "equal": {},
    "folded": {"exact_normalize": "fold"},
    "near": {"near": NEAR},
    "estimated": {"near": MinHash(0.6, verify=False)},
    "components": {"near": NEAR, "keep": "components", "exact": None},
    "bloom": {"near": MinHash(0.6, index="bloom", expected_documents=1000), "memory_limit": "60MB"},
    "lines": {"exact": "line", "min_characters": 1},
    "passages": {"exact": None, "substring": Substring(words=4)},
    "marks": {"near": NEAR, "substring": Substring(words=4, action="mark")},
}


def write_any(folder, texts, rng):
    """Texts in files of several formats, some of them empty; now and then a blank line or a bad record."""
    folder.mkdir()
    cuts = sorted(rng.choices(range(len(texts) + 1), k=rng.randrange(5)))
    for number, (start, end) in enumerate(pairwise([0, *cuts, len(texts)])):
        suffix = rng.choice(list(STORED))
        lines = []
        for text in texts[start:end]:
            lines += rng.choices([[], ["{"], [""]], [20, 1, 1])[0] if suffix != ".txt" else []
            lines.append(json.dumps({"text": text}) if suffix != ".txt" else text.replace("\n", " ") or "empty")
        content = "".join(f"{line}\n" for line in lines).encode()
        (folder / f"{number}{suffix}").write_bytes(STORED[suffix.replace(".txt", ".jsonl")](content))
    return [folder / path.name for path in sorted(folder.iterdir())]


@pytest.mark.parametrize("case", CASES)
@given(seed=st.integers(0, 1 << 30), parts=st.integers(2, 7), count=st.integers(1, 60))
@settings(max_examples=5)
def test_parts_in_any_order_are_one_run(tmp_path_factory, case, seed, parts, count):
    folder, rng = tmp_path_factory.mktemp("parts"), random.Random(seed)
    inputs = write_any(folder / "in", similar_texts(seed, count, length=12), rng)
    run = partial(dedup, inputs, on_bad_record="quarantine", max_lines=rng.choice([3, 1000]), **CASES[case])
    whole = run(folder / "whole")
    output = folder / "parts"
    if rng.random() < 0.4:
        decided = run(output, parts=parts, decide=True)
        assert decided.ledger | {"text_bytes": 0} == whole.ledger | {"text_bytes": 0}
        for part in rng.sample(range(parts), parts):
            run(output, parts=parts, part=part, num_threads=rng.choice([1, 3]))
        check_same(bloomdata.finish(output), whole)
    else:
        executor = InTurn() if rng.random() < 0.7 else None
        check_same(run(output, parts=parts, executor=executor, num_threads=rng.choice([1, 3])), whole)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("inputs") / "in", similar_texts(5, 600), [100, 1, 60])


@pytest.fixture(scope="module")
def whole(inputs, tmp_path_factory):
    return dedup(inputs, tmp_path_factory.mktemp("whole") / "out", near=NEAR)


@pytest.mark.parametrize("options", [{"near": NEAR}, {}, {"near": {"threshold": 0.7}, "exact": "none"}])
def test_an_executor_signs_in_parts_too_and_leaves_no_signatures(inputs, tmp_path, options):
    signed = []

    class Watched(ThreadPoolExecutor):
        def submit(self, function, job):
            signed.append(job.verb)
            return super().submit(function, job)

    with Watched(2) as executor:
        parts = dedup(inputs, tmp_path / "parts", parts=3, executor=executor, **options)
        check_same(parts, dedup(inputs, tmp_path / "whole", **options))
        sets = ["dedup_sets"] * 3 if "near" in options else []
        assert signed == ["signatures"] * 3 + sets + ["dedup"] * 3
        assert not (tmp_path / "parts" / "signatures").exists()
        assert dedup(inputs, tmp_path / "parts", parts=3, executor=executor, **options).was_finished
    # Of parts that are all finished, one compares options and inputs.
    assert signed[6 + len(sets) :] == ["dedup"]


@pytest.mark.parametrize("at", range(9))
def test_a_driver_that_was_stopped_goes_on_with_what_is_missing(inputs, tmp_path, at):
    jobs = []

    class Stopped(ThreadPoolExecutor):
        def submit(self, function, job):
            jobs.append((job.verb, job.number))
            if len(jobs) == at + 1:
                raise KeyboardInterrupt
            return super().submit(function, job)

    run = partial(dedup, inputs, near=NEAR, parts=3)
    with Stopped(1) as executor, pytest.raises(KeyboardInterrupt):
        run(tmp_path / "out", executor=executor)
    with Stopped(1) as executor:
        report = run(tmp_path / "out", executor=executor)
    # Before there is a decision, one part of the signatures compares options and inputs.
    assert len(jobs) == 10 + (3 <= at < 6)
    assert differences(tree(report.folder), tree(run(tmp_path / "whole").folder)) == []


def test_what_a_killed_call_has_signed_is_used_and_what_parts_read_is_compared(inputs, tmp_path):
    copied, output = shutil.copytree(inputs, tmp_path / "in"), tmp_path / "out"
    bloomdata.signatures(copied, output / "signatures", near="none", parts=2)
    path = copied / "000.jsonl"
    before, content = path.stat(), path.read_bytes()

    def put(content):
        path.write_bytes(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    put(content.replace(b"the", b"eht"))
    with pytest.raises(MismatchError, match=r"000\.jsonl: content \(changed since it was decided what goes"):
        dedup(copied, output, parts=2)
    assert not (output / "signatures").exists()
    put(content)
    dedup(copied, output, parts=2, part=0, overwrite=True)
    check_same(dedup(copied, output, parts=2), dedup(copied, tmp_path / "whole"))


def test_what_is_compared_with_is_read_by_the_decision_alone(inputs, tmp_path):
    against = write_files(tmp_path / "against", similar_texts(5, 200))
    for name, near in {"near": NEAR, "estimated": MinHash(0.6, verify=False)}.items():
        run = partial(dedup, inputs, near=near, against=against, exact=None)
        whole = run(tmp_path / f"{name}-whole")
        check_same(run(tmp_path / f"{name}-shared", parts=3, executor=InTurn()), whole)
        parts = run(tmp_path / f"{name}-parts", parts=2)
        check_same(parts, whole)
        assert parts.ledger["documents_dropped"]["near duplicate"] > 100
    whole = dedup(inputs, tmp_path / "whole", against=against)
    parts = dedup(inputs, tmp_path / "parts", against=against, parts=2)
    check_same(parts, whole)
    assert parts.ledger["documents_dropped"]["exact duplicate"] > 100


def test_a_finished_run_does_nothing_and_others_are_refused(inputs, tmp_path):
    run = partial(dedup, inputs, tmp_path / "out", near=NEAR, parts=3)
    # By hand in another order: the same bytes.
    dedup(inputs, tmp_path / "by-hand", near=NEAR, parts=3, decide=True)
    for part in (2, 0, 1):
        dedup(inputs, tmp_path / "by-hand", near=NEAR, parts=3, part=part)
    bloomdata.finish(tmp_path / "by-hand")
    assert differences(tree(run().folder), tree(tmp_path / "by-hand")) == []
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    assert run().was_finished
    assert run(decide=True).was_finished
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before
    with pytest.raises(MismatchError, match="parts: expected 3, found 4"):
        run(parts=4)
    with pytest.raises(MismatchError, match=r"decisions: option near .*0\.6.*0\.7"):
        run(near=MinHash(0.7))
    with pytest.raises(MismatchError, match="decisions: option shards"):
        run(max_lines=7, decide=True)
    with pytest.raises(MismatchError, match=r"decisions: input .*000\.jsonl, found .*001\.jsonl"):
        dedup(sorted(inputs.iterdir())[1:], tmp_path / "out", near=NEAR, parts=3, part=0)
    before = tree(tmp_path / "out")
    with pytest.raises(ConfigError, match="level"):
        run(level=99, overwrite=True)
    assert tree(tmp_path / "out") == before
    run(overwrite=True, decide=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["decisions"]
    report = run(near=MinHash(0.7), parts=2, overwrite=True)
    check_same(report, dedup(inputs, tmp_path / "whole", near=MinHash(0.7)))


def test_parts_come_after_the_decision_and_by_no_other_one(inputs, tmp_path):
    output = tmp_path / "out"
    run = partial(dedup, inputs, output, near=NEAR, parts=3)
    with pytest.raises(ConfigError, match=r"expected decisions on all inputs before any part, found none .* --decide"):
        run(part=1)
    assert not output.exists()
    run(decide=True)
    with pytest.raises(ConfigError, match=r"expected a folder with the parts of a run and their plan\.json"):
        bloomdata.finish(output)
    run(part=1)
    with pytest.raises(ConfigError, match="of 3 parts, not finished: 0, 2"):
        bloomdata.finish(output)
    # Of the same files as long as before, and other texts in one of them.
    copied = shutil.copytree(inputs, tmp_path / "in")
    lines = (copied / "000.jsonl").read_text().splitlines(keepends=True)
    (copied / "000.jsonl").write_text("".join(lines[::-1]))
    other = dedup(copied, tmp_path / "other", near=NEAR, parts=3, decide=True)
    shutil.rmtree(output / "decisions")
    shutil.copytree(other.folder, output / "decisions")
    with pytest.raises(MismatchError, match="decisions: input "):
        run(part=0)
    manifest = (output / "decisions" / "manifest.json").read_text()
    (output / "decisions" / "manifest.json").write_text(manifest.replace(str(copied), str(inputs)))
    with pytest.raises(MismatchError, match="option decisions"):
        run(part=0)
    shutil.rmtree(output / "decisions")
    run(decide=True)
    run(part=0)
    run(part=2)
    (output / "decisions" / "verdicts").write_bytes(b"")
    with pytest.raises(MismatchError, match=r"decisions/verdicts"):
        bloomdata.finish(output)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"report_only": True}, "report_only: expected False in a run of 3 parts"),
        ({"decide": True, "part": 1}, "decide: expected only with parts"),
        ({"decide": True, "parts": 1}, "decide: expected only with parts"),
        ({"part": 3}, "part: expected 0 to 2, or 'slurm', got 3"),
        ({"parts": 0}, "parts: expected 1 to 100,000, got 0"),
        ({"output": "s3://bucket/out"}, "output: expected a path on this machine"),
    ],
)
def test_what_cannot_be_is_refused(inputs, options, told, tmp_path):
    with pytest.raises(ConfigError, match=told):
        dedup(inputs, **{"output": tmp_path / "out", "parts": 3} | options)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_refused_before_anything_is_read(inputs, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="expected a new or empty folder, or one with the parts of a run"):
        dedup(inputs, tmp_path, parts=2)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_next_verb_reads_the_shards_alone(inputs, tmp_path):
    report = dedup(inputs, tmp_path / "out", near=NEAR, parts=3)
    after = bloomdata.shard(tmp_path / "out", tmp_path / "next")
    assert after.ledger["documents_in"] == report.ledger["documents_kept"]
    assert {"duplicates.jsonl"} <= {Path(path).name for path in after.manifest["ignored_inputs"]}


def test_a_run_killed_at_some_change_of_its_folder_gives_the_same_bytes(shim, small_corpus, tmp_path):
    command = ["dedup", "--near", "--threshold", "0.6", "--parts", "3", "--num-threads", "1", *QUARANTINE]
    # Journals below the folder are no half files of it.
    results = [result | {"half": []} for result in strike(shim, command, small_corpus, tmp_path, 1, every=23)]
    assert wrong(results) == ""


def test_a_script_for_slurm_decides_before_the_array(tmp_path):
    text = script(["dedup", "in", "--output", "out", "--parts", "4"], "out", 4, {"cpus_per_task": "8"}, first=DECISION)
    assert text.index("--decide --num-threads 8") < text.index("--array=0-3") < text.index("--part slurm")
    assert 'array=$(sbatch --parsable --dependency=afterok:"${decide%%;*}" ' in text


def test_a_step_of_a_recipe_runs_in_parts_unless_it_only_reports(inputs, whole, tmp_path):
    steps = [f'[[step]]\nverb = "dedup"\ninputs = ["{inputs}"]\noutput = "clean"\n[step.near]\nthreshold = 0.6\n']
    steps.append(f'[[step]]\nverb = "dedup"\ninputs = ["{inputs}"]\noutput = "found"\nreport_only = true\n')
    (tmp_path / "recipe.toml").write_text("".join(steps))
    parts, found = bloomdata.run(tmp_path / "recipe.toml", parts=2)
    check_same(parts, whole)
    assert parts.manifest["details"]["parts"] == 2
    assert "parts" not in found.manifest["details"]
