"""Claims: `pack --parts 8 --local 2` at 0.95 times the rate of one run with 2 threads or more; 10,000 files are planned
in under 1 s; `finish` of 10,000 parts takes under 30 s.

Both runs read one plain file of the whole corpus, in turn; the joined pair of the parts is that of the one run, byte
for byte. `train-tokenizer` is timed in both ways, too, without a claim. `finish` reads no data: its parts are copies of
one small part under other numbers.
"""

from __future__ import annotations

import filecmp
import json
import sys
import time
from typing import TYPE_CHECKING

from corpus import corpus_files, decompress
from measure import CLI, MB, Bench, Case, bench, claim, in_child, print_table

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

TARGET_SPEED = 0.95
PLAN_SECONDS = 1
FINISH_SECONDS = 30
NUM_FILES = NUM_PARTS = 10_000


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--copies", type=int, default=10, help="how often the corpus stands in the file that is read")
    parser.add_argument("--tokenizer", default="bytes", help="a tokenizer.json, or bytes")
    parser.add_argument("--eos-token", help="its end token, if the files beside it do not say")


def prepare(options: argparse.Namespace, folder: Path) -> Path:
    """One file of the whole corpus, several times."""
    files = decompress(corpus_files(options.corpus, options.text_field), folder)
    path = folder / "all.jsonl"
    with path.open("wb") as out:
        for _ in range(options.copies):
            for file in files:
                out.write(file.read_bytes())
    return path


def cases_of(run: Bench, folder: str, command: list[str], size: int) -> tuple[Case, Case]:
    """A command in one run and in parts, on as many processors."""
    cores = str(run.options.cores)

    def case(name: str, *words: str) -> Case:
        output = run.scratch / folder / name.replace(" ", "-")
        return Case(name=name, command=[*command, "--output", str(output), *words], content_bytes=size, output=output)

    return (
        case(f"{cores} threads", "--num-threads", cores),
        case(f"8 parts, {cores} at a time", "--parts", "8", "--local", cores, "--num-threads", "1"),
    )


def check(run: Bench, whole: Case, parts: Case) -> None:
    """The joined pair of all parts is the pair of the one run."""
    for case in (whole, parts):
        run.run(case)
    run.run(Case(name="finish", command=[CLI, "finish", str(parts.output), "--joined"], content_bytes=0))
    for suffix in ("bin", "idx"):
        name = f"data_text_document.{suffix}"
        if not filecmp.cmp(whole.output / name, parts.output / name, shallow=False):
            sys.exit(f"parts: {name} differs from that of one run")
    print("checked: the joined pair of 8 parts is the pair of one run, byte for byte\n")


def plan_and_finish(folder: Path) -> tuple[float, float]:
    """Seconds of the first of 10,000 parts of as many files, and of the end."""
    import bloomdata
    from bloomdata.parts.sharing import part_name

    inputs, output = folder / "files", folder / "parts"
    inputs.mkdir()
    for number in range(NUM_FILES):
        (inputs / f"{number:05}.jsonl").write_text(f'{{"text": "document {number:05}"}}\n')
    start = time.perf_counter()
    bloomdata.shard(inputs, output, parts=NUM_PARTS, part=0)
    planned = time.perf_counter() - start
    first = output / part_name(0, NUM_PARTS)
    shard = next(first.glob("*.zst"))
    manifest = json.loads((first / "manifest.json").read_text())
    for number in range(1, NUM_PARTS):
        name = f"part-{number:05}"
        other = output / part_name(number, NUM_PARTS)
        other.mkdir()
        (other / shard.name.replace("part-00000", name)).hardlink_to(shard)
        manifest["config"] |= {"part": number, "prefix": name}
        manifest["outputs"][0]["path"] = shard.name.replace("part-00000", name)
        (other / "manifest.json").write_text(json.dumps(manifest))
    start = time.perf_counter()
    report = bloomdata.finish(output)
    finished = time.perf_counter() - start
    assert report.ledger["documents_kept"] == len(report.outputs) == NUM_PARTS
    return planned, finished


def main() -> None:
    with bench("parts beside one run", add_options) as run:
        path = in_child(prepare, run.options, run.scratch / "plain")
        size = path.stat().st_size
        print(f"one file of {size / MB:.0f} MB; tokenizer {run.options.tokenizer}\n")
        pack = [CLI, "pack", str(path), "--format", "megatron", "--text-field", run.options.text_field, "--quiet"]
        pack += ["--tokenizer", str(run.options.tokenizer)]
        pack += ["--eos-token", run.options.eos_token] if run.options.eos_token else []
        train = [CLI, "train-tokenizer", str(path), "--vocab-size", "8000", "--quiet"]
        train += ["--text-field", run.options.text_field]
        packing, training = cases_of(run, "packed", pack, size), cases_of(run, "tokenizers", train, size)
        check(run, *packing)
        results = run.compare(list(packing))
        print_table(results)
        print("\ntrain-tokenizer: words by part, one training at the end")
        print_table(run.compare(list(training)))
        planned, finished = in_child(plan_and_finish, run.scratch)
        claim("parts beside one run", results[0].wall_seconds / results[1].wall_seconds, "x", at_least=TARGET_SPEED)
        claim(f"the plan of {NUM_FILES:,} files, and one part", planned, "s", at_most=PLAN_SECONDS)
        claim(f"finish of {NUM_PARTS:,} parts", finished, "s", at_most=FINISH_SECONDS)


if __name__ == "__main__":
    main()
