"""One file as the output of a verb that writes shards: the only shard gets the name that was asked for.

The folder of the run, `<file>.books`, stays: it says how the file was made, and lets a killed run go on.
"""

from __future__ import annotations

import filecmp
import gzip
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

COMPRESSIONS = {".jsonl.zst": "zstd", ".jsonl.gz": "gzip", ".jsonl": "none"}
# Files without any line. One frame of no bytes, which every zstd reader takes; an empty file is none to some.
_EMPTY = {
    ".jsonl.zst": bytes.fromhex("28b52ffd2000010000"),
    ".jsonl.gz": gzip.compress(b"", mtime=0),
    ".jsonl": b"",
}


def suffix_of(output: str | os.PathLike[str]) -> str | None:
    """The suffix that makes an output a file; none for folders."""
    return next((suffix for suffix in COMPRESSIONS if os.fspath(output).endswith(suffix)), None)


def check(folder: Path, output: Path, inputs: Sequence[str], *, overwrite: bool) -> None:
    """Refuses to write over what is not the output of an earlier call; removes it if it may be overwritten.

    Raises:
        ConfigError: A file that is not ours, or is an input.
    """
    if not output.exists():
        return
    if not output.is_file():
        raise ConfigError(f"output: {output} is no file")
    if any(os.path.exists(path) and output.samefile(path) for path in inputs):  # noqa: PTH110 - a pattern is no path
        raise ConfigError(f"output: {output} is an input")
    if overwrite:
        output.unlink()
    elif not _is_written(_finished(folder), folder, output):
        raise ConfigError(f"output: {output} is not what an earlier call wrote; overwrite=True replaces it")


def show(manifest: dict[str, Any], folder: Path, output: Path) -> None:
    """Gives the shard the name that was asked for; no second copy where the system has links."""
    if _is_written(manifest, folder, output):
        return
    temporary = output.with_name(f".{output.name}.tmp")
    temporary.unlink(missing_ok=True)
    shard = _shard(manifest, folder)
    if shard is None:
        temporary.write_bytes(_EMPTY[suffix_of(output) or ".jsonl"])
    else:
        try:
            temporary.hardlink_to(shard)
        except OSError:
            shutil.copyfile(shard, temporary)
    temporary.replace(output)


def _finished(folder: Path) -> dict[str, Any] | None:
    try:
        manifest: Any = json.loads((folder / "manifest.json").read_bytes())
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and isinstance(manifest.get("outputs"), list) else None


def _shard(manifest: dict[str, Any], folder: Path) -> Path | None:
    """The shard of a finished run; none if there were no lines."""
    return next((folder / entry["path"] for entry in manifest["outputs"] if "lines" in entry), None)


def _is_written(manifest: dict[str, Any] | None, folder: Path, output: Path) -> bool:
    if manifest is None or not output.is_file():
        return False
    shard = _shard(manifest, folder)
    if shard is None:
        return output.read_bytes() == _EMPTY[suffix_of(output) or ".jsonl"]
    return shard.is_file() and (output.samefile(shard) or filecmp.cmp(output, shard, shallow=False))
