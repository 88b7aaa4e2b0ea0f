"""Small SentencePiece `.model` files, written field by field."""

from __future__ import annotations

import struct

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
BYTES = [(f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256)]
SPECIAL = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL)]


def varint(number):
    number &= 0xFFFF_FFFF_FFFF_FFFF
    content = bytearray()
    while number >= 0x80:
        content.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*content, number])


def number_field(field, number):
    return varint(field << 3) + varint(number)


def bytes_field(field, content):
    content = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(content)) + content


def piece_field(text, score=0.0, kind=NORMAL):
    content = bytes_field(1, text) + varint(2 << 3 | 5) + struct.pack("<f", score)
    return bytes_field(1, content if kind == NORMAL else content + number_field(3, kind))


def model_bytes(pieces, *, model_type=2, byte_fallback=False, trainer=b"", normalizer=None, more=b""):
    """A model; the normalizer is that of Llama unless it is given as bytes."""
    trainer = number_field(3, model_type) + number_field(35, byte_fallback) + trainer
    if normalizer is None:
        normalizer = bytes_field(1, "identity") + number_field(3, 1) + number_field(4, 0) + number_field(5, 1)
    fields = [piece_field(*piece) for piece in pieces]
    return b"".join([*fields, bytes_field(2, trainer), bytes_field(3, normalizer), more])


def scored(texts):
    """Pieces that are merged in this order."""
    return [(text, float(-place), NORMAL) for place, text in enumerate(texts)]


def llama_like(texts):
    """Pieces of a model with bytes to fall back to."""
    return [*SPECIAL, *BYTES, *scored(texts)]
