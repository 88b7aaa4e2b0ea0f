"""`verify` of the parts of a run, apart: it finds what it finds in the whole folder."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import bloomdata
from bloomdata import ConfigError, CorruptDataError
from bloomdata.cli import main
from bloomdata.parts import sharing
from files import write_words
from runs import tree

PART = "part-00001-of-00003"


@pytest.fixture(autouse=True, scope="module")
def _small_units():
    """Files of a few lines are cut as those of gigabytes are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharing, "UNIT_BYTES", 64)
        yield


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_words(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def executor():
    with ThreadPoolExecutor(2) as pool:
        yield pool


RUNS = {
    "shard": lambda inputs, output: bloomdata.shard(inputs, output, parts=3),
    "hdf5": lambda inputs, output: bloomdata.pack(inputs, output, tokenizer="bytes", sequence_length=64, parts=3),
    "gzip": lambda inputs, output: bloomdata.pack(
        inputs, output, tokenizer="bytes", sequence_length=64, compression="gzip", parts=3
    ),
    "megatron": lambda inputs, output: bloomdata.pack(inputs, output, tokenizer="bytes", format="megatron", parts=3),
    "dedup": lambda inputs, output: bloomdata.dedup(inputs, output, near=bloomdata.MinHash(0.8), parts=3),
    "tokenizer": lambda inputs, output: bloomdata.train_tokenizer(inputs, output, vocab_size=300, parts=3),
}


@pytest.mark.parametrize("name", RUNS)
def test_parts_that_are_checked_apart_give_the_report_of_one_check(name, inputs, executor, tmp_path):
    folder = tmp_path / "out"
    RUNS[name](inputs, folder)
    before = tree(folder)
    whole = bloomdata.verify(folder)
    assert bloomdata.verify(folder, executor=executor) == whole
    apart = [bloomdata.verify(folder, part=part) for part in range(3)]
    outputs = json.loads((folder / "manifest.json").read_text())["outputs"]
    assert sum(part.files for part in apart) == sum(output["path"].startswith("part-") for output in outputs)
    assert tree(folder) == before
    for path in sorted(Path(folder, PART).iterdir()):
        if path.name == "manifest.json":
            continue
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if content else b"x")
        with pytest.raises(CorruptDataError) as one:
            bloomdata.verify(folder)
        with pytest.raises(CorruptDataError) as shared:
            bloomdata.verify(folder, executor=executor)
        assert str(shared.value) == str(one.value)
        with pytest.raises(CorruptDataError, match=rf"{PART}: 1 problem\(s\)\n  {path.name}: "):
            bloomdata.verify(folder, part=1)
        bloomdata.verify(folder, part=2)
        path.write_bytes(content)


def test_the_root_is_checked_against_its_parts(inputs, executor, tmp_path):
    folder = tmp_path / "out"
    bloomdata.shard(inputs, folder, parts=3)
    other = tmp_path / "other"
    bloomdata.shard(inputs, other, parts=3, max_lines=5)

    def problems():
        with pytest.raises(CorruptDataError) as raised:
            bloomdata.verify(folder, executor=executor)
        return str(raised.value)

    (folder / PART / "mine.txt").write_text("mine")
    assert f"{PART}/mine.txt: the manifest does not know it" in problems()
    (folder / PART / "mine.txt").unlink()
    shutil.move(folder / PART, tmp_path / "kept")
    assert f"{PART}/manifest.json: missing" in problems()
    shutil.copytree(other / PART, folder / PART)
    assert f"{PART}/manifest.json: the part is another one than the folder was made of" in problems()
    shutil.rmtree(folder / PART)
    shutil.move(tmp_path / "kept", folder / PART)
    plan = (folder / "plan.json").read_text()
    (folder / "plan.json").write_text(plan.replace('"unit_bytes":64', '"unit_bytes":65'))
    assert "plan.json: the plan is another one" in problems()
    (folder / "plan.json").unlink()
    assert "plan.json: the plan is another one" in problems()
    (folder / "plan.json").write_text(plan)
    manifest = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(manifest.replace('"documents_in": 160', '"documents_in": 161'))
    assert "manifest.json: the ledger does not balance" in problems()
    (folder / "manifest.json").write_text(manifest)
    bloomdata.verify(folder, executor=executor)


def test_folders_without_parts_and_parts_that_are_not_there_are_refused(inputs, executor, tmp_path, monkeypatch):
    bloomdata.shard(inputs, tmp_path / "whole")
    with pytest.raises(ConfigError, match="part: expected a folder with the parts of a run"):
        bloomdata.verify(tmp_path / "whole", part=0)
    with pytest.raises(ConfigError, match="executor: expected a folder of parts"):
        bloomdata.verify(tmp_path / "whole", executor=executor)
    bloomdata.pack(inputs, tmp_path / "out", tokenizer="bytes", format="megatron", parts=3, part=2)
    assert bloomdata.verify(tmp_path / "out", part=2).files == 2
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    assert bloomdata.verify(tmp_path / "out", part="slurm").files == 2
    with pytest.raises(ConfigError, match=rf"expected a finished folder with a manifest\.json.*{PART}"):
        bloomdata.verify(tmp_path / "out", part=1)
    with pytest.raises(ConfigError, match="part: expected 0 to 2, or 'slurm', got 3"):
        bloomdata.verify(tmp_path / "out", part=3)
    with pytest.raises(ConfigError, match="executor: expected only without part"):
        bloomdata.verify(tmp_path / "out", part=2, executor=executor)
    with pytest.raises(ConfigError, match=r"found no manifest\.json"):
        bloomdata.verify(tmp_path / "out", executor=executor)
    with pytest.raises(ConfigError, match="executor: expected anything with a method submit"):
        bloomdata.verify(tmp_path / "out", executor="all")
    bloomdata.pack(inputs, tmp_path / "out", tokenizer="bytes", format="megatron", parts=3)
    bloomdata.finish(tmp_path / "out", joined=True)
    with pytest.raises(ConfigError, match="got one whose pairs are joined"):
        bloomdata.verify(tmp_path / "out", executor=executor)


def test_verify_on_the_command_line(inputs, tmp_path, capsys):
    bloomdata.shard(inputs, tmp_path / "out", parts=3)
    assert main(["verify", str(tmp_path / "out"), "--part", "1"]) == 0
    assert "1 files" in capsys.readouterr().out
    assert main(["verify", str(tmp_path / "out"), "--part", "1", "--local", "2"]) == 1
    assert main(["verify", str(tmp_path / "out"), "--local", "2"]) == 0
    assert "3 files" in capsys.readouterr().out
