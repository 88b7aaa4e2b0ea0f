"""Claims: `pack` from `.jsonl.zst` to Megatron files is 25 times as fast as a pipeline around the `tokenizers` package,
and at least 0.7 of our own rate of encoding alone.

The pipeline reads and parses, encodes batch by batch on all cores, and writes `.bin` and `.idx` (`peer_pipeline.py`).
Both are timed whole: starting Python, loading the tokenizer, reading, encoding, writing and syncing. Encoding alone has
its texts in memory and its tokenizer loaded; of the two passes the first counts.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from corpus import corpus_files, hash_documents, sample, train_tokenizer
from measure import CLI, MB, Bench, Case, bench, claim, in_child, print_table, report_of

if TYPE_CHECKING:
    import argparse

TARGET_TIMES = 25
TARGET_SHARE = 0.7
# What the tokenizer is trained on when none is given.
TRAINING_MB = 10


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tokenizer", type=Path, help="a tokenizer.json; trained on the corpus if not given")
    parser.add_argument("--eos-token", help="its end token, if the files beside it do not say")
    parser.add_argument("--limit-mb", type=float, default=100, help="MB of JSONL, every n-th line of the corpus")
    parser.add_argument("--peers-python", default=sys.executable, help="a Python that has tokenizers")


def prepare(options: argparse.Namespace, folder: Path) -> tuple[int, str]:
    """Writes the sample, plain and compressed, and a tokenizer if none was given."""
    import zstandard

    files = corpus_files(options.corpus, options.text_field)
    plain = folder / "sample.jsonl"
    content_bytes = sample(files, [plain], options.limit_mb)
    with plain.open("rb") as source, (folder / "sample.jsonl.zst").open("wb") as target:
        zstandard.ZstdCompressor(3).copy_stream(source, target)
    if options.tokenizer is not None:
        return content_bytes, str(options.tokenizer.resolve())
    sample(files, [folder / "training.jsonl"], TRAINING_MB)
    train_tokenizer([folder / "training.jsonl"], options.text_field, folder / "tokenizer.json")
    return content_bytes, str(folder / "tokenizer.json")


def hash_ids(folder: Path) -> str:
    """Hash of the documents of a packed folder, as 32-bit ids."""
    import bloomdata

    return hash_documents(document.astype("<u4").tobytes() for document in bloomdata.open(folder))


def check(run: Bench, ours: Case, peer: Case) -> Case:
    """Both give the same ids, document for document. Returns the peer as it is timed."""
    facts = report_of(run.run(ours))["manifest"]["details"]["tokenizer"]
    command = [*peer.command, "--eos-id", str(facts["eos_token_id"])]
    peer = Case(name=peer.name, command=command, content_bytes=peer.content_bytes, output=peer.output)
    hashed = Case(name=peer.name, command=[*command, "--hash"], content_bytes=peer.content_bytes, output=peer.output)
    if in_child(hash_ids, ours.output) != run.run(hashed).stdout.strip():
        sys.exit("pack and the tokenizers package give different ids")
    print(f"checked: the same ids; {facts['vocab_size']:,} in the vocabulary, backend {facts['backend']}\n")
    return peer


def main() -> None:
    with bench("pack with a real tokenizer, from .jsonl.zst to Megatron files", add_options) as run:
        options = run.options
        content_bytes, tokenizer = in_child(prepare, options, run.scratch)
        text = str(run.scratch / "sample.jsonl.zst")
        print(f"{content_bytes / MB:.1f} MB of JSONL; tokenizer {options.tokenizer or 'trained on the corpus'}\n")
        script, out = str(Path(__file__).with_name("peer_pipeline.py")), run.scratch / "pipeline"
        command = [options.peers_python, script, text, str(out), "--tokenizer", tokenizer]
        command += ["--text-field", options.text_field]
        peer = Case(name="tokenizers, a pipeline", command=command, content_bytes=content_bytes, output=out)
        out = run.scratch / "packed"
        command = [CLI, "pack", text, "-o", str(out), "--tokenizer", tokenizer, "--format", "megatron", "--json", "-q"]
        command += ["--text-field", options.text_field]
        command += ["--eos-token", options.eos_token] if options.eos_token else []
        ours = Case(name="bloomdata-cli pack", command=command, content_bytes=content_bytes, output=out)
        peer = check(run, ours, peer)

        script, report = str(Path(__file__).with_name("peer_tokenizers.py")), run.scratch / "report.json"
        command = [sys.executable, script, "bloomdata", tokenizer, str(run.scratch / "sample.jsonl")]
        command += ["--threads", str(options.cores), "--passes", "1", "--out", str(report)]

        def of_first_pass(_: str) -> tuple[float, float]:
            first = json.loads(report.read_text("utf-8"))["passes"][0]
            return first["seconds"], first["cpu_seconds"]

        alone = Case(
            name="bloomdata, encoding alone", command=command, content_bytes=content_bytes, times_of=of_first_pass
        )
        results = run.compare([peer, alone, ours])
        print_table(results)
        theirs, encoding, packing = [result.rate for result in results]
        claim("pack beside the pipeline", packing / theirs, "times its speed", at_least=TARGET_TIMES)
        claim("pack beside encoding alone", packing / encoding, "of its speed", at_least=TARGET_SHARE)


if __name__ == "__main__":
    main()
