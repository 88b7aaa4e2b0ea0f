"""Runs all benchmarks, one after the other, and ends with what was claimed and what was met.

`python benchmarks/run_all.py --corpus FOLDER [--peers-python PYTHON] [--tokenizer FILE] [--ten]`; other options
(`--scratch`, `--repeat`, `--cores`, `--text-field`) go to every benchmark. Without a corpus, `make_corpus.py` builds
one. Fails when a benchmark fails, that is when its check of equality does; a missed claim is only reported.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import make_corpus
from measure import MB, refuse_debug_build

BENCHMARKS = [
    "bench_import",
    "bench_shard",
    "bench_staging",
    "bench_decontaminate",
    "bench_pack_bytes",
    "bench_pack_tokenizer",
    "bench_packings",
    "bench_parts",
    "bench_loader",
    "bench_peers",
    "bench_dedup",
]
# Those that compare with packages that have their own environment.
NEED_PEERS = ("bench_peers", "bench_dedup")
CORPUS_BYTES = 120 * MB


def run(name: str, arguments: list[str]) -> tuple[int, list[str]]:
    """Runs one benchmark, passes its output on, and keeps its claims."""
    command = [sys.executable, str(Path(__file__).with_name(f"{name}.py")), *arguments]
    claims = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            if line.startswith(("met: ", "MISSED: ")):
                claims.append(line.strip())
    print()
    return process.returncode, claims


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, help="folder of .jsonl.zst files; built from this machine if not given")
    parser.add_argument("--peers-python", help="a Python with the packages that benchmarks/README.md lists")
    parser.add_argument("--tokenizer", help="a tokenizer.json for the benchmarks that need one")
    parser.add_argument("--eos-token", help="its end token")
    parser.add_argument("--limit-mb", help="MB of JSONL for the benchmarks with a real tokenizer")
    parser.add_argument("--ten", action="store_true", help="also ten times the input")
    options, common = parser.parse_known_args()
    refuse_debug_build()
    if options.corpus is None:
        with tempfile.TemporaryDirectory(prefix="bloomdata-corpus-") as folder:
            corpus = Path(folder) / "corpus"
            print("building a corpus from the files of this machine\n", flush=True)
            make_corpus.build(make_corpus.default_folders(), corpus, CORPUS_BYTES)
            run_all(options, ["--corpus", str(corpus), *common])
    else:
        run_all(options, ["--corpus", str(options.corpus.resolve()), *common])


def run_all(options: argparse.Namespace, common: list[str]) -> None:
    """Runs all benchmarks with the options that they share, and prints what was claimed and met."""
    tokenizer = ["--tokenizer", options.tokenizer] if options.tokenizer else []
    tokenizer += ["--eos-token", options.eos_token] if options.eos_token else []
    tokenizer += ["--limit-mb", options.limit_mb] if options.limit_mb else []
    peers = ["--peers-python", options.peers_python] if options.peers_python else []
    special = {
        "bench_pack_bytes": ["--ten"] if options.ten else [],
        "bench_pack_tokenizer": [*tokenizer, *peers],
        "bench_packings": [*tokenizer, *peers],
        "bench_loader": peers,
        "bench_peers": [*tokenizer, *peers],
        "bench_dedup": peers,
    }
    failed, claims = [], []
    for name in BENCHMARKS:
        if name in NEED_PEERS and not peers:
            print(f"not measured: {name}, which needs --peers-python\n")
            continue
        code, found = run(name, [*common, *special.get(name, [])])
        claims += found
        failed += [name] if code else []
    print("# claims\n", *claims, sep="\n")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
