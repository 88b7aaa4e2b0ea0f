"""Which documents of a task are in training data, as `decontaminate` has found them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomdata import _core
from bloomdata.errors import CorruptDataError

if TYPE_CHECKING:
    from collections.abc import Iterable


def flagged_texts(files: Iterable[str]) -> set[str]:
    """The texts, questions and passages of all rows that lists of `decontaminate` name.

    A list says where a row is, and has only an excerpt of it; the whole is read from the file of the rows. Texts are
    compared instead of ids, which are the same in many tasks.

    Raises:
        CorruptDataError: A line is no match of `decontaminate`.
        FileNotFoundError: A file of rows is not where it was.
    """
    rows: set[tuple[str, int, str]] = set()
    for name in files:
        for number, match in enumerate(Path(name).read_bytes().split(b"\n"), 1):
            if not match.strip():
                continue
            try:
                row = json.loads(match)["row"]
                rows.add((row["file"], int(row["line"]), row["part"]))
            except (ValueError, KeyError, TypeError) as error:
                reason = f"expected a match of `decontaminate`: {error}"
                raise CorruptDataError(f"{name}: line {number}: {reason}") from error
    found = set()
    for file, line, part in sorted(rows):
        if not Path(file).exists():
            raise FileNotFoundError(2, "contamination names a file of rows that is not there", file)
        for record in _core.read_lines(file, line - 1, 1):
            found.add(_plain(str(json.loads(record).get(part, ""))))
    return found - {""}


def is_flagged(document: Any, flagged: set[str]) -> bool:
    """Whether a document of a task holds a flagged text as one of its fields."""
    values = document.values() if isinstance(document, dict) else [document]
    return any(isinstance(value, str) and _plain(value) in flagged for value in values)


def _plain(text: str) -> str:
    """A text as it is compared: tasks strip and wrap what they read."""
    return " ".join(text.split())
