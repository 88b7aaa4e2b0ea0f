"""Decompresses `.gz` files."""

from __future__ import annotations

import gzip
import os
import zlib
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError, CorruptDataError
from bloomdata.fetching.books import sync_path
from bloomdata.fetching.checksums import Digests
from bloomdata.fetching.download import hash_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def unpack(archive: Path, *, overwrite: bool, on_bytes: Callable[[int], object]) -> dict[str, Any]:
    """Decompresses an archive to its name without `.gz`. The archive stays.

    Args:
        archive: A gzip file of one or more members.
        overwrite: Whether to replace an existing file; one with the same bytes is always replaced.
        on_bytes: Called with the number of bytes after every block.

    Returns:
        `file`, `size` and `sha256` of the decompressed file.

    Raises:
        CorruptDataError: The archive is not gzip, or is damaged or truncated.
        ConfigError: A file of that name has other bytes.
        OSError: The operating system reports an error.
    """
    output = archive.with_name(archive.name.removesuffix(".gz"))
    part = output.with_name(f"{output.name}.part")
    digests, size = Digests(), 0
    try:
        with gzip.open(archive, "rb") as packed, part.open("wb") as file:
            while block := packed.read(1 << 20):
                file.write(block)
                digests.update(block)
                size += len(block)
                on_bytes(len(block))
            file.flush()
            os.fsync(file.fileno())
        # A killed run may have unpacked the file before it saved `fetched.json`.
        if output.exists() and not overwrite and hash_file(output, None).sha256 != digests.sha256:
            raise ConfigError(f"{output}: expected no file, or the content of {archive.name}; see overwrite")
        part.replace(output)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CorruptDataError(f"{archive}: after {size} decompressed bytes: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    sync_path(output.parent)
    return {"file": output.name, "size": size, "sha256": digests.sha256}
