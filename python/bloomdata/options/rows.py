"""Rows of Python as inputs: lists, generators and other iterables of dictionaries become lines of JSON.

A row becomes what `json.dumps` makes of it. NaN and the infinities stay what Python writes for them, so that a row with
one is a bad record, as a line of a file is. Arrays of NumPy and torch become lists, dates their ISO form.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Rows that cross to the core at once.
_GROUP = 256


class Rows:
    """Groups of rows as lines of JSON; as often as `rows` can be iterated."""

    def __init__(self, rows: Iterable[Any]) -> None:
        self._rows = rows

    def __iter__(self) -> Iterator[list[bytes]]:
        numbered = enumerate(self._rows)
        while group := [_line(row, number) for number, row in islice(numbered, _GROUP)]:
            yield group


def _line(row: Any, number: int) -> bytes:
    if not isinstance(row, Mapping):
        raise ConfigError(f"inputs: row {number}: expected a dictionary, got {type(row).__name__}")
    fields = dict(row)
    if odd := [key for key in fields if not isinstance(key, str)]:
        raise ConfigError(f"inputs: row {number}: expected keys that are strings, got {odd[0]!r}")
    try:
        text = json.dumps(fields, ensure_ascii=False, default=_plain)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"inputs: row {number}: {_culprit(fields)}: expected a value of JSON: {error}") from error
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Lone surrogates, which only an escape can write: a bad record where they are read.
        return json.dumps(fields, default=_plain).encode()


def _culprit(fields: dict[str, Any]) -> str:
    """The key of the value that has no form in JSON."""
    for key, value in fields.items():
        try:
            json.dumps(value, default=_plain)
        except (TypeError, ValueError):
            return repr(key)
    return "its keys"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if hasattr(value, "tolist") and not isinstance(value, memoryview):
        return value.tolist()
    raise TypeError(f"found {type(value).__name__}")
