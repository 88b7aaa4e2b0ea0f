"""Writes tokenizers atomically."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from bloomdata.errors import ConfigError
from bloomdata.options.paths import output_path

ADDED_TOKEN = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}


def prepare_folder(output: str | os.PathLike[str], *, overwrite: bool) -> Path:
    """A folder for a `tokenizer.json`, created if needed.

    Raises:
        ConfigError: The folder holds a tokenizer that may not be replaced, or cannot be created.
    """
    folder = Path(output_path(output))
    if (folder / "tokenizer.json").exists() and not overwrite:
        raise ConfigError(f"output: {folder} holds a tokenizer; overwrite=True replaces it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"output: {folder}: {error.strerror}") from None
    return folder


def write_folder(folder: Path, definition: dict[str, Any], files: dict[str, Any]) -> Path:
    """Writes the other files first, then `tokenizer.json`, so that a folder with one is complete."""
    for name, value in files.items():
        write_json(folder / name, value)
    path = folder / "tokenizer.json"
    write_json(path, definition)
    return path


def write_json(path: Path, value: Any) -> None:
    """Writes JSON with the indentation of `tokenizers`."""
    write_bytes(path, json.dumps(value, ensure_ascii=False, indent=2).encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file atomically."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
