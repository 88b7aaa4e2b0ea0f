"""Texts out of files and the standard input, one at a time: lines, whole files, or fields of JSON records."""

from __future__ import annotations

import bz2
import io
import json
import lzma
import sys
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from bloomdata.errors import ConfigError, CorruptDataError, UnsupportedFormatError
from bloomdata.options.inputs import COMPRESSED, STDIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Literal

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BUFFER_BYTES = 1 << 20
# Read at a time of what is compressed: hostile files grow a thousandfold and more.
_COMPRESSED_BYTES = 1 << 14
# Memory of a decoder: a hostile .xz asks for 4 GiB.
_MAX_DECODER_BYTES = 1 << 30


def read_texts(path: str, kind: Literal["auto", "whole", "jsonl"], text_field: str) -> Iterator[str]:
    r"""Yields the texts of a file.

    Args:
        path: A file, compressed or not, or `-` for the standard input.
        kind: `auto` takes the text of each record if the name says JSONL, else each line without its `\n`.
        text_field: Field that holds the text, `data.text` for one inside another.

    Raises:
        CorruptDataError: Bytes that are no UTF-8, a bad record, a damaged archive.
        UnsupportedFormatError: A name that says that the file is not made of lines.
    """
    if kind == "whole":
        yield read_whole(path)
        return
    suffix = Path(_plain_name(path)).suffix
    if kind == "auto" and suffix in {".json", ".parquet"}:
        raise UnsupportedFormatError(f"{path}: found {suffix}, which is not lines; `shard` makes .jsonl of it")
    if kind == "jsonl" or suffix in {".jsonl", ".ndjson"}:
        yield from _read_records(path, text_field)
        return
    for number, offset, line in read_lines(path):
        yield _decode(path, number, offset, line)


def read_lines(path: str) -> Iterator[tuple[int, int, bytes]]:
    r"""Yields number, offset and bytes of each line, without its `\n`; a byte order mark is skipped."""
    end = 0
    with _open(path) as file:
        for number, line in enumerate(file, 1):
            mark = len(_BYTE_ORDER_MARK) if number == 1 and line.startswith(_BYTE_ORDER_MARK) else 0
            if len(line) > mark:
                yield number, end + mark, line[mark:].removesuffix(b"\n")
            end += len(line)


def read_whole(path: str) -> str:
    """A file as one text."""
    with _open(path) as file:
        content = file.read()
    mark = len(_BYTE_ORDER_MARK) if content.startswith(_BYTE_ORDER_MARK) else 0
    return _decode(path, None, mark, content[mark:])


def refuse(path: str, line: int | None, offset: int, reason: str) -> NoReturn:
    """Says what is wrong, and where, in the core's words."""
    place = f"line {line}: " if line is not None else ""
    raise CorruptDataError(f"{shown(path)}: {place}offset {offset}: {reason}")


def shown(path: str) -> str:
    """A file's name in messages."""
    return "<stdin>" if path == STDIN else path


