"""Inputs of verbs: paths, or one table in memory."""

from __future__ import annotations

import glob
import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from bloomdata import _core
from bloomdata.errors import ConfigError
from bloomdata.options.hub_cache import cached_dataset
from bloomdata.options.paths import how_to_fetch, is_address, utf8_path, whole_address
from bloomdata.options.tables import table_of, table_of_iterable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from bloomdata.options.tables import Table

# Suffixes of compressed files, as the core reads them.
COMPRESSED = tuple(_core.compressions())
# The standard input among paths: read once, as lines of JSON.
STDIN = "-"
# Files, folders and patterns; or one table: a dataset of `datasets`, any object with `__arrow_c_stream__`, or
# dictionaries in a list or in anything that can be iterated.
Inputs: TypeAlias = "str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | Iterable[Mapping[str, Any]] | Any"
# Called about 20 times a second with (total bytes, bytes read, documents, bytes written); 0 when unknown.
OnProgress: TypeAlias = "Callable[[int, int, int, int], object] | None"


class Given(NamedTuple):
    """Inputs as the core takes them."""

    paths: list[str]
    tables: list[Table]
    # Inputs are objects in a store, at the addresses of `paths`.
    are_objects: bool = False

    @property
    def columns(self) -> list[str] | None:
        """Names of the columns of a table, empty if unknown; None for files."""
        return self.tables[0].columns if self.tables else None

    @property
    def streams(self) -> list[tuple[str, Any, str]]:
        """The tables as the core takes them."""
        return [(table.label, table.rows, table.kind) for table in self.tables]


def split_inputs(inputs: Inputs, *, objects: bool = False) -> Given:
    """Separates paths from tables. An iterator is used up: call it once.

    Args:
        inputs: What the user gives.
        objects: Whether objects in a store are read, too.

    Raises:
        ConfigError: It is neither, or a dictionary of splits.
        FileNotFoundError: A name of the Hugging Face hub that is not in the local cache.
    """
    if isinstance(inputs, (str, os.PathLike)):
        return _given([_path(inputs)], objects=objects)
    if table := table_of(inputs):
        return Given([], [table])
    if not isinstance(inputs, (list, tuple)) or not _are_paths(inputs):
        found = table_of_iterable(inputs)
        if isinstance(found, tuple):
            return Given([], [found])
        if found is None or not _are_paths(found):
            raise ConfigError(
                "inputs: expected paths, an Arrow table, a dataset, or an iterable of dictionaries, got "
                f"{type(inputs).__name__}"
            )
        inputs = found
    return _given([_path(path) for path in inputs], objects=objects)


def _given(paths: list[str], *, objects: bool) -> Given:
    """Files, or objects, but not both: they are read in different ways."""
    found = [path for path in paths if is_address(path)]
    if found and not objects:
        raise ConfigError(f"inputs: expected files, got {found[0]}; {how_to_fetch(found[0])}")
    if found and len(found) < len(paths):
        file = next(path for path in paths if not is_address(path))
        raise ConfigError(f"inputs: expected files or objects in a store, got both: {file} and {found[0]}")
    return Given(paths, [], are_objects=bool(found))


def _are_paths(values: Iterable[Any]) -> bool:
    return all(isinstance(path, (str, os.PathLike)) for path in values)


def _path(path: str | os.PathLike[str]) -> str:
    return cached_dataset(whole_address(utf8_path(path, "inputs")))


def file_inputs(inputs: Inputs, *, objects: bool = False) -> list[str]:
    """Paths alone, for verbs that read their inputs more than once."""
    paths, tables, _ = split_inputs(inputs, objects=objects)
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
