"""Folders in a store -> their files."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from bloomdata.fetching.git import is_git
from bloomdata.fetching.names import Item, checked_name, distinct, scheme_of
from bloomdata.fetching.opening import file_system
from bloomdata.storage.addresses import with_retries

if TYPE_CHECKING:
    from collections.abc import Iterator


def with_files(items: list[Item], num_connections: int) -> list[Item]:
    """Replaces folders by their files, which keep their places in them.

    Args:
        items: Items of all kinds.
        num_connections: Number of requests at a time.

    Raises:
        ConfigError: Two files have one name, or a name that cannot be that of a file here.
        OSError: The store reports an error.
    """
    with ThreadPoolExecutor(num_connections) as pool:
        return distinct(piece for pieces in pool.map(_files, items) for piece in pieces)


def _files(item: Item) -> list[Item]:
    """The files of an item: those of a folder, or the item itself. What is wrong with it shows when it is opened."""
    if scheme_of(item.url) in {"http", "https", "file"} or is_git(item.url):
        return [item]
    files, path = file_system(item.url)
    try:
        is_folder = with_retries(item.url, lambda: files.info(path))["type"] == "directory"
    except OSError:
        return [item]
    return list(_inside(item, path)) if is_folder else [item]


def _inside(item: Item, path: str) -> Iterator[Item]:
    files, _ = file_system(item.url)
    for found in with_retries(item.url, lambda: files.find(path)):
        # Empty objects of such names stand for folders that somebody made by hand.
        if found.endswith("/"):
            continue
        name, url = found.removeprefix(f"{path.rstrip('/')}/"), files.unstrip_protocol(found)
        for part in name.split("/"):
            checked_name(part, url)
        yield Item(url=url, name=f"{item.name}/{name}" if item.is_named else name)
