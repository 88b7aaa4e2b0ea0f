"""The section of a web page on keys of records that nothing read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bloomdata.reports.html_charts import table
from bloomdata.reports.unread_keys import by_records, shown_key

if TYPE_CHECKING:
    from collections.abc import Mapping

# Keys in the table; the manifest has all of them.
_MAX_ROWS = 200


def unread_section(unread: Mapping[str, int]) -> str:
    """The keys and their records as HTML, those in most records first; nothing if there are none."""
    rows = [(shown_key(key), f"{count:,}") for key, count in by_records(unread)[:_MAX_ROWS]]
    return table("Keys that nothing read", ("key", "records"), rows) if rows else ""
