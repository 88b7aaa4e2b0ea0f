"""`trained_from.json` beside a tokenizer: what it was trained from, so that the same call again does nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bloomdata import _core
from bloomdata.tokenizers.folder import write_json

if TYPE_CHECKING:
    from pathlib import Path

NAME = "trained_from.json"


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Options, and inputs by their content.

    Attributes:
        facts: Version, options and arguments, as they stand in the file.
    """

    facts: dict[str, Any]

    @classmethod
    def of(cls, config: str, roles: dict[str, str], arguments: list[str]) -> Origin:
        """What a call is asked for."""
        files = [str(path) for path, _ in _core.list_files(arguments)]
        return cls(facts={"version": _core.VERSION, "config": json.loads(config), "roles": roles, "files": files})

    def finished(self, folder: Path) -> dict[str, Any] | None:
        """The report of an earlier call, if it was the same one, and neither its inputs nor the tokenizer changed."""
        path = folder / "tokenizer.json"
        try:
            known = json.loads((folder / NAME).read_bytes())
            if known["facts"] != self.facts or known["tokenizer"] != _content(path):
                return None
            return {**known["report"], "path": path} if known["inputs"] == self._contents() else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, path: Path, report: dict[str, Any]) -> None:
        """Notes what the tokenizer `path` was made of."""
        known = {"facts": self.facts, "inputs": self._contents(), "tokenizer": _content(path), "report": report}
        write_json(path.with_name(NAME), known)

    def _contents(self) -> list[list[Any]]:
        return [_content(name) for name in self.facts["files"]]


def _content(path: str | Path) -> list[Any]:
    """Size and hash."""
    return list(_core.hash_file(path))
