"""Claims: prompt and completion with `greedy` keep 0.85 of the rate of text; `best_fit` adds at most 5 % to `pack`;
a plan of best_fit takes 3 million documents a second; a plain Python script is many times slower.

The same tokenizer makes text (packing `full`) and pairs (`greedy`) from the same documents; every document is cut in
two for pairs. The script follows the documentation of generative_data_prep, and must give the same rows.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from corpus import corpus_files, sample, train_tokenizer
from measure import CLI, MB, Bench, Case, bench, claim, in_child, print_table, report_of

if TYPE_CHECKING:
    import argparse

TARGET_PAIRS, TARGET_BEST_FIT, TARGET_DOCUMENTS = 0.85, 1.05, 3e6
TRAINING_MB = 10
PLAN_DOCUMENTS = 5_000_000


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tokenizer", type=Path, help="a tokenizer.json; trained on the corpus if not given")
    parser.add_argument("--eos-token", help="its end token, if the files beside it do not say")
    parser.add_argument("--limit-mb", type=float, default=30, help="MB for the runs with a real tokenizer")
    parser.add_argument("--peers-python", default=sys.executable, help="a Python with tokenizers, numpy and h5py")


def prepare(options, folder: Path) -> tuple[int, int, str]:
    """Writes all text, a sample, both as pairs too, and a tokenizer if none was given; bytes of the texts."""
    files = corpus_files(options.corpus, options.text_field)
    sizes = []
    for name, limit in (("all", 1e9), ("sample", options.limit_mb)):
        sizes.append(sample(files, [folder / f"{name}.text.jsonl"], limit))
        write_pairs(folder / f"{name}.text.jsonl", folder / f"{name}.pairs.jsonl", options.text_field)
    if options.tokenizer is not None:
        return sizes[0], sizes[1], str(options.tokenizer.resolve())
    sample(files, [folder / "training.jsonl"], TRAINING_MB)
    train_tokenizer([folder / "training.jsonl"], options.text_field, folder / "tokenizer.json")
    return sizes[0], sizes[1], str(folder / "tokenizer.json")


def write_pairs(source: Path, target: Path, text_field: str) -> None:
    """The first quarter of each document as prompt, the rest as completion."""
    with source.open("rb") as lines, target.open("w", encoding="utf-8") as out:
        for line in lines:
            text = json.loads(line)[text_field]
            cut = len(text) // 4
            out.write(json.dumps({"prompt": text[:cut], "completion": text[cut:]}, ensure_ascii=False) + "\n")


def hash_rows(folder: Path) -> dict[str, int | str]:
    """Number and hash of the rows of a packed folder."""
    import bloomdata

    dataset = bloomdata.open(folder)
    state = hashlib.blake2b()
    for row in dataset:
        state.update(row["input_ids"].tobytes() + row["token_type_ids"].tobytes())
    return {"rows": len(dataset), "hash": state.hexdigest()}


def plan_rate() -> float:
    """Documents a second of a plan of best_fit, over lengths as of text for pretraining."""
    import numpy as np

    import bloomdata

    lengths = np.random.default_rng(0).lognormal(np.log(400), 1.3, PLAN_DOCUMENTS).astype("u4") + 1
    begin = time.perf_counter()
    plan = bloomdata.plan(lengths, sequence_length=2048, packings=["best_fit"])["best_fit"]
    seconds = time.perf_counter() - begin
    share = plan["tokens_padding"] / plan["tokens_out"]
    print(f"plan of best_fit: {PLAN_DOCUMENTS / seconds / 1e6:.1f} M documents a second, padding {share:.4%}")
    return PLAN_DOCUMENTS / seconds


def cases(run: Bench, tokenizer: str, size: str, content_bytes: int) -> list[Case]:
    """Text with `full`, text with `best_fit`, pairs with `greedy`; with bytes, which `greedy` would drop, `full`."""
    made = []
    for kind, packing in (
        ("text", "full"),
        ("text", "best_fit"),
        ("pairs", "full" if tokenizer == "bytes" else "greedy"),
    ):
        out = run.scratch / f"out-{kind}-{packing}"
        command = [CLI, "pack", str(run.scratch / f"{size}.{kind}.jsonl"), "-o", str(out), "--tokenizer", tokenizer]
        command += ["--sequence-length", "2048", "--packing", packing, "--json", "-q"]
        command += ["--record", "prompt_completion"] if kind == "pairs" else ["--text-field", run.options.text_field]
        if tokenizer != "bytes" and run.options.eos_token:
            command += ["--eos-token", run.options.eos_token, "--pad-token", run.options.eos_token]
        made.append(Case(name=f"{kind}, {packing}", command=command, content_bytes=content_bytes, output=out))
    return made


def main() -> None:
    with bench("packings", add_options) as run:
        all_bytes, sample_bytes, tokenizer = in_child(prepare, run.options, run.scratch)
        claim("plan of best_fit", in_child(plan_rate), "documents a second", at_least=TARGET_DOCUMENTS)
        print(f"\n{all_bytes / MB:.0f} MB of JSONL, bytes tokenizer\n")
        text, best_fit, pairs = results = run.compare(cases(run, "bytes", "all", all_bytes))
        print_table(results)
        claim("pairs beside text, bytes tokenizer", pairs.rate / text.rate, "of its rate", at_least=TARGET_PAIRS)
        claim("best_fit beside full, bytes tokenizer", text.rate / best_fit.rate, "times", at_most=TARGET_BEST_FIT)
        print(f"\n{sample_bytes / MB:.0f} MB of JSONL, real tokenizer\n")
        ours = cases(run, tokenizer, "sample", sample_bytes)
        eos = report_of(run.run(ours[2]))["manifest"]["details"]["tokenizer"]["eos_token_id"]
        script = [run.options.peers_python, str(Path(__file__).with_name("peer_pairs.py"))]
        script += [str(run.scratch / "sample.pairs.jsonl"), str(run.scratch / "peer.hdf5"), "--tokenizer", tokenizer]
        peer = Case(name="plain script, greedy", command=[*script, "--eos-id", str(eos)], content_bytes=sample_bytes)
        if in_child(hash_rows, ours[2].output) != json.loads(run.run(peer).stdout):
            sys.exit("pack and the script give different rows")
        print("checked: the same rows\n")
        text, best_fit, pairs, plain = results = run.compare([*ours, peer])
        print_table(results)
        claim("pairs beside text", pairs.rate / text.rate, "of its rate", at_least=TARGET_PAIRS)
        claim("best_fit beside full", text.rate / best_fit.rate, "times its time", at_most=TARGET_BEST_FIT)
        print(f"pairs beside a plain script: {pairs.rate / plain.rate:.1f} times its rate")


if __name__ == "__main__":
    main()
