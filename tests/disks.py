"""Disks that are full, read-only or failing, and what a run on one of them must say."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from faults import wrong
from runs import command_line, differences, run, tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FAILURES = {
    1000 + 28: "No space left on device",  # ENOSPC from some call on
    2000 + 5: "Input/output error",  # EIO at one call
}


def check_strikes(results: list[dict], reason: str) -> None:
    """Every strike was reported as what it was, or did no harm."""
    for result in results:
        if result["status"] != 0:
            assert (result["status"], reason in result["errors"]) == (1, True), result
            assert "bloomdata-cli: OSError: " in result["errors"], result
            assert "Traceback" not in result["errors"], result
    assert any(result["status"] == 1 for result in results)
    assert wrong(results) == ""


def check_refusal(status: int, errors: str, error_class: str, reason: str, folder: Path) -> None:
    """One line that names the system's error and a path in the folder; no traceback, no crash."""
    assert status == 1, (status, errors)
    lines = errors.splitlines()
    assert len(lines) == 1, errors
    assert lines[0].startswith(f"bloomdata-cli: {error_class}: "), errors
    assert reason in lines[0], errors
    assert str(folder) in lines[0], errors


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Callable[[str], None]]:
    """A tmpfs on `folder` while the block runs; yields a function that remounts it. Skips without the right to."""
    folder.mkdir()
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"cannot mount a tmpfs: {done.stderr}")
    try:
        yield lambda option: subprocess.run(["mount", "-o", f"remount,{option}", folder], check=True)
    finally:
        subprocess.run(["umount", folder], check=True)


def check_full_from_the_start(command: list[str], inputs: Path, disk: Path, wanted: dict[str, bytes | None]) -> None:
    """On a disk without space the command fails; with space it goes on to what is wanted."""
    with mounted(disk, "size=1M") as remount:
        (disk / "output").mkdir()
        fill(disk / "filler")
        status, errors = run(command, inputs, disk / "output")
        check_refusal(status, errors, "OSError", "No space left on device", disk)
        (disk / "filler").unlink()
        remount("size=1G")
        status, errors = run(command, inputs, disk / "output")
        assert status == 0, errors
        assert differences(tree(disk / "output"), wanted) == []


# What runs the program with a limit on the size of files; Python ignores SIGXFSZ, so a write fails with EFBIG.
_LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
from bloomdata.cli import main
sys.exit(main(sys.argv[2:]))
"""


def run_limited(limit: int, command: list[str], inputs: Path, output: Path) -> tuple[int, str]:
    """Exit status and errors of the command, which may write no file of more than `limit` bytes."""
    arguments = [sys.executable, "-c", _LIMITED, str(limit), *command_line(command, inputs, output)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stderr


def fill(path: Path) -> None:
    """Writes zeros until the disk is full."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
