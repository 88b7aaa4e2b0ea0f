"""The folder of an index: its files, and whose it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError, CorruptDataError, MismatchError
from bloomdata.manifest import read_manifest

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST, JOURNAL = "manifest.json", "journal.jsonl"
VECTORS, PASSAGES, OFFSETS, INDEX = "vectors.npy", "passages.jsonl.zst", "passages.offsets.npy", "knn.index"
FILES = (VECTORS, PASSAGES, OFFSETS, INDEX)
VERB = "retrieval build"


def finished_manifest(folder: Path, config: dict[str, Any]) -> dict[str, Any] | None:
    """The manifest of a finished folder of the same call; None if there is none.

    Raises:
        ConfigError: The folder holds other files.
        MismatchError: It belongs to another call.
        CorruptDataError: It has lost a file.
    """
    if (folder / MANIFEST).exists():
        manifest = read_manifest(folder)
        if manifest["verb"] != VERB:
            raise ConfigError(f"output: expected a new folder or an index, found one of `{manifest['verb']}`: {folder}")
        _check_same(folder, manifest["config"], config)
        check_outputs(folder, manifest)
        return manifest
    if (folder / JOURNAL).exists():
        _check_same(folder, read_journal(folder)[0], config)
    elif others := sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")):
        raise ConfigError(f"output: expected a new folder or an index, found {others[0]} in {folder}")
    return None


def check_outputs(folder: Path, manifest: dict[str, Any]) -> None:
    """Raises `CorruptDataError` if a file of a finished folder is missing, or does not have its size."""
    for file in manifest["outputs"]:
        path = folder / file["path"]
        size = path.stat().st_size if path.exists() else None
        if size != file["size"]:
            raise CorruptDataError(
                f"{path}: expected {file['size']} bytes, found {size}; overwrite=True builds the index again"
            )


def read_journal(folder: Path) -> list[dict[str, Any]]:
    """Configuration and checkpoints. A kill may have cut the last line."""
    *lines, _cut = (folder / JOURNAL).read_text("utf-8").split("\n")
    try:
        return [json.loads(line) for line in lines]
    except ValueError as error:
        raise CorruptDataError(f"{folder / JOURNAL}: expected lines of JSON: {error}; see overwrite") from error


def remove(folder: Path) -> None:
    """Removes an index, and nothing else in its folder."""
    for name in (MANIFEST, JOURNAL, *FILES, *(f"{name}.tmp" for name in FILES)):
        (folder / name).unlink(missing_ok=True)


def _check_same(folder: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    for name in now | before:
        if before.get(name) != now.get(name):
            raise MismatchError(
                f"{folder} belongs to another call: {name}: got {now.get(name)!r}, found {before.get(name)!r}; "
                "overwrite=True starts anew"
            )
