"""One trainer, run by itself: `python peer_train.py NAME TEXTS.jsonl VOCAB_SIZE FAMILY MIN_FREQUENCY`.

Prints one line of JSON: seconds, peak memory, and a digest of the merges, which are the answer. Reading the texts
counts; `gigabpe` reads text files only, so its own copy is written before the time is taken.
"""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Merges = list[tuple[str, str]]


def texts_of(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["text"]


def bloomdata(path: Path, size: int, family: str, least: int) -> tuple[float, Merges]:
    import bloomdata

    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        report = bloomdata.train_tokenizer(path, folder, vocab_size=size, family=family, min_frequency=least)
        seconds = time.perf_counter() - start
        model = json.loads(report.path.read_text("utf-8"))["model"]
        return seconds, [(left, right) for left, right in model["merges"]]


def tokenizers(path: Path, size: int, family: str, least: int) -> tuple[float, Merges]:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    from bloomdata.tokenizers.families import PIPELINES, SPECIAL_TOKENS

    empty = json.loads(Tokenizer(models.BPE()).to_str())
    tokenizer = Tokenizer.from_str(json.dumps(empty | PIPELINES[family]))
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=least,
        special_tokens=list(SPECIAL_TOKENS[family].values()),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    start = time.perf_counter()
    tokenizer.train_from_iterator(texts_of(path), trainer)
    seconds = time.perf_counter() - start
    return seconds, [(left, right) for left, right in json.loads(tokenizer.to_str())["model"]["merges"]]


def gigabpe(path: Path, size: int, family: str, least: int) -> tuple[float, Merges]:
    import gigabpe

    if family != "gpt2":
        sys.exit("gigabpe: only GPT-2's words are compared")
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as file:
        file.writelines(f"{text}\n" for text in texts_of(path))
        file.flush()
        start = time.perf_counter()
        _, merges = gigabpe.train_bpe(
            [file.name], size, special_tokens=["<|endoftext|>"], min_frequency=least, threads=2
        )
        return time.perf_counter() - start, merges


def main() -> None:
    name, path, size, family, least = sys.argv[1:]
    trainers = {"bloomdata": bloomdata, "tokenizers": tokenizers, "gigabpe": gigabpe}
    seconds, merges = trainers[name](Path(path), int(size), family, int(least))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    lines: Iterable[str] = (f"{left} {right}\n" for left, right in merges)
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    print(json.dumps({"seconds": seconds, "peak_bytes": peak, "merges": len(merges), "digest": digest}))


if __name__ == "__main__":
    main()
