"""Where the parts of a run lie: in a local folder, or in a store."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bloomdata import _core
from bloomdata.errors import ConfigError, MismatchError
from bloomdata.manifest import JOURNAL_NAME, MANIFEST_NAME
from bloomdata.options.paths import is_address, whole_address
from bloomdata.options.running import running
from bloomdata.parts.counting import COUNTS_NAME
from bloomdata.parts.sharing import PLAN_NAME, part_name
from bloomdata.parts.signs import Progress, Signs, read_signs, remove_signs
from bloomdata.storage.addresses import inside, open_store, with_retries
from bloomdata.storage.listing import list_objects
from bloomdata.storage.staging import CONNECTIONS, scratch_folder
from bloomdata.storage.uploading import create_object, publish, read_object, stand_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bloomdata.options.inputs import OnProgress
    from bloomdata.options.running import Limits


class Place(Protocol):
    """A folder that holds the parts of a run."""

    def is_planned(self) -> bool:
        """Whether there is a plan."""

    def finished(self, parts: int) -> set[int]:
        """Numbers of the parts that have a manifest."""

    def done(self, finished: set[int], parts: int) -> Progress:
        """What finished parts have done."""

    def forget(self, number: int, parts: int) -> None:
        """Removes the signs of a part that is about to run."""

    def discard(self) -> None:
        """Removes what parts have left."""

    def counts(self) -> Place:
        """The place of what a counting phase leaves."""

    def bring_counts(self) -> None:
        """Puts what a counting phase has left where a part finds it."""

    def run(self, function: Callable[..., Any], arguments: dict[str, Any], number: int) -> Any:
        """Runs a part; its report."""

    def finish(self, *, joined: bool, limits: Limits, on_progress: OnProgress) -> Any:
        """Makes one folder of the parts; the report of the run."""

    def beats(self) -> list[Progress]:
        """How far the parts are that are running."""

    def total_bytes(self) -> int:
        """Bytes of all inputs as stored; 0 as long as nothing is planned."""


def place_of(output: str, scratch: str | os.PathLike[str] | None) -> Place:
    """The place of an output."""
    if not is_address(output):
        return LocalPlace(output)
    address = whole_address(output)
    if address.startswith(("http://", "https://")):
        raise ConfigError(f"output: expected a path on this machine, or one in a store such as s3://, got {output!r}")
    return StorePlace(address, scratch_folder(scratch) / hashlib.sha256(address.encode()).hexdigest()[:16])


def done_by(manifest: dict[str, Any]) -> Progress:
    """What the run of a manifest did."""
    read = sum(one["size"] for one in manifest["inputs"])
    return Progress(0, read, manifest["ledger"]["documents_in"], sum(one["size"] for one in manifest["outputs"]))


def _sizes(plan: bytes | None) -> int:
    return sum(one["size"] for one in json.loads(plan)["inputs"]) if plan else 0


class LocalPlace:
    """A folder that every process sees, on this machine or by NFS."""

    def __init__(self, root: str) -> None:
        self.root = Path(root)

    def finished(self, parts: int) -> set[int]:
        """As `Place`. A part that was killed behind its manifest has a journal still, which running it removes."""
        folders = {number: self.root / part_name(number, parts) for number in range(parts)}
        return {
            number
            for number, folder in folders.items()
            if (folder / MANIFEST_NAME).exists() and not (folder / JOURNAL_NAME).exists()
        }

    def is_planned(self) -> bool:
        """As `Place`."""
        return (self.root / PLAN_NAME).exists()

    def done(self, finished: set[int], parts: int) -> Progress:
        """As `Place`."""
        manifests = ((self.root / part_name(number, parts) / MANIFEST_NAME).read_bytes() for number in finished)
        return sum((done_by(json.loads(manifest)) for manifest in manifests), Progress())

    def forget(self, number: int, parts: int) -> None:
        """As `Place`."""
        Signs(self.root, number, parts).remove()

    def discard(self) -> None:
        """As `Place`."""
        self._remove_signs()
        _core.discard_parts(self.root)

    def _remove_signs(self) -> None:
        remove_signs(self.root)
        remove_signs(self.root / COUNTS_NAME)

    def counts(self) -> LocalPlace:
        """As `Place`."""
        return LocalPlace(os.fspath(self.root / COUNTS_NAME))

    def bring_counts(self) -> None:
        """As `Place`; it is there."""

    def run(self, function: Callable[..., Any], arguments: dict[str, Any], number: int) -> Any:
        """As `Place`. Signs of the part lie beside its folder."""
        signs = Signs(self.root, number, arguments["parts"])
        on_progress = signs.beat(arguments.get("on_progress"))
        try:
            own = {"part": number, "output": os.fspath(self.root), "on_progress": on_progress}
            report = function(**arguments | own)
        except Exception as error:
            signs.failed(error)
            raise
        signs.remove()
        return report

    def finish(self, *, joined: bool, limits: Limits, on_progress: OnProgress) -> Any:
        """As `Place`."""
        from bloomdata.reports.report import Report

        start = time.monotonic()
        result = _core.finish(running(self.root, 1, overwrite=False, limits=limits), joined, on_progress)
        self._remove_signs()
        return type(Report.open(self.root)).from_run(self.root, result, time.monotonic() - start)

    def beats(self) -> list[Progress]:
        """As `Place`."""
        signs = read_signs(self.root)["heartbeat"].values()
        return [Progress(*(sign[key] for key in Progress._fields)) for sign in signs]

    def total_bytes(self) -> int:
        """As `Place`."""
        plan = self.root / PLAN_NAME
        return _sizes(plan.read_bytes() if plan.exists() else None)


class StorePlace:
    """A folder in a store. Parts are written in a local folder and uploaded, their manifests last.

    Args:
        address: Address of the folder.
        local: Local folder for what is not uploaded yet; a part that was killed resumes from there.
    """

    def __init__(self, address: str, local: Path) -> None:
        self._address = address
        self._is_planned = False
        self._local = local

    def finished(self, parts: int) -> set[int]:
        """As `Place`."""
        names = {part_name(number, parts): number for number in range(parts)}
        return {names[name] for name in self._folders() if name in names}

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

    def forget(self, number: int, parts: int) -> None:
        """As `Place`; parts leave no signs in a store."""

    def _folders(self) -> set[str]:
        """Names of the folders that have a manifest."""
        return {path.split("/")[-2] for path in self._listed() if path.endswith(f"/{MANIFEST_NAME}")}

    def _listed(self) -> dict[str, dict[str, Any]]:
        store, path = open_store(self._address)
        store.invalidate_cache()
        try:
            found: dict[str, dict[str, Any]] = with_retries(self._address, lambda: store.find(path, detail=True))
        except FileNotFoundError:
            return {}
        # That is a folder of parts of its own.
        return {name: facts for name, facts in found.items() if not name.startswith(f"{path}/{COUNTS_NAME}/")}

    def counts(self) -> StorePlace:
        """As `Place`."""
        return StorePlace(inside(self._address, COUNTS_NAME), self._local / COUNTS_NAME)

    def bring_counts(self) -> None:
        """As `Place`; all of it is small."""
        counts = self.counts()
        _, root = open_store(counts._address)
        names = [name.removeprefix(f"{root}/") for name in counts._listed()]
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

    def discard(self) -> None:
        """As `Place`. Nothing is removed from a folder without a plan."""
        self._is_planned = False
        store, path = open_store(self._address)
        shutil.rmtree(self._local, ignore_errors=True)
        if read_object(inside(self.counts()._address, PLAN_NAME)) is not None:
            store.rm(f"{path}/{COUNTS_NAME}", recursive=True)
        if read_object(inside(self._address, PLAN_NAME)) is not None:
            if store.exists(f"{path}/{MANIFEST_NAME}"):
                store.rm(f"{path}/{MANIFEST_NAME}")
            folders = {name.removeprefix(f"{path}/").split("/")[0] for name in self._listed()}
            for folder in sorted(name for name in folders if name.startswith("part-")):
                store.rm(f"{path}/{folder}", recursive=True)
            store.rm(f"{path}/{PLAN_NAME}")

    def run(self, function: Callable[..., Any], arguments: dict[str, Any], number: int) -> Any:
        """As `Place`."""
        name = part_name(number, arguments["parts"])
        address, folder = inside(self._address, name), self._local / name
        manifest = read_object(inside(address, MANIFEST_NAME))
        if manifest is not None:
            self._stand_in(name, manifest)
        with self._agreed() as agree:

            def on_progress(*counts: int) -> None:
                agree()
                if arguments.get("on_progress") is not None:
                    arguments["on_progress"](*counts)

            report = function(**arguments | {"part": number, "output": str(self._local), "on_progress": on_progress})
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
        """As `Place`: of the store only plan and manifests are read."""
        if joined:
            raise ConfigError(
                f"joined: expected a local folder, got {self._address}, whose pairs would have to come here"
            )
        _, root = open_store(self._address)
        listed = self._listed()
        local = self._local / "finish"
        shutil.rmtree(local, ignore_errors=True)
        with contextlib.ExitStack() as stack:
            # Parts that were killed have left nothing that is of use to anybody once all are finished.
            stack.callback(shutil.rmtree, self._local, ignore_errors=True)
            books = [name for name in listed if name.endswith((f"/{MANIFEST_NAME}", f"/{PLAN_NAME}"))]
            stand_in(local, [(name.removeprefix(f"{root}/"), int(facts["size"])) for name, facts in listed.items()])
            inner = [name.removeprefix(f"{root}/") for name in books]
            with ThreadPoolExecutor(CONNECTIONS) as pool:
                contents = list(pool.map(lambda name: read_object(inside(self._address, name)), inner))
            for name, content in zip(inner, contents, strict=True):
                (local / name).write_bytes(content or b"")
            self._check_inputs(local / PLAN_NAME)
            report = LocalPlace(str(local)).finish(joined=False, limits=limits, on_progress=on_progress)
            if not report.was_finished:
                content = (local / MANIFEST_NAME).read_bytes()
                found = create_object(inside(self._address, MANIFEST_NAME), content)
                if found is not None and found != content:
                    raise MismatchError(
                        f"{inside(self._address, MANIFEST_NAME)}: expected this run's, found another one's"
                    )
        return replace(report, folder=self._address)

    def _check_inputs(self, plan: Path) -> None:
        """Compares objects with what they were when the parts were planned."""
        if not plan.exists():
            raise ConfigError(f"output: expected a folder with the parts of a run and their plan, got {self._address}")
        planned = {
            one["path"]: (one["size"], one["tag"]) for one in json.loads(plan.read_bytes())["inputs"] if "tag" in one
        }
        folders = sorted({address.rpartition("/")[0] for address in planned})
        found = {address: (size, tag) for address, size, tag, *_ in list_objects(folders, with_ends=False)}
        for address, then in planned.items():
            if found.get(address) != then:
                raise MismatchError(
                    f"{address}: size and ETag (changed since the parts were planned): expected {then}, found "
                    f"{found.get(address)}"
                )

    def beats(self) -> list[Progress]:
        """As `Place`; none, since parts leave no signs in a store."""
        return []

    def total_bytes(self) -> int:
        """As `Place`."""
        return _sizes(read_object(inside(self._address, PLAN_NAME)))
