"""Near-duplicates in a plain JSONL file with another package: seconds, number of documents dropped, peak memory.

Run by a Python that has rensa, datasketch, xxhash, pydivsufsort and numpy. Sets are shingles of five words of
`text.split()`; a text of fewer words is one shingle. A document is dropped if it shares a band of its signature with an
earlier document that was kept, and the estimated similarity of the two reaches the threshold. Prints one line of JSON.

- `rensa`: shingles as strings, and the deduplicator of its manual.
- `rensa-flat`: what is fastest with rensa: hashes of words are combined by numpy, signatures of all documents come from
  one call, and only documents that share a band with any other are looked at in Python.
- `datasketch`: its generator of signatures, with xxhash instead of SHA-1.
- `rensa-digest`: only the call that makes signatures, from hashes and offsets (`--hashes`, `--offsets`, both `.npy`).
- `suffix-array`: only the suffix array of all texts, the first step of those who look for repeated passages by one.

Timed is everything from opening the file to knowing what to drop, but not the imports.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import time
from array import array
from importlib import import_module
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS = 5
SEED = 42
# An odd number without a pattern, to combine the hashes of words.
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
# Words whose hashes are combined at once, in the cache.
BLOCK = 1 << 15


def words_of(corpus: Path) -> Iterator[list[str]]:
    """The words of every document."""
    with corpus.open("rb") as lines:
        for line in lines:
            yield json.loads(line)["text"].split()


def shingles_of(corpus: Path) -> Iterator[list[str]]:
    """The shingles of every document; of several ways to write this in Python, the fastest."""
    for words in words_of(corpus):
        if len(words) < WORDS:
            yield [" ".join(words)]
        else:
            yield list(map(" ".join, zip(*(words[first:] for first in range(WORDS)), strict=False)))


def encoded_shingles_of(corpus: Path) -> Iterator[list[bytes]]:
    """The same in UTF-8, since xxhash does not take `str`."""
    for words in words_of(corpus):
        encoded = [word.encode() for word in words]
        if len(encoded) < WORDS:
            yield [b" ".join(encoded)]
        else:
            yield list(map(b" ".join, zip(*(encoded[first:] for first in range(WORDS)), strict=False)))


def shingle_hashes_of(corpus: Path) -> tuple[np.ndarray, np.ndarray]:
    """64-bit hashes of all shingles, one after another, and where every document starts and the last one ends.

    Python's hash of a word is the fastest there is; without PYTHONHASHSEED it differs from run to run.
    """
    counts = array("q")

    def padded() -> Iterator[list[str]]:
        for words in words_of(corpus):
            words += [""] * (WORDS - len(words))
            counts.append(len(words))
            yield words

    of_words = np.fromiter(map(hash, chain.from_iterable(padded())), np.int64).view(np.uint64)
    num_words = np.frombuffer(counts, np.int64)
    ends = np.cumsum(num_words)
    starts_shingle = np.ones(len(of_words), bool)
    for back in range(1, WORDS):
        starts_shingle[ends - back] = False
    offsets = np.zeros(len(num_words) + 1, np.uint64)
    np.cumsum(num_words - (WORDS - 1), out=offsets[1:].view(np.int64))
    hashes = np.empty(int(offsets[-1]), np.uint64)
    done = 0
    for first in range(0, len(of_words) - WORDS + 1, BLOCK):
        end = min(first + BLOCK, len(of_words) - WORDS + 1)
        combined = of_words[first:end].copy()
        for next_word in range(1, WORDS):
            combined *= MULTIPLIER
            combined ^= combined >> np.uint64(29)
            combined += of_words[first + next_word : end + next_word]
        chosen = combined[starts_shingle[first:end]]
        hashes[done : done + len(chosen)] = chosen
        done += len(chosen)
    return hashes, offsets


def drop_with_rensa(options: argparse.Namespace) -> tuple[int, list[int]]:
    """Number of documents, and those to drop, with the deduplicator of rensa's manual."""
    from rensa import RMinHashDeduplicator

    deduplicator = RMinHashDeduplicator(
        threshold=options.threshold, num_perm=options.num_perm, use_lsh=True, num_bands=options.bands, seed=SEED
    )
    keep = deduplicator.add_pairs((str(number), found) for number, found in enumerate(shingles_of(options.corpus)))
    return len(keep), [number for number, kept in enumerate(keep) if not kept]


def drop_with_rensa_flat(options: argparse.Namespace) -> tuple[int, list[int]]:
    """The same by rensa's calls for whole arrays."""
    from rensa import RMinHash, RMinHashLSH

    hashes, offsets = shingle_hashes_of(options.corpus)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, num_perm=options.num_perm, seed=SEED)
    index = RMinHashLSH(threshold=options.threshold, num_perm=options.num_perm, num_bands=options.bands)
    shared = np.flatnonzero(index.query_duplicate_flags_matrix_one_shot(matrix))
    del matrix
    if not len(shared):
        return len(offsets) - 1, []
    # A matrix gives its rows only all at once, as lists of int: it is faster to make those again that are needed.
    parts = [hashes[int(offsets[number]) : int(offsets[number + 1])] for number in shared]
    part_offsets = np.cumsum([0, *map(len, parts)]).astype(np.uint64)
    again = RMinHash.digest_matrix_from_flat_token_hashes(
        np.concatenate(parts), part_offsets, num_perm=options.num_perm, seed=SEED
    )
    signatures = np.array(again.to_rows(), np.uint32)
    buckets: list[dict[bytes, list[int]]] = [{} for _ in range(options.bands)]
    dropped = []
    needed = options.threshold * options.num_perm
    for row, signature in enumerate(signatures):
        bands = [band.tobytes() for band in signature.reshape(options.bands, options.rows)]
        earlier = {other for bucket, band in zip(buckets, bands, strict=True) for other in bucket.get(band, ())}
        if any(np.count_nonzero(signatures[other] == signature) >= needed for other in earlier):
            dropped.append(int(shared[row]))
        else:
            for bucket, band in zip(buckets, bands, strict=True):
                bucket.setdefault(band, []).append(row)
    return len(offsets) - 1, dropped


