"""The text that is measured: which files, decompressed, a sample of them, their hash; and a tokenizer to go with it."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from typing import TYPE_CHECKING

from measure import MB

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

EOS_TOKEN = "<|endoftext|>"
MIN_BYTES = 100 * MB
_COPY_BYTES = 1 << 20


def corpus_files(folder: Path | None, text_field: str) -> list[Path]:
    """The `.jsonl.zst` files below `folder` whose first record has the text field, in order."""
    if folder is None:
        sys.exit("--corpus FOLDER is needed: see benchmarks/README.md, or build one with benchmarks/make_corpus.py")
    files = [path for path in sorted(folder.rglob("*.jsonl.zst")) if text_field in json.loads(_first_line(path))]
    if not files:
        sys.exit(f"{folder}: no .jsonl.zst file with a field {text_field!r}")
    return files


def _first_line(path: Path) -> bytes:
    return next(_lines_of(path))


def _lines_of(path: Path) -> Iterator[bytes]:
    import zstandard

    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as reader:
        rest = b""
        while chunk := reader.read(_COPY_BYTES):
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            yield from lines
        if rest:
            yield rest


def decompress(files: list[Path], folder: Path) -> list[Path]:
    """Each file as plain `.jsonl` in `folder`. Refuses a corpus that is too small to say anything."""
    import zstandard

    folder.mkdir(parents=True)
    plain = [folder / f"{number:03}.jsonl" for number in range(len(files))]
    for source, target in zip(files, plain, strict=True):
        with source.open("rb") as file, target.open("wb") as out:
            reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
            while chunk := reader.read(_COPY_BYTES):
                out.write(chunk)
    if total_bytes(plain) < MIN_BYTES:
        sys.exit(f"the corpus has {total_bytes(plain) / MB:.0f} MB of JSONL, {MIN_BYTES / MB:.0f} are needed")
    return plain


def total_bytes(files: Iterable[Path]) -> int:
    """Sum of sizes."""
    return sum(path.stat().st_size for path in files)


def link_copies(files: list[Path], folder: Path, copies: int) -> list[Path]:
    """Every file under `copies` names."""
    folder.mkdir(parents=True)
    links = [folder / f"{copy}-{path.name}" for copy in range(copies) for path in files]
    for link in links:
        os.link(next(path for path in files if link.name.endswith(path.name)), link)
    return links


def sample(files: list[Path], targets: list[Path], limit_mb: float) -> int:
    """Writes every n-th line of `.jsonl.zst` files, about `limit_mb` in all, to `targets` in turn; bytes written."""
    total = sum(len(line) + 1 for path in files for line in _lines_of(path))
    step = max(1, round(total / (limit_mb * MB)))
    outs = [path.open("wb") for path in targets]
    lines = (line for path in files for line in _lines_of(path))
    for number, line in enumerate(lines):
        if number % step == 0:
            outs[number // step % len(outs)].write(line + b"\n")
    for out in outs:
        out.close()
    return total_bytes(targets)


def hash_lines(files: list[Path]) -> str:
    """Hash of the lines of `.jsonl.zst` files, one after the other, wherever files begin and end."""
    state = hashlib.blake2b()
    for path in files:
        for line in _lines_of(path):
            state.update(line + b"\n")
    return state.hexdigest()


def texts_of(files: list[Path], text_field: str) -> Iterator[str]:
    """Texts of plain `.jsonl` files, without the empty ones, which `pack` drops."""
    for path in files:
        with path.open("rb") as lines:
            for line in lines:
                if line.strip() and (text := json.loads(line)[text_field]):
                    yield text


def texts_of_zst(path: Path, text_field: str) -> Iterator[str]:
    """The same of one `.jsonl.zst` file."""
    for line in _lines_of(path):
        if line.strip() and (text := json.loads(line)[text_field]):
            yield text


def hash_documents(documents: Iterable[bytes]) -> str:
    """Hash of documents in order, each with its length, so that boundaries count."""
    state = hashlib.blake2b()
    for document in documents:
        state.update(len(document).to_bytes(8, "little") + document)
    return state.hexdigest()


def train_tokenizer(files: list[Path], text_field: str, path: Path) -> None:
    """Trains a byte-level BPE with GPT-2's pre-tokenizer and 16,384 ids on plain `.jsonl` files."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=16_384,
        special_tokens=[EOS_TOKEN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts_of(files, text_field), trainer)
    tokenizer.save(str(path))
