"""Files of git repositories, by the `git` program: `git+https://host/repository@revision`, with `#path` for one file.

A shallow, bare clone in the output folder holds the revision while a call runs. Files in Git LFS come by `git lfs`, and
are compared with the checksum in their pointer.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from bloomdata.errors import ConfigError, CorruptDataError
from bloomdata.fetching.checksums import Checksum
from bloomdata.fetching.names import Item, checked_name, distinct, scheme_of
from bloomdata.fetching.remote import FinalError, Remote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO

# Folder of the clones in the output folder; the lock of `fetch` guards it.
CLONES = ".fetch.git"
_SCHEMES = {"git+https", "git+http", "git+ssh", "git+file"}
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-[^\n]*\n)*oid sha256:([0-9a-f]{64})\nsize (\d+)\n"
)
# Pointers are smaller, by their definition.
_MOST_POINTER_BYTES = 1024


@dataclass(frozen=True)
class GitSource:
    """A revision of a repository, or one file of it.

    Attributes:
        remote: The repository, as git takes it.
        revision: A branch, a tag or a commit; `HEAD` if none is named.
        path: Path of the file; None for all files.
    """

    remote: str
    revision: str
    path: str | None

    def url(self, commit: str, path: str) -> str:
        """The URL of a file at a commit, which says for ever what was fetched."""
        return f"git+{self.remote}@{commit}#{path}"


def is_git(url: str) -> bool:
    """Whether a URL names a git repository."""
    return scheme_of(url).startswith("git+")


def parse_git(url: str) -> GitSource:
    """The parts of a URL.

    Raises:
        ConfigError: The scheme is unknown, or there is no repository.

    Example:
        >>> parse_git("git+https://host/owner/data.git@v1#train/a.jsonl")
        GitSource(remote='https://host/owner/data.git', revision='v1', path='train/a.jsonl')
    """
    if scheme_of(url) not in _SCHEMES:
        raise ConfigError(f"sources: {url}: expected one of {sorted(_SCHEMES)}, got {scheme_of(url)!r}")
    parts = urlsplit(url)
    place, at, revision = parts.path.rpartition("@")
    if not at:
        place, revision = parts.path, ""
    if not place.strip("/") or (at and not revision) or revision.startswith("-"):
        raise ConfigError(f"sources: {url}: expected git+https://host/repository@revision, got another form")
    remote = urlunsplit((parts.scheme.removeprefix("git+"), parts.netloc, place, parts.query, ""))
    return GitSource(remote, unquote(revision) or "HEAD", unquote(parts.fragment) or None)


@contextmanager
def expanded(
    items: list[Item], folder: Path, timeout_seconds: float
) -> Iterator[tuple[list[Item], dict[str, Checksum]]]:
    """Replaces items of repositories by their files, at the commits that their revisions are now.

    Args:
        items: Items of all kinds.
        folder: The output folder, locked.
        timeout_seconds: Seconds to wait for a silent server.

    Yields:
        Items that can be opened, and the checksums of files in Git LFS, by name.

    Raises:
        ConfigError: git is not installed, or two files have one name; a link or a submodule among the files.
        FileNotFoundError: The repository or the revision does not exist.
        OSError: git reports another error.
    """
    clones = folder / CLONES
    shutil.rmtree(clones, ignore_errors=True)  # of a killed run
    found: list[Item] = []
    checksums: dict[str, Checksum] = {}
    repositories: dict[tuple[str, str], _Clone] = {}
    try:
        for item in items:
            pieces = [item]
            if is_git(item.url):
                source = parse_git(item.url)
                key = (source.remote, source.revision)
                if key not in repositories:
                    repositories[key] = _Clone.of(source, clones / str(len(repositories)), timeout_seconds)
                pieces = list(_files(source, item, repositories[key], checksums))
            found += pieces
        yield distinct(found), checksums
    finally:
        shutil.rmtree(clones, ignore_errors=True)


def _files(source: GitSource, item: Item, clone: _Clone, checksums: dict[str, Checksum]) -> Iterator[Item]:
    """The files that an item stands for. One that is named and not there is an item whose opening fails."""
    listed = clone.files()
    names = {path: path for path in listed} if source.path is None else {source.path: item.name}
    for path, name in names.items():
        url = source.url(clone.commit, path)
        mode, blob = listed.get(path, ("100644", ""))
        if not mode.startswith("100"):
            kind = "a submodule" if mode == "160000" else "a link"
            raise ConfigError(f"sources: {url}: expected a file, found {kind}; name files by #path")
        for part in name.split("/"):
            checked_name(part, url)
        pointer = clone.pointer(blob) if blob else None
        if pointer is not None:
            checksums[name] = Checksum("sha256", pointer[0])
        yield Item(url=url, name=name, opener=partial(_open, clone, path, blob, pointer))


def _open(clone: _Clone, path: str, blob: str, pointer: tuple[str, int] | None, **_: Any) -> Remote:
    """A file from its start: what a clone holds is never resumed."""
    if not blob:
        raise FileNotFoundError(2, f"no such file at {clone.commit}", path)
    if pointer is None:
        stream, size = clone.open("cat-file", "blob", blob), clone.size(blob)
    else:
        if shutil.which("git-lfs") is None:
            raise ConfigError(
                f"sources: {path}: it is in Git LFS ({pointer[1]} bytes), which needs git-lfs: install it"
            )
        stream, size = clone.open("lfs", "smudge", "--", path, content=clone.run("cat-file", "blob", blob)), pointer[1]
    return Remote(stream=stream, offset=0, size=size, validator=blob, validator_now=None)


class _Clone:
    """A shallow bare clone that holds one commit."""

    def __init__(self, folder: Path, commit: str, remote: str) -> None:
        self._folder, self.commit, self._remote = folder, commit, remote
        self._listed: dict[str, tuple[str, str]] | None = None

    @classmethod
    def of(cls, source: GitSource, folder: Path, timeout_seconds: float) -> _Clone:
        """Fetches a revision.

        Raises:
            FileNotFoundError: There is no such repository or revision.
        """
        if shutil.which("git") is None:
            raise ConfigError(f"sources: git+{source.remote}: git repositories need the program git: install it")
        folder.mkdir(parents=True)
        clone = cls(folder, "", source.remote)
        clone.run("init", "--quiet", "--bare", ".")
        settings = {
            "remote.origin.url": source.remote,  # where Git LFS looks
            "http.lowSpeedLimit": "1",
            "http.lowSpeedTime": str(max(1, round(timeout_seconds))),
        }
        for name, value in settings.items():
            clone.run("config", name, value)
        try:
            clone.run("fetch", "--quiet", "--depth", "1", "--no-tags", "origin", source.revision)
            clone.commit = clone.run("rev-parse", "FETCH_HEAD^{commit}").decode().strip()
        except OSError:
            # Servers may give commits only with the branches that hold them.
            if not re.fullmatch("[0-9a-f]{4,64}", source.revision):
                raise
            clone.run("fetch", "--quiet", "origin", "+refs/*:refs/*")
            clone.commit = (
                clone.run("rev-parse", "--verify", "--end-of-options", f"{source.revision}^{{commit}}").decode().strip()
            )
        return clone

    def files(self) -> dict[str, tuple[str, str]]:
        """Mode and object of each file, by path."""
        if self._listed is None:
            content = self.run("ls-tree", "-r", "-z", self.commit)
            self._listed = {}
            for entry in content.split(b"\0")[:-1]:
                facts, _, name = entry.partition(b"\t")
                mode, _, blob = facts.decode().split(" ")
                try:
                    self._listed[name.decode()] = (mode, blob)
                except UnicodeDecodeError:
                    raise CorruptDataError(f"{self._remote}: the name of {name!r} is not UTF-8") from None
        return self._listed

    def size(self, blob: str) -> int:
        """Bytes of an object."""
        return int(self.run("cat-file", "-s", blob))

    def pointer(self, blob: str) -> tuple[str, int] | None:
        """SHA-256 and size of the file in Git LFS that an object points to; None for a file itself."""
        if self.size(blob) > _MOST_POINTER_BYTES:
            return None
        found = _POINTER.fullmatch(self.run("cat-file", "blob", blob))
        return None if found is None else (found[1].decode(), int(found[2]))

    def run(self, *arguments: str) -> bytes:
        """What git prints.

        Raises:
            FileNotFoundError: There is no such repository or revision.
            OSError: git reports another error.
        """
        done = subprocess.run(
            _command(arguments), cwd=self._folder, env=_environment(), capture_output=True, check=False
        )
        if done.returncode:
            raise self.error(arguments[0], done.stderr)
        return done.stdout

    def open(self, *arguments: str, content: bytes = b"") -> _Output:
        """What git prints, as a stream; `content` is what it reads."""
        return _Output(self, arguments, content, self._folder)

    def error(self, command: str, said: bytes) -> OSError:
        """The error of a command."""
        text = said.decode("utf-8", "replace").strip() or "no reason given"
        lines = [line for line in text.split("\n") if line.strip()]
        message = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1])
        gone = ("couldn't find remote ref", "not found", "does not exist", "does not appear to be a git repository")
        if any(words in text for words in (*gone, "Needed a single revision")):
            return FileNotFoundError(2, message.removeprefix("fatal: "), self._remote)
        return FinalError(f"{self._remote}: git {command}: {message}")


class _Output:
    """The output of a running git, whose failure is an error at its end."""

    def __init__(self, clone: _Clone, arguments: tuple[str, ...], content: bytes, folder: Path) -> None:
        self._clone, self._command, self._said = clone, arguments[0], bytearray()
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            _command(arguments), cwd=folder, env=_environment(), stdin=pipe, stdout=pipe, stderr=pipe
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._stdout: IO[bytes] = self._process.stdout
        # A full pipe of messages would stop git.
        self._reader = threading.Thread(target=self._read_messages, args=(self._process.stderr,), daemon=True)
        self._reader.start()
        with self._process.stdin as stdin:
            stdin.write(content)

    def _read_messages(self, stderr: IO[bytes]) -> None:
        self._said += stderr.read()

    def read(self, count: int, /) -> bytes:
        """At most so many bytes; none at the end."""
        block = self._stdout.read(count)
        if not block and self._process.wait():
            self._reader.join()
            raise self._clone.error(self._command, bytes(self._said))
        return block

    def close(self) -> None:
        """Ends git."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._stdout, self._process.stderr):
            if stream is not None:
                stream.close()


def _command(arguments: tuple[str, ...]) -> list[str]:
    return ["git", *arguments]


def _environment() -> dict[str, str]:
    """Nobody is there to answer; messages are read by us; no other repository is meant."""
    kept = {name: value for name, value in os.environ.items() if name not in {"GIT_DIR", "GIT_WORK_TREE"}}
    return kept | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
