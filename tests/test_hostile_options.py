"""Options that no disk can hold."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hostile import TEN, jsonl, write


@pytest.mark.parametrize("rows", [1 << 40, 1 << 61, (1 << 63) - 1, (1 << 64) - 1, 1 << 64])
def test_absurd_numbers_of_rows_are_refused_or_work(rows, tmp_path):
    path = write(tmp_path / "a.jsonl", jsonl(TEN))
    output = tmp_path / "output"
    command = [sys.executable, "-m", "bloomdata", "pack", path, "-o", output, "--tokenizer", "bytes"]
    command += ["--sequence-length", "8", "--rows-per-file", str(rows)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=15)
    except subprocess.TimeoutExpired:
        pytest.fail(f"rows_per_file={rows} hangs")
    if done.returncode != 0:
        assert "ConfigError: --rows-per-file" in done.stderr
        assert "Traceback" not in done.stderr
