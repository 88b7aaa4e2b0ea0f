"""Keys of records that nothing reads although they hold a text, a list or an object, in plain Python.

What is read of a record is a dictionary: of a key to `WHOLE`, to the dictionary of an object, or to a list with that of
the objects in a list. A record that is a list is read as one of its objects.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

WHOLE = None
MAX_KEYS, MAX_KEY_BYTES, OTHER_KEYS = 1000, 256, "(other keys)"


def holds_something(value: Any) -> bool:
    return isinstance(value, (str, list, dict)) and len(value) > 0


def name_of(key: str) -> str:
    """A key as a report can show it: half a surrogate pair, in an escape, is no character."""
    return key.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def unread_of(value: Any, read: dict[str, Any], way: str = "") -> Iterator[str]:
    """The keys of an object, or of all objects in a list, with the way there in front."""
    if isinstance(value, list):
        for item in value:
            yield from unread_of(item, read, way)
    if not isinstance(value, dict):
        return
    for key, item in value.items():
        inside = read.get(key, {})
        if key not in read:
            if holds_something(item):
                yield name_of(way + key)
        elif isinstance(inside, list):
            yield from unread_of(item, inside[0], f"{way}{key}[].")
        elif inside is not WHOLE:
            yield from unread_of(item, inside, f"{way}{key}.")


def unread_keys(records: Iterable[str], read: dict[str, Any]) -> dict[str, int]:
    """In how many of these records each key is not read."""
    counts: dict[str, int] = {}
    for record in records:
        found = set()
        for key in sorted(set(unread_of(json.loads(record), read)), key=str.encode):
            named = len(counts.keys() - {OTHER_KEYS}) < MAX_KEYS and len(key.encode()) <= MAX_KEY_BYTES
            found.add(key if key in counts or named else OTHER_KEYS)
            counts.setdefault(key if key in counts or named else OTHER_KEYS, 0)
        for key in found:
            counts[key] += 1
    return dict(sorted(counts.items(), key=lambda entry: entry[0].encode()))
