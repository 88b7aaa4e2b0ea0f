"""Claims: of 100,000 passages with 384 numbers each, a query takes 15 ms or less on 2 cores, opening 50 ms or less, a
query 50 MB or less beside the mapped files; `retrieval build` goes at 0.9 times the rate of a model that encodes.

The encoder of the queries is a table of random vectors, so that only the search is measured. Its hits must be those of
a plain matrix product before anything is timed. `--encoder` names the encoder of the build: a folder of
sentence-transformers, for example. With `--faiss`, its indices are measured beside the scan.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from measure import MB, bench, claim, in_child

from bloomdata import retrieval
from bloomdata.retrieval import building

if TYPE_CHECKING:
    import argparse

PASSAGES, DIMENSION = 100_000, 384
QUERIES = 50


class RandomEncoder:
    """A random vector for each text, by the number that it begins with."""

    facts = {"kind": "random", "hash": "0", "pooling": "none", "normalised": True}  # noqa: RUF012 - as encoders have it

    def __init__(self) -> None:
        table = np.random.default_rng(0).standard_normal((PASSAGES, DIMENSION), np.float32)
        self.table = table / np.linalg.norm(table, axis=1, keepdims=True)

    def encode(self, texts: list[str]) -> np.ndarray:
        return self.table[[int(text.split()[0]) for text in texts]]


def write_documents(path: Path, count: int, words: int) -> None:
    source = random.Random(0)
    known = ["".join(source.choices("etaoinshrdlu", k=source.randint(2, 9))) for _ in range(5000)]
    with path.open("w") as file:
        for number in range(count):
            text = f"{number} {' '.join(source.choices(known, k=words - 1))}"
            file.write(json.dumps({"text": text}) + "\n")


def anonymous_bytes() -> int:
    """Memory of this process that is not of mapped files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def measure_queries(folder: str, is_exact: bool) -> dict[str, float]:
    """In a process of its own: time to open, time of a query, memory beside the map."""
    encoder = RandomEncoder()
    # Libraries are loaded once, whatever is opened.
    retrieval.open(folder).with_encoder(encoder).query("1", k=1)
    opened = []
    for _ in range(9):
        start = time.perf_counter()
        index = retrieval.open(folder).with_encoder(encoder)
        opened.append(time.perf_counter() - start)
    for number in (3, 70_001):
        hits = index.query(str(number), k=3).hits
        scores = encoder.table @ encoder.table[number]
        # An inverted file need not find all; itself it finds.
        expected = np.argsort(-scores)[:3].tolist() if is_exact else [number]
        assert [hit.document for hit in hits][: len(expected)] == expected
    before = anonymous_bytes()
    times = []
    spent = time.process_time()
    for number in range(QUERIES):
        start = time.perf_counter()
        index.query(str(number), k=3)
        times.append(time.perf_counter() - start)
    found = {"open": min(opened), "query": statistics.median(times), "best": min(times)}
    found["cpu"] = (time.process_time() - spent) / QUERIES
    return {name: 1e3 * seconds for name, seconds in found.items()} | {"MB": (anonymous_bytes() - before) / MB}


def measure_build(documents: Path, output: Path, name: str) -> tuple[float, float]:
    """Passages a second of the whole build, and of its encoder alone."""
    encoder = retrieval.open_encoder(name)
    spent = 0.0
    encode = encoder.encode

    def timed(texts: Any) -> Any:
        nonlocal spent
        start = time.perf_counter()
        vectors = encode(texts)
        spent += time.perf_counter() - start
        return vectors

    encoder.encode = timed  # type: ignore[method-assign]
    building.open_encoder = lambda *_, **__: encoder
    start = time.perf_counter()
    report = retrieval.build(documents, output, encoder=name)
    return report.passages / (time.perf_counter() - start), report.passages / spent


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--encoder", default="hash", help="encoder of the build")
    parser.add_argument("--faiss", action="store_true", help="measure indices of FAISS, too")
    parser.add_argument("--documents", type=int, default=20_000, help="documents of the build")


def main() -> None:
    with bench(__doc__.splitlines()[0], add_options) as run:
        write_documents(run.scratch / "docs.jsonl", PASSAGES, 8)
        kinds = [("scan", "float32")]
        if run.options.faiss:
            kinds += [("flat", "float32"), ("flat", "float16"), ("ivf", "float32")]
        encoder = RandomEncoder()
        print("| index | open ms | query ms (fastest) | CPU ms | MB beside the map | files MB |")
        print("| --- | ---: | ---: | ---: | ---: | ---: |")
        found = {}
        for kind, dtype in kinds:
            building.open_encoder = lambda *_, **__: encoder
            folder = run.scratch / f"{kind}-{dtype}"
            report = retrieval.build(run.scratch / "docs.jsonl", folder, index=kind, dtype=dtype)
            found[kind, dtype] = one = in_child(measure_queries, str(folder), kind != "ivf")
            cells = [f"{kind} {dtype}", f"{one['open']:.2f}", f"{one['query']:.1f} ({one['best']:.1f})"]
            cells += [f"{one['cpu']:.1f}", f"{one['MB']:.1f}", f"{report.bytes / MB:.0f}"]
            print(f"| {' | '.join(cells)} |", flush=True)
        scan = found["scan", "float32"]
        print()
        claim("a query of 100,000 x 384", scan["query"], "ms", at_most=15)
        claim("opening", scan["open"], "ms", at_most=50)
        claim("memory of queries beside the map", scan["MB"], "MB", at_most=50)
        write_documents(run.scratch / "long.jsonl", run.options.documents, 200)
        whole, alone = measure_build(run.scratch / "long.jsonl", run.scratch / "built", run.options.encoder)
        print(f"\nbuild: {whole:,.0f} passages/s, encoder alone: {alone:,.0f} passages/s")
        # Hashing takes less than reading and writing beside it: the claim is about models.
        if run.options.encoder != "hash":
            name = Path(run.options.encoder).name
            claim(f"build with {name} beside its encoder", whole / alone, "times", at_least=0.9)


if __name__ == "__main__":
    main()
