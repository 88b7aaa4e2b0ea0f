"""A run of `dedup` or `pack(exact=…)` that has stopped in its first pass, and what may happen to its folder and inputs.

What is wrong is named, and once it is as it was, the same call gives the same bytes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys

import pytest

import bloomdata
from bloomdata.errors import BloomdataError, ConfigError, CorruptDataError, MismatchError
from deduping import similar_texts, write_files
from disks import mounted
from runs import differences, tree

OPTIONS = {
    "exact": (bloomdata.dedup, {}),
    "near": (bloomdata.dedup, {"near": bloomdata.MinHash(0.6)}),
    "near-report": (bloomdata.dedup, {"near": bloomdata.MinHash(0.6), "report_only": True}),
    # Its filters are in memory alone: it starts again.
    "bloom": (
        bloomdata.dedup,
        {"exact": None, "near": bloomdata.MinHash(0.6, index="bloom", expected_documents=1000)},
    ),
    "passages": (bloomdata.dedup, {"exact": None, "substring": bloomdata.Substring(words=4)}),
    "megatron": (bloomdata.pack, {"tokenizer": "bytes", "format": "megatron", "exact": "document"}),
    "hdf5": (bloomdata.pack, {"tokenizer": "bytes", "sequence_length": 64, "exact": "document"}),
}


class Stopped:
    """A run over four files of which the last one was damaged, and is as it should be again."""

    def __init__(self, folder, name):
        self.function, self.options = OPTIONS[name]
        self.inputs = write_files(folder / "in", similar_texts(2, 400, length=12), [100])
        self.output = folder / "out"
        last = self.inputs / "003.jsonl"
        content = last.read_bytes()
        self.overwrite(last, b"\x1f\x8b" + content[2:])
        with pytest.raises(BloomdataError, match=r"003\.jsonl"):
            self.run()
        self.overwrite(last, content)
        self.first_pass = self.output / ".dedup" / "inputs"
        assert sorted(path.name for path in self.first_pass.glob("*.sig")) == [f"0000{at}.sig" for at in range(3)]

    @staticmethod
    def overwrite(path, content):
        """Other bytes, and nothing else that one could see."""
        before = path.stat()
        assert len(content) == before.st_size
        path.write_bytes(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def run(self, output=None, **options):
        return self.function(self.inputs, output or self.output, num_threads=2, **self.options | options)

    def check_whole(self):
        """The output is what a run gives that nothing happened to."""
        fresh = self.output.with_name("fresh")
        self.run(fresh)
        assert differences(tree(self.output), tree(fresh)) == []


@pytest.fixture(params=[name for name in OPTIONS if name != "bloom"])
def stopped(request, tmp_path):
    return Stopped(tmp_path, request.param)


def test_a_run_that_has_stopped_reads_only_what_is_left(stopped):
    before = {path: path.stat().st_mtime_ns for path in stopped.first_pass.glob("*.sig")}
    seen = {}
    stopped.run(on_progress=lambda *_: seen.update({path: path.stat().st_mtime_ns for path in before if path.exists()}))
    assert seen.items() <= before.items()
    stopped.check_whole()


def shorter(content):
    return content[:-1]


def longer(content):
    return content + b"\0"


def nothing(_):
    return b""


def only_the_start(content):
    return content[:100]


def something_else(content):
    return b"PAR1" + content[4:]


def another_version(content):
    return content[:8] + b"\x07" + content[9:]


def no_json(content):
    return content[:16] + b"[" + content[17:]


def a_long_header(content):
    return content[:12] + b"\xff\xff\xff\xff" + content[16:]


def with_header(content, change):
    size = int.from_bytes(content[12:16], "little")
    header = json.loads(content[16 : 16 + size])
    change(header)
    text = json.dumps(header).encode()
    return (content[:12] + len(text).to_bytes(4, "little") + text).ljust(4096, b"\0") + content[4096:]


def countless_documents(content):
    return with_header(content, lambda header: header.update(documents=2**64 - 1))


def wide_columns(content):
    return with_header(content, lambda header: header["columns"].append(["position", 2**64 - 1]))


def other_options(content):
    return with_header(content, lambda header: header["config"].update(exact="fold"))


def of_another_input(content):
    return with_header(content, lambda header: header["input"].update(size=7))


DAMAGES = {
    shorter: (MismatchError, "size in bytes"),
    longer: (MismatchError, "size in bytes"),
    nothing: (CorruptDataError, "expected 4096 bytes of header"),
    only_the_start: (CorruptDataError, "expected 4096 bytes of header"),
    something_else: (CorruptDataError, "expected a file of signatures"),
    another_version: (MismatchError, "version: expected 1, found 7"),
    no_json: (CorruptDataError, "offset 16"),
    a_long_header: (CorruptDataError, "offset 16"),
    countless_documents: (MismatchError, "size in bytes"),
    wide_columns: (MismatchError, "size in bytes"),
    other_options: (MismatchError, "options: expected"),
    of_another_input: (MismatchError, "bytes of its input: expected"),
}


@pytest.mark.parametrize("number", [0, 2])
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", ["near", "megatron"])
def test_signatures_that_are_damaged_or_foreign_are_named(name, damage, number, tmp_path):
    stopped, (error, message) = Stopped(tmp_path, name), DAMAGES[damage]
    path = stopped.first_pass / f"0000{number}.sig"
    path.write_bytes(damage(path.read_bytes()))
    before = tree(stopped.output)
    with pytest.raises(error, match=rf"{re.escape(str(path))}.*{message}"):
        stopped.run()
    found = tree(stopped.output)
    assert {name: found[name] for name in before if name != "journal.jsonl"} == {
        name: content for name, content in before.items() if name != "journal.jsonl"
    }
    stopped.run(overwrite=True)
    stopped.check_whole()


def test_signatures_of_the_file_before_are_named(stopped):
    path = stopped.first_pass / "00002.sig"
    shutil.copy(stopped.first_pass / "00001.sig", path)
    with pytest.raises(MismatchError, match=rf"{re.escape(str(path))}: .*expected"):
        stopped.run()


def test_signatures_that_are_gone_are_made_again(stopped):
    for at in (1, 2):
        (stopped.first_pass / f"0000{at}.sig").unlink()
    stopped.run()
    stopped.check_whole()


def test_a_scratch_folder_that_is_gone_is_made_again(stopped):
    shutil.rmtree(stopped.output / ".dedup")
    stopped.run()
    stopped.check_whole()


@pytest.mark.parametrize("name", OPTIONS)
def test_a_scratch_folder_that_is_a_link_is_refused_and_its_target_left_alone(name, tmp_path):
    stopped = Stopped(tmp_path, name)
    scratch, target = stopped.output / ".dedup", tmp_path / "mine"
    scratch.rename(target)
    scratch.symlink_to(target)
    before = tree(target)
    with pytest.raises(ConfigError, match=r"output: .*\.dedup is a link"):
        stopped.run()
    assert tree(target) == before
    scratch.unlink()
    stopped.run()
    stopped.check_whole()


def test_a_file_where_the_scratch_folder_belongs_is_an_os_error(stopped):
    shutil.rmtree(stopped.output / ".dedup")
    (stopped.output / ".dedup").write_text("mine")
    with pytest.raises(OSError, match=r"\.dedup"):
        stopped.run()
    assert (stopped.output / ".dedup").read_text() == "mine"


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_scratch_folder_without_the_right_to_write_is_a_permission_error(stopped):
    stopped.first_pass.chmod(0o500)
    try:
        with pytest.raises(PermissionError, match=r"\.dedup/inputs"):
            stopped.run()
    finally:
        stopped.first_pass.chmod(0o700)
    stopped.run()
    stopped.check_whole()


def test_a_disk_that_became_read_only_is_an_os_error(tmp_path):
    with mounted(tmp_path / "disk", "size=64M") as remount:
        stopped = Stopped(tmp_path / "disk", "near")
        remount("ro")
        with pytest.raises(OSError, match=r"Read-only file system.*disk/out"):
            stopped.run()
        remount("rw")
        stopped.run()
        stopped.check_whole()


# --- inputs that change between passes -------------------------------------------------------------------------------


def another_letter(content):
    at = content.index(b'"text": "') + 9
    return content[:at] + b"#" + content[at + 1 :]


def records_that_start_elsewhere(content):
    """All lines but the last by turns."""
    lines = content.splitlines(keepends=True)
    return b"".join([*lines[1:-1], lines[0], lines[-1]])


def a_record_that_is_bad(content):
    at = content.index(b"}\n", len(content) // 2)
    return content[:at] + b"!" + content[at + 1 :]


CHANGES = [another_letter, records_that_start_elsewhere, a_record_that_is_bad]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("name", [name for name in OPTIONS if name not in ("near-report", "bloom")])
def test_an_input_that_changes_between_passes_is_named(name, change, tmp_path):
    stopped = Stopped(tmp_path, name)
    path = stopped.inputs / "001.jsonl"
    content = path.read_bytes()
    stopped.overwrite(path, change(content))
    with pytest.raises(MismatchError, match=rf"{re.escape(str(path))}.*changed while it was read again"):
        stopped.run()
    assert not (stopped.output / "manifest.json").exists()
    # As it was: what the first pass has found out of it holds. Shards were written from what it was in between.
    stopped.overwrite(path, content)
    if name == "exact" and change is not records_that_start_elsewhere:
        with pytest.raises(MismatchError, match="changed while it was read again"):
            stopped.run()
        stopped.run(overwrite=True)
    stopped.run()
    stopped.check_whole()


@pytest.mark.parametrize("name", ["candidates", "join.json", "equal-texts", "equal-units"])
def test_what_a_phase_has_left_is_named_if_it_is_cut(name, tmp_path):
    stopped = Stopped(tmp_path, "near")
    first = stopped.inputs / "001.jsonl"
    content = first.read_bytes()
    stopped.overwrite(first, another_letter(content))
    with pytest.raises(MismatchError):
        stopped.run()
    stopped.overwrite(first, content)
    path = stopped.output / ".dedup" / name
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(CorruptDataError, match=re.escape(str(path))):
        stopped.run()
    stopped.run(overwrite=True)
    stopped.check_whole()
