"""Addresses in a store, their file systems, and requests that are tried again."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, Any, TypeVar

from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    # A file system of fsspec.
    Store: TypeAlias = Any


_Result = TypeVar("_Result")
# Requests at a time.
CONNECTIONS = 8
# Seconds before each further try of a request that failed.
WAITS = (0.2, 1.0, 5.0, 15.0)


def open_store(address: str | os.PathLike[str]) -> tuple[Store, str]:
    """The file system of an address, and the path in it.

    Raises:
        ConfigError: Its package is not installed, or there is no such kind of address.
    """
    text = os.fspath(address)
    if re.match(r"[^/]+://[^/@]*:[^/@]*@", text):
        scheme, _, rest = text.partition("://")
        raise ConfigError(
            f"{scheme}://***@{rest.rpartition('@')[2]}: expected no password in an address, which plans and manifests "
            "name; fsspec finds credentials in its configuration and the environment"
        )
    try:
        from fsspec.core import url_to_fs
    except ModuleNotFoundError:
        raise ConfigError(f"{text}: expected fsspec to be installed: pip install 'bloomdata[remote]'") from None
    try:
        store, path = url_to_fs(text)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{text}: {error}") from None
    return store, path.rstrip("/")


def fresh_facts(address: str) -> dict[str, Any]:
    """What the store says of an object now, not what it said before.

    Raises:
        FileNotFoundError: There is none.
        OSError: The store reports an error.
    """
    store, path = open_store(address)
    store.invalidate_cache(store._parent(path))
    facts: dict[str, Any] = with_retries(address, lambda: store.info(path))
    return facts


def inside(address: str, name: str) -> str:
    """The address of what lies in a folder."""
    return f"{address.rstrip('/')}/{name}"


def with_retries(address: str, request: Callable[[], _Result]) -> _Result:
    """What a request returns; one that fails is tried again, with a wait that grows.

    Raises:
        OSError: What the last try reports. What is not there, or not allowed, is not tried again.
    """
    for seconds in WAITS:
        try:
            return _as_os_error(address, request)
        except (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotImplementedError):
            raise
        except (OSError, TimeoutError):
            time.sleep(seconds)
    return _as_os_error(address, request)


def _as_os_error(address: str, request: Callable[[], _Result]) -> _Result:
    """What a request returns. Packages of stores have errors of their own, which say nothing of the address."""
    try:
        return request()
    except Exception as error:
        kind = type(error)
        if isinstance(error, OSError) or kind.__module__ == "builtins":
            raise
        # More tries find no credentials either.
        reported = PermissionError if "Credential" in kind.__name__ else OSError
        raise reported(f"{address}: {kind.__name__}: {error}") from error
