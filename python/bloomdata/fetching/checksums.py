"""Checksums: lists such as the `SHA256SUMS` of The Pile, mappings, and digests of files."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bloomdata.errors import ConfigError, CorruptDataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bloomdata.fetching.names import Item

# By number of hexadecimal digits, as in `sha256sum --check`.
_KINDS = {32: "md5", 40: "sha1", 56: "sha224", 64: "sha256", 96: "sha384", 128: "sha512"}
_GNU = re.compile(r"\\?([0-9A-Fa-f]{32,128}) [ *](.+)")
_BSD = re.compile(r"([A-Za-z0-9-]+) \((.+)\) = ([0-9A-Fa-f]{32,128})")


@dataclass(frozen=True)
class Checksum:
    """An expected checksum: `kind` is a name of `hashlib`, `digest` is in lower-case hexadecimal digits."""

    kind: str
    digest: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.digest}"


def parse_checksum(text: str, where: str) -> Checksum:
    """Reads `sha256:<hex>`, or `<hex>` alone.

    Raises:
        ConfigError: The kind is unknown, or the number of digits is wrong.

    Example:
        >>> str(parse_checksum("FC90A7799CEFFFFF324965E5BFC83917", "WuDao"))
        'md5:fc90a7799cefffff324965e5bfc83917'
    """
    kind, colon, digest = text.strip().rpartition(":")
    digest, kind = digest.lower(), kind.lower().replace("-", "")
    if re.fullmatch("[0-9a-f]+", digest) is None or len(digest) not in _KINDS:
        raise ConfigError(f"checksums: {where}: expected a checksum, got {text!r}")
    if colon and kind != _KINDS[len(digest)]:
        raise ConfigError(f"checksums: {where}: expected as many digits as {kind} has, got {len(digest)} in {text!r}")
    return Checksum(_KINDS[len(digest)], digest)


def parse_list(text: str, where: str) -> list[tuple[str, Checksum]]:
    """Reads a list of `sha256sum`, `md5sum` and similar tools, also in the BSD format.

    Args:
        text: The list. Empty lines and lines that begin with `#` or `;` are ignored.
        where: Name of the list, for errors.

    Returns:
        Paths and checksums, in the order of the list.

    Raises:
        CorruptDataError: A line is malformed, or the list is empty.

    Example:
        >>> [(path, checksum)] = parse_list("d41d8cd98f00b204e9800998ecf8427e *train/00.jsonl.zst", "sums")
        >>> path, checksum.kind
        ('train/00.jsonl.zst', 'md5')
    """
    entries = []
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        if not line.strip() or line.startswith(("#", ";")):
            continue
        here = f"{where}: line {number}"
        if found := _GNU.fullmatch(line):
            entries.append((found[2], parse_checksum(found[1], here)))
        elif found := _BSD.fullmatch(line.strip()):
            entries.append((found[2], parse_checksum(f"{found[1]}:{found[3]}", here)))
        else:
            raise CorruptDataError(f"{here}: expected `<checksum>  <name>`, found {line[:80]!r}")
    if not entries:
        raise CorruptDataError(f"{where}: expected checksums, found none")
    return entries


def from_list(entries: list[tuple[str, Checksum]], items: Iterable[Item], where: str) -> dict[str, Checksum]:
    """Finds every file in a list: by its path in the list, else by its name alone.

    Raises:
        ConfigError: A file is not in the list, or is in it with different checksums.
    """
    wanted = {}
    for item in items:
        paths = [(path.removeprefix("./").lstrip("/"), checksum) for path, checksum in entries]
        exact = [checksum for path, checksum in paths if f"/{item.url.partition('?')[0]}".endswith(f"/{path}")]
        found = {*exact} or {checksum for path, checksum in paths if path.rpartition("/")[2] == item.name}
        if len(found) != 1:
            problem = "several" if found else "none"
            raise ConfigError(f"checksums: {where}: expected one checksum for {item.name}, got {problem}")
        wanted[item.name] = found.pop()
    return wanted


def from_mapping(checksums: Mapping[str, str | None], items: Iterable[Item]) -> dict[str, Checksum]:
    """Reads `{name: "sha256:..."}`; `None` means that the checksum is unknown.

    Raises:
        ConfigError: A file has no entry, or an entry has no file.
    """
    names = {item.name for item in items}
    for name in sorted(names ^ checksums.keys()):
        problem = "expected a file of sources" if name in checksums else "expected a checksum, or None to skip it"
        raise ConfigError(f"checksums: {name}: {problem}")
    return {name: parse_checksum(text, name) for name, text in checksums.items() if text is not None}


class Digests:
    """Running checksums: sha256, for `fetched.json`, and the kind of the expected checksum."""

    def __init__(self, wanted: Checksum | None = None) -> None:
        self._wanted = wanted
        kinds = {"sha256", wanted.kind} if wanted else {"sha256"}
        # Not for security: publishers choose the kind of checksum, which may be md5.
        self._hashes = {kind: hashlib.new(kind, usedforsecurity=False) for kind in kinds}

    def update(self, block: bytes | memoryview) -> None:
        """Adds the next bytes."""
        for one in self._hashes.values():
            one.update(block)

    @property
    def sha256(self) -> str:
        """The sha256 of the bytes so far, in hexadecimal digits."""
        return self._hashes["sha256"].hexdigest()

    def check(self, where: str) -> None:
        """Compares with the expected checksum.

        Raises:
            CorruptDataError: The checksums differ.
        """
        if self._wanted is not None:
            found = Checksum(self._wanted.kind, self._hashes[self._wanted.kind].hexdigest())
            if found != self._wanted:
                raise CorruptDataError(f"{where}: expected {self._wanted}, found {found}")
