"""A URL -> a stream of bytes from an offset."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from bloomdata.errors import ConfigError
from bloomdata.fetching.names import scheme_of
from bloomdata.fetching.remote import FinalError, Remote, TransientError

# Block size of fsspec: large enough for few requests, small enough for little memory.
_BLOCK_BYTES = 16 << 20


def open_address(url: str, *, offset: int, validator: str | None, size: int | None, timeout_seconds: float) -> Remote:
    """Opens a file for reading from an offset, if the file has not changed.

    Args:
        url: URL or path.
        offset: Number of bytes already fetched.
        validator: Validator of the file when they were fetched.
        size: Size of the file when they were fetched.
        timeout_seconds: Seconds to wait for a silent server.

    Returns:
        A stream from `offset`, or from 0 if the file has changed or ranges are not supported.

    Raises:
        ConfigError: No reader supports the URL.
        FileNotFoundError: The file does not exist.
        PermissionError: Access is denied.
        TransientError: A retry may succeed.
        OSError: Any other error.
    """
    scheme = scheme_of(url)
    if scheme in {"http", "https"}:
        from bloomdata.fetching.http import open_http

        return open_http(url, offset=offset, validator=validator, size=size, timeout_seconds=timeout_seconds)
    if scheme == "file":
        return _open_local(url, offset, validator)
    return _open_fsspec(url, offset, validator)


def _open_local(url: str, offset: int, validator: str | None) -> Remote:
    path = Path(url2pathname(urlsplit(url).path) if url[:7].lower() == "file://" else url)

    def validator_now() -> str:
        facts = path.stat()
        return f"{facts.st_size}-{facts.st_mtime_ns}"

    if path.is_dir():
        raise IsADirectoryError(21, "a folder, not a file", str(path))
    if path.exists() and not path.is_file():
        raise FinalError(f"{path}: expected a regular file")
    stream = path.open("rb")
    facts = os.fstat(stream.fileno())
    now = f"{facts.st_size}-{facts.st_mtime_ns}"
    start = stream.seek(offset if validator == now and offset <= facts.st_size else 0)
    return Remote(stream=stream, offset=start, size=facts.st_size, validator=now, validator_now=validator_now)


def _open_fsspec(url: str, offset: int, validator: str | None) -> Remote:
    files, path = file_system(url)

    def validator_now() -> str:
        files.invalidate_cache()
        return str(files.ukey(path))

    try:
        now = validator_now()
        facts = files.info(path)
        stream = files.open(path, "rb", block_size=_BLOCK_BYTES, cache_type="readahead")
        size = facts.get("size")
        start = stream.seek(offset if validator == now and offset <= (size or 0) else 0)
    except Exception as error:  # each file system has errors of its own
        raise _error_of(url, error) from error
    return Remote(stream=_Wrapped(stream, url), offset=start, size=size, validator=now, validator_now=validator_now)


def file_system(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it.

    Raises:
        ConfigError: Its package is not installed, or there is no such kind of URL.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise ConfigError(
            f"sources: {url}: {scheme_of(url)} URLs need fsspec: pip install 'bloomdata[remote]'"
        ) from None
    try:
        files, path = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"sources: {url}: {error}") from error
    return files, path


def _error_of(url: str, error: Exception) -> Exception:
    """Back ends raise errors of their own libraries; all that are not known to be permanent count as transient."""
    lasting = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, MemoryError, ImportError)
    if isinstance(error, lasting):
        return error
    return TransientError(f"{url}: {type(error).__name__}: {error}")


class _Wrapped:
    """A file of fsspec, whose errors become OSError."""

    def __init__(self, stream: Any, url: str) -> None:
        self._stream = stream
        self._url = url

    def read(self, count: int, /) -> bytes:
        try:
            return bytes(self._stream.read(count))
        except Exception as error:  # each file system has errors of its own
            raise _error_of(self._url, error) from error

    def close(self) -> None:
        self._stream.close()
