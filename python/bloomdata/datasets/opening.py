"""Opens packed files as data sets with `len`, `[i]` and slices: NumPy views of the files without copies.

`open` detects the format: a folder written by `pack` or `merge`, a bare Megatron pair, or a bare HDF5 file. Data sets
can be pickled (they reopen their files) and used in threads, forked and spawned workers.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from bloomdata.datasets.indexed_dataset import IndexedDataset, ShardedIndexedDataset
from bloomdata.datasets.packed import PackedDataset as PackedDataset
from bloomdata.datasets.preferences import PreferenceDataset as PreferenceDataset
from bloomdata.errors import ConfigError, UnsupportedFormatError
from bloomdata.manifest import read_manifest
from bloomdata.options.paths import finished_path

if TYPE_CHECKING:
    import os


PathLike: TypeAlias = "str | os.PathLike[str]"
Opened: TypeAlias = "IndexedDataset | ShardedIndexedDataset | PackedDataset | PreferenceDataset"


def open(path: PathLike, *, field: str | None = None) -> Opened:  # noqa: A001 - the public name
    """Opens packed data.

    Args:
        path: A folder written by `pack` or `merge`, a Megatron pair (with or without `.bin` or `.idx`), or an HDF5
            file with `input_ids` and `token_type_ids`.
        field: Field to open, for a folder with several. To open the token types of a Megatron pair `<name>_document`,
            pass their path, `<name>_token_types`.

    Returns:
        An `IndexedDataset` of documents (a `ShardedIndexedDataset` for a run in parts), a `PackedDataset` of rows, or a
        `PreferenceDataset` of judged answers.

    Raises:
        ConfigError: The folder is not finished, is in a store, holds shards, or holds several fields and `field` is not
            given.
        CorruptDataError: An index is damaged.
        UnsupportedFormatError: The file has another format.

    Example:
        >>> _ = bloomdata.pack("raw/*.jsonl", "packed", tokenizer="bytes", sequence_length=8)
        >>> dataset = bloomdata.open("packed")
        >>> dataset[0]["input_ids"].shape, len(dataset[1:3]["input_ids"])
        ((8,), 2)
    """
    path = Path(finished_path(path, "path"))
    if not path.is_dir():
        return _open_file(path)
    manifest = read_manifest(path)
    outputs = manifest["outputs"]
    prefix = manifest["config"].get("prefix")
    indices: dict[str, list[Path]] = {}
    for output in outputs:
        if output["path"].endswith(".idx"):
            place = output["path"].removesuffix(".idx")
            # Each part of a run has a pair of its own, with the number of the part.
            name = re.sub(rf"^part-(\d+)-of-\d+/{re.escape(str(prefix))}-\1_", f"{prefix}_", place)
            indices.setdefault(name, []).append(path / place)
    if field is None:
        indices = {name: pairs for name, pairs in indices.items() if not name.endswith("_token_types")}
    if indices:
        chosen = list(indices)
        if field is not None:
            exact = f"{prefix}_{field}_document"
            chosen = [name for name in indices if name == exact or (not prefix and name.endswith(f"_{field}_document"))]
        if len(chosen) != 1:
            raise ConfigError(f"{path}: field: expected one of {list(indices)}, got {field!r}")
        pairs = indices[chosen[0]]
        return IndexedDataset(pairs[0]) if len(pairs) == 1 else ShardedIndexedDataset(pairs)
    rows = [output for output in outputs if "rows" in output]
    if not rows:
        raise ConfigError(f"{path}: expected tokens, found the output of {manifest['verb']!r}")
    paths = [path / output["path"] for output in rows]
    ledger = manifest.get("ledger") or {}
    tokens, padding = ledger.get("tokens_out"), ledger.get("tokens_padding")
    fingerprint = manifest.get("fingerprint")
    dataset = PackedDataset(
        paths,
        layouts=[output.get("datasets") for output in rows],
        fingerprint=fingerprint if isinstance(fingerprint, str) else None,
        num_tokens=tokens - padding if isinstance(tokens, int) and isinstance(padding, int) else None,
    )
    source = ((manifest.get("config") or {}).get("chats") or {}).get("source") or {}
    return PreferenceDataset(dataset, source["judgement"]) if "judgement" in source else dataset


def _open_file(path: Path) -> IndexedDataset | PackedDataset:
    if path.suffix in {".hdf5", ".h5"}:
        return PackedDataset([path])
    prefix = path.with_suffix("") if path.suffix in {".bin", ".idx"} else path
    if Path(f"{prefix}.idx").exists():
        return IndexedDataset(prefix)
    if not path.exists():
        raise FileNotFoundError(f"{path}: expected a folder, file, or Megatron pair, found none")
    raise UnsupportedFormatError(f"{path}: expected HDF5 or a Megatron pair, found neither")
