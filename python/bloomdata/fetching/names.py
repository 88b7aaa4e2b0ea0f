"""Sources -> URLs and the name of each file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from bloomdata.errors import ConfigError
from bloomdata.fetching.sets import FETCH_SETS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from bloomdata.fetching.remote import Remote

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=://|::)")
_RESERVED = {"fetched.json", ".fetch.lock", ".fetch.git"}
_RESERVED_SUFFIXES = (".part", ".part.state", ".tmp")


@dataclass(frozen=True, kw_only=True)
class Item:
    """One file to fetch.

    Attributes:
        url: The URL, or the path of a local file.
        name: Its name in the output folder; of a file of a git repository, it may be in a folder there.
        is_named: Whether the user chose the name.
        opener: Opens it in place of `open_address`, with the same arguments by name.
    """

    url: str
    name: str
    is_named: bool = field(default=False, compare=False)
    opener: Callable[..., Remote] | None = field(default=None, compare=False, repr=False)


def scheme_of(url: str) -> str:
    """The scheme of a URL, such as `https` or `s3`; `file` for a path.

    Example:
        >>> scheme_of("S3://bucket/a.jsonl"), scheme_of("raw/a.jsonl")
        ('s3', 'file')
    """
    found = _SCHEME.match(url)
    return found.group().lower() if found else "file"


def items_of(
    sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Mapping[str, str | os.PathLike[str]],
) -> list[Item]:
    """The files of sources.

    Args:
        sources: As for `fetch`.

    Returns:
        Files in the order given, with distinct names.

    Raises:
        ConfigError: There is no source, a URL has no file name, or two files have the same name.
    """
    if isinstance(sources, Mapping):
        for name, url in sources.items():
            if scheme_of(os.fspath(url)).startswith("git+") and not urlsplit(os.fspath(url)).fragment:
                raise ConfigError(f"sources: {url}: expected #path for a file called {name}, got a whole repository")
        items = [
            Item(url=os.fspath(url), name=checked_name(name, os.fspath(url)), is_named=True)
            for name, url in sources.items()
        ]
    else:
        given = [sources] if isinstance(sources, (str, os.PathLike)) else list(sources)
        items = [Item(url=url, name=_name_of(url)) for source in given for url in _addresses(source)]
    if not items:
        raise ConfigError("sources: expected at least one source, got none")
    return distinct(items)


def distinct(items: Iterable[Item]) -> list[Item]:
    """Items of distinct names. A URL that is given twice is fetched once.

    Raises:
        ConfigError: Two files have one name.
    """
    found: dict[str, Item] = {}
    for item in items:
        if item.name in found and found[item.name].url != item.url:
            raise ConfigError(
                f"sources: {found[item.name].url} and {item.url}: both called {item.name}; give names: {{name: url}}"
            )
        found[item.name] = item
    return list(found.values())


def _addresses(source: str | os.PathLike[str]) -> Iterable[str]:
    if isinstance(source, str) and source in FETCH_SETS:
        return FETCH_SETS[source].urls
    return [os.fspath(source)]


def _name_of(url: str) -> str:
    if scheme_of(url) == "file" and not _SCHEME.match(url):
        return checked_name(Path(url).name, url)
    if scheme_of(url).startswith("git+"):
        # Of all files of a repository, the names are those that they have there.
        parts = urlsplit(url)
        named = parts.fragment or parts.path.rpartition("@")[0] or parts.path
        return checked_name(unquote(named.rpartition("/")[2]), url)
    if scheme_of(url) in {"http", "https", "file"}:
        return checked_name(unquote(urlsplit(url).path.rpartition("/")[2]), url)
    # Paths of other file systems may contain `?`, `#` and `%`; `::` separates a file from the archive that holds it.
    return checked_name(url.partition("::")[0].rstrip("/").rpartition("/")[2], url)


def checked_name(name: str, url: str) -> str:
    """Checks that an untrusted name stays in the folder and is not reserved."""
    if not name or name in {".", ".."} or "/" in name or "\\" in name or "\0" in name:
        raise ConfigError(f"sources: {url}: expected a file name, got {name!r}; give one: {{name: url}}")
    if name in _RESERVED or name.endswith(_RESERVED_SUFFIXES):
        raise ConfigError(
            f"sources: {url}: expected a name that is not reserved, got {name!r}; give another: {{name: url}}"
        )
    return name
