"""Training a tokenizer beside others: the same texts, the same merges as `tokenizers`, each in its own process.

    python benchmarks/bench_train.py --corpus CORPUS [--gigabpe-python RIVALS/bin/python] [--family gpt2 bloom]

Claims: at equal merges 4 times the speed of `tokenizers`' trainer, in less memory; not slower than gigabpe, which cuts
lines instead of texts and so has other merges.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measure import MB, bench, claim
from peer_tokenizers import records_of

if TYPE_CHECKING:
    import argparse

    from measure import Bench

PEER = Path(__file__).with_name("peer_train.py")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(repeat=1)
    parser.add_argument("--gigabpe-python", help="a Python with gigabpe")
    parser.add_argument("--family", nargs="+", default=["gpt2", "bloom"], help="how words are cut")
    parser.add_argument("--vocab-size", type=int, default=50_000)
    parser.add_argument("--min-frequency", type=int, default=2)
    parser.add_argument("--limit-mb", type=float, default=100, help="MB of text")


def write_texts(options: argparse.Namespace, path: Path) -> int:
    """Documents evenly spread over the corpus; bytes of text."""
    files = sorted(options.corpus.rglob("*.jsonl.zst"))
    limit, size = options.limit_mb * MB / len(files), 0
    with path.open("w", encoding="utf-8") as out:
        for file in files:
            here = 0
            for record in records_of(file):
                text = record.get("text") or record.get("content") or ""
                out.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
                here += len(text.encode())
                if here > limit:
                    break
            size += here
    return size


def run(python: str, *arguments: object) -> dict[str, Any]:
    command = [python, str(PEER), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return json.loads(done.stdout)


def compare(opened: Bench) -> None:
    """Trains with each library, checks the merges, prints time and memory."""
    options = opened.options
    texts = opened.scratch / "texts.jsonl"
    size = write_texts(options, texts)
    pythons = {"bloomdata": sys.executable, "tokenizers": sys.executable}
    if options.gigabpe_python:
        pythons["gigabpe"] = options.gigabpe_python
    print(f"{size / MB:.0f} MB of text, {options.vocab_size:,} tokens, pairs of {options.min_frequency} and more")
    for family in options.family:
        rows: dict[str, dict[str, Any]] = {}
        for name, python in pythons.items():
            if name == "gigabpe" and family != "gpt2":
                continue
            runs = [
                run(python, name, texts, options.vocab_size, family, options.min_frequency)
                for _ in range(options.repeat)
            ]
            rows[name] = min(runs, key=lambda row: row["seconds"])
        if rows["bloomdata"]["digest"] != rows["tokenizers"]["digest"]:
            sys.exit(f"{family}: the merges are not those of tokenizers")
        for name, row in rows.items():
            rate = size / MB / row["seconds"]
            peak = row["peak_bytes"] / MB
            same = "the same merges" if row["digest"] == rows["tokenizers"]["digest"] else "other merges"
            print(f"{family:<8}{name:<12}{row['seconds']:>8.1f} s{rate:>8.1f} MB/s{peak:>8.0f} MB  {same}")
        ratio = rows["tokenizers"]["seconds"] / rows["bloomdata"]["seconds"]
        claim(f"training {family}, beside tokenizers", ratio, "times its speed", at_least=4)
        memory = rows["bloomdata"]["peak_bytes"] / rows["tokenizers"]["peak_bytes"]
        claim(f"training {family}, beside tokenizers", memory, "of its memory", at_most=1)


def main() -> None:
    with bench("training a tokenizer beside others", add_options) as opened:
        compare(opened)


if __name__ == "__main__":
    main()
