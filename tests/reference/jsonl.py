"""Files of records: written in every compression, and read record by record as texts or reasons."""

from __future__ import annotations

import gzip
import json
import re
from itertools import pairwise
from typing import NamedTuple

import zstandard

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
STRING = r'"(?:[^"\\]|\\.)*"'


class BadRecordError(Exception):
    """`str` of it is the reason."""


class Record(NamedTuple):
    line: int  # from 1
    offset: int  # of its first byte in the decompressed file
    raw: bytes  # without its newline


def stored(content: bytes, suffix: str, cuts: list[int] | None = None) -> bytes:
    """Bytes of a file: plain, or a gzip member or zstd frame for each part between two cuts."""
    parts = [content[start:end] for start, end in pairwise([0, *sorted(cuts or []), len(content)])]
    if suffix == ".gz":
        return b"".join(gzip.compress(part, mtime=0) for part in parts)
    if suffix == ".zst":  # every other frame does not say how long its content is
        kinds = [zstandard.ZstdCompressor(write_checksum=True, write_content_size=known) for known in (True, False)]
        return b"".join(kinds[number % 2].compress(part) for number, part in enumerate(parts))
    return content


def records(name: str, content: bytes) -> list[Record]:
    """All records of a file of this name, blank lines included."""
    offset = len(BYTE_ORDER_MARK) if content.startswith(BYTE_ORDER_MARK) else 0
    if ".json" in name and ".jsonl" not in name:
        return json_values(content, offset)
    lines = content[offset:].split(b"\n")
    if lines[-1] == b"":
        lines.pop()  # behind the last newline there is no line
    found = []
    for number, line in enumerate(lines, start=1):
        found.append(Record(number, offset, line))
        offset += len(line) + 1
    return found


def json_values(content: bytes, start: int) -> list[Record]:
    """Elements of an array, or values one after the other, without white space outside of strings."""
    text = content.decode("utf-8")
    at, found, is_array = len(content[:start].decode("utf-8")), [], False
    while at < len(text):
        if text[at] in " \t\r\n,]":
            at += 1
        elif text[at] == "[" and not found and not is_array:
            is_array, at = True, at + 1
        else:
            _, end = json.JSONDecoder(strict=False).raw_decode(text, at)
            raw = "".join(re.findall(rf'{STRING}|[^\s"]+', text[at:end])).encode("utf-8")
            found.append(Record(len(found) + 1, len(text[:at].encode("utf-8")), raw))
            at = end
    return found


def is_blank(raw: bytes) -> bool:
    return raw.strip(b" \t\r") == b""


def decode(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise BadRecordError("invalid UTF-8") from None


def refuse(constant: str) -> None:
    raise ValueError(constant)


class NotJson(str):
    """NaN and its like, which Python writes: no matter where they are not read."""


def parse_object(raw: bytes, constant=refuse) -> dict:
    """The JSON object (RFC 8259) that a record is; of equal keys the last one counts."""
    text = decode(raw)
    try:
        value = json.loads(text, parse_constant=constant, parse_int=float)
    except ValueError:
        raise BadRecordError("malformed JSON") from None
    if not isinstance(value, dict):
        raise BadRecordError("not a JSON object")
    return value


def text_of(name: str, raw: bytes, field: str) -> str:
    """The text of a record under a dotted path; a line of a `.txt` file is its text."""
    if ".txt" in name:
        return decode(raw.removesuffix(b"\r"))
    value = parse_object(raw, NotJson)
    for key in field.split("."):
        if not isinstance(value, dict) or key not in value:
            raise BadRecordError("missing field")
        value = value[key]
    if isinstance(value, NotJson):
        raise BadRecordError("malformed JSON")
    if value is None:
        raise BadRecordError("null field")
    return string(value)


def string(value: object) -> str:
    if not isinstance(value, str):
        raise BadRecordError("field is not a string")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair, escaped
        raise BadRecordError("malformed JSON") from None
    return value
