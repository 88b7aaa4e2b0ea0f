"""Files of http and https by the standard library alone: `Range`, `If-Range`, and servers that know neither."""

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
    from email.message import Message

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
# What may go away by itself.
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a server elsewhere, but not from https to http."""

    def http_error_302(self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message) -> Any:
        try:
            return super().http_error_302(req, fp, code, msg, headers)  # type: ignore[arg-type]
        except BaseException:
            fp.close()
            raise

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(
        self, req: urllib.request.Request, fp: object, code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise FinalError(f"{req.full_url}: leads from https to {newurl}")
        # Its stub asks for a file of bytes, of which nothing is used here.
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _opener() -> urllib.request.OpenerDirector:
    """No ftp, no local files: a server must not lead there."""
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
    """As `open_address`.

    Without a validator, only a size that is still the same tells that a file has not changed.
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
            # Nothing from there on: the file is shorter now, or ends there and its end was never heard of.
            return open_http(url, offset=0, validator=None, size=None, timeout_seconds=timeout_seconds)
        raise _error_of(url, error) from None
    except urllib.error.URLError as error:
        is_final = isinstance(error.reason, ssl.SSLCertVerificationError)
        raise (FinalError if is_final else TransientError)(f"{url}: {error.reason}") from error
    except FinalError:
        raise
    except ValueError as error:
        # Its own complaint about an address that a server leads to.
        raise FinalError(f"{url}: leads to an address that cannot be read: {error}") from error
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
        raise TransientError(f"{url}: asked for the bytes from {offset} on, got those from {start} on")
    if start and (start != offset or is_other or (validator and remote.validator not in (None, validator))):
        response.close()
        return open_http(url, offset=0, validator=None, size=None, timeout_seconds=timeout_seconds)
    return remote


def _request(url: str) -> urllib.request.Request:
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        raise ConfigError(
            f"sources: {parts.hostname}: names and passwords in addresses are not sent, and would be kept"
        )
    # Spaces and letters beyond ASCII, as people paste them; what is escaped already stays.
    safe = quote(url, safe="%/:=&?~#+!$,;'@()*[]")
    # Other encodings would hide the size, and that a stream was cut.
    headers = {"User-Agent": "bloomdata", "Accept-Encoding": "identity"}
    try:
        return urllib.request.Request(safe, headers=headers)
    except ValueError as error:
        raise ConfigError(f"sources: {url}: {error}") from None


def _remote(url: str, response: http.client.HTTPResponse, size: int | None) -> Remote:
    headers = response.headers
    name = urlsplit(url).path
    if headers.get("Content-Encoding", "identity") != "identity" and not name.endswith((".gz", ".zst", ".bz2", ".xz")):
        raise FinalError(f"{url}: was sent with {headers['Content-Encoding']}, though that was not asked for")
    start = 0
    if response.status == 206:
        found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
        if found is None:
            raise TransientError(f"{url}: a part without saying which ({headers.get('Content-Range')!r})")
        start = int(found[1])
        size = size if found[3] == "*" else int(found[3])
    elif response.status == 200:
        length = headers.get("Content-Length")
        size = None if response.chunked else _whole_number(length)
    else:
        raise FinalError(f"{url}: status {response.status} is no file")
    return Remote(stream=_Body(url, response), offset=start, size=size, validator=_validator(headers))


def _whole_number(text: str | None) -> int | None:
    """A number of digits; None for anything else, as the superscripts that `isdigit` takes."""
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def _validator(headers: Message) -> str | None:
    """What `If-Range` takes: a strong ETag, else a date."""
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
    """The body of an answer, whose end and errors are those of a file."""

    def __init__(self, url: str, response: http.client.HTTPResponse) -> None:
        self._url = url
        self._response = response

    def read(self, count: int, /) -> bytes:
        try:
            # One call of the system: what has come is written, and progress seen, before the next waits.
            return self._response.read1(count)
        except (http.client.HTTPException, OSError) as error:
            raise TransientError(f"{self._url}: {type(error).__name__}: {error}") from error

    def close(self) -> None:
        self._response.close()
