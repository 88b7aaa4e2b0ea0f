"""`.gz` files without their compression."""

from __future__ import annotations

import gzip
import os
import zlib
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError, CorruptDataError
from bloomdata.fetching.books import sync_folder
from bloomdata.fetching.checksums import Digests
from bloomdata.fetching.download import hash_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def unpack(archive: Path, *, overwrite: bool, on_bytes: Callable[[int], object]) -> dict[str, Any]:
    """Writes what is in an archive beside it, under its name without `.gz`. The archive stays.

    Args:
        archive: A gzip file of one or more members.
        overwrite: Whether a file of that name may be replaced; one with the same bytes always may.
        on_bytes: Called with the number of bytes after every block.

    Returns:
        `file`, `size` and `sha256` of what was written.

    Raises:
        CorruptDataError: No gzip file, a damaged or a truncated one.
        ConfigError: A file of that name with other bytes.
        OSError: What the system reports.
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
        # A run that was killed may have come as far before its books were written.
        if output.exists() and not overwrite and hash_file(output, None).sha256 != digests.sha256:
            raise ConfigError(f"{output}: is there, and is not what {archive.name} holds; see overwrite")
        part.replace(output)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CorruptDataError(f"{archive}: after {size} bytes of its contents: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    sync_folder(output.parent)
    return {"file": output.name, "size": size, "sha256": digests.sha256}
