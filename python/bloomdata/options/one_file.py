"""A single output file for a verb that writes shards: its only shard gets the requested name.

The folder of the run, `<file>.books`, stays: it records how the file was made, and lets a killed run resume.
"""

from __future__ import annotations

import filecmp
import gzip
import os
import shutil
from typing import TYPE_CHECKING, Any

from bloomdata.errors import BloomdataError, ConfigError
from bloomdata.manifest import read_manifest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

COMPRESSIONS = {".jsonl.zst": "zstd", ".jsonl.gz": "gzip", ".jsonl": "none"}
# Files without lines. For zstd an empty frame, since some readers reject a file of zero bytes.
_EMPTY = {
    ".jsonl.zst": bytes.fromhex("28b52ffd2000010000"),
    ".jsonl.gz": gzip.compress(b"", mtime=0),
    ".jsonl": b"",
}


def suffix_of(output: str | os.PathLike[str]) -> str | None:
    """The suffix that makes an output a single file; None for folders."""
    return next((suffix for suffix in COMPRESSIONS if os.fspath(output).endswith(suffix)), None)


def check(folder: Path, output: Path, inputs: Sequence[str], *, overwrite: bool) -> None:
    """Checks that an existing file is the output of an earlier call, or removes it if it may be overwritten.

    Raises:
        ConfigError: The file was not written by bloomdata, or is an input.
    """
    if not output.exists():
        return
    if not output.is_file():
        raise ConfigError(f"output: expected a file, got {output}")
    if any(os.path.exists(path) and output.samefile(path) for path in inputs):  # noqa: PTH110 - may be a pattern
        raise ConfigError(f"output: expected a file that is not an input, got {output}")
    if overwrite:
        output.unlink()
    elif not _is_written(_finished(folder), folder, output):
        raise ConfigError(f"output: expected a file of an earlier call, got {output}; overwrite=True replaces it")


def show(manifest: dict[str, Any], folder: Path, output: Path) -> None:
    """Gives the shard the requested name, by a hard link where the file system has them."""
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
        return read_manifest(folder)
    except (BloomdataError, OSError):
        return None


def _shard(manifest: dict[str, Any], folder: Path) -> Path | None:
    """The shard of a finished run; None if there were no lines."""
    return next((folder / entry["path"] for entry in manifest["outputs"] if "lines" in entry), None)


def _is_written(manifest: dict[str, Any] | None, folder: Path, output: Path) -> bool:
    if manifest is None or not output.is_file():
        return False
    shard = _shard(manifest, folder)
    if shard is None:
        return output.read_bytes() == _EMPTY[suffix_of(output) or ".jsonl"]
    return shard.is_file() and (output.samefile(shard) or filecmp.cmp(output, shard, shallow=False))
