"""Texts become units (words or characters) with hashes, and units become windows and shingles: Unicode 16.

Whether a character is of a word comes from Python's `unicodedata`, which may be older: see `is_known`. The tables are
those of Unicode 16, by the PyPI package `regex` 2024.11.6.
"""

from __future__ import annotations

import unicodedata

import xxhash

from reference.shard import mix

Unit = tuple[int, int, int]  # hash, first byte, byte behind the last

BASE = 0x9E3779B97F4A7C15
WHITE_SPACE = (
    (0x0009, 0x000D), (0x0020, 0x0020), (0x0085, 0x0085), (0x00A0, 0x00A0), (0x1680, 0x1680), (0x2000, 0x200A),
    (0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000),
)  # fmt: skip
# The property Script, without extensions.
SCRIPTS_WITHOUT_SPACES = {
    "Han": (
        (0x2E80, 0x2E99), (0x2E9B, 0x2EF3), (0x2F00, 0x2FD5), (0x3005, 0x3005), (0x3007, 0x3007), (0x3021, 0x3029),
        (0x3038, 0x303B), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFA6D), (0xFA70, 0xFAD9), (0x16FE2, 0x16FE3),
        (0x16FF0, 0x16FF1), (0x20000, 0x2A6DF), (0x2A700, 0x2B739), (0x2B740, 0x2B81D), (0x2B820, 0x2CEA1),
        (0x2CEB0, 0x2EBE0), (0x2EBF0, 0x2EE5D), (0x2F800, 0x2FA1D), (0x30000, 0x3134A), (0x31350, 0x323AF),
    ),
    "Hiragana": (
        (0x3041, 0x3096), (0x309D, 0x309F), (0x1B001, 0x1B11F), (0x1B132, 0x1B132), (0x1B150, 0x1B152),
        (0x1F200, 0x1F200),
    ),
    "Katakana": (
        (0x30A1, 0x30FA), (0x30FD, 0x30FF), (0x31F0, 0x31FF), (0x32D0, 0x32FE), (0x3300, 0x3357), (0xFF66, 0xFF6F),
        (0xFF71, 0xFF9D), (0x1AFF0, 0x1AFF3), (0x1AFF5, 0x1AFFB), (0x1AFFD, 0x1AFFE), (0x1B000, 0x1B000),
        (0x1B120, 0x1B122), (0x1B155, 0x1B155), (0x1B164, 0x1B167),
    ),
    "Thai": ((0x0E01, 0x0E3A), (0x0E40, 0x0E5B)),
    "Lao": (
        (0x0E81, 0x0E82), (0x0E84, 0x0E84), (0x0E86, 0x0E8A), (0x0E8C, 0x0EA3), (0x0EA5, 0x0EA5), (0x0EA7, 0x0EBD),
        (0x0EC0, 0x0EC4), (0x0EC6, 0x0EC6), (0x0EC8, 0x0ECE), (0x0ED0, 0x0ED9), (0x0EDC, 0x0EDF),
    ),
    "Khmer": ((0x1780, 0x17DD), (0x17E0, 0x17E9), (0x17F0, 0x17F9), (0x19E0, 0x19FF)),
    "Myanmar": ((0x1000, 0x109F), (0xA9E0, 0xA9FE), (0xAA60, 0xAA7F), (0x116D0, 0x116E3)),
    "Tibetan": (
        (0x0F00, 0x0F47), (0x0F49, 0x0F6C), (0x0F71, 0x0F97), (0x0F99, 0x0FBC), (0x0FBE, 0x0FCC), (0x0FCE, 0x0FD4),
        (0x0FD9, 0x0FDA),
    ),
}  # fmt: skip


def is_in(ranges: tuple[tuple[int, int], ...], character: str) -> bool:
    return any(first <= ord(character) <= last for first, last in ranges)


def is_space(character: str) -> bool:
    return is_in(WHITE_SPACE, character)


def is_single(character: str) -> bool:
    """Of a script that puts no spaces between words: a unit by itself."""
    return any(is_in(ranges, character) for ranges in SCRIPTS_WITHOUT_SPACES.values())


def is_word(character: str) -> bool:
    """A letter, mark or number."""
    return unicodedata.category(character)[0] in "LMN"


def is_known(text: str) -> bool:
    """Whether Python's `unicodedata` knows all characters, so that `is_word` is right; no lone surrogate either."""
    return all(unicodedata.category(character) not in ("Cn", "Cs") for character in text)


def folded(text: str) -> str:
    """Every character lower-cased on its own: sigma knows no end of a word."""
    return "".join(character.lower() for character in text)


def units(text: str, unit: str = "words", normalize: str = "fold") -> list[Unit]:
    """All units of a text, in its order; the bytes are those of the text as it was given."""
    fold = normalize == "fold"
    parts: list[tuple[str, int]] = []
    at, is_open = 0, False  # is_open: the last part is a run that may go on
    for character in text:
        counts = is_word(character) if fold else unit == "characters" or not is_space(character)
        stands_alone = unit == "characters" or is_single(character)
        if counts and is_open and not stands_alone:
            parts[-1] = (parts[-1][0] + character, parts[-1][1])
        elif counts:
            parts.append((character, at))
        is_open = counts and not stands_alone
        at += len(character.encode())
    return [
        (xxhash.xxh3_64_intdigest((folded(part) if fold else part).encode()), start, start + len(part.encode()))
        for part, start in parts
    ]


def window_hash(hashes: list[int]) -> int:
    """The hash of units in a row: a polynomial, mixed."""
    size = len(hashes)
    return mix(sum(value * BASE ** (size - 1 - at) for at, value in enumerate(hashes)) % 2**64)


def shingles(hashes: list[int], size: int) -> list[int]:
    """Hashes of all windows, in order, with repeats; a shorter text is one window, an empty one none."""
    if not hashes:
        return []
    size = min(size, len(hashes))
    return [window_hash(hashes[at : at + size]) for at in range(len(hashes) - size + 1)]
