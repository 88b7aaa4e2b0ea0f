"""The objects that addresses stand for, as the core takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bloomdata.storage.addresses import open_store, with_retries

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bloomdata.storage.addresses import Store

    # Address, bytes, tag, last bytes, the argument that it comes from, and whether it is that argument.
    Object = tuple[str, int, str, bytes, int, bool]

# Smaller files are never cut, so their seek tables are not read.
_MIN_CUT_BYTES = 16 << 20
# The last bytes of a file of zstd frames with a seek table, and what they end with.
_FOOTER_BYTES, _SEEKABLE = 9, (0x8F92EAB1).to_bytes(4, "little")


def list_objects(addresses: Sequence[str], *, with_ends: bool = True) -> list[Object]:
    """All objects of addresses: an object, a folder, or a pattern.

    Args:
        addresses: What users name.
        with_ends: Whether to read the last bytes of large files of zstd frames, which say where they can be cut.

    Raises:
        FileNotFoundError: There is nothing at an address.
        OSError: The store reports an error.
    """
    return [
        found
        for argument, address in enumerate(addresses)
        for found in _objects(argument, address, with_ends=with_ends)
    ]


def _objects(argument: int, address: str, *, with_ends: bool) -> Iterator[Object]:
    store, path = open_store(address)
    if any(mark in path for mark in "*?["):
        listed = with_retries(address, lambda: store.glob(path, detail=True))
        found = {name: facts for name, facts in listed.items() if facts["type"] == "file"}
    elif with_retries(address, lambda: store.isfile(path)):
        facts = with_retries(address, lambda: store.info(path))
        yield _object(store, argument, facts, is_named=True, with_end=with_ends)
        return
    else:
        found = with_retries(address, lambda: store.find(path, detail=True))
    if not found:
        raise FileNotFoundError(2, "no such object, and none that fits", address)
    for _, facts in sorted(found.items()):
        yield _object(store, argument, facts, is_named=False, with_end=with_ends)


def _object(store: Store, argument: int, facts: dict[str, Any], *, is_named: bool, with_end: bool) -> Object:
    path, size = facts["name"], int(facts["size"])
    end = b""
    if with_end and path.lower().endswith(".zst") and size >= _MIN_CUT_BYTES:
        end = with_retries(path, lambda: store.cat_file(path, start=size - _FOOTER_BYTES, end=size))
        if end.endswith(_SEEKABLE):
            # Twelve bytes a frame at most, and the head of the table.
            length = int.from_bytes(end[:4], "little") * 12 + 8 + _FOOTER_BYTES
            end = with_retries(path, lambda: store.cat_file(path, start=max(0, size - length), end=size))
    return store.unstrip_protocol(path), size, tag_of(facts), end, argument, is_named


def tag_of(facts: dict[str, Any]) -> str:
    """What changes with the content of an object: its ETag, else the time of its last change, else nothing."""
    for name in ("ETag", "etag", "LastModified", "last_modified", "updated", "mtime", "created"):
        value = facts.get(name)
        if value is not None:
            # Some stores give one time in two forms.
            return str(value.timestamp() if hasattr(value, "timestamp") else value).strip('"')
    return ""