def _decode(path: str, number: int | None, offset: int, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        refuse(path, number, offset + error.start, "invalid UTF-8")


# --- records ---------------------------------------------------------------------------------------------------


def _read_records(path: str, text_field: str) -> Iterator[str]:
    keys = text_field.split(".")
    if not all(keys):
        raise ConfigError(f"text_field: {text_field!r} has an empty part")
    for number, offset, line in read_lines(path):
        if not line.strip(b" \t\r"):
            continue
        try:
            yield _field(_decode(path, number, offset, line), keys)
        except RecursionError:
            refuse(path, number, offset, "the record is nested too deep for this command")
        except ValueError as error:
            refuse(path, number, offset, f"malformed JSON: {error}")
        except _NoTextError as error:
            refuse(path, number, offset, str(error))


class _NoTextError(Exception):
    """Why a record has no text."""


def _field(record: str, keys: list[str]) -> str:
    """The text of a field."""
    # Numbers may have more digits than Python turns into an `int`.
    found = json.loads(record, parse_int=float, parse_constant=_Constant)
    if not isinstance(found, dict):
        raise _NoTextError("not a JSON object")
    name = ".".join(keys)
    for key in keys:
        if not isinstance(found, dict) or key not in found:
            raise _NoTextError(f'no field "{name}"')
        found = found[key]
    if isinstance(found, _Constant):
        raise _NoTextError(f'malformed JSON: {found.name} is not JSON, under "{name}"')
    if not isinstance(found, str):
        raise _NoTextError(f'field "{name}" is {"null" if found is None else "not a string"}')
    if "\\u" in record:
        found.encode()  # half of a surrogate pair is a `ValueError`, too
    return found


class _Constant:
    """`NaN`, `Infinity` or `-Infinity`, which matter only where they are read."""

    def __init__(self, name: str) -> None:
        self.name = name


# --- files -----------------------------------------------------------------------------------------------------


@contextmanager
def _open(path: str) -> Iterator[BinaryIO | io.BufferedReader]:
    if path == STDIN:
        yield sys.stdin.buffer
        return
    with Path(path).open("rb", buffering=_BUFFER_BYTES) as stored:
        suffix = _compression(path)
        if suffix is None:
            yield stored
        else:
            start, error = _decoder(path, suffix)
            yield io.BufferedReader(_Decompressed(path, stored, start, error), _BUFFER_BYTES)


def _decoder(path: str, suffix: str) -> tuple[Callable[[], Any], type[Exception]]:
    """What makes a decoder of one member, and what that raises for damaged data."""
    if suffix == ".gz":
        return lambda: zlib.decompressobj(wbits=zlib.MAX_WBITS | 16), zlib.error
    if suffix == ".bz2":
        return bz2.BZ2Decompressor, OSError
    if suffix == ".xz":
        return lambda: lzma.LZMADecompressor(memlimit=_MAX_DECODER_BYTES), lzma.LZMAError
    package = {".zst": "zstandard", ".lz4": "lz4"}[suffix]
    try:
        if suffix == ".zst":
            import zstandard

            return zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj, zstandard.ZstdError
        from lz4.frame import LZ4FrameDecompressor
    except ImportError:
        reason = f"found {suffix}, which the package `{package}` reads here; it is not installed"
        raise UnsupportedFormatError(f"{path}: {reason}") from None
    return LZ4FrameDecompressor, RuntimeError


def _compression(path: str) -> str | None:
    return next((suffix for suffix in COMPRESSED if path.lower().endswith(suffix)), None)


def _plain_name(path: str) -> str:
    return path.lower().removesuffix(_compression(path) or "")


class _Decompressed(io.RawIOBase):
    """Content of compressed members, one behind the other. A file that ends inside of one is an error."""

    def __init__(self, path: str, stored: BinaryIO, start: Callable[[], Any], error: type[Exception]) -> None:
        self._path = path
        self._stored = stored
        self._start = start
        self._error = error
        self._decoder: Any = None
        self._rest = b""
        self._ready = memoryview(b"")
        self._read_bytes = 0
        self._had_member = False

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fills some of the buffer; 0 at the end."""
        while not self._ready:
            stored = self._rest or self._stored.read(_COMPRESSED_BYTES)
            if not stored:
                if self._decoder is not None or self._read_bytes == 0:
                    refuse(self._path, None, self._read_bytes, "the compressed file is truncated")
                return 0
            if not self._rest:
                self._read_bytes += len(stored)
            self._advance(stored)
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _advance(self, stored: bytes) -> None:
        if self._decoder is None:
            # Zeros pad to whole blocks.
            stored = stored.lstrip(b"\0") if self._had_member else stored
            self._rest = b""
            if not stored:
                return
            self._decoder = self._start()
        try:
            self._ready = memoryview(self._decoder.decompress(stored))
        except self._error as error:
            refuse(self._path, None, self._read_bytes - len(stored), f"damaged compressed data near here: {error}")
        self._rest = b""
        if self._decoder.eof:
            self._rest = self._decoder.unused_data or b""
            self._decoder = None
            self._had_member = True
