"""The verb `fetch`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bloomdata.errors import ConfigError, CorruptDataError, MismatchError
from bloomdata.fetching.books import Books, locked
from bloomdata.fetching.connections import run_downloads
from bloomdata.fetching.download import Download, hash_file
from bloomdata.fetching.folders import with_files
from bloomdata.fetching.git import expanded
from bloomdata.fetching.names import items_of
from bloomdata.fetching.report import FetchReport
from bloomdata.fetching.unpack import unpack
from bloomdata.fetching.wanted import wanted_checksums
from bloomdata.options.arguments import check_arguments
from bloomdata.options.checks import check_choice, check_counts
from bloomdata.options.paths import output_path

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from bloomdata.fetching.checksums import Checksum
    from bloomdata.fetching.names import Item
    from bloomdata.options.inputs import OnProgress

# Interval between two writes of `fetched.json`.
_SAVE_SECONDS = 1.0


@check_arguments
def fetch(
    sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Mapping[str, str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    checksums: str | os.PathLike[str] | Mapping[str, str | None] | None = None,
    missing: Literal["raise", "report"] = "raise",
    decompress: bool = False,
    num_connections: int = 4,
    num_retries: int = 5,
    timeout_seconds: float = 60.0,
    overwrite: bool = False,
    on_progress: OnProgress = None,
) -> FetchReport:
    """Downloads files into a folder and verifies their checksums. No file is ever left partial under its name.

    A file is written to `<name>.part` and renamed once its size and checksum are verified. A killed call resumes where
    it stopped; a file that has changed since then starts over; a finished file is not fetched again. `fetched.json`
    lists the files: url, file, size, sha256.

    `git+https://host/repository@revision` (or `git+ssh`, `git+http`, `git+file`) has all files of a branch, tag or
    commit of a git repository, in their folders; with `#path` behind it, one file. The program git fetches them, files
    in Git LFS by git-lfs. The URL of each in `fetched.json` names the commit, so another one is never taken for it.

    Local files, http and https need no other package. All other URLs (`s3://`, `gs://`,
    `hf://datasets/owner/name/file`, ...) are read by fsspec (`pip install 'bloomdata[remote]'`, and the package of
    the protocol, such as s3fs), with the credentials that fsspec finds. Of a folder there, all files are fetched and
    keep their places in it: a finished folder is one here, too.

    Args:
        sources: URLs, paths, and names of sets (`oig`, `oig_moderation`, `oasst1`, `dolly`, `pile`; see
            `bloomdata.FETCH_SETS`); or `{name: URL}` to choose the names of files and folders.
        output: Folder to write; it may already hold fetched files and others.
        checksums: Path or URL of a list in the format of `sha256sum` or `md5sum` that names every file; or
            `{name: "sha256:..."}` (or md5, sha1, sha512), with None for a file without a checksum.
        missing: What to do when a file does not exist: `raise`, or `report` it in the result.
        decompress: Whether to unpack `.gz` files and then remove them.
        num_connections: Number of files fetched at a time. Never changes the output.
        num_retries: Number of retries for each file that bring no new bytes. The wait doubles with each one, from 1 s
            to 60 s, unless the server asks for another.
        timeout_seconds: Seconds to wait for a silent server.
        overwrite: Whether to fetch existing files again, and replace files that were not fetched.
        on_progress: Function called regularly with (total bytes or 0, bytes fetched, files done, bytes fetched).

    Returns:
        The files that are in the folder now.

    Raises:
        ConfigError: A URL cannot be read, two files have one name, or a file has no checksum.
        CorruptDataError: A checksum is wrong (the message has both; nothing is kept), a stream always ends early, a
            list or archive is damaged (the archive is kept), or a fetched file has changed since.
        MismatchError: A file of that name was fetched from another URL, or with another checksum.
        FileNotFoundError: A file does not exist (status 404).
        PermissionError: Access is denied (status 401, 403).
        OSError: The server answers with another error, or the operating system reports one.

    Origin:
        `data/prepare_data.py` of togethercomputer/OpenChatKit, also for git repositories, and
        `data/download_the_pile.sh` of s-JoL/Open-Llama. There, a folder that exists counts as finished, and no checksum
        is verified.

    Command line:
        bloomdata-cli fetch --list
        bloomdata-cli fetch https://example.org/train/00.jsonl.zst --output raw/ --checksums SHA256SUMS.txt
        bloomdata-cli fetch s3://packed/run --output run/
        bloomdata-cli fetch oasst1 dolly --output raw/ --decompress
        bloomdata-cli fetch oig --output raw/oig/ --missing report
        bloomdata-cli fetch git+https://huggingface.co/datasets/laion/OIG@main#unified_nq.jsonl --output raw/oig/

    Example:
        >>> report = bloomdata.fetch("raw/a.jsonl", "fetched")
        >>> report.files[0]["file"], report.num_fetched
        ('a.jsonl', 1)
        >>> bloomdata.fetch("raw/a.jsonl", "fetched").num_fetched
        0
    """
    check_choice("missing", missing, "raise", "report")
    check_counts(num_connections=num_connections, num_retries=num_retries)
    if num_connections < 1:
        raise ConfigError("num_connections: expected 1 or more, got 0")
    if not timeout_seconds > 0:
        raise ConfigError(f"timeout_seconds: expected seconds > 0, got {timeout_seconds}")
    start = time.monotonic()
    items = with_files(items_of(sources), num_connections)
    if decompress:
        _check_archives(items)
    folder = Path(output_path(output))
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder), expanded(items, folder, timeout_seconds) as (items, in_lfs):
        if decompress:
            _check_archives(items)
        books = Books(folder)
        wanted = in_lfs | wanted_checksums(sources, checksums, items, timeout_seconds)
        if overwrite:
            # A file that is being replaced must not look finished.
            before = len(books.files)
            for item in items:
                books.files.pop(item.name, None)
            if len(books.files) != before:
                books.save()
        downloads = []
        for item in items:
            download = Download(item, folder, wanted.get(item.name), timeout_seconds=timeout_seconds)
            if _is_finished(books, folder, item, wanted.get(item.name), decompress=decompress):
                download.forget()  # a run killed after it saved `fetched.json` has not
            else:
                downloads.append(download)
        if overwrite:
            for download in downloads:
                download.discard()

        done: list[Download] = []
        saved = time.monotonic()

        def save() -> None:
            nonlocal saved
            books.save()
            while done:
                done.pop().forget()
            saved = time.monotonic()

        def on_done(download: Download, result: dict[str, Any] | FileNotFoundError) -> None:
            name = download.item.name
            if isinstance(result, FileNotFoundError):
                if missing == "raise":
                    raise result
                books.missing[name] = download.item.url
            else:
                books.missing.pop(name, None)
                books.files[name] = result
                done.append(download)
            # `fetched.json` of many files is large, so do not save it after each. A killed run is restored from the
            # `.part.state` files.
            if time.monotonic() - saved > _SAVE_SECONDS:
                save()

        try:
            run_downloads(
                downloads,
                num_connections=num_connections,
                num_retries=num_retries,
                overwrite=overwrite,
                on_done=on_done,
                on_progress=on_progress,
            )
        except BaseException:
            if done:
                save()
            raise
        save()
        if decompress:
            _unpack_all(books, folder, items, overwrite=overwrite, on_progress=on_progress)
    there = [item for item in items if item.name in books.files]
    return FetchReport(
        folder=folder,
        files=[books.files[item.name] for item in there],
        missing=[item.url for item in items if item.name not in books.files],
        num_fetched=sum(download.item.name in books.files for download in downloads),
        seconds=time.monotonic() - start,
    )


def _check_archives(items: list[Item]) -> None:
    """Refuses a file that is there twice, plain and as an archive."""
    names = {item.name for item in items}
    if twice := {name.removesuffix(".gz") for name in names if name.endswith(".gz")} & names:
        raise ConfigError(f"decompress: expected distinct files, got {sorted(twice)[0]} both plain and as .gz")


def _is_finished(books: Books, folder: Path, item: Item, wanted: Checksum | None, *, decompress: bool) -> bool:
    """Whether a file was fetched before and has not changed since, as told by its size."""
    entry = books.files.get(item.name)
    if entry is None:
        return False
    if entry["url"] != item.url:
        raise MismatchError(f"{folder / item.name}: expected from {item.url}, found from {entry['url']}; see overwrite")
    path, unpacked = folder / item.name, entry.get("unpacked")
    if not path.exists() and unpacked is not None and (folder / unpacked["file"]).exists():
        if not decompress:
            raise MismatchError(f"{path}: expected the file, found it unpacked to {unpacked['file']}; see overwrite")
        path, size = folder / unpacked["file"], unpacked["size"]
    elif path.exists():
        size = entry["size"]
    else:
        return False
    if (found := path.stat().st_size) != size:
        raise CorruptDataError(f"{path}: expected {size} bytes as fetched, found {found}; see overwrite")
    if wanted is not None and str(wanted) not in (entry["checked"], f"sha256:{entry['sha256']}"):
        if wanted.kind == "sha256" or path.name != item.name:
            known = entry["checked"] if wanted.kind != "sha256" else f"sha256:{entry['sha256']}"
            raise MismatchError(f"{path}: expected {wanted}, found {known} of an earlier fetch; see overwrite")
        hash_file(path, wanted).check(str(path))
    if wanted is not None:
        entry["checked"] = str(wanted)
    return True


def _unpack_all(books: Books, folder: Path, items: list[Item], *, overwrite: bool, on_progress: OnProgress) -> None:
    """Unpacks the remaining archives. An archive is removed once `fetched.json` lists its content."""
    written = 0
    for number, item in enumerate(items):
        archive = folder / item.name
        if item.name not in books.files or not item.name.endswith(".gz") or not archive.exists():
            continue
        entry = books.files[item.name]
        unpacked = entry.get("unpacked")
        if unpacked is None or not _has_size(folder / unpacked["file"], unpacked["size"]):

            def on_bytes(count: int, number: int = number) -> None:
                nonlocal written
                written += count
                if on_progress is not None:
                    on_progress(0, written, number, written)

            entry["unpacked"] = unpack(archive, overwrite=overwrite, on_bytes=on_bytes)
            books.save()
        archive.unlink()


def _has_size(path: Path, size: int) -> bool:
    return path.exists() and path.stat().st_size == size
