"""Keys of records that nothing read, as a line of text; `html_unread` has the table of the web page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Keys in the line; the manifest has all of them.
_MAX_KEYS = 5
_MAX_CHARACTERS = 40


def most_found(unread: Mapping[str, int]) -> str:
    """The keys in most records: `url in 1,200 records, title in 30, and 2 more`."""
    keys = by_records(unread)
    shown = [f"{shown_key(key)} in {count:,}" for key, count in keys[:_MAX_KEYS]]
    shown[0] += " record" if keys[0][1] == 1 else " records"
    more = [f"and {len(keys) - _MAX_KEYS:,} more"] if len(keys) > _MAX_KEYS else []
    return ", ".join(shown + more)


def by_records(unread: Mapping[str, int]) -> list[tuple[str, int]]:
    """The keys with their counts, those in most records first."""
    return sorted(unread.items(), key=lambda entry: (-entry[1], entry[0]))


def shown_key(key: str) -> str:
    """A key in one short line, in quotes if it does not look like one."""
    short = key if len(key) <= _MAX_CHARACTERS else f"{key[: _MAX_CHARACTERS - 3]}..."
    return short if short.isprintable() and short.strip() == short != "" else json.dumps(short)
