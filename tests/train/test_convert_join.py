"""`convert join`: what `cat` makes of the parts of `split`, unless a part is missing, cut off or other."""

from __future__ import annotations

import hashlib
import io
import random
import subprocess
import tarfile

import pytest

from bloomdata import convert
from bloomdata.convert.part_names import in_order
from bloomdata.errors import ConfigError, CorruptDataError

pytestmark = pytest.mark.train


def split(path, *options, prefix="part_"):
    """The parts that GNU split makes."""
    subprocess.run(["split", *options, str(path), str(path.parent / prefix)], check=True)
    return sorted(path.parent.glob(f"{prefix}*"))


@pytest.fixture
def whole(tmp_path):
    path = tmp_path / "whole"
    path.write_bytes(random.Random(0).randbytes(100_003))
    return path


# --- order ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "prefix"),
    [
        (["-b", "1000"], "part_"),
        (["-b", "1000"], "x"),
        (["-b", "1000"], "model.tar."),
        (["-b", "130"], "part_"),  # 770 parts: after `yz` comes `zaaa`
        (["-b", "1000", "-d"], "part_"),
        (["-b", "900", "-d"], "part"),  # after 89 comes 9000
        (["-b", "1000", "-x"], "part_"),
        (["-b", "1000", "-a", "3"], "part_"),
        (["-b", "1000", "-a", "3"], "x"),
        (["-b", "1000", "--numeric-suffixes=1", "-a", "4"], "part_"),
        (["-b", "1000", "--additional-suffix=.bin"], "part_"),
        (["-b", "60000"], "part_"),
        (["-b", "1000000"], "part_"),
        (["-n", "7"], "part_"),
    ],
    ids=str,
)
def test_parts_of_split_are_joined_in_order(options, prefix, whole, tmp_path):
    parts = split(whole, *options, prefix=prefix)
    shuffled = random.Random(1).sample(parts, len(parts))
    report = convert.join(shuffled, tmp_path / "joined")
    assert (tmp_path / "joined").read_bytes() == whole.read_bytes()
    assert (report.parts, report.bytes, report.checked) == (len(parts), 100_003, 0)
    assert report.sha256 == hashlib.sha256(whole.read_bytes()).hexdigest()


@pytest.mark.parametrize("options", [["-b", "130"], ["-b", "900", "-d"], ["-b", "1000", "-x"]], ids=str)
def test_every_missing_part_but_the_last_is_noticed(options, whole, tmp_path):
    parts = split(whole, *options)
    for lost in random.Random(2).sample(range(len(parts) - 1), 20):
        with pytest.raises(CorruptDataError, match="expected"):
            in_order([part for number, part in enumerate(parts) if number != lost])


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["part_aa", "part_ac"], "part_ac: expected 'ab' after 'aa', found 'ac'"),
        (["part_ab", "part_ac"], "part_ab: expected the first part, found 'ab'"),
        (["part_ba", "part_bb"], "part_ba: expected the first part, found 'ba'"),
        (["xba", "xbb"], "expected the first part"),
        (["part_00", "part_02"], "expected '01' after '00', found '02'"),
        (["part_2", "part_3"], "expected the first part, found '2'"),
        (["part_9", "part_10", "part_12"], "expected the first part, found '9'"),
        (["m-1-of-3", "m-2-of-3"], "expected 3 parts, found none with the number 3"),
        (["m-00001-of-00002"], "expected 2 parts, found none with the number 2"),
    ],
)
def test_missing_parts_are_named(names, words, tmp_path):
    with pytest.raises(CorruptDataError, match=words):
        in_order([tmp_path / name for name in names])


@pytest.mark.parametrize(
    "names",
    [
        [f"part{number}" for number in range(12)],
        [f"p{number}.bin" for number in range(1, 12)],
        [f"m-{number}-of-11" for number in range(1, 12)],
        [f"m-{number:05d}-of-00003.bin" for number in range(3)],
        ["modelaa", "modelab"],
        ["only"],
    ],
    ids=lambda names: names[0],
)
def test_numbers_and_stems_are_known(names, tmp_path):
    paths = [tmp_path / name for name in names]
    assert in_order(random.Random(0).sample(paths, len(paths))) == paths


