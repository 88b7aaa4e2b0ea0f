"""Reads SentencePiece `.model` files: a protobuf `ModelProto`, by a reader of our own for the few fields that matter.

    file -> fields (number, value, offset) -> pieces, trainer_spec, normalizer_spec

Origin: `sentencepiece_model.proto` of google/sentencepiece; names and defaults are its.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from bloomdata.errors import ConfigError, CorruptDataError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

MAX_FILE_BYTES = 1 << 26
MAX_PIECES = 1 << 22
# What SentencePiece itself refuses to load.
MAX_PIECE_BYTES = 8000

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIRE_NAMES = {_VARINT: "varint", _FIXED64: "8 bytes", _BYTES: "length and bytes", _FIXED32: "4 bytes"}


class PieceType(IntEnum):
    """What a piece is for."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


MODEL_TYPES = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}


class Piece(NamedTuple):
    """One piece of the vocabulary; its id is its place.

    Attributes:
        text: The piece, with `▁` for spaces.
        score: Higher is merged earlier.
        type: What it is for.
        start: Offset of its field in the file.
        end: Offset behind it.
    """

    text: str
    score: float
    type: PieceType
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class SentencePieceModel:
    """What a `.model` file says.

    Attributes:
        path: The file.
        data: Its bytes.
        pieces: The vocabulary, by id.
        model_type: `unigram`, `bpe`, `word` or `char`.
        byte_fallback: Whether unknown characters become pieces of bytes.
        treat_whitespace_as_suffix: Whether the dummy space is put behind a text.
        special_ids: Ids of `unk`, `bos`, `eos` and `pad`, of those that there are.
        normalizer_name: Of the rules in `precompiled_charsmap`: `identity`, `nmt_nfkc`, ...
        precompiled_charsmap: Rules that rewrite characters; empty for none.
        add_dummy_prefix: Whether a space is put in front of a text.
        remove_extra_whitespaces: Whether spaces at the ends go, and runs become one.
        escape_whitespaces: Whether spaces become `▁`.
        denormalizer_charsmap: Rules for decoded text; empty for none.
    """

    path: Path
    data: bytes = field(repr=False)
    pieces: list[Piece] = field(repr=False)
    model_type: str
    byte_fallback: bool
    treat_whitespace_as_suffix: bool
    special_ids: dict[str, int]
    normalizer_name: str
    precompiled_charsmap: bytes = field(repr=False)
    add_dummy_prefix: bool
    remove_extra_whitespaces: bool
    escape_whitespaces: bool
    denormalizer_charsmap: bytes = field(repr=False)


