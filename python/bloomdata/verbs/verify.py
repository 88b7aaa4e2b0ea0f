"""The verb `verify`."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bloomdata import _core
from bloomdata.errors import CorruptDataError
from bloomdata.verbs.run import thread_count

if TYPE_CHECKING:
    from bloomdata.verbs.run import OnProgress


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What `verify` has checked: every byte of `files` files, `bytes` in all."""

    files: int
    bytes: int


def verify(
    folder: str | os.PathLike[str], *, num_threads: int | None = None, on_progress: OnProgress = None
) -> Verification:
    """Checks a finished folder: every hash, size and count, every index, every token against the vocabulary.

    Memory: 4 bytes a document of the largest Megatron index.

    Args:
        folder: Written by `shard`, `pack` or `merge`.
        num_threads: Threads; as many as processors by default.
        on_progress: As for `pack`.

    Returns:
        What was checked.

    Raises:
        CorruptDataError: Names each file that is wrong, and how.
        ConfigError: The folder is not finished, or not ours.

    Example:
        >>> _ = bloomdata.shard("raw/*.jsonl", "shards")
        >>> bloomdata.verify("shards").files
        1
    """
    result = json.loads(_core.verify(os.fspath(folder), thread_count(num_threads), on_progress))
    if problems := result["problems"]:
        lines = [f"{os.fspath(folder)}: {len(problems)} problem(s)"]
        lines += [f"  {problem['path']}: {problem['reason']}" for problem in problems]
        raise CorruptDataError("\n".join(lines))
    return Verification(files=result["files"], bytes=result["bytes"])
