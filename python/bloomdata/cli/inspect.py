"""Documents and rows as text: what a person looks at to believe that packing is right."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomdata import _core
from bloomdata.datasets import IndexedDataset, PackedDataset, read_manifest
from bloomdata.datasets import open as open_dataset
from bloomdata.tokenizer import Tokenizer

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

TYPE_NAMES = {0: "PROMPT", 1: "TEXT", 2: "PADDING", 3: "END"}


def inspect(options: argparse.Namespace) -> Iterator[str]:
    """Yields lines for the terminal."""
    path = Path(options.path)
    manifest = _manifest(path)
    if manifest.get("verb") == "shard":
        yield from _lines(path, manifest, options)
        return
    dataset = open_dataset(path, field=options.field)
    tokenizer = _tokenizer(path, manifest, options.tokenizer)
    yield repr(dataset)
    for index in range(options.index, min(options.index + options.count, len(dataset))):
        if isinstance(dataset, PackedDataset):
            yield f"--- row {index}"
            yield from _row(dataset[index], tokenizer, options)
        else:
            yield from _document(dataset, index, tokenizer, options)


def _manifest(path: Path) -> dict[str, Any]:
    folder = path if path.is_dir() else path.parent
    return read_manifest(folder) if (folder / "manifest.json").exists() else {}


def _tokenizer(path: Path, manifest: dict[str, Any], named: str | None) -> Tokenizer | None:
    if named is not None:
        return Tokenizer(named)
    facts = manifest.get("details", {}).get("tokenizer")
    if facts is None:
        return None
    if facts["path"] is None:
        return Tokenizer(facts["backend"])
    folder = path if path.is_dir() else path.parent
    return Tokenizer(folder / facts["path"], eos_token=facts["eos_token"], pad_token=facts["pad_token"])


def _text(ids: Any, tokenizer: Tokenizer | None, options: argparse.Namespace) -> str:
    if tokenizer is None:
        return " ".join(str(token) for token in ids)
    text = tokenizer.decode(ids)
    limit = options.max_characters
    if limit and len(text) > limit:
        text = f"{text[:limit]}... ({len(text) - limit:,} more characters)"
    return text


def _document(
    dataset: IndexedDataset, index: int, tokenizer: Tokenizer | None, options: argparse.Namespace
) -> Iterator[str]:
    tokens = dataset[index]
    yield f"--- document {index}: {len(tokens):,} tokens"
    if options.ids:
        yield " ".join(str(token) for token in tokens)
    yield _text(tokens, tokenizer, options)


def _row(row: dict[str, Any], tokenizer: Tokenizer | None, options: argparse.Namespace) -> Iterator[str]:
    at = 0
    for kind, run in groupby(row["token_type_ids"].tolist()):
        count = sum(1 for _ in run)
        ids = row["input_ids"][at : at + count]
        at += count
        name = TYPE_NAMES.get(kind, str(kind))
        yield f"[{name} {count:,}]"
        if options.ids:
            yield " ".join(str(token) for token in ids)
        if kind != 2:  # padding says nothing
            yield _text(ids, tokenizer, options)


def _lines(path: Path, manifest: dict[str, Any], options: argparse.Namespace) -> Iterator[str]:
    """Lines of shards, by their number in the whole folder."""
    number, stop = options.index, options.index + options.count
    before = 0
    for output in manifest["outputs"]:
        end = before + output.get("lines", 0)
        if number < min(stop, end):
            lines = _core.read_lines(path / output["path"], number - before, min(stop, end) - number)
            for line in lines:
                yield f"--- line {number} ({output['path']})"
                yield line[: options.max_characters] if options.max_characters else line
                number += 1
        before = end
