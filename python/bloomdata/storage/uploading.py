"""Folders and stores: files go there whole or not at all, and what says that all are there comes last."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from bloomdata.errors import MismatchError
from bloomdata.manifest import MANIFEST_NAME
from bloomdata.storage.addresses import CONNECTIONS, fresh_facts, inside, open_store, with_retries

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def read_object(address: str) -> bytes | None:
    """The content of an object; None if there is none."""
    store, path = open_store(address)
    try:
        content: bytes = with_retries(address, lambda: store.cat_file(path))
    except FileNotFoundError:
        return None
    return content


def create_object(address: str, content: bytes) -> bytes | None:
    """Writes an object unless there is one, of which the content is returned.

    The store decides which of two writers is first, by a conditional request.
    """
    store, path = open_store(address)
    try:
        with_retries(address, lambda: store.pipe_file(path, content, mode="create"))
    except FileExistsError:
        found = read_object(address)
        return b"" if found is None else found
    return None


def upload_files(folder: Path, address: str, names: Iterable[str]) -> None:
    """Uploads files of a folder, and compares their sizes in the store.

    Raises:
        OSError: The store reports an error.
        MismatchError: A file has another size there.
    """
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(lambda name: _upload(folder / name, inside(address, name)), names))


def _upload(local: Path, address: str) -> None:
    store, path = open_store(address)
    with_retries(address, lambda: store.put_file(str(local), path))
    size, found = local.stat().st_size, int(fresh_facts(address)["size"])
    if found != size:
        raise MismatchError(f"{address}: size in bytes after the upload: expected {size}, found {found}")


def download(address: str, folder: Path, names: Iterable[str]) -> None:
    """Brings whole objects of a folder to a local one.

    Raises:
        OSError: The store reports an error, or an object has another size than its local file had.
    """
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(lambda name: _download(inside(address, name), folder / name), names))


def _download(address: str, local: Path) -> None:
    store, path = open_store(address)
    size = local.stat().st_size

    def request() -> None:
        store.get_file(path, str(local))
        if (found := local.stat().st_size) != size:
            raise OSError(f"{address}: expected {size} bytes, found {found}")

    with_retries(address, request)


def publish(folder: Path, address: str, manifest: dict[str, Any]) -> None:
    """Uploads a finished folder: its outputs, then its manifest, which is created only.

    Who comes second finds a manifest: if it is the same, all is well.

    Raises:
        MismatchError: Another run has written the folder, with another result.
    """
    content = (folder / MANIFEST_NAME).read_bytes()
    upload_files(folder, address, [output["path"] for output in manifest["outputs"]])
    found = create_object(inside(address, MANIFEST_NAME), content)
    if found is not None and found != content:
        fingerprint = json.loads(found or b"{}").get("fingerprint")
        raise MismatchError(
            f"{address}: fingerprint of another run of this part (broken hardware, or inputs that changed): expected "
            f"{fingerprint}, found {manifest['fingerprint']}"
        )


def stand_in(folder: Path, sizes: Iterable[tuple[str, int]]) -> None:
    """Makes local files of so many bytes, all holes, for who looks at sizes alone."""
    for name, size in sizes:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(size)
