"""Weights of a blend: as the tools of others write them, and as the whole numbers that shares are counted in."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

# Whole numbers that stand for weights: the largest weight becomes this, so that shares are exact to 52 bits.
_SCALE = 1 << 52


def parse_blend(text: str) -> list[tuple[str, float]]:
    """Paths and weights of a blend that is written in one line.

    Both ways are read: `path:0.2,path:0.3` (OpenChatKit; a path without a weight has 1) and `0.2 path 0.3 path`
    (Megatron; one path alone has 1). A colon belongs to the path unless a number ends the piece, so URLs with a port
    (`http://host:80/a.idx`) and drives (`C:/data:0.5`) are paths; a piece that ends in a port needs its weight.

    Raises:
        ConfigError: Nothing, a weight that is no number above 0, or a path without a weight among others with one.

    Origin:
        `training/tasks/data_loaders/data_utils.py` of OpenChatKit, where URLs with ports break; weights of 0 are
        refused here, they have no effect there.

    Example:
        >>> parse_blend("a:0.2,http://host:80/b:0.3"), parse_blend("0.2 a 0.3 b")
        ([('a', 0.2), ('http://host:80/b', 0.3)], [('a', 0.2), ('b', 0.3)])
    """
    words = text.split()
    if not words:
        raise ConfigError("blend: empty")
    if len(words) > 1 and "," not in text:
        if len(words) % 2:
            raise ConfigError(f"blend: {text!r}: expected WEIGHT PATH WEIGHT PATH, found {len(words)} words")
        return [(path, _weight(weight, text)) for weight, path in zip(words[::2], words[1::2], strict=True)]
    return [_piece(piece.strip(), text) for piece in text.split(",")]


def _piece(piece: str, text: str) -> tuple[str, float]:
    if not piece:
        raise ConfigError(f"blend: {text!r}: an empty piece")
    path, colon, weight = piece.rpartition(":")
    # The colon of a scheme or of a drive is followed by a slash, or by a path.
    if not colon or not path or weight.startswith(("/", "\\")) or not _is_number(weight):
        return piece, 1.0
    if path.lower() in {"http", "https", "s3", "gs"}:
        raise ConfigError(f"blend: {text!r}: {piece!r} is no path")
    return path, _weight(weight, text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _weight(text: str, whole: str) -> float:
    if not _is_number(text):
        raise ConfigError(f"blend: {whole!r}: {text!r} is no weight")
    weight = float(text)
    if not (weight > 0 and math.isfinite(weight)):
        raise ConfigError(f"blend: {whole!r}: weight {text}, expected a number above 0")
    return weight


def whole_weights(weights: Sequence[float]) -> list[int]:
    """Weights as whole numbers, equal on every machine.

    Raises:
        ConfigError: None above 0, or one that is negative, not finite, or vanishes beside the largest.
    """
    for at, weight in enumerate(weights):
        if not (math.isfinite(weight) and weight >= 0):
            raise ConfigError(f"weights: source {at} has {weight}, expected a number of 0 or more")
    largest = max(weights, default=0.0)
    if largest <= 0:
        raise ConfigError("weights: no source has a weight above 0")
    whole = [round(weight / largest * _SCALE) for weight in weights]
    for at, (weight, number) in enumerate(zip(weights, whole, strict=True)):
        if weight > 0 and number == 0:
            raise ConfigError(f"weights: source {at} has {weight} beside {largest}: it would never be drawn")
    return whole
