"""`join`: the parts of a split file, one after the other, checked on the way."""

from __future__ import annotations

import glob
import lzma
import os
import shutil
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomdata.convert.output import NewFile
from bloomdata.convert.part_names import in_order
from bloomdata.errors import ConfigError, CorruptDataError
from bloomdata.fetching.books import sync_path
from bloomdata.fetching.checksums import Digests, parse_list
from bloomdata.options.paths import output_path
from bloomdata.reports.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bloomdata.convert.output import OnProgress
    from bloomdata.fetching.checksums import Checksum

_BLOCK_BYTES = 1 << 22
# How gzip, bzip2, xz and zstd begin.
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")


@dataclass(frozen=True, kw_only=True)
class JoinReport:
    """The result of `join`.

    Attributes:
        path: The joined file, or the folder into which it was extracted.
        parts: Number of parts.
        bytes: Size of all parts together.
        sha256: Checksum of the joined bytes.
        checked: Number of checksums that were compared.
    """

    path: Path
    parts: int
    bytes: int
    sha256: str
    checked: int

    def to_json(self) -> dict[str, Any]:
        """The report as plain values for JSON."""
        return {**vars(self), "path": str(self.path)}

    def __str__(self) -> str:
        return (
            f"{self.path}: {self.parts} parts, {format_bytes(self.bytes)}, {self.checked} checksums compared\n"
            f"  sha256 {self.sha256}"
        )


def join(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    checksums: str | os.PathLike[str] | None = None,
    extract: bool = False,
    allow_uneven: bool = False,
    overwrite: bool = False,
    on_progress: OnProgress = None,
) -> JoinReport:
    """Joins the parts of a split file, as `cat part_* > file` does, but not if one is missing or cut off.

    Parts are put in order by what `split` has appended to their names (`aa`, `ab`, ... or `00`, `01`, ...), or by the
    numbers in them (`part-1-of-3`); the order in which they are given does not matter. Memory: a few MB.

    Args:
        source: A pattern such as `part_*`, or the parts.
        output: File to write; with `extract`, a folder.
        checksums: A file as `sha256sum` or `md5sum` writes it, about parts, the joined file, or both. All parts must be
            in it if one is.
        extract: Whether to extract the joined bytes, a tar archive, compressed or not, instead of writing them.
        allow_uneven: Whether to accept parts, other than the last, that differ in size. By default that is an error,
            unless checksums of all parts are compared: a part that was cut off looks like this.
        overwrite: Whether to replace an existing file; a folder with files is never replaced.
        on_progress: Function called regularly with (total bytes, bytes read, parts, bytes written).

    Raises:
        ConfigError: There are no parts, their names have no order, or the output exists.
        CorruptDataError: A part is missing, cut off, or has another checksum; or the archive is damaged.

    Origin:
        AscendSpeed's README, where a checkpoint comes in parts for `cat`.

    Command line:
        bloomdata-cli convert join "part_*" model.tar --checksums SHA256SUMS
        bloomdata-cli convert join "model.tar.part_*" model/ --extract

    Example:
        >>> report = bloomdata.convert.join("part_*", "model.tar")  # doctest: +SKIP
    """
    parts = in_order(_find(source))
    target = Path(output_path(output))
    if any(target.resolve() == part.resolve() for part in parts):
        raise ConfigError(f"output: expected a path apart from the parts, got {target}")
    if extract and target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError(f"output: expected a new or empty folder, got {target}")
    if not extract and target.exists() and not overwrite:
        raise ConfigError(f"output: {target} exists; overwrite=True replaces it")
    wanted: dict[str, Checksum] = {}
    if checksums is not None:
        entries = parse_list(Path(checksums).read_text("utf-8", "replace"), os.fspath(checksums))
        wanted = {Path(name).name: checksum for name, checksum in entries}
    joiner = _Joiner(parts, target, wanted, on_progress)
    if not allow_uneven and not all(part.name in wanted for part in parts):
        _check_sizes(parts)
    if extract:
        _extract(joiner, target)
    else:
        with NewFile(target, lambda _: None) as file:
            for block in joiner.blocks():
                file.write(block)
    return JoinReport(
        path=target, parts=len(parts), bytes=joiner.num_bytes, sha256=joiner.digests.sha256, checked=len(wanted)
    )


