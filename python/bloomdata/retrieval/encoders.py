"""Encoders: texts to vectors of length 1. `hash` needs no model; the others are folders of models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bloomdata.errors import ConfigError
from bloomdata.retrieval.hash_encoder import HASH, HashEncoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


class Encoder(Protocol):
    """What an index needs of an encoder.

    Attributes:
        facts: What it is, for the manifest: `kind`, `hash` of all that decides its vectors, `pooling`, `normalised`.
    """

    facts: dict[str, Any]

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of length 1, (texts, dimension)."""


def open_encoder(name: str, *, device: str | None = None) -> Encoder:
    """Opens an encoder.

    Args:
        name: `hash`, or a folder: of sentence-transformers, or of any encoder of transformers, whose last states are
            then averaged over the tokens of a text.
        device: Where a model works; by default a GPU, if there is one.

    Raises:
        ConfigError: The folder holds no encoder, or the packages that it needs are not installed.
    """
    if name == HASH:
        return HashEncoder()
    folder = Path(name)
    if not (folder / "config.json").exists() and not (folder / "modules.json").exists():
        raise ConfigError(f"encoder: expected {HASH!r} or a folder with config.json or modules.json, got {name!r}")
    from bloomdata.retrieval.model_encoders import MeanEncoder, SentenceEncoder

    kind = SentenceEncoder if (folder / "modules.json").exists() else MeanEncoder
    return kind(folder, device)
