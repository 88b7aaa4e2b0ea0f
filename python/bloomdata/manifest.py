"""The manifest of a finished folder, read and checked by the core."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bloomdata import _core
from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


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
