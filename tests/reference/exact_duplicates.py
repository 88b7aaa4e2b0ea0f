"""Documents that are equal, as they are or after normalisation."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import xxhash

from reference.dedup_units import folded, is_space, is_word

if TYPE_CHECKING:
    from collections.abc import Sequence


def normalized(text: str, normalize: str) -> str:
    """What is compared: "none", "whitespace" or "fold"."""
    if normalize == "none":
        return text
    text = unicodedata.normalize("NFC", text)
    if normalize == "whitespace":
        blanked = "".join(" " if is_space(character) else character for character in text)
        return " ".join(word for word in blanked.split(" ") if word)
    return "".join(character for character in folded(text) if is_word(character))


def key(text: str, normalize: str) -> int:
    return xxhash.xxh3_128_intdigest(normalized(text, normalize).encode())


def exact(texts: Sequence[str], normalize: str) -> dict[int, int]:
    """The number of every text that is dropped, and of the first one that equals it."""
    keys = [key(text, normalize) for text in texts]
    return {number: keys.index(found) for number, found in enumerate(keys) if keys.index(found) != number}
