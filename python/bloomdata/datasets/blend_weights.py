"""Weights of a blend: parsed from the formats of other tools, and scaled to integers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

# Integer that the largest weight is scaled to, so that shares are exact to 52 bits.
_SCALE = 1 << 52


def parse_blend(text: str) -> list[tuple[str, float]]:
    """Parses the paths and weights of a blend from one string.

    Two formats are supported: `path:0.2,path:0.3` (OpenChatKit; the default weight is 1) and `0.2 path 0.3 path`
    (Megatron; a single path has weight 1). A colon is part of the path unless a number follows at the end, so URLs with
    a port (`http://host:80/a.idx`) and drives (`C:/data:0.5`) are paths; a path that ends in a port needs a weight.

    Raises:
        ConfigError: The string is empty, a weight is not a number above 0, or, in Megatron's format, a path has no
            weight.

    Origin:
        `training/tasks/data_loaders/data_utils.py` of OpenChatKit, where URLs with ports fail. Weights of 0 have no
        effect there, and are rejected here.

    Example:
        >>> parse_blend("a:0.2,http://host:80/b:0.3"), parse_blend("0.2 a 0.3 b")
        ([('a', 0.2), ('http://host:80/b', 0.3)], [('a', 0.2), ('b', 0.3)])
    """
    words = text.split()
    if not words:
        raise ConfigError("blend: expected paths and weights, got an empty string")
    if len(words) > 1 and "," not in text:
        if len(words) % 2:
            raise ConfigError(f"blend: {text!r}: expected WEIGHT PATH WEIGHT PATH ..., got {len(words)} words")
        return [(path, _weight(weight, text)) for weight, path in zip(words[::2], words[1::2], strict=True)]
    return [_piece(piece.strip(), text) for piece in text.split(",")]


def _piece(piece: str, text: str) -> tuple[str, float]:
    if not piece:
        raise ConfigError(f"blend: {text!r}: expected a path, got an empty one")
    path, colon, weight = piece.rpartition(":")
    # The colon of a scheme or drive is followed by a slash or a path.
    if not colon or not path or weight.startswith(("/", "\\")) or not _is_number(weight):
        return piece, 1.0
    if path.lower() in {"http", "https", "s3", "gs"}:
        raise ConfigError(f"blend: {text!r}: expected a path, got {piece!r}")
    return path, _weight(weight, text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _weight(text: str, whole: str) -> float:
    if not _is_number(text):
        raise ConfigError(f"blend: {whole!r}: expected a weight, got {text!r}")
    weight = float(text)
    if not (weight > 0 and math.isfinite(weight)):
        raise ConfigError(f"blend: {whole!r}: expected a weight above 0, got {text}")
    return weight


def whole_weights(weights: Sequence[float]) -> list[int]:
    """Weights as integers, the same on every machine.

    Raises:
        ConfigError: No weight is above 0, or one is negative, not finite, or negligible beside the largest.
    """
    for at, weight in enumerate(weights):
        if not (math.isfinite(weight) and weight >= 0):
            raise ConfigError(f"weights: source {at}: expected a number >= 0, got {weight}")
    largest = max(weights, default=0.0)
    if largest <= 0:
        raise ConfigError("weights: expected at least one weight above 0, got none")
    whole = [round(weight / largest * _SCALE) for weight in weights]
    for at, (weight, number) in enumerate(zip(weights, whole, strict=True)):
        if weight > 0 and number == 0:
            raise ConfigError(f"weights: source {at}: expected a weight that counts beside {largest}, got {weight}")
    return whole