class _Joiner:
    """Reads parts one after the other and compares their checksums when their ends are reached."""

    def __init__(self, parts: list[Path], target: Path, wanted: dict[str, Checksum], on_progress: OnProgress) -> None:
        missing = [part for part in parts if part.name not in wanted]
        if missing and len(missing) < len(parts):
            raise ConfigError(f"checksums: expected all parts or none, found none of {missing[0].name}")
        names = {part.name for part in parts} | {target.name}
        if wanted and not missing and (lost := sorted(wanted.keys() - names)):
            raise CorruptDataError(f"{parts[0].parent / lost[0]}: expected by the checksums, found none")
        if wanted and missing and target.name not in wanted:
            raise ConfigError(f"checksums: expected parts or {target.name}, found {min(wanted)}")
        self.num_bytes = 0
        # Bytes at the start and at the end.
        self.first = self.last = b""
        self.digests = Digests(wanted.get(target.name))
        self._parts, self._target, self._wanted, self._on_progress = parts, target, wanted, on_progress
        self._total = sum(part.stat().st_size for part in parts)

    def blocks(self) -> Iterator[bytes]:
        for number, part in enumerate(self._parts, 1):
            own = Digests(self._wanted[part.name]) if part.name in self._wanted else None
            with part.open("rb") as file:
                while block := file.read(_BLOCK_BYTES):
                    self.digests.update(block)
                    if own is not None:
                        own.update(block)
                    self.num_bytes += len(block)
                    self.first = self.first or block[:8]
                    self.last = (self.last + block[-tarfile.BLOCKSIZE :])[-tarfile.BLOCKSIZE :]
                    yield block
                    if self._on_progress is not None:
                        self._on_progress(self._total, self.num_bytes, number, self.num_bytes)
            if own is not None:
                own.check(str(part))
        self.digests.check(str(self._target))


class _Stream:
    """Blocks as a file that `tarfile` reads."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = b""

    def read(self, size: int) -> bytes:
        while len(self._rest) < size and (block := next(self._blocks, b"")):
            self._rest += block
        found, self._rest = self._rest[:size], self._rest[size:]
        return found


def _extract(joiner: _Joiner, target: Path) -> None:
    """Extracts into a folder beside the target, which gets its name when all is done."""
    beside = target.with_name(target.name + ".tmp")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    blocks = joiner.blocks()
    stream: Any = _Stream(blocks)
    try:
        with tarfile.open(fileobj=stream, mode="r|*") as archive:
            archive.extractall(beside, filter="data")
        # Checksums are compared when the last byte is read, which may be behind the end of the archive.
        for _ in blocks:
            pass
        # tarfile takes the end of the bytes for the end of the archive, which is a block of zeros.
        if not joiner.first.startswith(_COMPRESSED) and any(joiner.last):
            raise tarfile.ReadError("the end of the archive is missing")
        if target.exists():
            target.rmdir()
        beside.replace(target)
        sync_path(target.parent)
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise CorruptDataError(f"{target}: expected the parts of a tar archive: {error}") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _find(source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Path]:
    """The parts that are given or match."""
    given = [source] if isinstance(source, (str, os.PathLike)) else list(source)
    found: set[Path] = set()
    for entry in given:
        text = os.fspath(entry)
        matches = [text] if Path(text).exists() else glob.glob(text)  # noqa: PTH207 - patterns may be absolute
        if not matches:
            raise ConfigError(f"source: expected parts, found no file {text}")
        found |= {Path(match) for match in matches}
    for path in found:
        if not path.is_file():
            raise ConfigError(f"source: expected files, got {path}")
    return sorted(found)


def _check_sizes(parts: list[Path]) -> None:
    sizes = [part.stat().st_size for part in parts]
    for part, size in zip(parts[1:-1], sizes[1:-1], strict=True):
        if size != sizes[0]:
            raise CorruptDataError(
                f"{part}: expected {sizes[0]} bytes as in {parts[0].name}, found {size}; "
                "checksums, or allow_uneven=True, for parts of other sizes"
            )
    # `split -n` gives the bytes that remain, fewer than there are parts, to the last one.
    if sizes[-1] >= sizes[0] + len(sizes) and len(sizes) > 1:
        raise CorruptDataError(
            f"{parts[0]}: expected the size of the last part, {sizes[-1]} bytes, or more, found {sizes[0]}"
        )
