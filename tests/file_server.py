"""A web server on this machine that misbehaves as it is told."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """A file, and what is wrong with how it is served.

    Attributes:
        content: Its bytes.
        etag: With quotes; None for none.
        modified: Date for `Last-Modified`; None for none.
        ranges: Whether `Range` is heard.
        if_range: Whether `If-Range` is heard.
        length: What `Content-Length` says beyond the truth; None for no such header.
        chunked: Whether it comes in chunks, without a length.
        cuts: How many bytes are sent before the connection is closed, for one request after the other.
        statuses: What is answered instead, for one request after the other.
        headers: Further ones.
        leads_to: Where a 302 leads.
        pause_seconds: After every 4096 bytes.
    """

    content: bytes = b""
    etag: str | None = '"1"'
    modified: str | None = None
    ranges: bool = True
    if_range: bool = True
    length: int | None = 0
    chunked: bool = False
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    leads_to: str | None = None
    pause_seconds: float = 0.0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        asked = self.headers.get("Range"), self.headers.get("If-Range")
        self.server.asked.append((self.path, *asked))
        served = self.server.files.get(self.path)
        self.close_connection = True
        if served is None:
            self.answer(404)
        elif served.statuses:
            self.answer(served.statuses.pop(0), served.headers)
        elif served.leads_to is not None:
            self.answer(302, {"Location": served.leads_to})
        else:
            self.serve(served, *asked)

    def answer(self, status, headers=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def serve(self, served, wanted, condition):
        start = 0
        is_same = condition is None or not served.if_range or condition in (served.etag, served.modified)
        if wanted is not None and served.ranges and is_same:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(served.content):
                self.answer(416, {"Content-Range": f"bytes */{len(served.content)}"})
                return
        body = served.content[start:]
        self.send_response(206 if start else 200)
        headers = {"ETag": served.etag, "Last-Modified": served.modified}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(served.content) - 1}/{len(served.content)}"
        if served.chunked:
            headers["Transfer-Encoding"] = "chunked"
        elif served.length is not None:
            headers["Content-Length"] = str(len(body) + served.length)
        for name, value in (headers | served.headers).items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        cut = served.cuts.pop(0) if served.cuts else None
        self.send_body(body[:cut], served, is_whole=cut is None)

    def send_body(self, body, served, *, is_whole):
        try:
            for at in range(0, len(body), 4096):
                block = body[at : at + 4096]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block) if served.chunked else block)
                if served.pause_seconds:
                    self.wfile.flush()
                    time.sleep(served.pause_seconds)
            if served.chunked and is_whole:
                self.wfile.write(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_):
        """A client that was killed is no error here."""


@contextmanager
def serving(files):
    """Yields the server; `server.at(path)` is an address, `server.asked` what was asked: path, Range, If-Range."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.files, server.asked = files, []
    server.at = lambda path: f"http://127.0.0.1:{server.server_address[1]}{path}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
