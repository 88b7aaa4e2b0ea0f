"""Lists of checksums: `SHA256SUMS` as The Pile has one, md5 lists, or a mapping."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bloomdata.errors import ConfigError, CorruptDataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bloomdata.fetching.names import Item

# By their hexadecimal digits, which is how `sha256sum --check` and others tell them apart, too.
_KINDS = {32: "md5", 40: "sha1", 56: "sha224", 64: "sha256", 96: "sha384", 128: "sha512"}
_GNU = re.compile(r"\\?([0-9A-Fa-f]{32,128}) [ *](.+)")
_BSD = re.compile(r"([A-Za-z0-9-]+) \((.+)\) = ([0-9A-Fa-f]{32,128})")


@dataclass(frozen=True)
class Checksum:
    """What a file must have: `kind` as `hashlib` names it, `digest` in small hexadecimal digits."""

    kind: str
    digest: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.digest}"


def parse_checksum(text: str, where: str) -> Checksum:
    """Reads `sha256:<hex>`, or `<hex>` alone.

    Raises:
        ConfigError: No such kind, or the wrong number of digits.

    Example:
        >>> str(parse_checksum("FC90A7799CEFFFFF324965E5BFC83917", "WuDao"))
        'md5:fc90a7799cefffff324965e5bfc83917'
    """
    kind, colon, digest = text.strip().rpartition(":")
    digest, kind = digest.lower(), kind.lower().replace("-", "")
    if re.fullmatch("[0-9a-f]+", digest) is None or len(digest) not in _KINDS:
        raise ConfigError(f"checksums: {where}: {text!r} is no checksum")
    if colon and kind != _KINDS[len(digest)]:
        raise ConfigError(f"checksums: {where}: {text!r} has {len(digest)} digits, which no {kind} has")
    return Checksum(_KINDS[len(digest)], digest)


def parse_list(text: str, where: str) -> list[tuple[str, Checksum]]:
    """Reads the lines of `sha256sum`, `md5sum` and their kin, also in the form of BSD.

    Args:
        text: The list. Empty lines and lines that begin with `#` or `;` say nothing.
        where: Its name, for errors.

    Returns:
        Path as the list has it, and checksum, in the order of the list.

    Raises:
        CorruptDataError: A line in another form, or no line at all.

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
            raise CorruptDataError(f"{here}: {line[:80]!r} is not `<checksum>  <name>`")
    if not entries:
        raise CorruptDataError(f"{where}: no checksum in it")
    return entries


def from_list(entries: list[tuple[str, Checksum]], items: Iterable[Item], where: str) -> dict[str, Checksum]:
    """Finds every file in a list: by as much of its path as the list gives, else by its name alone.

    Raises:
        ConfigError: A file that the list does not name, or names twice with different checksums.
    """
    wanted = {}
    for item in items:
        paths = [(path.removeprefix("./").lstrip("/"), checksum) for path, checksum in entries]
        exact = [checksum for path, checksum in paths if f"/{item.url.partition('?')[0]}".endswith(f"/{path}")]
        found = {*exact} or {checksum for path, checksum in paths if path.rpartition("/")[2] == item.name}
        if len(found) != 1:
            problem = "several" if found else "none"
            raise ConfigError(f"checksums: {where}: {problem} for {item.name}; every file needs one")
        wanted[item.name] = found.pop()
    return wanted


def from_mapping(checksums: Mapping[str, str | None], items: Iterable[Item]) -> dict[str, Checksum]:
    """Reads `{name: "sha256:..."}`; `None` says that none is known.

    Raises:
        ConfigError: A file without an entry, or an entry without a file.
    """
    names = {item.name for item in items}
    for name in sorted(names ^ checksums.keys()):
        problem = "no such file is fetched" if name in checksums else "none; None says that there is none to compare"
        raise ConfigError(f"checksums: {name}: {problem}")
    return {name: parse_checksum(text, name) for name, text in checksums.items() if text is not None}


class Digests:
    """Checksums of the bytes seen: sha256, which the books want, and the kind that is compared."""

    def __init__(self, wanted: Checksum | None = None) -> None:
        self._wanted = wanted
        kinds = {"sha256", wanted.kind} if wanted else {"sha256"}
        # Not for safety: lists from elsewhere decide what is compared.
        self._hashes = {kind: hashlib.new(kind, usedforsecurity=False) for kind in kinds}

    def update(self, block: bytes | memoryview) -> None:
        """Takes the next bytes."""
        for one in self._hashes.values():
            one.update(block)

    @property
    def sha256(self) -> str:
        """In hexadecimal digits."""
        return self._hashes["sha256"].hexdigest()

    def check(self, where: str) -> None:
        """Compares.

        Raises:
            CorruptDataError: Another checksum than wanted.
        """
        if self._wanted is not None:
            found = Checksum(self._wanted.kind, self._hashes[self._wanted.kind].hexdigest())
            if found != self._wanted:
                raise CorruptDataError(f"{where}: expected {self._wanted}, found {found}")
