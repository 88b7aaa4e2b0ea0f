"""Claim: `shard` from .jsonl.zst to .jsonl.zst reaches 0.8 of the speed of `zstd -dc | zstd -3 -T2`.

The pipe only copies bytes. `shard` also finds the lines, checks that each is a JSON object, cuts shards of 16,384
lines, hashes inputs and outputs, syncs, and writes a manifest.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from corpus import corpus_files, decompress, hash_lines, total_bytes
from measure import CLI, MB, Bench, Case, bench, claim, in_child, print_table, report_of

if TYPE_CHECKING:
    from pathlib import Path

TARGET_SPEED = 0.8


def prepare(options, folder: Path) -> tuple[list[Path], int, str]:
    """The corpus, its decompressed size, and the hash of its lines."""
    files = corpus_files(options.corpus, options.text_field)
    content_bytes = total_bytes(decompress(files, folder))
    return files, content_bytes, hash_lines(files)


def check(run: Bench, case: Case, expected: str) -> None:
    """Our shards hold the lines of the inputs, all of them, in order."""
    report = report_of(run.run(case))
    shards = [case.output / output["path"] for output in report["manifest"]["outputs"]]
    if in_child(hash_lines, shards) != expected:
        sys.exit("shard: the shards do not hold the lines of the inputs")
    print(f"checked: {len(shards)} shards hold the lines of the inputs, byte for byte\n")


def main() -> None:
    with bench("shard beside zstd") as run:
        if shutil.which("zstd") is None:
            sys.exit("the program zstd is needed, it is what shard is measured against")
        version = subprocess.run(["zstd", "--version"], capture_output=True, text=True, check=True).stdout.strip("* \n")
        files, content_bytes, expected = in_child(prepare, run.options, run.scratch / "plain")
        inputs, cores = [str(path) for path in files], run.options.cores
        print(f"{len(inputs)} files, {content_bytes / MB:.0f} MB decompressed; {version}\n")
        out = run.scratch / "piped"
        quoted = " ".join(map(shlex.quote, inputs))
        pipe = f"mkdir {out} && zstd -dcq {quoted} | zstd -3 -q -T{cores} -o {out}/all.jsonl.zst"
        ours = run.scratch / "shards"
        cases = [
            Case(
                name=f"zstd -dc, zstd -3 -T{cores}",
                command=["bash", "-o", "pipefail", "-c", pipe],
                content_bytes=content_bytes,
                output=out,
            ),
            Case(
                name="bloomdata-cli shard",
                command=[CLI, "shard", *inputs, "-o", str(ours), "--json", "--quiet"],
                content_bytes=content_bytes,
                output=ours,
            ),
        ]
        check(run, cases[1], expected)
        run.run(cases[0])
        results = run.compare(cases)
        print_table(results)
        speed = results[0].wall_seconds / results[1].wall_seconds
        claim("shard beside zstd -dc | zstd -3", speed, "times as fast", at_least=TARGET_SPEED)


if __name__ == "__main__":
    main()