def test_names_without_an_order_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="expected names that differ in letters or digits at their ends"):
        in_order([tmp_path / "one.bin", tmp_path / "Two.bin"])
    with pytest.raises(ConfigError, match="expected parts of one file, got a-1-of-2 and b-2-of-2"):
        in_order([tmp_path / "a-1-of-2", tmp_path / "b-2-of-2"])
    with pytest.raises(ConfigError, match="expected parts of different names"):
        in_order([tmp_path / "a" / "part_aa", tmp_path / "b" / "part_aa"])


# --- checksums and sizes ----------------------------------------------------------------------------------------------


def write_sums(path, files, kind="sha256", mark="  "):
    path.write_text("".join(f"{hashlib.new(kind, file.read_bytes()).hexdigest()}{mark}{file.name}\n" for file in files))
    return path


@pytest.mark.parametrize("kind", ["md5", "sha1", "sha256", "sha512"])
@pytest.mark.parametrize("mark", ["  ", " *", "  some/folder/"])
def test_checksums_of_parts_are_compared(kind, mark, whole, tmp_path):
    parts = split(whole, "-b", "30000")
    sums = write_sums(tmp_path / "SUMS", parts, kind, mark)
    report = convert.join(str(tmp_path / "part_*"), tmp_path / "joined", checksums=sums)
    assert report.checked == 4
    data = bytearray(parts[2].read_bytes())
    data[5] ^= 1
    parts[2].write_bytes(data)
    with pytest.raises(CorruptDataError, match=f"part_ac: expected {kind}:[0-9a-f]+, found"):
        convert.join(str(tmp_path / "part_*"), tmp_path / "other", checksums=sums)
    assert [path.name for path in tmp_path.glob("other*")] == []


def test_the_checksum_of_the_whole_is_compared(whole, tmp_path):
    parts = split(whole, "-b", "30000")
    sums = write_sums(tmp_path / "SUMS", [whole])
    sums.write_text(sums.read_text().replace("whole", "joined"))
    assert convert.join(parts, tmp_path / "joined", checksums=sums).checked == 1
    parts[-1].write_bytes(parts[-1].read_bytes()[:-1])
    with pytest.raises(CorruptDataError, match="joined: expected sha256"):
        convert.join(parts, tmp_path / "joined", checksums=sums, overwrite=True)
    assert (tmp_path / "joined").read_bytes() == whole.read_bytes()


def test_a_missing_last_part_is_noticed_by_its_checksum(whole, tmp_path):
    parts = split(whole, "-b", "30000")
    sums = write_sums(tmp_path / "SUMS", parts)
    with pytest.raises(CorruptDataError, match="part_ad: expected by the checksums, found none"):
        convert.join(parts[:-1], tmp_path / "joined", checksums=sums)
    write_sums(sums, parts[:2])
    with pytest.raises(ConfigError, match="checksums: expected all parts or none, found none of part_ac"):
        convert.join(parts, tmp_path / "joined", checksums=sums)
    write_sums(sums, [whole])
    with pytest.raises(ConfigError, match="checksums: expected parts or joined, found whole"):
        convert.join(parts, tmp_path / "joined", checksums=sums)
    sums.write_text("abc  part_aa\n")
    with pytest.raises(CorruptDataError, match="SUMS: line 1: expected"):
        convert.join(parts, tmp_path / "joined", checksums=sums)
    sums.write_text("\n")
    with pytest.raises(CorruptDataError, match="SUMS: expected checksums, found none"):
        convert.join(parts, tmp_path / "joined", checksums=sums)


def test_parts_that_were_cut_off_are_noticed_by_their_size(whole, tmp_path):
    parts = split(whole, "-b", "30000")
    parts[1].write_bytes(parts[1].read_bytes()[:-1])
    with pytest.raises(CorruptDataError, match="part_ab: expected 30000 bytes as in part_aa, found 29999"):
        convert.join(parts, tmp_path / "joined")
    convert.join(parts, tmp_path / "joined", allow_uneven=True)
    assert (tmp_path / "joined").stat().st_size == 100_002
    parts[0].write_bytes(b"x")
    with pytest.raises(CorruptDataError, match="part_a"):
        convert.join([parts[0], parts[1]], tmp_path / "other")


