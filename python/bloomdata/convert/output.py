"""The output folder of a conversion: new, half written by a killed run, or finished.

Files are written under a temporary name, synced and renamed. `convert.unfinished.jsonl` lists them as they are begun,
so that a later run can remove what a killed one left; `convert.json` is written last.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from bloomdata.errors import ConfigError, CorruptDataError, MismatchError
from bloomdata.fetching.books import sync_path
from bloomdata.options.paths import output_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    # Total bytes, bytes converted, tensors, bytes written.
    OnProgress = Callable[[int, int, int, int], None] | None

MANIFEST = "convert.json"
UNFINISHED = "convert.unfinished.jsonl"
VERSION = 1
# Files beside the weights that make a model complete.
COMPANIONS = (
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "*.tiktoken",
    "chat_template*",
    "LICENSE*",
)


class NewFile:
    """A file that gets its name when all of it is on the disk.

    Attributes:
        path: Its final path.
        num_bytes: Number of bytes written so far.
    """

    def __init__(self, path: Path, on_tensor: Callable[[int], None]) -> None:
        self.path = path
        self.num_bytes = 0
        self._hash = hashlib.sha256()
        self._on_tensor = on_tensor
        self._temporary = path.with_name(path.name + ".tmp")

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._temporary.open("wb")
        return self

    def write(self, data: bytes | memoryview) -> int:
        """Writes all of it."""
        self._hash.update(data)
        self._file.write(data)
        size = len(data) if isinstance(data, bytes) else data.nbytes
        self.num_bytes += size
        return size

    def flush(self) -> None:
        """For writers that call it; the bytes are synced at the end."""

    def count_tensor(self) -> None:
        """Reports that a tensor is done."""
        self._on_tensor(self.num_bytes)

    @property
    def sha256(self) -> str:
        """Of all bytes so far."""
        return self._hash.hexdigest()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._file:
            if kind is None:
                self._file.flush()
                os.fsync(self._file.fileno())
        if kind is None:
            self._temporary.replace(self.path)
            sync_path(self.path.parent)
        else:
            self._temporary.unlink(missing_ok=True)


class Output:
    """An output folder.

    Args:
        output: The folder.
        verb: Which conversion, by its name.
        options: What the output depends on; a later run must have the same.
        sources: The inputs: folders or files.
        overwrite: Whether to discard an earlier conversion.
        on_progress: Called after every tensor.

    Raises:
        ConfigError: The folder holds other files, or is an input.
        MismatchError: It holds a conversion with other options or of another source.
        CorruptDataError: It holds a finished conversion that has lost a file.

    Attributes:
        folder: The folder.
        finished: The manifest of a finished conversion with the same options, or None.
    """

    def __init__(
        self,
        output: str | os.PathLike[str],
        verb: str,
        options: Mapping[str, Any],
        sources: Iterable[Path],
        *,
        overwrite: bool = False,
        on_progress: OnProgress = None,
    ) -> None:
        self.folder = Path(output_path(output))
        sources = list(sources)
        for source in sources:
            _check_apart(self.folder, source)
        identity = {"version": VERSION, "verb": verb, "options": dict(options), "inputs": _inputs(sources)}
        self._identity: dict[str, Any] = json.loads(json.dumps(identity))
        self._on_progress = on_progress
        self._total_bytes = self._num_tensors = 0
        self._files: list[dict[str, Any]] = []
        self._lock: int | None = None
        self.finished = self._look(overwrite=overwrite)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            os.close(self._lock)

    def _look(self, *, overwrite: bool) -> dict[str, Any] | None:
        """The manifest of what is finished; refuses what is not ours or other."""
        manifest, unfinished = self.folder / MANIFEST, self.folder / UNFINISHED
        if self.folder.exists() and not self.folder.is_dir():
            raise ConfigError(f"output: expected a folder, found the file {self.folder}")
        if manifest.exists():
            found = _read(manifest)
            if overwrite:
                return None
            self._check_same(found)
            for file in found["outputs"]:
                path = self.folder / file["path"]
                size = path.stat().st_size if path.exists() else None
                if size != file["bytes"]:
                    raise CorruptDataError(
                        f"{path}: expected {file['bytes']} bytes, found {'none' if size is None else size}; "
                        "overwrite=True converts again"
                    )
            # A run that was killed between its last two steps.
            unfinished.unlink(missing_ok=True)
            return found
        if unfinished.exists():
            lines = _read_marks(unfinished)
            if lines and not overwrite:
                # Nothing of it is kept, so that its inputs may have changed: a damaged one may have ended it.
                self._check_same({**lines[0], "inputs": self._identity["inputs"]})
            return None
        names = {path.name for path in self.folder.iterdir()} if self.folder.exists() else set()
        if others := sorted(names - {f"{UNFINISHED}.tmp"}):
            raise ConfigError(
                f"output: {self.folder}: expected an empty folder or an earlier conversion, found {others[0]}"
            )
        return None

    def _check_same(self, found: Mapping[str, Any]) -> None:
        expected = self._identity
        differences = [
            f"{name}: got {expected[name]!r}, found {found[name]!r}"
            for name in ("version", "verb")
            if found.get(name) != expected[name]
        ]
        if not differences:
            theirs = found["options"]
            differences = [
                f"{name}: got {value!r}, found {theirs.get(name)!r}"
                for name, value in expected["options"].items()
                if theirs.get(name) != value
            ]
        if not differences:
            sizes = [
                {file["path"]: file["bytes"] for file in inputs} for inputs in (expected["inputs"], found["inputs"])
            ]
            differences = [
                f"input {name}: got {ours} bytes, found {before}"
                for name in sorted(sizes[0].keys() | sizes[1].keys())
                if (ours := sizes[0].get(name)) != (before := sizes[1].get(name))
            ]
        if differences:
            raise MismatchError(
                f"{self.folder} holds another conversion: {'; '.join(differences[:4])}; overwrite=True discards it"
            )

    def _begin(self) -> None:
        """Removes what an earlier conversion has written, and marks the folder as ours."""
        if self._lock is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = lock_folder(self.folder, "another conversion writes to this folder")
        manifest, unfinished = self.folder / MANIFEST, self.folder / UNFINISHED
        names: list[str] = []
        if manifest.exists():
            names = [file["path"] for file in _read(manifest)["outputs"]]
        if unfinished.exists():
            names += [line["file"] for line in _read_marks(unfinished)[1:]]
        # The mark comes first and keeps the old names: a run that is killed here must not leave files of nobody.
        self._mark({"file": name} for name in names)
        manifest.unlink(missing_ok=True)
        for name in names:
            (self.folder / name).unlink(missing_ok=True)
            (self.folder / f"{name}.tmp").unlink(missing_ok=True)
            with suppress(OSError):  # not empty yet, or not there
                for parent in [*Path(name).parents][:-1]:
                    (self.folder / parent).rmdir()
        self._mark(())

    def _mark(self, lines: Iterable[Mapping[str, Any]]) -> None:
        text = "".join(json.dumps(line) + "\n" for line in (self._identity, *lines))
        temporary = self.folder / f"{UNFINISHED}.tmp"
        temporary.write_text(text, "utf-8")
        temporary.replace(self.folder / UNFINISHED)

    def expect(self, total_bytes: int) -> None:
        """Says how many bytes will be written, for progress."""
        self._total_bytes = total_bytes

    @contextmanager
    def file(self, name: str) -> Iterator[NewFile]:
        """A new file of the folder."""
        self._begin()
        with (self.folder / UNFINISHED).open("a", encoding="utf-8") as marks:
            marks.write(json.dumps({"file": name}) + "\n")
        before = sum(file["bytes"] for file in self._files)

        def on_tensor(num_bytes: int) -> None:
            self._num_tensors += 1
            if self._on_progress is not None:
                written = before + num_bytes
                self._on_progress(self._total_bytes, written, self._num_tensors, written)

        with NewFile(self.folder / name, on_tensor) as new:
            yield new
        self._files.append({"path": name, "bytes": new.num_bytes, "sha256": new.sha256})

    def write_text(self, name: str, text: str) -> None:
        """A small file."""
        with self.file(name) as file:
            file.write(text.encode())

    def write_json(self, name: str, value: Any) -> None:
        """A small file in JSON, as Hugging Face writes it."""
        self.write_text(name, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")

    def copy_companions(self, source: Path, *, without: Iterable[str] = ()) -> None:
        """Copies configuration and tokenizer of a model, those that are there."""
        found = {path for pattern in COMPANIONS for path in source.glob(pattern) if path.is_file()}
        for path in sorted(found):
            if path.name not in without:
                with self.file(path.name) as file, path.open("rb") as original:
                    shutil.copyfileobj(original, file)

    def finish(self, details: Mapping[str, Any]) -> dict[str, Any]:
        """Writes the manifest; what it says."""
        manifest = {**self._identity, "outputs": self._files, **details}
        with NewFile(self.folder / MANIFEST, lambda _: None) as file:
            file.write((json.dumps(manifest, indent=2) + "\n").encode())
        (self.folder / UNFINISHED).unlink(missing_ok=True)
        return manifest


def _check_apart(output: Path, source: Path) -> None:
    inner, outer = output.resolve(), source.resolve()
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise ConfigError(f"output: expected a folder apart from the source {source}, got {output}")


def _inputs(sources: list[Path]) -> list[dict[str, Any]]:
    """Name and size of every input file. Contents are not hashed: that would read all of them twice."""
    files = []
    for source in sources:
        if not source.exists():
            raise FileNotFoundError(2, "No such file or directory", str(source))
        found = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
        base = source.parent if source.is_file() else source
        files += [{"path": path.relative_to(base).as_posix(), "bytes": path.stat().st_size} for path in found]
    return files


def lock_folder(folder: Path, refusal: str) -> int:
    """Locks the folder against other runs until the number is closed; a killed run leaves no lock.

    Raises:
        BlockingIOError: Another run has locked it; the error says `refusal`.
    """
    number = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(number)
        raise BlockingIOError(11, refusal, str(folder)) from None
    return number


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        _check_entry(found, (file["path"] for file in found["outputs"]))
    except (ValueError, KeyError, TypeError):
        raise CorruptDataError(f"{path}: expected the manifest of a conversion, found other text") from None
    return found


def _read_marks(path: Path) -> list[dict[str, Any]]:
    """Options of an unfinished conversion, and the files that it has begun. A kill may have cut the last line."""
    found: list[dict[str, Any]] = []
    for line in path.read_text("utf-8").splitlines():
        try:
            entry = json.loads(line)
            _check_entry(found[0] if found else entry, [entry["file"]] if found else [])
        except (ValueError, KeyError, TypeError):
            if not found:
                raise CorruptDataError(f"{path}: expected the marks of a conversion, found other text") from None
            break
        found.append(entry)
    return found


def _check_entry(identity: dict[str, Any], names: Iterable[str]) -> None:
    """Raises ValueError for what no conversion has written. Files are removed by these names later."""
    inside = all(not Path(name).is_absolute() and ".." not in Path(name).parts for name in names)
    inputs = all(isinstance(file["path"], str) and "bytes" in file for file in identity["inputs"])
    if not (inside and inputs and isinstance(identity["options"], dict) and "verb" in identity):
        raise ValueError
