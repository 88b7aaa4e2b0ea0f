"""Inputs of verbs: paths, or one table in memory."""

from __future__ import annotations

import glob
import os
import re
from typing import TYPE_CHECKING, Any, TypeAlias

from bloomdata import _core
from bloomdata.errors import ConfigError
from bloomdata.options.paths import utf8_path
from bloomdata.options.tables import table_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bloomdata.options.tables import Table

# Suffixes of compressed files, as the core reads them.
COMPRESSED = tuple(_core.compressions())
# The standard input among paths: read once, as lines of JSON.
STDIN = "-"
# Files, folders and patterns, or one table: a `datasets.Dataset` or any object with `__arrow_c_stream__`.
Inputs: TypeAlias = "str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Any"
# Called about 20 times a second with (total bytes, bytes read, documents, bytes written); 0 when unknown.
OnProgress: TypeAlias = "Callable[[int, int, int, int], object] | None"


def split_inputs(inputs: Inputs) -> tuple[list[str], list[Table]]:
    """Separates paths from tables."""
    if isinstance(inputs, (str, os.PathLike)):
        return [utf8_path(inputs, "inputs")], []
    if table := table_of(inputs):
        return [], [table]
    if isinstance(inputs, (list, tuple)) and all(isinstance(path, (str, os.PathLike)) for path in inputs):
        return [utf8_path(path, "inputs") for path in inputs], []
    msg = f"inputs: expected paths, an Arrow table or a dataset, got {type(inputs).__name__}"
    raise ConfigError(msg)


def file_inputs(inputs: Inputs) -> list[str]:
    """Paths alone, for verbs that read their inputs more than once."""
    paths, tables = split_inputs(inputs)
    if tables:
        raise ConfigError(
            "inputs: expected files, which are read more than once, got a table in memory; `shard` it first"
        )
    return paths


def is_there(path: str) -> bool:
    """Whether the path is the standard input or exists, or any path matches it as a pattern, possibly with braces."""
    if path == STDIN or os.path.exists(path):  # noqa: PTH110 - may be a pattern
        return True
    parts = re.fullmatch(r"(.*?)\{([^{}]*)\}(.*)", path, re.DOTALL)
    if parts is None:
        return bool(glob.glob(path, recursive=True))  # noqa: PTH207 - a pattern may be absolute
    before, inside, after = parts.groups()
    return any(is_there(before + part + after) for part in inside.split(","))
