"""The answers of a run that may be killed: in the order in which they came, until all are there."""

from __future__ import annotations

import fcntl
import json
import os
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

from bloomdata.errors import ConfigError, MismatchError
from bloomdata.fetching.books import write_synced

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class AnswerJournal:
    """Writes answers to `<output>.unfinished`, and in the end the output, in order, with `<output>.books.json`.

    Args:
        output: The file of answers.
        identity: What they depend on; a later run must have the same.
        overwrite: Whether to discard an earlier run.

    Raises:
        ConfigError: The output exists, and was not written by this verb; or another run is writing it.
        MismatchError: It belongs to another call.

    Attributes:
        counts: Those of a finished run; None while there is something to do.
        done: Numbers of the prompts that are answered.
    """

    def __init__(self, output: Path, identity: dict[str, Any], *, overwrite: bool = False) -> None:
        self.output = output
        self.counts: dict[str, int] | None = None
        self.done: dict[int, dict[str, Any]] = {}
        self._identity = identity
        self._books = output.with_name(f"{output.name}.books.json")
        self._path = output.with_name(f"{output.name}.unfinished")
        if overwrite:
            for path in (self._books, self._path):
                path.unlink(missing_ok=True)
        elif self._books.exists() and output.exists():
            books = json.loads(self._books.read_text("utf-8"))
            self._check_same(books)
            self.counts = books["counts"]
            return
        elif output.exists() and not self._path.exists():
            raise ConfigError(f"output: {output} exists, and was not written by generate; overwrite=True replaces it")
        output.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("ab+")
        self._lock()
        self._resume()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.counts is None:
            self._file.close()

    def add(self, index: int, lines: list[dict[str, Any]], counts: Mapping[str, int]) -> None:
        """Keeps the lines of a prompt."""
        self._append({"index": index, "lines": lines, "counts": dict(counts)})

    def sync(self) -> None:
        """Puts all that was kept on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def finish(self) -> dict[str, int]:
        """Writes the output; the counts of all its prompts."""
        self.sync()
        lines = [line for _, kept in sorted(self.done.items()) for line in kept["lines"]]
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        write_synced(self.output, text.encode("utf-8", "backslashreplace"))
        total = Counter(records=len(self.done), answered=0, refused=0, errors=0, tokens=0)
        for kept in self.done.values():
            total.update(kept["counts"])
        write_synced(self._books, json.dumps({**self._identity, "counts": total}, indent=2).encode())
        self._path.unlink()
        return dict(total)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise ConfigError(f"output: {self.output} is being written by another run") from None

    def _resume(self) -> None:
        """Reads what an earlier run has kept; a line that a kill has cut is removed."""
        self._file.seek(0)
        content = self._file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._file.truncate(len(whole))
        lines = [json.loads(line) for line in whole.split(b"\n")[:-1]]
        if not lines:
            self._append(self._identity)
            return
        self._check_same(lines[0])
        self.done = {line["index"]: line for line in lines[1:]}

    def _append(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line).encode() + b"\n")
        if "index" in line:
            self.done[line["index"]] = line

    def _check_same(self, found: Mapping[str, Any]) -> None:
        differences = [
            f"{part} {name}: got {ours.get(name)!r}, found {theirs.get(name)!r}"
            for part, ours in self._identity.items()
            if isinstance(ours, dict)
            for theirs in [found.get(part, {})]
            for name in sorted({*ours, *theirs})
            if ours.get(name) != theirs.get(name)
        ]
        if differences:
            raise MismatchError(
                f"output: {self.output} belongs to another call: {'; '.join(differences[:4])}; overwrite=True starts "
                "anew"
            )
