"""Parts in a store: written here and uploaded."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bloomdata.errors import MismatchError
from bloomdata.manifest import MANIFEST_NAME
from bloomdata.parts.boards import StoreBoard
from bloomdata.parts.counting import COUNTS_NAME
from bloomdata.parts.local_place import LocalPlace
from bloomdata.parts.sharing import PLAN_NAME, part_name
from bloomdata.parts.signs import (
    Progress,
    Signs,
    done_by,
    input_bytes,
    progress_of,
    read_plan,
    read_signs,
    remove_signs,
)
from bloomdata.parts.store_end import finish_in_store, list_folder, own_folder
from bloomdata.storage.addresses import CONNECTIONS, inside, open_store
from bloomdata.storage.uploading import create_object, publish, read_object, stand_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bloomdata.options.inputs import OnProgress
    from bloomdata.options.running import Limits


class StorePlace:
    """A folder in a store. Parts are written in a local folder and uploaded, their manifests last.

    Args:
        address: Address of the folder.
        local: Local folder for what is not uploaded yet; a part that was killed resumes from there.
        scratch_limit: Bytes that are brought there at most to be joined.
    """

    def __init__(self, address: str, local: Path, scratch_limit: int) -> None:
        self._address = address
        self._scratch_limit = scratch_limit
        self._is_planned = False
        self._looked = -math.inf
        self._seen: dict[str, Progress] = {}
        self._local = local

    def finished(self, parts: int) -> set[int]:
        """As `Place`."""
        names = {part_name(number, parts): number for number in range(parts)}
        folders = (path.removesuffix(f"/{MANIFEST_NAME}") for path in list_folder(self._address))
        return {names[folder] for folder in folders if folder in names}

    def is_planned(self) -> bool:
        """As `Place`."""
        self._is_planned = self._is_planned or read_object(inside(self._address, PLAN_NAME)) is not None
        return self._is_planned

    def done(self, finished: set[int], parts: int) -> Progress:
        """As `Place`."""
        names = [inside(part_name(number, parts), MANIFEST_NAME) for number in finished]
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            manifests = list(pool.map(lambda name: read_object(inside(self._address, name)), names))
        return sum((done_by(json.loads(manifest)) for manifest in manifests if manifest), Progress())

    def forget(self, names: set[str]) -> None:
        """As `Place`."""
        for root in (self._address, self._local):
            remove_signs(root, names)

    def discard(self) -> None:
        """As `Place`. Nothing is removed from a folder without a plan."""
        self._is_planned = False
        store, path = open_store(self._address)
        shutil.rmtree(self._local, ignore_errors=True)
        if read_object(inside(self.counts()._address, PLAN_NAME)) is not None:
            store.rm(f"{path}/{COUNTS_NAME}", recursive=True)
        if read_object(inside(self._address, PLAN_NAME)) is None:
            return
        manifest = read_object(inside(self._address, MANIFEST_NAME))
        outputs = [] if manifest is None else json.loads(manifest)["outputs"]
        pairs = {output["path"] for output in outputs if "/" not in output["path"]}
        names = {name.split("/")[0] for name in list_folder(self._address)}
        parts = {name for name in names if name.startswith("part-")}
        # Without its manifest, the folder is not finished, whatever comes of the rest; without a plan, it is of others.
        for name in (MANIFEST_NAME, *sorted(parts | pairs), PLAN_NAME):
            if name in names:
                store.rm(f"{path}/{name}", recursive=True)

    def counts(self) -> StorePlace:
        """As `Place`."""
        return StorePlace(inside(self._address, COUNTS_NAME), self._local / COUNTS_NAME, self._scratch_limit)

    def bring_counts(self) -> None:
        """As `Place`; all of it is small."""
        counts = self.counts()
        names = list(list_folder(counts._address))
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            contents = pool.map(lambda name: read_object(inside(counts._address, name)), names)
            for name, content in zip(names, contents, strict=True):
                counts._put(name, content or b"")

    def _put(self, name: str, content: bytes) -> None:
        """Writes a local file that other parts of this machine may be reading."""
        path = self._local / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}")
        temporary.write_bytes(content)
        temporary.replace(path)

    def run(self, function: Callable[..., Any], arguments: dict[str, Any], number: int) -> Any:
        """As `Place`. Signs of the part lie in the store, for everybody, and here, for who looks more often."""
        signs = Signs(self._address, number, arguments["parts"], self._local)
        on_progress = signs.beat(arguments.get("on_progress"))
        with signs.watch():
            return self._run(function, arguments | {"on_progress": on_progress}, number)

    def _run(self, function: Callable[..., Any], arguments: dict[str, Any], number: int) -> Any:
        name = part_name(number, arguments["parts"])
        address, folder = inside(self._address, name), self._local / name
        manifest = read_object(inside(address, MANIFEST_NAME))
        if manifest is not None:
            self._stand_in(name, manifest)
        with self._agreed() as agree:

            def on_progress(*counts: int) -> None:
                agree()
                arguments["on_progress"](*counts)

            told = arguments | {"on_progress": on_progress}
            report = LocalPlace(str(self._local)).run(function, told, number)
        if manifest is None:
            publish(folder, address, report.manifest)
        shutil.rmtree(folder, ignore_errors=True)
        return replace(report, folder=address)

    @contextlib.contextmanager
    def _agreed(self) -> Iterator[Callable[[], None]]:
        """Puts the plan of the run beside the part; if there is none yet, that of the part goes to the store early."""
        plan = read_object(inside(self._address, PLAN_NAME))
        is_there = plan is not None
        if plan is not None:
            self._put(PLAN_NAME, plan)
            # Parts have been at work by it, if not here: the core makes a new plan only in place of one of no parts.
            found = re.search(rb'"parts":(\d+),"unit_bytes"', plan)
            (self._local / part_name(0, int(found[1]) if found else 1)).mkdir(exist_ok=True)

        def agree() -> None:
            nonlocal is_there
            if not is_there and (self._local / PLAN_NAME).exists():
                self._publish_plan()
                is_there = True

        yield agree
        agree()

    def _publish_plan(self) -> None:
        content = (self._local / PLAN_NAME).read_bytes()
        found = create_object(inside(self._address, PLAN_NAME), content)
        if found is not None and found != content:
            raise MismatchError(
                f"{inside(self._address, PLAN_NAME)}: expected the plan of this run, found that of another one, which "
                "started at the same moment with other options or inputs"
            )

    def _stand_in(self, name: str, manifest: bytes) -> None:
        """Makes the folder of a part that is in the store look so here, for who compares manifests and sizes."""
        folder = self._local / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        stand_in(folder, [(output["path"], output["size"]) for output in json.loads(manifest)["outputs"]])
        (folder / MANIFEST_NAME).write_bytes(manifest)

    def finish(self, *, joined: bool, limits: Limits, on_progress: OnProgress) -> Any:
        """As `Place`. Two at once on this machine take turns."""
        with own_folder(self._local.with_name(f"{self._local.name}-finish")) as folder:
            report = finish_in_store(
                self._address, folder, self._scratch_limit, joined=joined, limits=limits, on_progress=on_progress
            )
        # Parts that were killed have left nothing that is of use to anybody once all are finished.
        shutil.rmtree(self._local, ignore_errors=True)
        remove_signs(self._address)
        return report

    def beats(self) -> dict[str, Progress]:
        """As `Place`. The store is asked as rarely as parts write there."""
        now = time.monotonic()
        if now - self._looked >= StoreBoard.beat_seconds:
            self._looked = now
            with contextlib.suppress(OSError):
                self._seen = progress_of(read_signs(self._address))
        return self._seen | progress_of(read_signs(self._local))

    def total_bytes(self) -> int:
        """As `Place`."""
        return input_bytes(read_plan(self._address))
