"""The expected checksum of each file, from a local or remote list, a mapping, or a named set."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bloomdata.errors import CorruptDataError
from bloomdata.fetching.checksums import Checksum, from_list, from_mapping, parse_list
from bloomdata.fetching.names import items_of
from bloomdata.fetching.opening import open_address
from bloomdata.fetching.sets import FETCH_SETS

if TYPE_CHECKING:
    from bloomdata.fetching.names import Item

# Larger than any list of checksums.
_MOST_BYTES = 64 << 20


def wanted_checksums(
    sources: Any,
    checksums: str | os.PathLike[str] | Mapping[str, str | None] | None,
    items: list[Item],
    timeout_seconds: float,
) -> dict[str, Checksum]:
    """The expected checksums of files.

    Args:
        sources: As for `fetch`; named sets may have their own lists.
        checksums: As for `fetch`.
        items: The files.
        timeout_seconds: Seconds to wait for a silent server.

    Returns:
        Checksums by file name; files without a known checksum are left out.

    Raises:
        ConfigError: A file has no checksum, or a checksum is invalid.
        CorruptDataError: The list is malformed.
        OSError: As for `open_address`.
    """
    if isinstance(checksums, Mapping):
        return from_mapping(checksums, items)
    if checksums is not None:
        return _of_list(os.fspath(checksums), items, timeout_seconds)
    wanted: dict[str, Checksum] = {}
    if not isinstance(sources, Mapping):
        for source in [sources] if isinstance(sources, (str, os.PathLike)) else sources:
            named = FETCH_SETS.get(source) if isinstance(source, str) else None
            if named is not None and named.checksums is not None:
                wanted |= _of_list(named.checksums, items_of(source), timeout_seconds)
    return wanted


def _of_list(where: str, items: list[Item], timeout_seconds: float) -> dict[str, Checksum]:
    remote = open_address(where, offset=0, validator=None, size=None, timeout_seconds=timeout_seconds)
    content = bytearray()
    try:
        while block := remote.stream.read(1 << 20):
            content += block
            if len(content) > _MOST_BYTES:
                raise CorruptDataError(f"{where}: expected a list of at most {_MOST_BYTES} bytes, found more")
    finally:
        remote.stream.close()
    if remote.size not in (None, len(content)):
        raise CorruptDataError(f"{where}: expected {remote.size} bytes, the stream has {len(content)}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorruptDataError(f"{where}: offset {error.start}: expected UTF-8") from None
    return from_list(parse_list(text, where), items, where)
