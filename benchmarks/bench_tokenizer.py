"""Encoding beside others: every library in its own process, the same texts, tokenizers, and processors.

By tokenizer and by language of the corpus. The ids of `tokenizers` 0.23 are the right ones; a library with others is
reported as wrong, with the number of documents, and is no rival. MB are 10^6 bytes of UTF-8. The first pass is with
cold caches, the second over the same texts again. Peak memory is of encoding alone, above what Python, numpy and the
texts need; it includes the loaded tokenizer and the ids of a batch. `gigatoken-files` and `bloomdata-files` read their
`.jsonl` file in the timed part; gigatoken's has all ids in memory at the end.

    python benchmarks/bench_tokenizer.py --corpus CORPUS --tokenizers A/tokenizer.json B/tokenizer.json \
        --python gigatoken=RIVALS/bin/python tokenizers-rc=RIVALS_RC/bin/python --threads 1 2 --out result.json
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections import Counter
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measure import MB, bench, in_child
from peer_tokenizers import records_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from measure import Bench

    Row = dict[str, Any]

OURS = ("bloomdata", "bloomdata-files")
REFERENCE, REFERENCE_VERSION = "tokenizers", "0.23."
# Name here, and for `peer_tokenizers.py`.
LIBRARIES = {name: name for name in (REFERENCE, "gigatoken", "gigatoken-files", "splintr", "fastokens", "kitoken")}
LIBRARIES |= {"tokenizers-rc": "tokenizers"} | {name: name for name in OURS}
# Languages with less text are measured together, as OTHER. ALL is a sample of the whole corpus.
LEAST_BYTES = 3 * MB
OTHER, ALL = "other", "all"
PEER = Path(__file__).with_name("peer_tokenizers.py")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(repeat=1)
    parser.add_argument("--tokenizers", nargs="+", type=Path, required=True, help="tokenizer.json files")
    parser.add_argument(
        "--python", nargs="+", default=[], metavar="LIBRARY=PYTHON", help="who is measured, run by what"
    )
    parser.add_argument("--sources", nargs="+", help=f"languages of the corpus, {OTHER}, {ALL}; without it, everything")
    parser.add_argument("--limit-mb", type=float, default=20, help="MB of text of a source, every n-th document")
    parser.add_argument("--threads", nargs="+", type=int, default=[1], help="one table for each number")
    parser.add_argument("--out", type=Path, help="where all figures go, as JSON, after every row")


def pythons_of(options: argparse.Namespace) -> dict[str, str]:
    """Which Python runs which library. Ours and the reference are taken from here, `bloomdata=` leaves it out."""
    given = dict(pair.split("=", 1) for pair in options.python)
    if "gigatoken" in given:
        given.setdefault("gigatoken-files", given["gigatoken"])
    if unknown := given.keys() - LIBRARIES.keys():
        sys.exit(f"--python: found {', '.join(sorted(unknown))}, expected {', '.join(LIBRARIES)}")
    given = dict.fromkeys((REFERENCE, *OURS), sys.executable) | given
    for name in LIBRARIES:
        if not given.get(name):
            print(f"left out: {name} (no --python {name}=PYTHON)")
    return {name: given[name] for name in LIBRARIES if given.get(name)}


def texts_of(folder: Path) -> Iterator[tuple[str, str]]:
    """Language and text of every document, in the schemas of the Pile and of WuDao."""
    for path in sorted(folder.rglob("*.jsonl.zst")):
        for record in records_of(path):
            text = record["content"] if "content" in record else record["text"]
            if text:
                yield record.get("meta", {}).get("lang", "zh"), text


def cut(options: argparse.Namespace, folder: Path) -> dict[str, Path]:
    """Writes each source once, as `.jsonl`: documents evenly spread over all that there are."""
    totals: Counter[str] = Counter()
    for language, text in texts_of(options.corpus):
        totals[language] += len(text.encode())
    small = {language for language, size in totals.items() if size < LEAST_BYTES}
    totals |= Counter({OTHER: sum(totals[language] for language in small), ALL: totals.total()})
    sources = options.sources or [name for name, _ in totals.most_common() if name not in small]
    if missing := set(sources) - totals.keys():
        sys.exit(f"--sources: found {', '.join(sorted(missing))}, expected {', '.join(sorted(totals))}")
    seen: Counter[str] = Counter()
    written: Counter[str] = Counter()
    files = {name: (folder / f"{name}.jsonl").open("w", encoding="utf-8") for name in sources}
    for language, text in texts_of(options.corpus):
        size = len(text.encode())
        for name in {language, ALL, OTHER if language in small else language} & files.keys():
            seen[name] += size
            share = min(1.0, options.limit_mb * MB / totals[name])
            # Also what comes last is within the limit.
            if written[name] + size <= seen[name] * share:
                written[name] += size
                files[name].write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
    for file in files.values():
        file.close()
    return {name: folder / f"{name}.jsonl" for name in sources}


def peer(run: Bench, name: str, python: str, tokenizer: Path, text: Path, threads: int) -> Row:
    """One run of a library. Whatever happens to it, this program goes on."""
    out = run.scratch / "report.json"
    out.unlink(missing_ok=True)
    command = [python, str(PEER), LIBRARIES[name], str(tokenizer), str(text), "--threads", str(threads)]
    command += ["--passes", "2", "--out", str(out)]
    try:
        done = subprocess.run(
            command, env=run.environment, capture_output=True, timeout=run.options.timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return {"error": f"not done after {run.options.timeout:.0f} s"}
    except OSError as error:
        return {"error": str(error)}
    if not out.exists():
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return {"error": f"ended with {done.returncode}: {last}"}
    report: Row = json.loads(out.read_text("utf-8"))
    return report


def row_of(runs: list[Row], right: Row | None) -> Row:
    """Medians of repeated runs of a library; its ids beside those of the reference."""
    failed = next((run for run in runs if "error" in run), None)
    if failed:
        return {"error": " ".join(failed["error"].split()), "loaded": "load_seconds" in failed or "name" not in failed}
    row: Row = {field: runs[0][field] for field in ("version", "text_bytes", "load_seconds", "load_peak_bytes")}
    passes = [done for run in runs for done in run["passes"]]
    seconds = [[run["passes"][number]["seconds"] for run in runs] for number in (0, 1)]
    row["seconds"] = [statistics.median(of) for of in seconds]
    row["all_seconds"], row["cpu_seconds"] = seconds, [done["cpu_seconds"] for done in passes]
    row["flatten_seconds"] = statistics.median(run["flatten_seconds"] for run in runs)
    row["rates"] = [row["text_bytes"] / MB / of for of in row["seconds"]]
    row["peak_mb"] = max(done["peak_bytes"] for done in passes) / MB
    row["num_ids"], row["num_documents"] = runs[0]["num_ids"], len(runs[0]["documents"])
    if right and "error" not in right:
        row["exact"] = all(run["sha256"] == right["sha256"] for run in runs)
        both = [zip_longest(run["documents"], right["documents"]) for run in runs]
        row["wrong_documents"] = max(sum(ours != theirs for ours, theirs in pairs) for pairs in both)
    return row


def print_rows(label: str, rows: dict[str, Row]) -> None:
    """One line for each library: rates, beside the best exact rival, which is never ours."""
    rivals = [row["rates"] for name, row in rows.items() if name not in OURS and row.get("exact")]
    best = [max((rates[number] for rates in rivals), default=float("nan")) for number in (0, 1)]
    for name, row in rows.items():
        if "error" in row:
            print(f"| {label} | {name} | | | | | {row['error'][:120].replace('|', '/')} |", flush=True)
            continue
        rates = " | ".join(f"{rate:.1f}" for rate in row["rates"])
        beside = " / ".join(f"{rate / of:.2f}" for rate, of in zip(row["rates"], best, strict=True))
        wrong, documents = row.get("wrong_documents"), row["num_documents"]
        ids = {True: "exact", False: f"WRONG in {wrong} of {documents} documents", None: "not checked"}[
            row.get("exact")
        ]
        print(f"| {label} | {name} | {rates} | {beside} | {row['peak_mb']:.0f} | {ids} |", flush=True)


def together(parts: list[dict[str, Row]]) -> dict[str, Row]:
    """All sources as one: a library must be measured on every one, and is exact if it is on every one."""
    whole: dict[str, Row] = {}
    for name in parts[0]:
        rows = [part[name] for part in parts if name in part and "error" not in part[name]]
        if len(rows) == len(parts):
            seconds = [sum(row["seconds"][number] for row in rows) for number in (0, 1)]
            row: Row = {"rates": [sum(row["text_bytes"] for row in rows) / MB / of for of in seconds]}
            row |= {field: sum(row.get(field, 0) for row in rows) for field in ("wrong_documents", "num_documents")}
            row |= {"peak_mb": max(row["peak_mb"] for row in rows), "exact": all(row.get("exact") for row in rows)}
            whole[name] = row
    return whole


def compare(run: Bench, tokenizer: Path, files: dict[str, Path], pythons: dict[str, str], threads: int) -> list[Row]:
    """Prints and returns everything about one tokenizer. A library that cannot load it is not asked again."""
    asked, parts, found = dict(pythons), [], []
    for source, text in files.items():
        runs: dict[str, list[Row]] = {name: [] for name in asked}
        for _ in range(run.options.repeat):
            for name, python in asked.items():
                runs[name].append(peer(run, name, python, tokenizer, text, threads))
        right = runs[REFERENCE][0]
        if not right.get("version", REFERENCE_VERSION).startswith(REFERENCE_VERSION):
            sys.exit(
                f"{REFERENCE}: found {right['version']}, expected {REFERENCE_VERSION}*, whose ids are the right ones"
            )
        rows = {name: row_of(of, right) for name, of in runs.items()}
        size = f" ({right['text_bytes'] / MB:.1f} MB)" if "text_bytes" in right else ""
        print_rows(f"{tokenizer.parent.name} | {source}{size}", rows)
        asked = {name: python for name, python in asked.items() if rows[name].get("loaded", True)}
        parts.append(rows)
        key = {"tokenizer": str(tokenizer), "source": source, "threads": threads}
        found += [key | {"library": name} | row for name, row in rows.items()]
    print_rows(f"{tokenizer.parent.name} | **every source**", together(parts))
    return found


def main() -> None:
    with bench("encoding beside other tokenizers", add_options) as run:
        options = run.options
        pythons = pythons_of(options)
        files = in_child(cut, options, run.scratch)
        found: list[Row] = []
        for threads in options.threads:
            print(f"\n## {threads} thread{'s' if threads > 1 else ''}\n")
            print("| tokenizer | source | library | first pass MB/s | second | beside best rival | peak MB | ids |")
            print("| --- | --- | --- | ---: | ---: | ---: | ---: | --- |", flush=True)
            for tokenizer in options.tokenizers:
                found += compare(run, tokenizer.resolve(), files, pythons, threads)
                if options.out:
                    options.out.write_text(json.dumps(found, indent=1), "utf-8")


if __name__ == "__main__":
    main()
