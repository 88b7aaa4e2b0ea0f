"""`dedup` in parts: each part collects the sets of shingles that the decision compares."""

from __future__ import annotations

import json
import os
import shutil
from functools import partial

import pytest

from bloomdata import MinHash, MismatchError, _core
from bloomdata.parts.gathering import InTurn
from deduping import check_same, dedup, similar_texts, write_files

NEAR = MinHash(0.6)


class Changing:
    """Inputs of which one can have other words, of the same size and time."""

    def __init__(self, folder):
        self.folder = folder
        self._path = folder / "000.jsonl"
        self._content, self._before = self._path.read_bytes(), self._path.stat()

    def change(self):
        self._put(self._content.replace(b"the", b"eht"))

    def put_back(self):
        self._put(self._content)

    def _put(self, content):
        self._path.write_bytes(content)
        os.utime(self._path, ns=(self._before.st_atime_ns, self._before.st_mtime_ns))


@pytest.fixture(scope="module")
def changing(tmp_path_factory):
    folder = tmp_path_factory.mktemp("changing")
    changing = Changing(write_files(folder / "in", similar_texts(5, 600), [100, 1, 60]))
    return changing, dedup(changing.folder, folder / "whole", near=NEAR)


def stop_with_sets(inputs, output, monkeypatch):
    """Kills a run in three parts once all of them have collected sets; the folder of these."""
    core = _core.dedup

    def stop(*args):
        if args[4] == 0:
            raise KeyboardInterrupt
        return core(*args)

    with monkeypatch.context() as patch:
        patch.setattr(_core, "dedup", stop)
        with pytest.raises(KeyboardInterrupt):
            dedup(inputs, output, near=NEAR, parts=3, executor=InTurn())
    return output / "decisions" / ".dedup" / "set-parts"


def flip(path):
    """Changes a byte in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def edit(path, key, value):
    """Changes an option in a manifest, or in what was asked for."""
    content = json.loads(path.read_text())
    content.get("config", content)[key] = value
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "damage",
    [
        None,
        lambda part: (part / "sets").unlink(),
        lambda part: os.truncate(part / "sets", 8),
        lambda part: flip(part / "sets"),
        lambda part: flip(part / "set-places"),
        lambda part: (part / "manifest.json").unlink(),
        lambda part: (part / "manifest.json").write_text("{"),
        lambda part: edit(part / "manifest.json", "wanted", "0" * 64),
        lambda part: (part.parent / "plan.json").write_text("{"),
        lambda part: shutil.copytree(part.with_name("part-00000-of-00003"), part, dirs_exist_ok=True),
    ],
)
def test_a_decision_reads_texts_only_if_sets_of_parts_do_not_fit(changing, damage, tmp_path, monkeypatch):
    changing, whole = changing
    run = partial(dedup, changing.folder, tmp_path / "out", near=NEAR, parts=3)
    part = stop_with_sets(changing.folder, tmp_path / "out", monkeypatch) / "part-00001-of-00003"
    if damage is not None:
        damage(part)
    changing.change()
    try:
        if damage is None:
            run(decide=True)
        with pytest.raises(MismatchError) as error:
            run()
    finally:
        changing.put_back()
    told = "changed since it was decided" if damage is None else "changed while it was read again"
    assert f"000.jsonl: content ({told}" in str(error.value)
    if damage is None:
        # It has noted what it read.
        run(part=0, overwrite=True)
    check_same(run(), whole)
    assert not part.exists()


class Noting(InTurn):
    """Notes the numbers of parts by what is done with them."""

    def __init__(self):
        self.numbers = {}

    def submit(self, function, job):
        self.numbers.setdefault(job.verb, []).append(job.number)
        return super().submit(function, job)


def test_parts_collect_what_is_missing_and_all_for_another_question(changing, tmp_path, monkeypatch):
    changing, whole = changing
    for key, value, expected in [("parts", 3, [1]), ("wanted", "0" * 64, [0, 1, 2]), ("parts", 2, [0, 1, 2])]:
        output = tmp_path / f"{key}-{value}"
        folder = stop_with_sets(changing.folder, output, monkeypatch)
        shutil.rmtree(folder / "part-00001-of-00003")
        edit(folder.parent / "wanted.json", key, value)
        noting = Noting()
        check_same(dedup(changing.folder, output, near=NEAR, parts=3, executor=noting), whole)
        assert noting.numbers["dedup_sets"] == expected


def test_fewer_parts_collect_than_write_where_there_are_many(changing, tmp_path, monkeypatch):
    changing, whole = changing
    monkeypatch.setattr("bloomdata.verbs.dedup_parts._MOST_SET_PARTS", 2)
    noting = Noting()
    check_same(dedup(changing.folder, tmp_path / "out", near=NEAR, parts=5, executor=noting), whole)
    assert {verb: len(numbers) for verb, numbers in noting.numbers.items()} == {
        "signatures": 5,
        "dedup_sets": 2,
        "dedup": 5,
    }


def test_an_input_that_changes_before_its_sets_are_collected_is_named(changing, tmp_path):
    changing, whole = changing

    class Between(InTurn):
        def submit(self, function, job):
            if job.verb == "dedup_sets":
                changing.change()
            return super().submit(function, job)

    run = partial(dedup, changing.folder, tmp_path / "out", near=NEAR, parts=3)
    try:
        with pytest.raises(MismatchError, match=r"000\.jsonl: content \(changed while it was read again"):
            run(executor=Between())
    finally:
        changing.put_back()
    check_same(run(executor=InTurn()), whole)
