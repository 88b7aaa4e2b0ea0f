"""A store for each test, and inputs in it."""

from __future__ import annotations

import json

import fsspec
import pytest
from stores import FAULTY, UNIT, FaultyStore, upload

from bloomdata.parts import sharing
from bloomdata.storage import addresses, staging


@pytest.fixture(autouse=True)
def store(monkeypatch):
    """An empty store in memory, whose failed requests are tried again at once; files are cut small."""
    fsspec.register_implementation(FAULTY, FaultyStore, clobber=True)
    FaultyStore.reset()
    monkeypatch.setattr(sharing, "UNIT_BYTES", UNIT)
    monkeypatch.setattr(addresses, "WAITS", (0.0,) * 4)
    monkeypatch.setattr(staging, "CHUNK_BYTES", 1000)
    return fsspec.filesystem(FAULTY)


@pytest.fixture
def corpus(store, tmp_path):
    """Three files here, and in the store."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in "abc":
        lines = [json.dumps({"text": f"{name} {number} {'word ' * (number % 9)}"}) for number in range(200)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "README.md").write_text("not data")
    upload(folder)
    return folder