def read_sentencepiece(path: str | os.PathLike[str]) -> SentencePieceModel:
    """Reads a `.model` file and checks what SentencePiece checks when it loads one.

    Raises:
        ConfigError: A path that is no file.
        CorruptDataError: Bytes that are no model, with the offset of the first that is wrong.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"model: {path} is not a file")
    with path.open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise CorruptDataError(
            f"{path}: offset {MAX_FILE_BYTES}: more than {MAX_FILE_BYTES} bytes, too many for a model"
        )
    return _Reader(path, data).model()


class _Value(NamedTuple):
    """A field: a number (varint or 4 or 8 bytes), or the bytes from `start` to `end`."""

    wire_type: int
    number: int
    start: int
    end: int
    offset: int


class _Reader:
    def __init__(self, path: Path, data: bytes) -> None:
        self.path = path
        self.data = data

    def model(self) -> SentencePieceModel:
        pieces: list[Piece] = []
        # Protobuf merges a message that comes twice: the last value of each field counts.
        trainer: dict[int, _Value] = {}
        normalizer: dict[int, _Value] = {}
        denormalizer: dict[int, _Value] = {}
        messages = {2: trainer, 3: normalizer, 5: denormalizer}
        for number, value in self.fields(0, len(self.data)):
            if number == 1:
                if len(pieces) == MAX_PIECES:
                    self.fail(value.offset, f"more than {MAX_PIECES} pieces")
                pieces.append(self.piece(value))
            elif number in messages:
                self.check(value, _BYTES)
                messages[number].update(self.fields(value.start, value.end))
        byte_fallback = self.flag(trainer, 35, default=False)
        ids = self.checked(pieces, byte_fallback=byte_fallback)
        number = self.integer(trainer, 3, default=1)
        if number not in MODEL_TYPES:
            self.fail(trainer[3].offset, f"model_type {number} is none of {MODEL_TYPES}")
        return SentencePieceModel(
            path=self.path,
            data=self.data,
            pieces=pieces,
            model_type=MODEL_TYPES[number],
            byte_fallback=byte_fallback,
            treat_whitespace_as_suffix=self.flag(trainer, 24, default=False),
            special_ids=self.special_ids(trainer, pieces, ids),
            normalizer_name=self.text(normalizer, 1, default=""),
            precompiled_charsmap=self.bytes(normalizer, 2),
            add_dummy_prefix=self.flag(normalizer, 3, default=True),
            remove_extra_whitespaces=self.flag(normalizer, 4, default=True),
            escape_whitespaces=self.flag(normalizer, 5, default=True),
            denormalizer_charsmap=self.bytes(denormalizer, 2),
        )

    def piece(self, message: _Value) -> Piece:
        self.check(message, _BYTES)
        found = dict(self.fields(message.start, message.end))
        if 1 not in found or found[1].start == found[1].end:
            self.fail(message.offset, "a piece without text")
        text = self.text(found, 1, default="")
        size = found[1].end - found[1].start
        if size >= MAX_PIECE_BYTES:
            self.fail(found[1].offset, f"a piece of {size} bytes, expected less than {MAX_PIECE_BYTES}")
        if "\0" in text:
            self.fail(found[1].offset, f"piece {text!r} holds a zero byte")
        score = 0.0
        if 2 in found:
            self.check(found[2], _FIXED32)
            score = struct.unpack("<f", self.data[found[2].start : found[2].end])[0]
            if not math.isfinite(score):
                self.fail(found[2].offset, f"piece {text!r} has the score {score}")
        number = self.integer(found, 3, default=1)
        if not 1 <= number <= len(PieceType):
            self.fail(found[3].offset, f"piece {text!r} has the type {number}, expected 1 to {len(PieceType)}")
        return Piece(text, score, PieceType(number), message.offset, message.end)

    def checked(self, pieces: list[Piece], *, byte_fallback: bool) -> dict[str, int]:
        """Ids by text."""
        ids: dict[str, int] = {}
        num_unknown = 0
        names = {f"<0x{byte:02X}>" for byte in range(256)}
        for number, piece in enumerate(pieces):
            first = ids.setdefault(piece.text, number)
            if first != number:
                self.fail(piece.start, f"piece {number} is {piece.text!r}, as is piece {first}")
            num_unknown += piece.type == PieceType.UNKNOWN
            if num_unknown > 1:
                self.fail(piece.start, f"piece {number} is a second unknown piece")
            if piece.type == PieceType.BYTE and (not byte_fallback or piece.text not in names):
                why = "is no byte" if byte_fallback else "is a byte, but byte_fallback is false"
                self.fail(piece.start, f"piece {number} {piece.text!r} {why}")
        if not num_unknown:
            self.fail(len(self.data), f"no unknown piece among {len(pieces)} pieces; is this a SentencePiece model?")
        if byte_fallback:
            for name in sorted(names):
                if name not in ids or pieces[ids[name]].type != PieceType.BYTE:
                    self.fail(len(self.data), f"byte_fallback is true, but there is no piece {name} of type BYTE")
        return ids

    def special_ids(self, trainer: dict[int, _Value], pieces: list[Piece], ids: dict[str, int]) -> dict[str, int]:
        """By name, as SentencePiece finds them; the ids in `trainer_spec` are what training was asked for."""
        found = {"unk": next(number for number, piece in enumerate(pieces) if piece.type == PieceType.UNKNOWN)}
        for role, number, default in (("bos", 46, "<s>"), ("eos", 47, "</s>"), ("pad", 48, "<pad>")):
            place = ids.get(self.text(trainer, number, default=default) or default)
            if place is not None and pieces[place].type == PieceType.CONTROL:
                found[role] = place
        return found

    def fields(self, start: int, end: int) -> Iterator[tuple[int, _Value]]:
        """Field numbers and values of a message."""
        at, data = start, self.data
        while at < end:
            offset = at
            key, at = (data[at], at + 1) if data[at] < 0x80 else self.varint(at, end)
            wire_type, number, low = key & 7, 0, at
            if key >> 3 == 0 or key >> 32:
                self.fail(offset, f"field {key >> 3}; is this a SentencePiece model?")
            if wire_type == _VARINT:
                number, at = self.varint(at, end)
            elif wire_type == _BYTES:
                low = at + 1
                size, low = (data[at], low) if low < end and data[at] < 0x80 else self.varint(at, end)
                at = low + size
            elif wire_type in (_FIXED32, _FIXED64):
                at += 4 if wire_type == _FIXED32 else 8
            else:
                self.fail(offset, f"wire type {wire_type} is unknown; is this a SentencePiece model?")
            if at > end:
                self.fail(offset, f"field {key >> 3} ends at {at}, behind the end of its message at {end}")
            yield key >> 3, _Value(wire_type, number, low, at, offset)

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """A number of at most ten bytes, and where it ends."""
        number = 0
        for place in range(10):
            if at + place >= end:
                self.fail(at, "a number without an end")
            byte = self.data[at + place]
            number |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return number & 0xFFFF_FFFF_FFFF_FFFF, at + place + 1
        self.fail(at, "a number of more than ten bytes")

    def check(self, value: _Value, wire_type: int) -> None:
        if value.wire_type != wire_type:
            found, expected = _WIRE_NAMES[value.wire_type], _WIRE_NAMES[wire_type]
            self.fail(value.offset, f"a field of {found}, expected {expected}")

    def integer(self, message: dict[int, _Value], number: int, *, default: int) -> int:
        if number not in message:
            return default
        self.check(message[number], _VARINT)
        return message[number].number

    def flag(self, message: dict[int, _Value], number: int, *, default: bool) -> bool:
        return bool(self.integer(message, number, default=default))

    def bytes(self, message: dict[int, _Value], number: int) -> bytes:
        if number not in message:
            return b""
        self.check(message[number], _BYTES)
        return self.data[message[number].start : message[number].end]

    def text(self, message: dict[int, _Value], number: int, *, default: str) -> str:
        if number not in message:
            return default
        try:
            return self.bytes(message, number).decode()
        except UnicodeDecodeError as error:
            self.fail(message[number].start + error.start, f"text that is not UTF-8: {error.reason}")

    def fail(self, offset: int, reason: str) -> NoReturn:
        raise CorruptDataError(f"{self.path}: offset {offset}: {reason}")
