"""Stores of objects for tests: in memory, and with faults."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

FAULTY = "faulty"
OPTIONS = {"tokenizer": "bytes", "sequence_length": 64, "num_threads": 2}
UNIT = 4000


class FaultyStore(MemoryFileSystem):
    """A store in memory of which each call number `n` with `n % period == 0` fails, once."""

    protocol = FAULTY
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    period = 0
    broken = None
    calls = 0
    seen: ClassVar[list[tuple[str, str]]] = []
    lock = threading.Lock()

    @classmethod
    def reset(cls, period=0):
        cls.store.clear()
        cls.pseudo_dirs[:] = [""]
        cls.period, cls.calls, cls.broken = period, 0, None
        cls.seen.clear()

    def _strike(self, name, path):
        with FaultyStore.lock:
            FaultyStore.calls += 1
            FaultyStore.seen.append((name, path))
            strikes = FaultyStore.period and FaultyStore.calls % FaultyStore.period == 0
        if strikes or (FaultyStore.broken is not None and path.endswith(FaultyStore.broken)):
            raise OSError(f"{name} {path}: the store is tired")

    @classmethod
    def _strip_protocol(cls, path):
        path = str(path).removeprefix(f"{FAULTY}://").rstrip("/")
        return "/" + path.lstrip("/") if path else ""

    def find(self, path, **options):
        self._strike("find", path)
        return super().find(path, **options)

    def cat_file(self, path, start=None, end=None, **options):
        self._strike("cat_file", path)
        return super().cat_file(path, start=start, end=end, **options)

    def pipe_file(self, path, value, mode="overwrite", **options):
        self._strike("pipe_file", path)
        if mode == "create" and self.exists(path):
            raise FileExistsError(path)
        return super().pipe_file(path, value, **options)

    def get_file(self, rpath, lpath, **options):
        self._strike("get_file", rpath)
        super().get_file(rpath, lpath, **options)

    def rm_file(self, path):
        self._strike("rm_file", path)
        super().rm_file(path)

    def put_file(self, lpath, rpath, **options):
        self._strike("put_file", rpath)
        # At once, as stores do: nobody sees an object that is half written.
        return super().pipe_file(rpath, Path(lpath).read_bytes())


def upload(folder):
    """Brings the files of a folder to the store."""
    store = fsspec.filesystem(FAULTY)
    for path in folder.iterdir():
        FaultyStore.put_file(store, str(path), f"/raw/{path.name}")


def names():
    """Names of all objects."""
    return sorted(FaultyStore.store)
