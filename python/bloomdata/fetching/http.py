"""Files over http and https with the standard library: `Range`, `If-Range`, and servers that support neither."""

from __future__ import annotations

import errno
import http.client
import re
import ssl
import urllib.error
import urllib.request
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from bloomdata.errors import ConfigError
from bloomdata.fetching.remote import FinalError, Remote, TransientError

if TYPE_CHECKING:
    from http.client import HTTPMessage

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
# Status codes that may succeed on a retry.
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, except from https to http."""

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage
    ) -> Any:
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except BaseException:
            fp.close()
            raise

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise FinalError(f"{req.full_url}: expected a redirect to https, got {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """An opener without ftp and local files, so that no server can redirect there."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener


def open_http(url: str, *, offset: int, validator: str | None, size: int | None, timeout_seconds: float) -> Remote:
    """As `open_address`, for http and https.

    Without a validator, a file counts as unchanged if its size is the same.
    """
    request = _request(url)
    if offset:
        request.add_header("Range", f"bytes={offset}-")
        if validator is not None:
            request.add_header("If-Range", validator)
    try:
        response: http.client.HTTPResponse = _opener().open(request, timeout=timeout_seconds)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and offset:
            # The file is now shorter, or ends at the offset and its size was unknown.
            return open_http(url, offset=0, validator=None, size=None, timeout_seconds=timeout_seconds)
        raise _error_of(url, error) from None
    except urllib.error.URLError as error:
        is_final = isinstance(error.reason, ssl.SSLCertVerificationError)
        raise (FinalError if is_final else TransientError)(f"{url}: {error.reason}") from error
    except FinalError:
        raise
    except ValueError as error:
        # urllib rejects the target of a redirect.
        raise FinalError(f"{url}: expected a redirect to a URL that can be read: {error}") from error
    except (OSError, http.client.HTTPException) as error:
        raise TransientError(f"{url}: {type(error).__name__}: {error}") from error
    try:
        remote = _remote(url, response, size)
    except BaseException:
        response.close()
        raise
    start, is_other = remote.offset, size is not None and remote.size not in (None, size)
    if start > offset or (start and not offset):
        response.close()
        raise TransientError(f"{url}: expected bytes from {offset} on, got bytes from {start} on")
    if start and (start != offset or is_other or (validator and remote.validator not in (None, validator))):
        response.close()
        return open_http(url, offset=0, validator=None, size=None, timeout_seconds=timeout_seconds)
    return remote


def _request(url: str) -> urllib.request.Request:
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        raise ConfigError(
            f"sources: {parts.hostname}: expected a URL without user name and password, which would be stored"
        )
    # Escape spaces and characters outside ASCII; keep existing escapes.
    safe = quote(url, safe="%/:=&?~#+!$,;'@()*[]")
    # Other encodings would hide the size and truncated streams.
    headers = {"User-Agent": "bloomdata", "Accept-Encoding": "identity"}
    try:
        return urllib.request.Request(safe, headers=headers)
    except ValueError as error:
        raise ConfigError(f"sources: {url}: {error}") from None


def _remote(url: str, response: http.client.HTTPResponse, size: int | None) -> Remote:
    headers = response.headers
    name = urlsplit(url).path
    if headers.get("Content-Encoding", "identity") != "identity" and not name.endswith((".gz", ".zst", ".bz2", ".xz")):
        raise FinalError(f"{url}: expected no content encoding, got {headers['Content-Encoding']}")
    start = 0
    if response.status == 206:
        found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
        if found is None:
            raise TransientError(f"{url}: expected a valid Content-Range, got {headers.get('Content-Range')!r}")
        start = int(found[1])
        size = size if found[3] == "*" else int(found[3])
    elif response.status == 200:
        length = headers.get("Content-Length")
        size = None if response.chunked else _whole_number(length)
    else:
        raise FinalError(f"{url}: expected status 200 or 206, got status {response.status}")
    return Remote(stream=_Body(url, response), offset=start, size=size, validator=_validator(headers))


def _whole_number(text: str | None) -> int | None:
    """A number in ASCII digits; None for anything else, such as superscripts, which `isdigit` accepts."""
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def _validator(headers: HTTPMessage) -> str | None:
    """The validator for `If-Range`: a strong ETag, else a date."""
    etag = headers.get("ETag")
    if etag is not None and etag.startswith('"'):
        return str(etag)
    return headers.get("Last-Modified")


def _error_of(url: str, error: urllib.error.HTTPError) -> OSError:
    if error.code in {404, 410}:
        return FileNotFoundError(errno.ENOENT, f"status {error.code}, {error.reason}", url)
    if error.code in {401, 403, 407}:
        return PermissionError(errno.EACCES, f"status {error.code}, {error.reason}", url)
    text = " ".join(str(error.msg if error.code // 100 == 3 else error.reason).split())
    if error.code in _TRANSIENT:
        transient = TransientError(f"{url}: status {error.code}, {text}")
        transient.wait_seconds = _whole_number(error.headers.get("Retry-After") if error.headers else None)
        return transient
    return FinalError(f"{url}: status {error.code}, {text}")


class _Body:
    """The body of a response, as a file."""

    def __init__(self, url: str, response: http.client.HTTPResponse) -> None:
        self._url = url
        self._response = response

    def read(self, count: int, /) -> bytes:
        try:
            # At most one system call, so that received bytes are written and reported before waiting again.
            return self._response.read1(count)
        except (http.client.HTTPException, OSError) as error:
            raise TransientError(f"{self._url}: {type(error).__name__}: {error}") from error

    def close(self) -> None:
        self._response.close()
