"""The manifest of a finished folder, read and checked by the core."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bloomdata import _core
from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# Keys that the manifest of every run has.
_COUNTS = ("documents_in", "documents_kept", "bytes_in", "text_bytes")
_TOKENS = ("tokens_in", "tokens_out", "tokens_padding", "tokens_truncated", "tokens_dropped")
_REASONS = ("documents_dropped", "documents_quarantined")
_INPUT = {"path", "format", "size", "hash", "content_bytes"}
_OUTPUT = {"path", "size", "hash"}

# What a finished folder says of itself, and what an unfinished one holds.
MANIFEST_NAME, JOURNAL_NAME = "manifest.json", "journal.jsonl"


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a finished folder.

    Raises:
        ConfigError: The folder has no manifest.
        CorruptDataError: The manifest is damaged, or names a path outside the folder.
        UnsupportedFormatError: The manifest has another version.
    """
    text = _core.read_manifest(folder)
    if text is None:
        raise ConfigError(f"{folder}: expected a finished output of bloomdata, found no manifest.json")
    manifest: dict[str, Any] = json.loads(text)
    return manifest


def has_books(manifest: dict[str, Any]) -> bool:
    """Whether the manifest has everything that a report shows."""

    def entries(name: str, keys: set[str]) -> bool:
        found = manifest.get(name)
        return isinstance(found, list) and all(isinstance(entry, dict) and keys <= entry.keys() for entry in found)

    def counts(found: Any, names: Iterable[str]) -> bool:
        return isinstance(found, dict) and all(isinstance(found.get(name), int) for name in names)

    ledger: Any = manifest.get("ledger")
    return (
        counts(ledger, (*_COUNTS, *_TOKENS))
        and all(counts(reasons := ledger.get(name), reasons or ()) for name in _REASONS)
        and entries("inputs", _INPUT)
        and entries("outputs", _OUTPUT)
        and isinstance(manifest.get("ignored_inputs"), list)
        and isinstance(manifest.get("details"), dict)
        and all(isinstance(manifest.get(name), str) for name in ("fingerprint", "bloomdata_version"))
    )
