"""Sources as users name them -> addresses, and the name of each file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from bloomdata.errors import ConfigError
from bloomdata.fetching.sets import FETCH_SETS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=://|::)")
_RESERVED = {"fetched.json", ".fetch.lock"}
_RESERVED_SUFFIXES = (".part", ".part.state", ".tmp")


@dataclass(frozen=True, kw_only=True)
class Item:
    """One file to fetch.

    Attributes:
        url: Its address; a path for a local file.
        name: What it is called in the output folder.
    """

    url: str
    name: str


def scheme_of(url: str) -> str:
    """`https`, `s3`, ...; `file` for a path without one.

    Example:
        >>> scheme_of("S3://bucket/a.jsonl"), scheme_of("raw/a.jsonl")
        ('s3', 'file')
    """
    found = _SCHEME.match(url)
    return found.group().lower() if found else "file"


def items_of(
    sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Mapping[str, str | os.PathLike[str]],
) -> list[Item]:
    """Resolves sources.

    Args:
        sources: As for `fetch`.

    Returns:
        Files in the order given; all names differ.

    Raises:
        ConfigError: No source, an address without a file name, or two files of one name.
    """
    if isinstance(sources, Mapping):
        pairs = [(os.fspath(url), _checked(name, os.fspath(url))) for name, url in sources.items()]
    else:
        given = [sources] if isinstance(sources, (str, os.PathLike)) else list(sources)
        pairs = [(url, _name_of(url)) for source in given for url in _addresses(source)]
    if not pairs:
        raise ConfigError("sources: none given")
    items: dict[str, Item] = {}
    for url, name in pairs:
        # An address that is given twice is fetched once.
        if name in items and items[name].url != url:
            raise ConfigError(f"sources: {items[name].url} and {url} are both called {name}; give names: {{name: url}}")
        items[name] = Item(url=url, name=name)
    return list(items.values())


def _addresses(source: str | os.PathLike[str]) -> Iterable[str]:
    if isinstance(source, str) and source in FETCH_SETS:
        return FETCH_SETS[source].urls
    return [os.fspath(source)]


def _name_of(url: str) -> str:
    if scheme_of(url) == "file" and not _SCHEME.match(url):
        return _checked(Path(url).name, url)
    if scheme_of(url) in {"http", "https", "file"}:
        return _checked(unquote(urlsplit(url).path.rpartition("/")[2]), url)
    # What others call a path may hold `?`, `#` and `%`; `::` leads from a file to the archive that holds it.
    return _checked(url.partition("::")[0].rpartition("/")[2], url)


def _checked(name: str, url: str) -> str:
    """A name comes from outside: it must not leave the folder, nor be one of ours."""
    if not name or name in {".", ".."} or "/" in name or "\\" in name or "\0" in name:
        raise ConfigError(f"sources: {url} has no file name ({name!r}); give one: {{name: url}}")
    if name in _RESERVED or name.endswith(_RESERVED_SUFFIXES):
        raise ConfigError(
            f"sources: {url} would be called {name}, a name of our own files; give another: {{name: url}}"
        )
    return name
