"""The objects that addresses stand for, as the core takes them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from bloomdata.storage.addresses import CONNECTIONS, open_store, with_retries

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bloomdata.storage.addresses import Store

    # Address, bytes, tag, last bytes, the argument that it comes from, and whether it is that argument.
    Object = tuple[str, int, str, bytes, int, bool]

# Smaller files are never cut, so their ends are not read.
_MIN_CUT_BYTES = 16 << 20
# The last bytes of a file of zstd frames with a seek table, and what they end with.
_FOOTER_BYTES, _SEEKABLE = 9, (0x8F92EAB1).to_bytes(4, "little")
# The length of the footer of a Parquet file, and the mark behind it; bytes that hold most footers, and the largest that
# is read: a file with more is not cut.
_MARK_BYTES, _GUESSED_BYTES, _MOST_BYTES = 8, 64 << 10, 64 << 20


def list_objects(addresses: Sequence[str], *, with_ends: bool = True) -> list[Object]:
    """All objects of addresses: an object, a folder, or a pattern.

    Args:
        addresses: What users name.
        with_ends: Whether to read the last bytes of large files of zstd frames and Parquet files, which say where they
            can be cut.

    Raises:
        FileNotFoundError: There is nothing at an address.
        OSError: The store reports an error.
    """
    found = [one for argument, address in enumerate(addresses) for one in _objects(argument, address)]
    if not with_ends:
        return found
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        ends = pool.map(lambda one: _end_of(one[0], one[1]), found)
        return [(*one[:3], end, *one[4:]) for one, end in zip(found, ends, strict=True)]


def _objects(argument: int, address: str) -> Iterator[Object]:
    """Objects of an address, without their last bytes."""
    store, path = open_store(address)
    if any(mark in path for mark in "*?["):
        listed = with_retries(address, lambda: store.glob(path, detail=True))
        found = {name: facts for name, facts in listed.items() if facts["type"] == "file"}
    elif with_retries(address, lambda: store.isfile(path)):
        yield _object(store, argument, with_retries(address, lambda: store.info(path)), is_named=True)
        return
    else:
        found = with_retries(address, lambda: store.find(path, detail=True))
    if not found:
        raise FileNotFoundError(2, "no such object, and none that fits", address)
    for _, facts in sorted(found.items()):
        yield _object(store, argument, facts, is_named=False)


def _object(store: Store, argument: int, facts: dict[str, Any], *, is_named: bool) -> Object:
    return store.unstrip_protocol(facts["name"]), int(facts["size"]), tag_of(facts), b"", argument, is_named


def _end_of(address: str, size: int) -> bytes:
    """The last bytes of an object that can be cut: its seek table, or its footer. Nothing of others."""
    store, path = open_store(address)

    def last(length: int) -> bytes:
        start = max(0, size - length)
        end: bytes = with_retries(address, lambda: store.cat_file(path, start=start, end=size))
        return end

    name = path.lower()
    if size < _MIN_CUT_BYTES or not name.endswith((".zst", ".parquet")):
        return b""
    if name.endswith(".zst"):
        end = last(_FOOTER_BYTES)
        # Twelve bytes a frame at most, and the head of the table.
        length = int.from_bytes(end[:4], "little") * 12 + 8 + _FOOTER_BYTES
        return last(length) if end.endswith(_SEEKABLE) else end
    end = last(_GUESSED_BYTES)
    length = int.from_bytes(end[-_MARK_BYTES:-4], "little") + _MARK_BYTES
    if length > _MOST_BYTES:
        return b""
    return end[-length:] if length <= len(end) else last(length)


def tag_of(facts: dict[str, Any]) -> str:
    """What changes with the content of an object: its ETag, else the time of its last change, else nothing."""
    for name in ("ETag", "etag", "LastModified", "last_modified", "updated", "mtime", "created"):
        value = facts.get(name)
        if value is not None:
            # Some stores give one time in two forms.
            return str(value.timestamp() if hasattr(value, "timestamp") else value).strip('"')
    return ""
