"""The tokenizer that packed data were made with, for decoding: `pack` keeps it in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bloomdata.errors import MismatchError
from bloomdata.tokenizers.tokenizer import Tokenizer

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PROMPT, _TRAINED, _OFF = "\x1b[2m", "\x1b[32m", "\x1b[0m"


def find_tokenizer(facts: dict[str, Any]) -> Tokenizer | None:
    """The tokenizer of a manifest, or None if its file is not where it was.

    Raises:
        MismatchError: There is another tokenizer at its place.
    """
    path = facts.get("path")
    if (
        not facts
        or (path is None and facts.get("backend") != "bytes")
        or (path is not None and not Path(path).exists())
    ):
        return None
    tokenizer = Tokenizer(path or "bytes")
    if tokenizer.fingerprint != facts["fingerprint"]:
        raise MismatchError(
            f"{path}: expected the tokenizer of the data, {facts['fingerprint']}, found {tokenizer.fingerprint}"
        )
    return tokenizer


def num_bytes(tokenizer: Tokenizer, batch: dict[str, Any]) -> int:
    """Bytes of UTF-8 of the targets of a batch, so that losses compare between tokenizers. Special tokens have none."""
    total = 0
    for labels in np.asarray(batch["labels"]):
        trained = labels >= 0
        if trained.any():
            total += len(tokenizer.decode(labels[trained].tolist(), skip_special_tokens=True).encode("utf-8"))
    return total


def shown_row(tokenizer: Tokenizer | None, row: dict[str, NDArray[Any]], *, colour: bool) -> str:
    """A row as text, with what is trained on in green, or between `[[` and `]]`."""
    ids = row["input_ids"].tolist()
    # The label of a token is the one after it, so a token is trained on if the label before it counts.
    trained = [False, *(row["labels"][:-1] >= 0).tolist()]
    pieces, start = [], 0
    for end in range(1, len(ids) + 1):
        if end < len(ids) and trained[end] == trained[start]:
            continue
        text = tokenizer.decode(ids[start:end]) if tokenizer is not None else " ".join(map(str, ids[start:end])) + " "
        if trained[start]:
            pieces.append(f"{_TRAINED}{text}{_OFF}" if colour else f"[[{text}]]")
        else:
            pieces.append(f"{_PROMPT}{text}{_OFF}" if colour else text)
        start = end
    return "".join(pieces)
