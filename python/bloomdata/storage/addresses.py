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
_PASSWORD = re.compile(r"(?<=://)[^/@\s]*:[^/@\s]*(?=@)")
_KEY = re.compile(r"([?&](?:[\w-]*[-_])?(?:sig|signature|key|token|secret|credential|password)=)[^&\s'\"]*", re.I)
# Requests at a time.
CONNECTIONS = 8
# Seconds before each further try of a request that failed.
WAITS = (0.2, 1.0, 5.0, 15.0)


def open_store(address: str | os.PathLike[str]) -> tuple[Store, str]:
    """The file system of an address, and the path in it.

    Raises:
        ConfigError: Its package is not installed, there is no such kind of address, or it has a password or a key.
    """
    text = os.fspath(address)
    if shown(text) != text:
        raise ConfigError(
            f"{shown(text)}: expected no password and no key in an address, which plans and manifests name; fsspec "
            "finds credentials in its configuration and the environment"
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


def shown(address: str) -> str:
    """An address as errors name it: without passwords, and without the values of keys in its query."""
    return _KEY.sub(r"\1***", _PASSWORD.sub("***", address))


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
    """What a request returns. Errors of stores name the path without its scheme, or nothing at all."""
    try:
        return request()
    except Exception as error:
        kind, name, said = type(error), shown(address), shown(str(error))
        if kind.__module__ != "builtins":
            # More tries find no credentials either.
            reported = PermissionError if "Credential" in kind.__name__ else OSError
            raise reported(f"{name}: {kind.__name__}: {said}") from error
        if not isinstance(error, OSError) or (name in said and said == str(error)):
            raise
        if error.errno is None:
            raise kind(f"{name}: {said}") from error
        # Of what is local, such as a full disk, the path says more.
        local = [] if error.filename is None else [error.filename]
        raise kind(error.errno, f"{name}: {shown(str(error.strerror))}", *local) from error
