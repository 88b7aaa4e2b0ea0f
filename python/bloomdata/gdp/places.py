"""Bad lines by their places in the files of the user, instead of in the split files that are soon gone."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from bloomdata import _core
from bloomdata.errors import CorruptDataError

if TYPE_CHECKING:
    from pathlib import Path

# Name of the file of bad lines in generative_data_prep.
BAD_LINES = "json_load_failed_lines.log"
# The option of this command that goes on after bad lines.
WAY_OUT = "--ignore_input_format_error"
_MARK = b"\xef\xbb\xbf"


class SplitLine(NamedTuple):
    """A line of a split file: the file, the line's number from 1, and where it starts in bytes."""

    path: Path
    line: int
    offset: int


class Origins:
    """Finds lines of split files in the inputs.

    Args:
        inputs: The files of the user.
        names: Names of the split files, in the order in which lines are dealt to them.
        seed: Seed of the shuffle; None if there was none.
    """

    def __init__(self, inputs: list[Path], names: list[str], seed: int | None) -> None:
        self._inputs, self._names, self._seed = inputs, names, seed

    def find(self, lines: list[SplitLine]) -> list[tuple[str, int, int]]:
        """The file, the number from 1, and the offset in the decompressed file of each line. Reads the inputs once."""
        at = {name: number for number, name in enumerate(self._names)}
        sought = [
            (at[line.path.name] + (line.line - 1) * len(self._names), _content(line.path, line.offset))
            for line in lines
        ]
        found = _core.find_lines([os.fspath(path) for path in self._inputs], sought, self._seed)
        # Inputs that have changed since they were dealt out: the place in the split file is all there is.
        return [
            (os.fspath(line.path), line.line, line.offset) if place is None else (os.fspath(place[0]), *place[1:])
            for line, place in zip(lines, found, strict=True)
        ]

    def of_error(self, error: CorruptDataError, split: Path) -> CorruptDataError:
        """The same error, of the user's file, with the option of this command."""
        if error.record is None:
            return error
        [(path, line, offset)] = self.find([SplitLine(split, error.record.line, error.record.offset)])
        return with_way_out(CorruptDataError("", (path, line, offset, error.record.reason)))

    def join_quarantines(self, splits: Path, rows: Path, target: Path) -> int:
        """Writes the bad lines of all split files to `target`, in the order of the inputs; returns their number.

        Args:
            splits: Folder of the split files.
            rows: Folder that has the finished run of each split file.
            target: File to write, if there are any.
        """
        entries: list[dict[str, Any]] = []
        lines: list[SplitLine] = []
        by_stem = {name.rpartition(".")[0]: splits / name for name in self._names}
        for quarantine in sorted(rows.glob("*/quarantine.jsonl")):
            for text in quarantine.read_text("utf-8").split("\n")[:-1]:
                entry = json.loads(text)
                entries.append(entry)
                lines.append(SplitLine(by_stem[quarantine.parent.name], entry["line"], entry["offset"]))
        if not entries:
            return 0
        order = {os.fspath(path): number for number, path in enumerate(self._inputs)}
        placed = []
        for entry, (path, line, offset) in zip(entries, self.find(lines), strict=True):
            moved = entry | {"file": path, "line": line, "offset": offset}
            placed.append((order.get(path, len(order)), line, json.dumps(moved, ensure_ascii=False) + "\n"))
        target.write_text("".join(text for _, _, text in sorted(placed)), "utf-8")
        return len(placed)


def with_way_out(error: CorruptDataError) -> CorruptDataError:
    """The same error of a bad record, with the option of this command."""
    if error.record is None:
        return error
    path, line, offset, reason = error.record
    message = f"{path}: line {line}: offset {offset}: {reason} ({WAY_OUT} sets such records aside)"
    return CorruptDataError(message, error.record)


def _content(path: Path, offset: int) -> bytes:
    """The bytes of the line that starts at `offset`, without its newline."""
    with path.open("rb") as file:
        if offset == len(_MARK) and file.read(offset) == _MARK:
            offset = 0  # The line's own character, taken for the mark of the split file.
        file.seek(offset)
        return file.readline().removesuffix(b"\n")