def drop_with_datasketch(options: argparse.Namespace) -> tuple[int, list[int]]:
    """Number of documents, and those to drop, with datasketch."""
    from datasketch import MinHash, MinHashLSH
    from xxhash import xxh32_intdigest

    index = MinHashLSH(num_perm=options.num_perm, params=(options.bands, options.rows))
    kept: dict[int, MinHash] = {}
    dropped: list[int] = []
    signatures = MinHash.generator(
        encoded_shingles_of(options.corpus), num_perm=options.num_perm, seed=SEED, hashfunc=xxh32_intdigest
    )
    for number, signature in enumerate(signatures):
        if any(signature.jaccard(kept[other]) >= options.threshold for other in index.query(signature)):
            dropped.append(number)
        else:
            index.insert(number, signature, check_duplication=False)
            kept[number] = signature
    return len(kept) + len(dropped), dropped


def sort_suffixes(options: argparse.Namespace) -> tuple[int, list[int]]:
    """Number of documents; sorts the suffixes of all texts, in bytes with a zero behind each, and drops nothing."""
    from pydivsufsort import divsufsort

    joined, documents = bytearray(), 0
    with options.corpus.open("rb") as lines:
        for line in lines:
            documents += 1
            joined += json.loads(line)["text"].encode()
            joined.append(0)
    divsufsort(np.frombuffer(joined, np.uint8))
    return documents, []


def time_digests(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of rensa's signatures from hashes: of the first call, and the median of the others."""
    from rensa import RMinHash

    hashes, offsets = np.load(options.hashes), np.load(options.offsets)
    seconds = []
    for _ in range(options.passes + 1):
        start = time.perf_counter()
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, num_perm=options.num_perm, seed=SEED)
        seconds.append(time.perf_counter() - start)
        del matrix
    documents = len(offsets) - 1
    times = {"seconds": statistics.median(seconds[1:]), "first_seconds": seconds[0]}
    return times | {"documents": documents, "shingles": len(hashes)}


def time_dropping(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of the whole work; the numbers of the lines to drop, from 0, go to a file."""
    package, drop = PACKAGES[options.name]
    import_module(package)
    start, cpu_start = time.perf_counter(), time.process_time()
    documents, dropped = drop(options)
    times = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu_start}
    options.dropped_ids_file.write_text("".join(f"{number}\n" for number in dropped), "utf-8")
    found = {"documents": documents, "dropped": len(dropped)}
    return times | found | {"dropped_ids_file": str(options.dropped_ids_file)}


# The package, and what finds the documents to drop; `rensa-digest` and `suffix-array` drop nothing.
PACKAGES = {
    "rensa": ("rensa", drop_with_rensa),
    "rensa-flat": ("rensa", drop_with_rensa_flat),
    "datasketch": ("datasketch", drop_with_datasketch),
    "rensa-digest": ("rensa", None),
    "suffix-array": ("pydivsufsort", sort_suffixes),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=PACKAGES)
    parser.add_argument("corpus", type=Path, nargs="?", help="a plain JSONL file; rensa-digest needs none")
    parser.add_argument("--threshold", type=float, default=0.8)
    parser.add_argument("--num-perm", type=int, default=128)
    parser.add_argument("--bands", type=int, default=16)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--dropped-ids-file", type=Path, help="by default dropped-NAME.txt in the current folder")
    parser.add_argument("--hashes", type=Path, help="of rensa-digest: a .npy of uint64, the hashes of all shingles")
    parser.add_argument("--offsets", type=Path, help="of rensa-digest: a .npy of uint64, where every document starts")
    parser.add_argument("--passes", type=int, default=5, help="of rensa-digest: calls after the first")
    parser.add_argument("--threads", type=int, help="of rensa, by default as many as there are processors")
    options = parser.parse_args()
    if options.threads:
        # Before the package is imported.
        os.environ["RAYON_NUM_THREADS"] = str(options.threads)
    if options.name == "rensa-digest":
        if not (options.hashes and options.offsets):
            parser.error("rensa-digest needs --hashes and --offsets")
        report = time_digests(options)
    else:
        if options.corpus is None:
            parser.error(f"{options.name} needs a corpus")
        if options.bands * options.rows != options.num_perm:
            parser.error("bands times rows must be the number of permutations, rensa has no other bands")
        options.dropped_ids_file = (options.dropped_ids_file or Path(f"dropped-{options.name}.txt")).resolve()
        report = time_dropping(options)
    package, _ = PACKAGES[options.name]
    # Of rusage: kilobytes on Linux, bytes on macOS.
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps({"name": options.name, "version": version(package)} | report | {"peak_mb": peak_bytes / 1e6}))


if __name__ == "__main__":
    main()
