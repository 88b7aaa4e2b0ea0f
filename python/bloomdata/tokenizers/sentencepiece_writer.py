"""Writes SentencePiece `.model` files of BPE with bytes to fall back to, as `sentencepiece_model` reads them.

Origin: `sentencepiece_model.proto` of google/sentencepiece.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from bloomdata.errors import ConfigError
from bloomdata.tokenizers.sentencepiece_model import MAX_PIECE_BYTES, PieceType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_VARINT, _BYTES, _FIXED32 = 0, 2, 5
_BPE = 2
# Field numbers of `trainer_spec`: what a request for training and a finished model have in common.
_VOCAB_SIZE, _MODEL_TYPE, _SPLIT_DIGITS, _BYTE_FALLBACK = 4, 3, 25, 35
_ID_FIELDS = {"unk": 40, "bos": 41, "eos": 42, "pad": 43}
_PIECE_FIELDS = {"unk": 45, "bos": 46, "eos": 47, "pad": 48}
# Of `normalizer_spec`.
_NAME, _ADD_DUMMY_PREFIX, _REMOVE_EXTRA_WHITESPACES, _ESCAPE_WHITESPACES = 1, 3, 4, 5
# Scores are floats: greater numbers would not be all different.
_MOST_SCORES = 1 << 24


def sentencepiece_bpe(
    special: Sequence[str], roles: Mapping[str, str], byte_pieces: Sequence[str], pieces: Sequence[str]
) -> bytes:
    """A model whose ids are places in `special`, then `byte_pieces`, then `pieces`; the first pieces merge first.

    Texts get a space in front, and keep all others; no character is changed before it is encoded.

    Args:
        special: Special tokens. None is ever found in a text, as in SentencePiece.
        roles: Special tokens by `unk`, which must be there, `bos`, `eos` and `pad`.
        byte_pieces: `<0x00>` to `<0xFF>`.
        pieces: Characters and merged texts, with `▁` for spaces.

    Raises:
        ConfigError: SentencePiece does not take a piece, or there are too many.
    """
    if "unk" not in roles:
        raise ConfigError("special_tokens: expected one for unknown characters, which SentencePiece needs, got none")
    if len(pieces) > _MOST_SCORES:
        raise ConfigError(f"vocab_size: expected at most {_MOST_SCORES} pieces for SentencePiece, got {len(pieces)}")
    for text in (*special, *pieces):
        if not text or "\0" in text or len(text.encode()) >= MAX_PIECE_BYTES:
            raise ConfigError(
                f"expected pieces of 1 to {MAX_PIECE_BYTES - 1} bytes without a zero byte for SentencePiece, got "
                f"{text[:40]!r}"
            )
    content = [_piece(text, 0.0, PieceType.UNKNOWN if text == roles["unk"] else PieceType.CONTROL) for text in special]
    content += [_piece(text, 0.0, PieceType.BYTE) for text in byte_pieces]
    content += [_piece(text, -float(place), PieceType.NORMAL) for place, text in enumerate(pieces)]
    ids = {role: special.index(roles[role]) if role in roles else -1 for role in _ID_FIELDS}
    trainer = b"".join(
        [
            _number(_MODEL_TYPE, _BPE),
            _number(_VOCAB_SIZE, len(content)),
            _number(_SPLIT_DIGITS, 1),
            _number(_BYTE_FALLBACK, 1),
            *[_number(field, ids[role]) for role, field in _ID_FIELDS.items()],
            *[_bytes(field, roles[role].encode()) for role, field in _PIECE_FIELDS.items() if role in roles],
        ]
    )
    normalizer = b"".join(
        [
            _bytes(_NAME, b"identity"),
            _number(_ADD_DUMMY_PREFIX, 1),
            _number(_REMOVE_EXTRA_WHITESPACES, 0),
            _number(_ESCAPE_WHITESPACES, 1),
        ]
    )
    return b"".join([*content, _bytes(2, trainer), _bytes(3, normalizer)])


def _piece(text: str, score: float, kind: PieceType) -> bytes:
    fields = _bytes(1, text.encode()) + _varint(2 << 3 | _FIXED32) + struct.pack("<f", score)
    return _bytes(1, fields if kind == PieceType.NORMAL else fields + _number(3, kind))


def _number(field: int, value: int) -> bytes:
    # Numbers below zero are written in 64 bits.
    return _varint(field << 3 | _VARINT) + _varint(value & 0xFFFF_FFFF_FFFF_FFFF)


def _bytes(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | _BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
