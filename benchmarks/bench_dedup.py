"""Claims: `dedup` finds near-duplicates at 15 times the speed of rensa, 8 times with shards written, 50 times
datasketch; `fold` takes at most twice as long as `none`; exact duplicates at 400 MB/s; repeated passages at 8 times the
speed of a suffix array; a tenth of rensa's memory, and the same for ten times the input.

    python benchmarks/bench_dedup.py --corpus CORPUS.jsonl --peers-python PEERS/bin/python [--large]

First, every similar pair of the corpus is found exactly, and the documents that each side drops are compared with those
that should go. Rivals estimate similarities, so they find other documents than we do. Ours is timed as a whole process;
of rivals only the work is timed, without imports (`peer_dedup.py`).
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus import corpus_files, hash_lines, texts_of, texts_of_zst
from measure import CLI, MB, Bench, Case, bench, claim, in_child, print_table, report_of

if TYPE_CHECKING:
    import argparse

THRESHOLD, NUM_PERM, BANDS, ROWS, SUBSTRING_WORDS = 0.8, 128, 16, 8, 50
RIVALS = ("rensa", "rensa-flat", "datasketch")
NEAR = ("--exact", "none", "--near", "--threshold", str(THRESHOLD), "--num-perm", str(NUM_PERM))
NEAR += ("--bands", str(BANDS), "--rows", str(ROWS), "--normalize")
OURS = {
    "near": (*NEAR, "none", "--report-only"),
    "near, fold": (*NEAR, "fold", "--report-only"),
    "near, shards": (*NEAR, "none"),
    "exact": ("--report-only",),
    "substring": ("--exact", "none", "--substring", "--substring-words", str(SUBSTRING_WORDS), "--report-only"),
}
LARGE_MB = (10, 30, 100, 300, 1000, 2000, 4000)
# Passages are checked on so many documents.
SUBSTRING_DOCUMENTS = 3000
# Characters that are words of their own for us alone, and separators that are white space for Python alone.
OTHER_UNITS = re.compile(
    "[\x1c-\x1f\u0e00-\u109f\u1780-\u17ff\u2e80-\u9fff\ua9e0-\ua9ff\uaa60-\uaa7f\uf900-\ufaff\uff66-\uff9d"
    "\U00016fe0-\U00016fff\U0001aff0-\U0001b16f\U0001f200\U00020000-\U0003ffff]"
)
PREFIX = '{"text": "'
# Letters that no JSON escape has behind its backslash.
LETTERS = (b"ghijklmopqsvwxyz", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(repeat=3)
    parser.add_argument("--peers-python", required=True, help="a Python with rensa, datasketch, pydivsufsort, xxhash")
    parser.add_argument("--large", action="store_true", help="also sizes from 10 MB to 4 GB")


def prepare(options: argparse.Namespace, path: Path) -> tuple[int, int, int]:
    """Writes the corpus as one plain file whose words are the same for all sides; documents, those left out, bytes."""
    if options.corpus is not None and options.corpus.is_file():
        texts = texts_of([options.corpus], options.text_field)
    else:
        files = corpus_files(options.corpus, options.text_field)
        texts = (text for file in files for text in texts_of_zst(file, options.text_field))
    documents = left_out = 0
    with path.open("w", encoding="utf-8", errors="replace", newline="") as out:
        for text in texts:
            if OTHER_UNITS.search(text) or not text.strip():
                left_out += 1
            else:
                out.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
                documents += 1
    return documents, left_out, path.stat().st_size


def grow(source: Path, target: Path, num_bytes: int) -> None:
    """Writes copies of the documents, each with its letters exchanged in its own way, until there are `num_bytes`."""
    copy = written = 0
    with target.open("wb") as out:
        while written < num_bytes:
            table = bytearray(range(256))
            factor, shift = 2 * (copy // 16) + 1, copy % 16
            for letters in LETTERS if copy else ():
                for place, letter in enumerate(letters):
                    table[letter] = letters[(place * factor + shift) % len(letters)]
            for byte in range(0x80, 0xC0) if copy else ():
                # Bytes of other alphabets, such that the text remains valid UTF-8.
                table[byte] = byte & 0xF0 | (byte * factor + shift) & 0x0F
            with source.open("rb") as lines:
                for line in lines:
                    out.write(PREFIX.encode() + line[len(PREFIX) :].translate(table))
                    written += len(line)
                    if written >= num_bytes:
                        break
            copy += 1


def similar_documents(corpus: Path) -> tuple[list[int], dict[int, list[int]]]:
    """For each document the first one with the same shingles, and for each of these first ones all similar ones.

    Two similar sets share one of the rarest shingles of each: only documents that do are compared.
    """
    import numpy as np
    from peer_dedup import shingle_hashes_of

    hashes, offsets = shingle_hashes_of(corpus)
    _, names, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    rank = np.empty(len(counts), np.int64)
    rank[np.argsort(counts, kind="stable")] = np.arange(len(counts))
    documents = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets.astype(np.int64)))
    keys = np.unique(documents * len(counts) + rank[names])
    del hashes, names, documents
    sets = np.split(keys % len(counts), np.cumsum(np.bincount(keys // len(counts), minlength=len(offsets) - 1))[:-1])
    firsts: dict[bytes, int] = {}
    group = [firsts.setdefault(shingles.tobytes(), number) for number, shingles in enumerate(sets)]
    similar: dict[int, list[int]] = {number: [] for number in firsts.values()}
    holders: dict[int, list[int]] = {}
    for number in firsts.values():
        size = len(sets[number])
        candidates: set[int] = set()
        for shingle in sets[number][: size - int(np.ceil(THRESHOLD * size - 1e-9)) + 1].tolist():
            earlier = holders.setdefault(shingle, [])
            candidates.update(earlier)
            earlier.append(number)
        for other in candidates:
            lengths = sorted((size, len(sets[other])))
            if lengths[0] < THRESHOLD * lengths[1]:
                continue
            shared = len(np.intersect1d(sets[number], sets[other], assume_unique=True))
            if shared / (sum(lengths) - shared) >= THRESHOLD:
                similar[number].append(other)
                similar[other].append(number)
    return group, similar


def judge(corpus: Path, sides: dict[str, list[int]]) -> dict[str, tuple[float, float, float]]:
    """Of every side: share of what it drops that is similar to an earlier document that it keeps, share of what should
    be dropped that it drops, and the same of documents that equal an earlier one."""
    group, similar = similar_documents(corpus)
    truth: set[int] = set()
    for number, first in enumerate(group):
        if first != number or any(other < number and other not in truth for other in similar[number]):
            truth.add(number)
    equal = {number for number, first in enumerate(group) if first != number}
    print(f"truth: {len(truth):,} documents to drop, {len(equal):,} of them have the words of an earlier one")
    judged = {}
    for name, found in sides.items():
        dropped = set(found)
        kept: dict[int, int] = {}
        for number, first in enumerate(group):
            if number not in dropped:
                kept.setdefault(first, number)
        right = [
            number
            for number in dropped
            if any(kept.get(other, number) < number for other in (group[number], *similar[group[number]]))
        ]
        share = len(dropped & truth) / len(truth), len(dropped & equal) / len(equal) if equal else 1.0
        judged[name] = len(right) / max(1, len(dropped)), *share
    return judged


def repeated_passages(corpus: Path) -> list[tuple[int, list[int]]]:
    """Line and range of bytes of every passage whose windows of words occurred before, in a plain loop."""
    seen: set[int] = set()
    found = []
    with corpus.open("rb") as lines:
        for line_number, line in enumerate(lines, 1):
            text = json.loads(line)["text"]
            words = [(match.start(), match.end(), match[0]) for match in re.finditer(r"\S+", text)]
            spans: list[list[int]] = []
            for first in range(len(words) - SUBSTRING_WORDS + 1):
                window = hash(tuple(word for _, _, word in words[first : first + SUBSTRING_WORDS]))
                if window not in seen:
                    seen.add(window)
                elif spans and first <= spans[-1][1]:
                    spans[-1][1] = first + SUBSTRING_WORDS
                else:
                    spans.append([first, first + SUBSTRING_WORDS])
            for first, end in spans:
                ends = [len(text[:at].encode()) for at in (words[first][0], words[end - 1][1])]
                found.append((line_number, ends))
    return found


def equal_texts(corpus: Path) -> list[int]:
    """Documents that equal an earlier one."""
    seen: set[bytes] = set()
    with corpus.open("rb") as lines:
        return [number for number, line in enumerate(lines) if line in seen or seen.add(line)]


def hash_kept(corpus: Path, dropped: set[int]) -> str:
    """Hash of the lines that stay."""
    state = hashlib.blake2b()
    with corpus.open("rb") as lines:
        for number, line in enumerate(lines):
            if number not in dropped:
                state.update(line)
    return state.hexdigest()


def our_case(run: Bench, corpus: Path, name: str) -> Case:
    out = run.scratch / "out"
    command = [CLI, "dedup", str(corpus), "-o", str(out), *OURS[name], "--json", "--quiet"]
    return Case(name=f"ours, {name}", command=command, content_bytes=corpus.stat().st_size, output=out)


def rival_case(run: Bench, corpus: Path, name: str) -> Case:
    command = [run.options.peers_python, str(Path(__file__).with_name("peer_dedup.py")), name, str(corpus)]
    command += ["--threshold", str(THRESHOLD), "--num-perm", str(NUM_PERM), "--bands", str(BANDS), "--rows", str(ROWS)]
    command += ["--dropped-ids-file", str(run.scratch / f"{name}.txt")]

    def of_work(stdout: str) -> tuple[float, float]:
        report = json.loads(stdout)
        return report["seconds"], report["cpu_seconds"]

    return Case(name=name, command=command, content_bytes=corpus.stat().st_size, times_of=of_work)


def lines_of(path: Path, name: str) -> list[Any]:
    """The lines of a list that we wrote."""
    return [json.loads(line) for line in (path / name).read_text("utf-8").splitlines()]


def dropped_of(run: Bench, case: Case) -> list[int]:
    """Numbers of the documents that a case drops, from 0."""
    run.run(case)
    if case.output is None:
        return [int(line) for line in (run.scratch / f"{case.name}.txt").read_text("utf-8").split()]
    return [entry["dropped"]["line"] - 1 for entry in lines_of(case.output, "duplicates.jsonl")]


def check(run: Bench, corpus: Path, ours: dict[str, Case], rivals: list[Case]) -> None:
    """Near, exact and repeated are what plain loops find, and shards hold what is not dropped."""
    sides = {case.name: dropped_of(run, case) for case in (ours["near"], *rivals)}
    judged = in_child(judge, corpus, sides)
    print("\n| side | dropped | precision | recall | recall of equal words |\n| --- | ---: | ---: | ---: | ---: |")
    for name, (precision, recall, of_equal) in judged.items():
        print(f"| {name} | {len(sides[name]):,} | {precision:.4f} | {recall:.4f} | {of_equal:.4f} |")
    mine, others = judged[ours["near"].name], [shares for name, shares in judged.items() if name in RIVALS]
    if mine[0] < 1 or any(mine[1] < recall for _, recall, _ in others):
        sys.exit("near: a dropped document is not similar to a kept one, or a rival finds more")
    if any(of_equal < 1 for _, _, of_equal in (mine, *others)):
        sys.exit("near: a document with the words of an earlier one is kept")

    if dropped_of(run, ours["exact"]) != in_child(equal_texts, corpus):
        sys.exit("exact: other documents are dropped than those that equal an earlier one")
    report = report_of(run.run(ours["near, shards"]))
    out, dropped = ours["near, shards"].output, set(sides[ours["near"].name])
    shards = [out / output["path"] for output in report["manifest"]["outputs"] if output["path"].startswith("part")]
    if in_child(hash_lines, shards) != in_child(hash_kept, corpus, dropped):
        sys.exit("shards: they do not hold the lines that stay")
    sample = run.scratch / "sample.jsonl"
    with corpus.open("rb") as lines, sample.open("wb") as file:
        file.writelines(line for line, _ in zip(lines, range(SUBSTRING_DOCUMENTS), strict=False))
    passages = our_case(run, sample, "substring")
    run.run(passages)
    found = [(entry["line"], entry["bytes"]) for entry in lines_of(passages.output, "spans.jsonl")]
    if found != in_child(repeated_passages, sample):
        sys.exit("substring: other passages are found than by a plain loop")
    print(f"\nchecked: near-duplicates as above, exact ones, shards; {len(found):,} passages of {passages.name}\n")


def measure_sizes(run: Bench, corpus: Path, sizes: list[int], rival: str | None) -> list[tuple[int, int]]:
    """A table of time and memory by size, and peaks of ours and of one rival, which runs once at each size."""
    grown, peaks = run.scratch / "grown.jsonl", []
    print("| MB | documents | dropped | wall s | MB/s | peak MB | peak MB of the rival |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for size in sizes:
        in_child(grow, corpus, grown, size)
        [ours] = run.compare([our_case(run, grown, "near")])
        theirs = run.run(rival_case(run, grown, rival)).peak_bytes if rival else 0
        peaks.append((ours.peak_bytes, theirs))
        ledger = report_of(ours.runs[0])["manifest"]["ledger"]
        counts = f"{ledger['documents_in']:,} | {sum(ledger['documents_dropped'].values()):,}"
        print(f"| {size / MB:.0f} | {counts} | {ours.wall_seconds:.2f} | {ours.rate:.0f} ", end="")
        print(f"| {ours.peak_bytes / MB:.0f} | {f'{theirs / MB:.0f}' if rival else ''} |", flush=True)
    grown.unlink()
    print()
    return peaks


def main() -> None:
    with bench("near-duplicates beside rensa and datasketch", add_options) as run:
        corpus = run.scratch / "corpus.jsonl"
        documents, left_out, content_bytes = in_child(prepare, run.options, corpus)
        print(
            f"{documents:,} documents, {content_bytes / MB:.1f} MB of JSONL; left out are {left_out:,} that are empty"
        )
        print("or have words that are not between white space; threshold 0.8, 16 bands of 8 rows on all sides\n")
        ours = {name: our_case(run, corpus, name) for name in OURS}
        rivals = [rival_case(run, corpus, name) for name in RIVALS]
        check(run, corpus, ours, rivals)
        results = run.compare([*rivals, rival_case(run, corpus, "suffix-array"), *ours.values()])
        print_table(results)
        [small, big] = measure_sizes(run, corpus, [content_bytes, 10 * content_bytes], "rensa")
        if run.options.large:
            measure_sizes(run, corpus, [size * MB for size in LARGE_MB], None)

        walls = {result.case.name.removeprefix("ours, "): result.wall_seconds for result in results}
        rensa, times = min(walls["rensa"], walls["rensa-flat"]), "times as fast"
        claim("near, report only, beside the faster script of rensa", rensa / walls["near"], times, at_least=15)
        claim("near with shards beside the same", rensa / walls["near, shards"], times, at_least=8)
        claim("near, report only, beside datasketch", walls["datasketch"] / walls["near"], times, at_least=50)
        claim("fold beside none", walls["near"] / walls["near, fold"], "of its speed", at_least=0.5)
        claim("exact, report only", content_bytes / MB / walls["exact"], "MB/s", at_least=400)
        claim("substring beside a suffix array", walls["suffix-array"] / walls["substring"], times, at_least=8)
        claim("near, peak memory beside rensa", small[0] / small[1], "of its memory", at_most=0.1)
        claim("the same for ten times the input", big[0] / big[1], "of its memory", at_most=0.1)
        claim("near, peak memory at ten times the input", big[0] / small[0], "times", at_most=1.1)


if __name__ == "__main__":
    main()
