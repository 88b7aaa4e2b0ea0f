"""Claim: reading from a store hides the download. At a link of half the rate of the core, and of twice that rate, a run
over objects reaches 0.9 times the rate of the slower of the two.

The store is one in memory, whose answers take the time of the link; its objects are the shards of the corpus.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar

from corpus import corpus_files, decompress
from measure import MB, bench, claim, in_child

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

TARGET = 0.9


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--files", type=int, default=24, help="objects that the corpus is cut into")


def prepare(options: argparse.Namespace, folder: Path) -> int:
    """The corpus in so many plain files; their bytes."""
    content = b"".join(
        file.read_bytes() for file in decompress(corpus_files(options.corpus, options.text_field), folder / "plain")
    )
    lines = content.splitlines(keepends=True)
    size = -(-len(lines) // options.files)
    target = folder / "objects"
    target.mkdir()
    for number in range(options.files):
        (target / f"{number:03}.jsonl").write_bytes(b"".join(lines[number * size : (number + 1) * size]))
    return len(content)


def times(folder: Path, size: int, text_field: str) -> list[tuple[float, float, float]]:
    """For each link: its rate, the rate of the core, and that of both together, in bytes a second."""
    import fsspec
    from fsspec.implementations.memory import MemoryFileSystem

    import bloomdata

    link = {"rate": float("inf"), "free": 0.0}
    lock = threading.Lock()

    class Throttled(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
        protocol = "throttled"
        store: ClassVar[dict[str, Any]] = {}

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return "/" + path.removeprefix("throttled://").strip("/")

        def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
            content: bytes = super().cat_file(path, start=start, end=end, **options)
            with lock:
                # One link, however many ask.
                link["free"] = max(link["free"], time.perf_counter()) + len(content) / link["rate"]
                until = link["free"]
            time.sleep(max(0.0, until - time.perf_counter()))
            return content

    fsspec.register_implementation("throttled", Throttled, clobber=True)
    store = fsspec.filesystem("throttled")
    for path in sorted((folder / "objects").iterdir()):
        store.pipe_file(f"/raw/{path.name}", path.read_bytes())
    options = {"compression": "zstd", "text_field": text_field, "overwrite": True}

    def run(inputs: Any, output: str) -> tuple[float, str]:
        start = time.perf_counter()
        report = bloomdata.shard(inputs, folder / output, scratch=folder / "scratch", **options)
        return size / (time.perf_counter() - start), report.fingerprint

    found = []
    core, expected = max(run(folder / "objects", "local") for _ in range(3))
    for share in (0.5, 2.0):
        link["rate"] = core * share
        both, fingerprint = max(run("throttled://raw", "brought") for _ in range(3))
        if fingerprint != expected:
            sys.exit("staging: objects gave other bytes than files")
        found.append((link["rate"], core, both))
    return found


def main() -> None:
    with bench("reading from a store", add_options) as run:
        size = in_child(prepare, run.options, run.scratch)
        for link, core, both in in_child(times, run.scratch, size, run.options.text_field):
            what = f"link {link / MB:.0f} MB/s, core {core / MB:.0f} MB/s, together {both / MB:.0f} MB/s"
            claim(f"{what}: of the slower one", both / min(link, core), "x", at_least=TARGET)


if __name__ == "__main__":
    main()
