"""Opens the output folder of `pipeline`: new, to resume, or finished."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bloomdata import _core
from bloomdata.errors import ConfigError, CorruptDataError, MismatchError
from bloomdata.manifest import read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORK = ".gdp"


@contextmanager
def open_folder(
    folder: Path, inputs: list[Path], config: dict[str, Any], *, overwrite: bool
) -> Iterator[tuple[dict[str, Any] | None, bool]]:
    """Prepares the folder, and locks it while the block runs.

    Yields:
        The manifest of a finished run with the same options and inputs, or None; and whether there is an earlier
        attempt to resume.

    Raises:
        ConfigError: The folder holds other files or an input, or another run is using it.
        MismatchError: The folder belongs to a run with other options or inputs.
    """
    for path in inputs:
        if path.resolve().is_relative_to(folder.resolve()):
            raise ConfigError(f"output_path: expected a folder without inputs, got {folder}, which holds {path}")
    work = folder / WORK
    manifest = _finished(folder)
    is_ours = manifest is not None or (work / "lock").exists()
    if not is_ours and folder.exists() and any(path != work for path in folder.iterdir()):
        raise ConfigError(f"output_path: expected an empty folder or an output of this command, got {folder}")
    if manifest is not None and not overwrite and not work.exists():
        # Do not write here: the disk may be read-only.
        _check_finished(folder, manifest, config)
        yield manifest, False
        return
    work.mkdir(parents=True, exist_ok=True)
    with _locked(work / "lock", folder):
        kept = work / "config.json"
        # Another run may have finished in the meantime.
        manifest = _finished(folder)
        if overwrite:
            # Remove the manifest first, so that the rest never looks finished. `.gdp` marks the folder as ours.
            (folder / "manifest.json").unlink(missing_ok=True)
            kept.unlink(missing_ok=True)
        elif manifest is not None:
            shutil.rmtree(work)
            _check_finished(folder, manifest, config)
            yield manifest, False
            return
        was_begun = kept.exists()
        if was_begun:
            _check_same(json.loads(kept.read_bytes()), config)
        else:
            _clear(folder, manifest)
            temporary = kept.with_suffix(".tmp")
            temporary.write_text(json.dumps(config), "utf-8")
            temporary.replace(kept)
        try:
            yield None, was_begun
        except ConfigError:
            # Invalid options must not block a later run with other options.
            if not was_begun:
                _clear(folder, None)
                shutil.rmtree(work)
            raise
        except CorruptDataError as error:
            # The next run has another option, or other inputs: nothing of this one can be used.
            if error.record is not None:
                _clear(folder, None)
                shutil.rmtree(work)
            raise


def _finished(folder: Path) -> dict[str, Any] | None:
    """The manifest of a finished run of this command, or None."""
    if not (folder / "manifest.json").exists():
        return None
    manifest = read_manifest(folder)
    if manifest["verb"] != "gdp":
        raise ConfigError(f"output_path: {folder}: expected an output of gdp, found the output of {manifest['verb']!r}")
    return manifest


@contextmanager
def _locked(path: Path, folder: Path) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"output_path: another run is at work in {folder}") from None
        yield


# Files that a run writes; the folder may hold files of the user too.
WRITTEN = re.compile(
    r"(train|dev)_\d+_of_\d+\.hdf5|test_files/test_[^/]*|splits/[^/]*|tokenizer/[^/]*|sha256/files_metadata\.json"
    r"|metadata\.yaml|category_to_id\.json|logs\.log|json_load_failed_lines\.log|manifest\.json"
)


def _clear(folder: Path, manifest: dict[str, Any] | None) -> None:
    """Removes the files of an earlier run except the lock. Keeps other files, and follows no links."""
    known = set()
    if manifest is not None:
        known |= {output["path"] for output in manifest["outputs"]}
        known |= set(manifest["details"].get("unhashed_outputs", []))
    for path in (folder / WORK).iterdir():
        if path.name != "lock":
            _remove(path)
    places = [folder, *(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())]
    for place in places:
        for path in list(place.iterdir()):
            name = path.relative_to(folder).as_posix()
            if not path.is_dir() and (name in known or WRITTEN.fullmatch(name.removesuffix(".tmp"))):
                path.unlink()
        is_ours = place.name in {"test_files", "splits", "tokenizer", "sha256"}
        if place != folder and is_ours and not any(place.iterdir()):
            place.rmdir()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _check_finished(folder: Path, manifest: dict[str, Any], config: dict[str, Any]) -> None:
    """Checks that options and the content of inputs are unchanged, and that all outputs exist."""
    _check_same(manifest["config"], config)
    for entry in manifest["inputs"]:
        size, digest = _core.hash_file(entry["path"])
        if (size, digest) != (entry["size"], entry["hash"]):
            raise MismatchError(f"{_other_run()}: content of {entry['path']}: expected {entry['hash']}, found {digest}")
    for output in manifest["outputs"]:
        path = folder / output["path"]
        size = path.stat().st_size
        if size != output["size"]:
            raise MismatchError(f"{path}: size in bytes: expected {output['size']}, found {size}")


def _check_same(before: dict[str, Any], now: dict[str, Any]) -> None:
    for name in now:
        if before.get(name) != now[name]:
            raise MismatchError(f"{_other_run()}: option {name}: expected {before.get(name)}, found {now[name]}")


def _other_run() -> str:
    return "the output folder belongs to another run (--overwrite_output_path starts over)"
