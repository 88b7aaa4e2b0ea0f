"""As much of protobuf as MindSpore's files need: fields of a message, and where long ones are in the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bloomdata.errors import CorruptDataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class Field:
    """A field of a message.

    Attributes:
        number: Its number in the definition of the message.
        value: A number; of bytes, their length.
        start: Where its bytes start in the file, None for a number.
    """

    number: int
    value: int
    start: int | None


def read_fields(file: BinaryIO, path: object, start: int, stop: int) -> Iterator[Field]:
    """The fields of the message that stands from `start` to `stop` of a file; bytes are not read.

    Raises:
        CorruptDataError: The message is damaged.
    """
    position = start
    while position < stop:
        file.seek(position)
        key = read_varint(file, path)
        kind = key & 7
        if kind == _VARINT:
            yield Field(key >> 3, read_varint(file, path), None)
            position = file.tell()
            continue
        length = read_varint(file, path) if kind == _BYTES else {_FIXED64: 8, _FIXED32: 4}.get(kind)
        begin = file.tell()
        if length is None or begin + length > stop:
            raise CorruptDataError(
                f"{path}: expected a message of protobuf to {stop}, found its end or other bytes at {begin}"
            )
        yield Field(key >> 3, length, begin)
        position = begin + length


def read_varint(file: BinaryIO, path: object) -> int:
    """A number at the position of the file."""
    result = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            break
        result |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return result
    raise CorruptDataError(f"{path}: expected a number of protobuf at {file.tell()}, found other bytes or the end")


def read_bytes(file: BinaryIO, field: Field) -> bytes:
    """The bytes of a field."""
    assert field.start is not None
    file.seek(field.start)
    return file.read(field.value)


def read_numbers(file: BinaryIO, path: object, field: Field) -> list[int]:
    """The numbers of a repeated field: packed, or one of many. Negative ones are stored as 64 bits."""
    if field.start is None:
        return [_signed(field.value)]
    numbers = []
    file.seek(field.start)
    while file.tell() < field.start + field.value:
        numbers.append(_signed(read_varint(file, path)))
    return numbers


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def varint(value: int) -> bytes:
    """A number as protobuf writes it."""
    result = bytearray()
    while value >= 0x80:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*result, value])


def bytes_field(number: int, content: bytes) -> bytes:
    """A field of bytes."""
    return varint(number << 3 | _BYTES) + varint(len(content)) + content
