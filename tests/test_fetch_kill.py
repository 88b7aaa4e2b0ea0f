"""`fetch`, killed at any change of its folder, goes on to the same bytes; nothing half has a final name."""

from __future__ import annotations

import gzip
import hashlib
import random
import signal

import pytest

from faults import strikes, wrong

# What an unfinished folder holds besides: parts and their state, books of what is there so far, archives not yet gone.
UNFINISHED = (".part", ".part.state", "fetched.json", ".gz")


def specification(tmp_path, *options, how=1, every=1):
    rng = random.Random(3)
    sources = tmp_path / "sources"
    sources.mkdir()
    contents = {"a.jsonl": rng.randbytes(600_000), "b.jsonl": b"", "c.jsonl.gz": gzip.compress(rng.randbytes(5000))}
    for name, content in contents.items():
        (sources / name).write_bytes(content)
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in contents.items())
    (sources / "SHA256SUMS").write_text(sums)
    command = ["fetch", *(str(sources / name) for name in contents), "--output", str(tmp_path / "out"), "--quiet"]
    command += ["--num-connections", "1", *options]
    return {"command": command, "then": command, "output": str(tmp_path / "out"), "how": how, "every": every}


def check(results, *statuses):
    for result in results:
        result["half"] = [name for name in result["half"] if not name.endswith(UNFINISHED)]
    assert all(result["status"] in statuses for result in results)
    assert wrong(results) == ""


BOTH = pytest.mark.parametrize("options", [[], ["--decompress"]], ids=["as they are", "unpacked"])


@BOTH
def test_a_run_killed_at_every_fifth_change_of_its_folder_goes_on_to_the_same_bytes(shim, tmp_path, options):
    check(strikes(shim, specification(tmp_path, *options, every=5)), -signal.SIGKILL)


@pytest.mark.slow
@BOTH
def test_a_run_killed_at_every_change_of_its_folder_goes_on_to_the_same_bytes(shim, tmp_path, options):
    check(strikes(shim, specification(tmp_path, *options)), -signal.SIGKILL)


@pytest.mark.slow
def test_a_run_killed_in_the_middle_of_any_write_goes_on_to_the_same_bytes(shim, tmp_path):
    check(strikes(shim, specification(tmp_path, "--decompress", how=2)), -signal.SIGKILL)


def test_a_run_on_a_full_disk_is_an_error_and_goes_on_when_there_is_room(shim, tmp_path):
    # 0 where nothing that needs room comes any more.
    check(strikes(shim, specification(tmp_path, "--decompress", how=1000 + 28, every=7)), 0, 1)
