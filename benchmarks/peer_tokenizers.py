"""One library encodes texts with one `tokenizer.json`: seconds, MB/s, peak memory, and a hash of all ids.

Run by `bench_tokenizer.py` with the Python of that library; needs numpy, and zstandard for `.zst`. All documents are in
memory as `str` (of `…-files`, in its files), special tokens in the text are found, none is added. Loading ends with a
first call on a few letters, since several libraries build their tables only then. Timed is the call that encodes, to
whatever it returns, which is dropped before the next batch: `gigatoken-files` alone has one batch, since it returns the
ids of all files at once. After the timed passes another one makes flat arrays, timed as `flatten_seconds`, and a hash.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import hashlib
import io
import json
import os
import time
import zlib
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from measure import MB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Flat = tuple[np.ndarray, np.ndarray]
    Loader = Callable[[argparse.Namespace], "Library"]

# Of 100 thousand, 500 thousand, 2 million characters and all at once, the best for every library not named otherwise.
BATCH_CHARACTERS = 500_000
ALL_AT_ONCE = 1 << 62


@dataclass(frozen=True, kw_only=True)
class Library:
    """A loaded tokenizer: its fastest call for many texts, what makes ids and offsets of an answer, text of a call."""

    encode: Callable[[list[str]], Iterable[Any]]
    flatten: Callable[[Any], Flat]
    batch_characters: int = BATCH_CHARACTERS


def once(call: Callable[..., Any], *arguments: Any, **options: Any) -> Iterator[Any]:
    """The answer of one call, which nothing here holds on to."""
    yield call(*arguments, **options)


def load_bloomdata(options: argparse.Namespace) -> Library:
    from bloomdata import Tokenizer

    tokenizer, threads = Tokenizer.from_file(options.tokenizer), options.threads
    return Library(
        encode=lambda texts: once(tokenizer.encode_batch, texts, add_special_tokens=False, num_threads=threads),
        flatten=lambda result: result,
        batch_characters=2_000_000,
    )


def load_bloomdata_files(options: argparse.Namespace) -> Library:
    from bloomdata import Tokenizer

    tokenizer, threads = Tokenizer.from_file(options.tokenizer), options.threads
    tokenizer.encode_batch(["a b"])
    return Library(
        encode=lambda _: tokenizer.encode_files(options.files, add_special_tokens=False, num_threads=threads),
        flatten=lambda batch: (batch.ids, batch.offsets),
        batch_characters=ALL_AT_ONCE,
    )


def load_gigatoken(options: argparse.Namespace) -> Library:
    import gigatoken

    tokenizer, parallel = gigatoken.Tokenizer(options.tokenizer), options.threads > 1
    return Library(
        encode=lambda texts: once(tokenizer.encode_batch, texts, parallel=parallel),
        flatten=lambda array: (array.layout.content.data, array.layout.offsets.data),
        # It uses a second thread only for batches of many MB.
        batch_characters=ALL_AT_ONCE if parallel else BATCH_CHARACTERS,
    )


def load_gigatoken_files(options: argparse.Namespace) -> Library:
    import gigatoken

    tokenizer, parallel = gigatoken.Tokenizer(options.tokenizer), options.threads > 1
    tokenizer.encode_batch(["a b"], parallel=False)
    return Library(
        encode=lambda _: once(tokenizer.encode_files, gigatoken.JsonlFileSource(options.files), parallel=parallel),
        flatten=lambda array: (array.layout.content.data, array.layout.offsets.data),
        batch_characters=ALL_AT_ONCE,
    )


def load_tokenizers(options: argparse.Namespace) -> Library:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(options.tokenizer)
    # 1.0 has only `encode_batch`, which keeps no offsets, and gives its ids as arrays, too.
    encode = getattr(tokenizer, "encode_batch_fast", tokenizer.encode_batch)
    return Library(
        encode=lambda texts: once(encode, texts, add_special_tokens=False),
        flatten=lambda found: flatten_lists([of.ids_array if hasattr(of, "ids_array") else of.ids for of in found]),
    )


def load_splintr(options: argparse.Namespace) -> Library:
    import splintr

    # `encode_batch_flat` cannot be told to add no special tokens, so the tokenizer must have none to add.
    pipeline = json.loads(Path(options.tokenizer).read_bytes()) | {"post_processor": None}
    tokenizer = splintr.from_json_bytes(json.dumps(pipeline).encode())
    return Library(encode=lambda texts: once(tokenizer.encode_batch_flat, texts), flatten=flatten_bytes)


def load_fastokens(options: argparse.Namespace) -> Library:
    from fastokens import Tokenizer

    tokenizer = Tokenizer.from_file(options.tokenizer)
    return Library(encode=lambda texts: once(tokenizer.encode_batch_flat, texts), flatten=flatten_bytes)


def load_kitoken(options: argparse.Namespace) -> Library:
    from kitoken import Kitoken

    tokenizer = Kitoken.from_tokenizers_file(options.tokenizer)
    # It has no flat output and uses one thread only; True: special tokens in the text are found.
    return Library(encode=lambda texts: once(tokenizer.encode_all, texts, True), flatten=flatten_lists)


# Package on PyPI, and loader.
LIBRARIES: dict[str, tuple[str, Loader]] = {
    "bloomdata": ("bloomdata", load_bloomdata),
    "bloomdata-files": ("bloomdata", load_bloomdata_files),
    "gigatoken": ("gigatoken", load_gigatoken),
    "gigatoken-files": ("gigatoken", load_gigatoken_files),
    "tokenizers": ("tokenizers", load_tokenizers),
    "splintr": ("splintr-rs", load_splintr),
    "fastokens": ("fastokens", load_fastokens),
    "kitoken": ("kitoken", load_kitoken),
}


def flatten_bytes(result: tuple[bytes, bytes]) -> Flat:
    return np.frombuffer(result[0], "<u4"), np.frombuffer(result[1], "<u8").astype(np.int64)


def flatten_lists(documents: list[Any]) -> Flat:
    offsets = np.cumsum([0, *map(len, documents)])
    if documents and isinstance(documents[0], np.ndarray):
        return np.concatenate(documents), offsets
    return np.fromiter(chain.from_iterable(documents), np.uint32, offsets[-1]), offsets


def records_of(path: Path) -> Iterator[dict[str, Any]]:
    """Records of a `.jsonl` or `.jsonl.zst` file."""
    with path.open("rb") as file:
        stream: Any = file
        if path.suffix == ".zst":
            import zstandard

            stream = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        for line in io.TextIOWrapper(stream, encoding="utf-8", newline="\n"):
            yield json.loads(line)


def batches_of(texts: list[str], batch_characters: int) -> Iterator[list[str]]:
    first = characters = 0
    for end, text in enumerate(texts, 1):
        characters += len(text)
        if characters >= batch_characters or end == len(texts):
            yield texts[first:end]
            first, characters = end, 0


def memory(field: str) -> int:
    """Bytes of this process: `VmRSS` now, `VmHWM` at most since `reset_peak`."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def reset_peak() -> None:
    """Memory of what is no longer used goes back first, or the next would get it and seem to need none."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", "utf-8")


def one_pass(library: Library, batches: list[list[str]]) -> dict[str, Any]:
    """Encodes everything once; what comes out is dropped, outside of the time."""
    reset_peak()
    seconds = cpu = 0.0
    for batch in batches:
        start, cpu_start = time.perf_counter(), time.process_time()
        answers = iter(library.encode(batch))
        while True:
            answer = next(answers, None)
            seconds, cpu = seconds + time.perf_counter() - start, cpu + time.process_time() - cpu_start
            if answer is None:
                break
            del answer
            start, cpu_start = time.perf_counter(), time.process_time()
    return {"seconds": seconds, "cpu_seconds": cpu, "peak_bytes": memory("VmHWM")}


def identity(library: Library, batches: list[list[str]]) -> dict[str, Any]:
    """Hash of all ids as little-endian uint32, then of the number of ids of every document; a checksum of each."""
    state, checksums, counts, seconds = hashlib.sha256(), [], [], 0.0
    for batch in batches:
        for answer in library.encode(batch):
            start = time.perf_counter()
            ids, offsets = library.flatten(answer)
            seconds += time.perf_counter() - start
            exact = np.ascontiguousarray(ids, "<u4").data
            state.update(exact)
            checksums += [zlib.crc32(exact[first:end]) for first, end in pairwise(offsets)]
            counts.append(np.diff(offsets))
    all_counts = np.concatenate(counts)
    state.update(all_counts.astype("<i8").data)
    found = {"num_ids": int(all_counts.sum()), "sha256": state.hexdigest(), "documents": checksums}
    return found | {"flatten_seconds": seconds}


def run(options: argparse.Namespace, report: dict[str, Any]) -> None:
    """Fills the report as far as the library gets."""
    package, load = LIBRARIES[options.name]
    texts = [record["text"] for path in options.files for record in records_of(path)]
    report["text_bytes"] = sum(len(text.encode()) for text in texts)
    report["version"] = version(package)
    reset_peak()
    before, start = memory("VmRSS"), time.perf_counter()
    library = load(options)
    if not options.name.endswith("-files"):
        list(library.encode(["a b"]))
    report |= {"load_seconds": time.perf_counter() - start, "load_peak_bytes": memory("VmHWM") - before}
    batches = list(batches_of(texts, library.batch_characters))
    report["passes"] = []
    for _ in range(options.passes):
        done = one_pass(library, batches)
        done["peak_bytes"] -= before
        done["mb_per_second"] = report["text_bytes"] / MB / done["seconds"]
        report["passes"].append(done)
    report |= identity(library, batches)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=LIBRARIES)
    parser.add_argument("tokenizer", help="a tokenizer.json")
    parser.add_argument("files", nargs="+", type=Path, help=".jsonl or .jsonl.zst with a field `text`")
    parser.add_argument("--threads", type=int, default=1, help="processors to use, the first that this process may")
    parser.add_argument("--passes", type=int, default=2, help="the first is with cold caches")
    parser.add_argument("--out", type=Path, required=True, help="where the report goes, as JSON")
    options = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    # Before any library is imported.
    os.environ["RAYON_NUM_THREADS"] = str(options.threads)
    os.environ["TOKENIZERS_PARALLELISM"] = str(options.threads > 1).lower()
    report: dict[str, Any] = {"name": options.name, "threads": options.threads}
    try:
        run(options, report)
    except BaseException as error:  # A panic of Rust is no Exception.
        report["error"] = f"{type(error).__name__}: {error}"
    options.out.write_text(json.dumps(report), "utf-8")
    passes = [f"{done['mb_per_second']:.1f} MB/s" for done in report.get("passes", [])]
    print(options.name, report.get("version"), *passes, report.get("error", ""))


if __name__ == "__main__":
    main()