# --- output -----------------------------------------------------------------------------------------------------------


def test_outputs_are_not_overwritten_unless_that_is_said(whole, tmp_path):
    parts = split(whole, "-b", "30000")
    (tmp_path / "joined").write_text("mine")
    with pytest.raises(ConfigError, match=r"output: .*joined exists; overwrite=True replaces it"):
        convert.join(parts, tmp_path / "joined")
    convert.join(parts, tmp_path / "joined", overwrite=True)
    assert (tmp_path / "joined").read_bytes() == whole.read_bytes()
    with pytest.raises(ConfigError, match="expected a path apart from the parts"):
        convert.join(parts, parts[0], overwrite=True)
    with pytest.raises(ConfigError, match="source: expected parts, found no file"):
        convert.join(str(tmp_path / "nothing_*"), tmp_path / "other")
    with pytest.raises(ConfigError, match="source: expected files, got"):
        convert.join(tmp_path, tmp_path / "other")


def archive(path, mode):
    with tarfile.open(path, mode) as tar:
        for number in range(20):
            content = random.Random(number).randbytes(5000)
            member = tarfile.TarInfo(f"model/part-{number}.bin")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_archives_are_extracted_without_being_written(mode, tmp_path):
    (tmp_path / "parts").mkdir()
    parts = split(archive(tmp_path / "parts" / "whole.tar", mode), "-b", "30000")
    sums = write_sums(tmp_path / "SUMS", parts)
    report = convert.join(parts, tmp_path / "out", extract=True, checksums=sums)
    assert report.checked == len(parts)
    for number in range(20):
        assert (tmp_path / "out" / "model" / f"part-{number}.bin").read_bytes() == random.Random(number).randbytes(5000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["SUMS", "out", "parts"]


def test_damaged_archives_leave_nothing(tmp_path):
    (tmp_path / "parts").mkdir()
    parts = split(archive(tmp_path / "parts" / "whole.tar", "w"), "-b", "30000")
    for count in (1, 2, 3):
        with pytest.raises(CorruptDataError, match="out: expected the parts of a tar archive"):
            convert.join(parts[:count], tmp_path / "out", extract=True)
    sums = write_sums(tmp_path / "SUMS", parts)
    data = bytearray(parts[-1].read_bytes())
    data[-1] ^= 1
    parts[-1].write_bytes(data)
    with pytest.raises(CorruptDataError, match=f"{parts[-1].name}: expected sha256"):
        convert.join(parts, tmp_path / "out", extract=True, checksums=sums)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["SUMS", "parts"]


def test_truncated_compressed_archives_are_refused(tmp_path):
    for mode in ("w:gz", "w:xz", "w:bz2"):
        folder = tmp_path / mode[2:]
        folder.mkdir()
        parts = split(archive(folder / "whole.tar", mode), "-b", "30000")
        with pytest.raises(CorruptDataError, match="expected the parts of a tar archive"):
            convert.join(parts[:-1], tmp_path / "out", extract=True)


def test_archives_do_not_reach_out_of_their_folder_nor_into_one_with_files(tmp_path):
    with tarfile.open(tmp_path / "evil_aa", "w") as tar:
        member = tarfile.TarInfo("../escaped")
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(CorruptDataError, match="outside"):
        convert.join(tmp_path / "evil_aa", tmp_path / "in" / "out", extract=True)
    assert not (tmp_path / "in" / "escaped").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    with pytest.raises(ConfigError, match="output: expected a new or empty folder"):
        convert.join(tmp_path / "evil_aa", tmp_path / "mine", extract=True, overwrite=True)
    assert (tmp_path / "mine" / "file").read_text() == "mine"


def test_progress_is_told(whole, tmp_path):
    told = []
    convert.join(split(whole, "-b", "30000"), tmp_path / "joined", on_progress=lambda *numbers: told.append(numbers))
    assert told[-1] == (100_003, 100_003, 4, 100_003)
