"""`trained_from.json` beside a tokenizer: what it was trained on, so that repeating the call does nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bloomdata import _core
from bloomdata.tokenizers.folder import write_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NAME = "trained_from.json"


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The options of a call, and the content of its inputs.

    Attributes:
        facts: Version, options and input files, as stored in `trained_from.json`.
    """

    facts: dict[str, Any]

    @classmethod
    def of(cls, config: str, roles: dict[str, str], files: list[str], beside: list[str]) -> Origin:
        """The origin that a call on `files` would have; `beside` are files that it writes beside the tokenizer."""
        return cls(
            facts={"version": _core.VERSION, "config": json.loads(config), "roles": roles, "files": files}
            | ({"beside": beside} if beside else {})
        )

    def finished(self, folder: Path) -> dict[str, Any] | None:
        """The report of an earlier call, if its options are the same and neither inputs nor tokenizer have changed."""
        path = folder / "tokenizer.json"
        try:
            known = json.loads((folder / NAME).read_bytes())
            if known["facts"] != self.facts or known["tokenizer"] != self._written(path):
                return None
            return {**known["report"], "path": path} if known["inputs"] == self._contents({}) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, path: Path, report: dict[str, Any], read: Mapping[str, list[Any]] | None = None) -> None:
        """Writes `trained_from.json` beside the tokenizer `path`; `read` are contents of files that are known."""
        inputs = self._contents(read or {})
        # Where it is says its path; a folder of another name has the same bytes.
        told = {name: value for name, value in report.items() if name != "path"}
        known = {"facts": self.facts, "inputs": inputs, "tokenizer": self._written(path), "report": told}
        write_json(path.with_name(NAME), known)

    def _written(self, path: Path) -> list[Any]:
        """Size and hash of the tokenizer, and of the files beside it."""
        beside = [_content(path.with_name(name)) for name in self.facts.get("beside", [])]
        return [*_content(path), *beside]

    def _contents(self, read: Mapping[str, list[Any]]) -> list[list[Any]]:
        return [read.get(name) or _content(name) for name in self.facts["files"]]


def _content(path: str | Path) -> list[Any]:
    """Size and hash of a file."""
    return list(_core.hash_file(path))
