"""Reads SentencePiece `.model` files: a protobuf `ModelProto`, with our own reader for the few fields needed.

    file -> fields (number, value, offset) -> pieces, trainer_spec, normalizer_spec

Origin: `sentencepiece_model.proto` of google/sentencepiece, with its names and defaults.
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
# SentencePiece itself rejects pieces of this size.
MAX_PIECE_BYTES = 8000

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIRE_NAMES = {_VARINT: "varint", _FIXED64: "8 bytes", _BYTES: "length and bytes", _FIXED32: "4 bytes"}


class PieceType(IntEnum):
    """The type of a piece."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


MODEL_TYPES = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}


class Piece(NamedTuple):
    """One piece of the vocabulary; its id is its index.

    Attributes:
        text: The piece, with `▁` for spaces.
        score: Score; pieces with higher scores merge earlier.
        type: Type of the piece.
        start: Offset of its field in the file.
        end: Offset of the end of its field.
    """

    text: str
    score: float
    type: PieceType
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class SentencePieceModel:
    """The content of a `.model` file.

    Attributes:
        path: The file.
        data: Its bytes.
        pieces: The vocabulary, by id.
        model_type: `unigram`, `bpe`, `word` or `char`.
        byte_fallback: Whether unknown characters become pieces of bytes.
        treat_whitespace_as_suffix: Whether the dummy space is added after a text.
        special_ids: Ids of `unk`, `bos`, `eos` and `pad`, if they exist.
        normalizer_name: Name of the rules in `precompiled_charsmap`: `identity`, `nmt_nfkc`, ...
        precompiled_charsmap: Character normalization rules; empty for none.
        add_dummy_prefix: Whether a space is added before a text.
        remove_extra_whitespaces: Whether to strip spaces at the ends and collapse repeated ones.
        escape_whitespaces: Whether spaces become metaspaces (`▁`).
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
    """Reads a `.model` file with the checks that SentencePiece makes.

    Raises:
        ConfigError: The path is not a file.
        CorruptDataError: The file is not a valid model; the message has the offset of the problem.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"model: expected a file, got {path}")
    with path.open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise CorruptDataError(
            f"{path}: offset {MAX_FILE_BYTES}: expected a model of at most {MAX_FILE_BYTES} bytes, found more"
        )
    return _Reader(path, data).model()


class _Value(NamedTuple):
    """A field: a number (a varint), or the bytes from `start` to `end`."""

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
        # Protobuf merges repeated messages: the last value of each field counts.
        trainer: dict[int, _Value] = {}
        normalizer: dict[int, _Value] = {}
        denormalizer: dict[int, _Value] = {}
        messages = {2: trainer, 3: normalizer, 5: denormalizer}
        for number, value in self.fields(0, len(self.data)):
            if number == 1:
                if len(pieces) == MAX_PIECES:
                    self.fail(value.offset, f"expected at most {MAX_PIECES} pieces, found more")
                pieces.append(self.piece(value))
            elif number in messages:
                self.check(value, _BYTES)
                messages[number].update(self.fields(value.start, value.end))
        byte_fallback = self.flag(trainer, 35, default=False)
        ids = self.checked(pieces, byte_fallback=byte_fallback)
        number = self.integer(trainer, 3, default=1)
        if number not in MODEL_TYPES:
            self.fail(trainer[3].offset, f"model_type: expected one of {MODEL_TYPES}, found {number}")
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
            self.fail(message.offset, "expected a piece with text, found none")
        text = self.text(found, 1, default="")
        size = found[1].end - found[1].start
        if size >= MAX_PIECE_BYTES:
            self.fail(found[1].offset, f"expected a piece of less than {MAX_PIECE_BYTES} bytes, found {size}")
        if "\0" in text:
            self.fail(found[1].offset, f"piece {text!r}: expected no zero byte")
        score = 0.0
        if 2 in found:
            self.check(found[2], _FIXED32)
            score = struct.unpack("<f", self.data[found[2].start : found[2].end])[0]
            if not math.isfinite(score):
                self.fail(found[2].offset, f"piece {text!r}: expected a finite score, found {score}")
        number = self.integer(found, 3, default=1)
        if not 1 <= number <= len(PieceType):
            self.fail(found[3].offset, f"piece {text!r}: expected a type from 1 to {len(PieceType)}, found {number}")
        return Piece(text, score, PieceType(number), message.offset, message.end)

    def checked(self, pieces: list[Piece], *, byte_fallback: bool) -> dict[str, int]:
        """Checks the pieces; returns ids by text."""
        ids: dict[str, int] = {}
        num_unknown = 0
        names = {f"<0x{byte:02X}>" for byte in range(256)}
        for number, piece in enumerate(pieces):
            first = ids.setdefault(piece.text, number)
            if first != number:
                self.fail(piece.start, f"piece {number}: expected a new text, found {piece.text!r} of piece {first}")
            num_unknown += piece.type == PieceType.UNKNOWN
            if num_unknown > 1:
                self.fail(piece.start, f"piece {number}: expected one unknown piece, found a second")
            if piece.type == PieceType.BYTE and (not byte_fallback or piece.text not in names):
                why = "expected a byte such as <0x0A>" if byte_fallback else "expected no byte without byte_fallback"
                self.fail(piece.start, f"piece {number}: {why}, found {piece.text!r}")
        if not num_unknown:
            self.fail(len(self.data), f"no unknown piece among {len(pieces)} pieces; is this a SentencePiece model?")
        if byte_fallback:
            for name in sorted(names):
                if name not in ids or pieces[ids[name]].type != PieceType.BYTE:
                    self.fail(len(self.data), f"expected a piece {name} of type BYTE for byte_fallback, found none")
        return ids

    def special_ids(self, trainer: dict[int, _Value], pieces: list[Piece], ids: dict[str, int]) -> dict[str, int]:
        """Special ids by role, found as in SentencePiece. The ids in `trainer_spec` are only requests for training."""
        found = {"unk": next(number for number, piece in enumerate(pieces) if piece.type == PieceType.UNKNOWN)}
        for role, number, default in (("bos", 46, "<s>"), ("eos", 47, "</s>"), ("pad", 48, "<pad>")):
            place = ids.get(self.text(trainer, number, default=default) or default)
            if place is not None and pieces[place].type == PieceType.CONTROL:
                found[role] = place
        return found

    def fields(self, start: int, end: int) -> Iterator[tuple[int, _Value]]:
        """The field numbers and values of a message."""
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
                self.fail(offset, f"field {key >> 3} ends at {at}, beyond the end of its message at {end}")
            yield key >> 3, _Value(wire_type, number, low, at, offset)

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """A varint of at most ten bytes, and the offset of its end."""
        number = 0
        for place in range(10):
            if at + place >= end:
                self.fail(at, "expected a complete number, found the end of the message")
            byte = self.data[at + place]
            number |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return number & 0xFFFF_FFFF_FFFF_FFFF, at + place + 1
        self.fail(at, "expected a number of at most ten bytes, found more")

    def check(self, value: _Value, wire_type: int) -> None:
        if value.wire_type != wire_type:
            found, expected = _WIRE_NAMES[value.wire_type], _WIRE_NAMES[wire_type]
            self.fail(value.offset, f"expected a field of {expected}, found {found}")

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
            self.fail(message[number].start + error.start, f"expected text in UTF-8: {error.reason}")

    def fail(self, offset: int, reason: str) -> NoReturn:
        raise CorruptDataError(f"{self.path}: offset {offset}: {reason}")
