"""Claim: `pack` with a real tokenizer needs at most 1.1 times the time that the `tokenizers` package alone needs.

The package gets its texts in memory and is timed for `encode_batch_fast` only, on all cores. `pack` is timed whole:
starting Python, loading the tokenizer, reading, parsing, encoding, writing and syncing Megatron files.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from corpus import corpus_files, hash_documents, sample, train_tokenizer
from measure import CLI, MB, Bench, Case, bench, claim, in_child, print_table, report_of

if TYPE_CHECKING:
    import argparse

TARGET_TIME = 1.1
# What the tokenizer is trained on when none is given.
TRAINING_MB = 10


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tokenizer", type=Path, help="a tokenizer.json; trained on the corpus if not given")
    parser.add_argument("--eos-token", help="its end token, if the files beside it do not say")
    parser.add_argument("--limit-mb", type=float, default=30, help="MB of JSONL, every n-th line of the corpus")
    parser.add_argument("--peers-python", default=sys.executable, help="a Python that has tokenizers")


def prepare(options, folder: Path) -> tuple[int, str]:
    """Writes the sample, and a tokenizer if none was given."""
    files = corpus_files(options.corpus, options.text_field)
    content_bytes = sample(files, [folder / "sample.jsonl"], options.limit_mb)
    if options.tokenizer is not None:
        return content_bytes, str(options.tokenizer.resolve())
    sample(files, [folder / "training.jsonl"], TRAINING_MB)
    train_tokenizer([folder / "training.jsonl"], options.text_field, folder / "tokenizer.json")
    return content_bytes, str(folder / "tokenizer.json")


def hash_ids(folder: Path) -> str:
    """Hash of the documents of a packed folder, as 32-bit ids."""
    import bloomdata

    return hash_documents(document.astype("<u4").tobytes() for document in bloomdata.open(folder))


def check(run: Bench, ours: Case, peer: Case) -> None:
    """Both give the same ids, document for document."""
    facts = report_of(run.run(ours))["manifest"]["details"]["tokenizer"]
    with_ids = replace(peer, command=[*peer.command, "--eos-id", str(facts["eos_token_id"])])
    if in_child(hash_ids, ours.output) != json.loads(run.run(with_ids).stdout)["ids"]:
        sys.exit("pack and the tokenizers package give different ids")
    print(f"checked: the same ids; {facts['vocab_size']:,} in the vocabulary, backend {facts['backend']}\n")


def main() -> None:
    with bench("pack with a real tokenizer", add_options) as run:
        options = run.options
        content_bytes, tokenizer = in_child(prepare, options, run.scratch)
        text = str(run.scratch / "sample.jsonl")
        print(f"{content_bytes / MB:.1f} MB of JSONL; tokenizer {options.tokenizer or 'trained on the corpus'}\n")
        encode = [options.peers_python, str(Path(__file__).with_name("peer_encode.py")), text]
        peer = Case(
            name="tokenizers, encode_batch_fast only",
            command=[*encode, "--tokenizer", tokenizer, "--text-field", options.text_field],
            content_bytes=content_bytes,
            times_of=lambda stdout: (json.loads(stdout)["encode"], json.loads(stdout)["cpu"]),
        )
        out = run.scratch / "packed"
        command = [CLI, "pack", text, "-o", str(out), "--tokenizer", tokenizer, "--format", "megatron", "--json", "-q"]
        command += ["--text-field", options.text_field]
        command += ["--eos-token", options.eos_token] if options.eos_token else []
        ours = Case(name="bloomdata-cli pack", command=command, content_bytes=content_bytes, output=out)
        check(run, ours, peer)
        results = run.compare([peer, ours])
        print_table(results)
        loading = json.loads(results[0].runs[0].stdout)["load"]
        print(f"loading the tokenizer alone: {loading:.2f} s, part of pack's time and not of the package's\n")
        time = results[1].wall_seconds / results[0].wall_seconds
        claim("pack beside the tokenizers package", time, "times its time", at_most=TARGET_TIME)


if __name__ == "__main__":
    main()
