"""Beside others, end to end from JSONL: datatrove, and a plain script of datasets, tokenizers and h5py.

All get the same files and the same tokenizer, on the same cores, and must find the same number of tokens. bloomdata
also hashes, checks and syncs what it reads and writes, and keeps books; the others do not.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench_pack_tokenizer import TRAINING_MB
from corpus import EOS_TOKEN, corpus_files, sample, train_tokenizer
from measure import CLI, MB, Bench, Case, bench, in_child, print_table, report_of

if TYPE_CHECKING:
    import argparse

PARTS = 2


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tokenizer", type=Path, help="a tokenizer.json; trained on the corpus if not given")
    parser.add_argument("--eos-token", default=EOS_TOKEN, help="its end token")
    parser.add_argument("--limit-mb", type=float, default=20, help="MB of JSONL, every n-th line of the corpus")
    parser.add_argument("--peers-python", required=True, help="a Python that has datatrove, datasets and h5py")


def prepare(options, folder: Path) -> tuple[int, str]:
    """Writes the sample as two files, one for each task of datatrove, and a tokenizer if none was given."""
    files = corpus_files(options.corpus, options.text_field)
    (folder / "inputs").mkdir()
    targets = [folder / "inputs" / f"{number}.jsonl" for number in range(PARTS)]
    content_bytes = sample(files, targets, options.limit_mb)
    if options.tokenizer is not None:
        return content_bytes, str(options.tokenizer.resolve())
    sample(files, [folder / "training.jsonl"], TRAINING_MB)
    train_tokenizer([folder / "training.jsonl"], options.text_field, folder / "tokenizer.json")
    return content_bytes, str(folder / "tokenizer.json")


def contenders(run: Bench, content_bytes: int, tokenizer: str) -> list[Case]:
    """bloomdata to both formats, then the peers."""
    options, inputs = run.options, str(run.scratch / "inputs")
    common = ["--tokenizer", tokenizer, "--eos-token", options.eos_token, "--text-field", options.text_field]

    def ours(kind: str, *more: str) -> Case:
        out = run.scratch / kind
        command = [CLI, "pack", inputs, "-o", str(out), *common, "--format", kind, *more, "--json", "--quiet"]
        return Case(name=f"bloomdata pack to {kind}", command=command, content_bytes=content_bytes, output=out)

    def peer(name: str, program: str) -> Case:
        out = run.scratch / program
        command = [options.peers_python, str(Path(__file__).with_name(f"{program}.py")), inputs, str(out), *common]
        return Case(name=name, command=command, content_bytes=content_bytes, output=out)

    return [
        ours("megatron"),
        peer(f"datatrove, {PARTS} tasks", "peer_datatrove"),
        ours("hdf5", "--sequence-length", "2048"),
        peer("datasets + tokenizers + h5py", "peer_plain"),
    ]


def count_tokens(run: Bench, case: Case) -> int:
    """Tokens that a contender finds."""
    done = run.run(case)
    if case.command[0] == CLI:
        return report_of(done)["manifest"]["ledger"]["tokens_in"]
    return json.loads(done.stdout.splitlines()[-1])["tokens"]


def main() -> None:
    with bench("end to end beside others", add_options) as run:
        content_bytes, tokenizer = in_child(prepare, run.options, run.scratch)
        cases = contenders(run, content_bytes, tokenizer)
        print(f"{content_bytes / MB:.1f} MB of JSONL; tokenizer {run.options.tokenizer or 'trained on the corpus'}\n")
        counts = {case.name: count_tokens(run, case) for case in cases}
        if len(set(counts.values())) != 1:
            sys.exit(f"different numbers of tokens: {counts}")
        print(f"checked: {counts[cases[0].name]:,} tokens each\n")
        results = run.compare(cases)
        print_table(results)
        for ours, peer in (results[:2], results[2:]):
            print(f"{ours.case.name}: {peer.wall_seconds / ours.wall_seconds:.1f} times as fast as {peer.case.name}")


if __name__ == "__main__":
    main()
