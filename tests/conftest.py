"""Shared fixtures; which tests show known gaps; equal random examples on every run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

_GAPS = [
    line
    for line in Path(__file__).with_name("known_gaps.txt").read_text("utf-8").splitlines()
    if line and not line.startswith("#")
]


def pytest_collection_modifyitems(items):
    for item in items:
        if item.nodeid.startswith(tuple(_GAPS)):
            item.add_marker(pytest.mark.xfail(reason="tests/known_gaps.txt", strict=False))


@pytest.fixture
def raw(tmp_path, monkeypatch):
    """A working folder with `raw/a.jsonl` of two documents."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "raw"
    folder.mkdir()
    lines = [json.dumps({"text": text}) for text in ("hello world", "a second document")]
    (folder / "a.jsonl").write_text("\n".join(lines) + "\n")
    return folder
