"""Documents and rows as text: what a person looks at to believe that packing is right."""

from __future__ import annotations

import os
import sys
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomdata import _core
from bloomdata.datasets.indexed_dataset import IndexedDataset
from bloomdata.datasets.opening import PackedDataset, PreferenceDataset
from bloomdata.datasets.opening import open as open_dataset
from bloomdata.errors import ConfigError, CorruptDataError
from bloomdata.manifest import read_manifest
from bloomdata.tokenizers.tokenizer import Tokenizer

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from bloomdata.datasets.indexed_dataset import ShardedIndexedDataset

PROMPT, COMPLETION, PADDING, SEPARATOR = range(4)
TYPE_NAMES = {PROMPT: "PROMPT", COMPLETION: "COMPLETION", PADDING: "PADDING", SEPARATOR: "SEPARATOR"}
# Cyan, green, grey, and bold magenta: readable on dark and on light terminals.
_COLOURS = {PROMPT: "36", COMPLETION: "32", PADDING: "90", SEPARATOR: "1;35"}
_NO_CATEGORY = -1
# Sent to a terminal, they would do something; they are shown as `\x1b`.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def inspect(options: argparse.Namespace) -> Iterator[str]:
    """Yields lines for the terminal."""
    path = Path(options.path)
    manifest = _manifest(path)
    if manifest.get("verb") in {"shard", "prepare"}:
        yield from _lines(path, manifest, options)
        return
    dataset = open_dataset(path, field=options.field)
    if isinstance(dataset, PreferenceDataset):
        dataset = dataset.rows
    tokenizer = _tokenizer(path, manifest, options.tokenizer)
    if isinstance(dataset, IndexedDataset) and dataset.path_prefix.endswith("_token_types"):
        tokenizer = None
    shown = _Shown(options, manifest, tokenizer)
    types = _types(dataset)
    yield repr(dataset)
    for index in _range(options, len(dataset)):
        if isinstance(dataset, PackedDataset):
            yield f"--- row {index}"
            yield from shown.row(dataset[index])
            continue
        tokens = dataset[index]
        yield f"--- document {index}: {len(tokens):,} tokens"
        if types is None:
            yield from shown.tokens(tokens)
        else:
            yield from shown.row({"input_ids": tokens, "token_type_ids": _types_of(types, index, len(tokens))})


def _range(options: argparse.Namespace, length: int) -> range:
    """What to show of so many."""
    if options.index and not 0 <= options.index < length:
        raise ConfigError(f"index: {options.index}, but {options.path} has {length:,}, counted from 0")
    return range(options.index, min(options.index + options.count, length))


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


def _types(dataset: IndexedDataset | ShardedIndexedDataset | PackedDataset) -> IndexedDataset | None:
    """The types of a Megatron pair's tokens: the pair `<name>_token_types` beside `<name>_document`."""
    if not isinstance(dataset, IndexedDataset) or not dataset.path_prefix.endswith("_document"):
        return None
    prefix = dataset.path_prefix.removesuffix("_document") + "_token_types"
    if not Path(f"{prefix}.idx").exists():
        return None
    types = IndexedDataset(prefix)
    if len(types) != len(dataset):
        raise CorruptDataError(f"{prefix}.idx: {len(types):,} documents, expected {len(dataset):,}")
    return types


def _types_of(types: IndexedDataset, index: int, num_tokens: int) -> Any:
    found = types[index]
    if len(found) != num_tokens:
        raise CorruptDataError(
            f"{types.path_prefix}.idx: document {index}: {len(found):,} types, expected {num_tokens:,}"
        )
    return found


class _Shown:
    """Tokens as lines of text."""

    def __init__(self, options: argparse.Namespace, manifest: dict[str, Any], tokenizer: Tokenizer | None) -> None:
        self._options = options
        self._tokenizer = tokenizer
        config = manifest.get("config", {})
        self._categories: list[str] = config.get("categories") or []
        self._names = dict(TYPE_NAMES)
        if config.get("record") == "text":
            self._names[COMPLETION] = "TEXT"
        elif config.get("record") == "messages":
            # The last token of a conversation ends its last answer.
            self._names |= {PROMPT: "CONTEXT", COMPLETION: "TRAINED", SEPARATOR: "TRAINED, END"}
        self._has_colours = options.color == "always" or (
            options.color == "auto" and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        )

    def row(self, row: dict[str, Any]) -> Iterator[str]:
        """One block for each run of tokens of one type (and category)."""
        at = 0
        categories = row.get("category_ids")
        keys = row["token_type_ids"].tolist()
        if categories is not None:
            keys = list(zip(keys, categories.tolist(), strict=True))
        for key, run in groupby(keys):
            count = sum(1 for _ in run)
            ids = row["input_ids"][at : at + count]
            at += count
            kind, category = key if categories is not None else (key, None)
            head = f"[{self._names.get(kind, f'TYPE {kind}')} {count:,}{self._category(kind, category)}]"
            yield self._paint(kind, head + " ========" * (kind == SEPARATOR))
            if kind != PADDING:  # padding says nothing
                yield from (self._paint(kind, line) for line in self.tokens(ids))

    def tokens(self, ids: Any) -> Iterator[str]:
        """Their text, after their ids if these are wanted."""
        numbers = " ".join(str(token) for token in ids)
        if self._options.ids or self._tokenizer is None:
            yield numbers
        if self._tokenizer is not None:
            text = self._tokenizer.decode(ids)
            limit = self._options.max_characters
            more = f"... ({len(text) - limit:,} more characters)" if 0 < limit < len(text) else ""
            yield (text[:limit] if more else text).translate(_CONTROLS) + more

    def _category(self, kind: int, category: int | None) -> str:
        if category is None or (kind == PADDING and category == _NO_CATEGORY):
            return ""
        if category == _NO_CATEGORY:
            return ", no category"
        is_known = 0 <= category < len(self._categories)
        return f", category {self._categories[category].translate(_CONTROLS) if is_known else category}"

    def _paint(self, kind: int, text: str) -> str:
        """In the colour of a type; each line for itself, so that pagers keep it."""
        if not self._has_colours or kind not in _COLOURS:
            return text
        return "\n".join(f"\x1b[{_COLOURS[kind]}m{line}\x1b[0m" if line else "" for line in text.split("\n"))


def _lines(path: Path, manifest: dict[str, Any], options: argparse.Namespace) -> Iterator[str]:
    """Lines of shards, by their number in the whole folder."""
    lines = _range(options, sum(output.get("lines", 0) for output in manifest["outputs"]))
    number, stop = lines.start, lines.stop
    before = 0
    for output in manifest["outputs"]:
        end = before + output.get("lines", 0)
        if number < min(stop, end):
            for line in _core.read_lines(path / output["path"], number - before, min(stop, end) - number):
                yield f"--- line {number} ({output['path'].translate(_CONTROLS)})"
                yield (line[: options.max_characters] if options.max_characters else line).translate(_CONTROLS)
                number += 1
        before = end
