"""Claim: with `tokenizer="bytes"`, `pack` reads 250 MB/s of JSONL to Megatron files and 200 MB/s to HDF5 on 2 cores.

The tokenizer costs next to nothing, so this is the ceiling of the pipeline itself. Peak memory stays under 500 MB,
and is the same for ten times the input (`--ten`). One case writes as many bytes as the output has and does nothing
else, in one thread: what the file system allows a simple program.
"""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from corpus import corpus_files, decompress, hash_documents, link_copies, texts_of, total_bytes
from measure import CLI, MB, Bench, Case, bench, claim, in_child, print_table, report_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TARGETS = {"megatron": 250, "hdf5": 200}
TARGET_PEAK_MB = 500
# Memory of ten times the input beside memory of the input.
TARGET_GROWTH = 1.1
EOS, SEPARATOR, PADDING = 258, 3, 2
COPIES = 10
WRITE_ONLY = """
import os, sys
with open(sys.argv[1], "xb", buffering=0) as file:
    block, left = os.urandom(1 << 20), int(sys.argv[2])
    while left > 0:
        left -= file.write(block[:left])
    os.fsync(file.fileno())
"""


def prepare(options, folder: Path) -> tuple[list[Path], list[Path], int, str]:
    """Compressed and plain inputs, bytes, and the hash of all texts."""
    files = corpus_files(options.corpus, options.text_field)
    plain = decompress(files, folder)
    hash_ = hash_documents(text.encode() for text in texts_of(plain, options.text_field))
    return files, plain, total_bytes(plain), hash_


def documents(folder: Path) -> Iterator[bytes]:
    """Documents of a packed folder as bytes."""
    import numpy as np

    import bloomdata

    dataset = bloomdata.open(folder)
    if isinstance(dataset, bloomdata.IndexedDataset):
        for tokens in dataset:
            assert tokens[-1] == EOS, "a document without the end token"
            assert tokens[:-1].max() < 256, "a token that is no byte"
            yield tokens[:-1].astype(np.uint8).tobytes()
        return
    rest = b""
    for start in range(0, len(dataset), 1024):
        rows = dataset[start : start + 1024]
        ids, types = rows["input_ids"].reshape(-1), rows["token_type_ids"].reshape(-1)
        ids, types = ids[types != PADDING], types[types != PADDING]
        ends = np.flatnonzero(types == SEPARATOR)
        assert np.array_equal(ends, np.flatnonzero(ids == EOS)), "token types and end tokens disagree"
        *whole, last = np.split(ids.astype(np.uint8), ends + 1)
        for tokens in whole:
            yield rest + tokens[:-1].tobytes()
            rest = b""
        rest += last.tobytes()
    assert not rest, "the last document has no end"


def hash_packed(folder: Path) -> str:
    return hash_documents(documents(folder))


def pack_case(run: Bench, kind: str, suffix: str, inputs: list[Path], content_bytes: int) -> Case:
    """`pack` of some inputs to one format."""
    out = run.scratch / f"packed-{kind}"
    command = [CLI, "pack", *map(str, inputs), "-o", str(out), "--tokenizer", "bytes", "--format", kind, "--json"]
    command += ["--quiet", "--text-field", run.options.text_field]
    command += ["--sequence-length", "2048"] if kind == "hdf5" else []
    return Case(name=f"pack {kind} from {suffix}", command=command, content_bytes=content_bytes, output=out)


def check(run: Bench, case: Case, expected: str) -> int:
    """Every text comes back; returns the bytes of the output."""
    report = report_of(run.run(case))
    if in_child(hash_packed, case.output) != expected:
        sys.exit(f"{case.name}: the texts do not come back")
    print(f"checked: {case.name}: every text comes back", flush=True)
    return sum(output["size"] for output in report["manifest"]["outputs"])


def ten_times(run: Bench, kind: str, plain: list[Path], content_bytes: int, output_bytes: int, peak: int) -> None:
    """Peak memory of ten times the input."""
    if shutil.disk_usage(run.scratch).free < 1.2 * COPIES * output_bytes:
        print(f"not measured: pack {kind} of 10 times the input needs {COPIES * output_bytes / MB:.0f} MB of scratch\n")
        return
    copies = link_copies(plain, run.scratch / f"ten-{kind}", COPIES)
    case = pack_case(run, kind, ".jsonl, 10 times", copies, COPIES * content_bytes)
    results = run.compare([case], repeat=1)
    print_table(results)
    claim(f"pack {kind}: peak at 10 times the input", results[0].peak_bytes / MB, "MB", at_most=TARGET_PEAK_MB)
    claim(f"pack {kind}: peak at 10 times, beside once", results[0].peak_bytes / peak, "times", at_most=TARGET_GROWTH)


def main() -> None:
    with bench("pack with the bytes tokenizer", lambda it: it.add_argument("--ten", action="store_true")) as run:
        files, plain, content_bytes, expected = in_child(prepare, run.options, run.scratch / "plain")
        print(f"{len(files)} files, {content_bytes / MB:.0f} MB of JSONL\n")
        for kind, target in TARGETS.items():
            cases = [
                pack_case(run, kind, ".jsonl", plain, content_bytes),
                pack_case(run, kind, ".jsonl.zst", files, content_bytes),
            ]
            output_bytes = min([check(run, case, expected) for case in cases])
            shutil.rmtree(cases[0].output)
            raw = run.scratch / "raw"
            write = f"mkdir {raw} && exec {sys.executable} -c '{WRITE_ONLY}' {raw}/raw {output_bytes}"
            name = f"writing the {output_bytes / MB:.0f} MB of {kind} alone, one thread"
            command = ["bash", "-c", write]
            floor = Case(name=name, command=command, content_bytes=content_bytes, output=raw)
            print()
            results = run.compare([*cases, floor])
            print_table(results)
            claim(f"pack {kind} from .jsonl", results[0].rate, "MB/s", at_least=target)
            peak = max(result.peak_bytes for result in results[:2])
            claim(f"pack {kind}: peak memory", peak / MB, "MB", at_most=TARGET_PEAK_MB)
            print()
            if run.options.ten:
                ten_times(run, kind, plain, content_bytes, output_bytes, results[0].peak_bytes)


if __name__ == "__main__":
    main()
