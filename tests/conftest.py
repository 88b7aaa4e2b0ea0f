"""Shared fixtures; equal random examples on every run."""

from __future__ import annotations

import json

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture
def raw(tmp_path, monkeypatch):
    """A working folder with `raw/a.jsonl` of two documents."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "raw"
    folder.mkdir()
    lines = [json.dumps({"text": text}) for text in ("hello world", "a second document")]
    (folder / "a.jsonl").write_text("\n".join(lines) + "\n")
    return folder
