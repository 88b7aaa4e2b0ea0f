"""The end of a run whose parts are in a store: by their books, and by their Megatron pairs if those are joined."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bloomdata.errors import BloomdataError, ConfigError, MismatchError
from bloomdata.manifest import MANIFEST_NAME
from bloomdata.parts.counting import COUNTS_NAME
from bloomdata.parts.local_place import LocalPlace
from bloomdata.parts.sharing import PLAN_NAME
from bloomdata.storage.addresses import CONNECTIONS, inside, open_store, with_retries
from bloomdata.storage.listing import list_objects, tag_of
from bloomdata.storage.staging import Staging
from bloomdata.storage.uploading import create_object, download, read_object, stand_in, upload_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bloomdata.options.inputs import OnProgress
    from bloomdata.options.running import Limits


def finish_in_store(
    address: str, folder: Path, scratch_limit: int, *, joined: bool, limits: Limits, on_progress: OnProgress
) -> Any:
    """Finishes the run at an address; its report.

    Of the store only plan and manifests are read. To join pairs, their indices are brought too, and their tokens one
    part after the other: joined, they are here until they are uploaded.

    Args:
        address: Where the parts are.
        folder: A local folder for what stands in for them, which nobody else uses.
        scratch_limit: Bytes of tokens in it at most; those of a larger part are there alone.
        joined: Whether to join pairs.
        limits: As for the core.
        on_progress: As for the core.
    """
    # What a counting phase has left is a folder of parts of its own.
    listed = {name: facts for name, facts in list_folder(address).items() if not name.startswith(f"{COUNTS_NAME}/")}
    stand_in(folder, [(name, int(facts["size"])) for name, facts in listed.items()])
    books = [name for name in listed if name.rpartition("/")[2] in {MANIFEST_NAME, PLAN_NAME}]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        contents = dict(zip(books, pool.map(lambda name: read_object(inside(address, name)), books), strict=True))
    for name, content in contents.items():
        (folder / name).write_bytes(content or b"")
    _check_inputs(address, contents.get(PLAN_NAME))
    before = contents.get(MANIFEST_NAME)
    tokens = []
    if joined and (before is None or not json.loads(before)["details"].get("joined")):
        pairs = [name for name in listed if "/" in name]
        download(address, folder, [name for name in pairs if name.endswith(".idx")])
        tokens = [
            (inside(address, name), int(listed[name]["size"]), tag_of(listed[name]), b"", 0, False)
            for name in pairs
            if name.endswith(".bin")
        ]
    with Staging(tokens, scratch_limit) as staging, _told_of(address, folder):
        place = LocalPlace(str(folder), (address, staging))
        report = place.finish(joined=joined, limits=limits, on_progress=on_progress)
    if not report.was_finished:
        # What is not in the folder of a part is new.
        upload_files(folder, address, [output["path"] for output in report.outputs if "/" not in output["path"]])
        _publish_manifest(inside(address, MANIFEST_NAME), before, (folder / MANIFEST_NAME).read_bytes())
    return replace(report, folder=address)


def list_folder(address: str) -> dict[str, dict[str, Any]]:
    """What the store says of all objects in a folder, by their names in it."""
    store, path = open_store(address)
    store.invalidate_cache()
    try:
        found = with_retries(address, lambda: store.find(path, detail=True))
    except FileNotFoundError:
        return {}
    # Empty objects of such names stand for folders that somebody made by hand.
    files = {name: facts for name, facts in found.items() if not name.endswith("/")}
    return {name.removeprefix(f"{path}/"): facts for name, facts in files.items()}


@contextlib.contextmanager
def own_folder(path: Path) -> Iterator[Path]:
    """A new folder, removed at the end. Who comes while another has it waits; whoever was killed has it no more."""
    while True:
        path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        # Whoever had it has removed it since.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                break
        os.close(descriptor)
    try:
        for left in path.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)


@contextlib.contextmanager
def _told_of(address: str, folder: Path) -> Iterator[None]:
    """Errors name what is in the store, not what stands in for it here."""
    try:
        yield
    except BloomdataError as error:
        raise type(error)(str(error).replace(str(folder), address)) from None
    except FileNotFoundError as error:
        error.filename = str(error.filename).replace(str(folder), address)
        raise


def _check_inputs(address: str, plan: bytes | None) -> None:
    """Compares objects with what they were when the parts were planned."""
    if plan is None:
        raise ConfigError(f"output: expected a folder with the parts of a run and their plan, got {address}")
    planned = {one["path"]: (one["size"], one["tag"]) for one in json.loads(plan)["inputs"] if "tag" in one}
    folders = sorted({path.rpartition("/")[0] for path in planned})
    found = {path: (size, tag) for path, size, tag, *_ in list_objects(folders, with_ends=False)}
    for path, then in planned.items():
        if found.get(path) != then:
            raise MismatchError(
                f"{path}: size and ETag (changed since the parts were planned): expected {then}, found "
                f"{found.get(path)}"
            )


def _publish_manifest(address: str, before: bytes | None, content: bytes) -> None:
    """Creates the manifest of a run. That of the same run with its pairs in the other form makes way for it.

    Raises:
        MismatchError: There is another one.
    """
    if before is not None and _plan_of(before) == _plan_of(content) and read_object(address) == before:
        store, path = open_store(address)
        with_retries(address, lambda: store.rm_file(path))
    found = create_object(address, content)
    if found is not None and found != content:
        raise MismatchError(f"{address}: expected this run's, found another one's")


def _plan_of(manifest: bytes) -> Any:
    return json.loads(manifest)["details"].get("plan")
