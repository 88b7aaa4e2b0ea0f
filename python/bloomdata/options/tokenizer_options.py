"""The core's configuration of tokenizers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


def tokenizer_options(
    tokenizer: str | os.PathLike[str],
    eos_token: str | None = None,
    pad_token: str | None = None,
    *,
    add_special_tokens: bool = True,
    special_tokens: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The core's configuration of a tokenizer."""
    return {
        "tokenizer": os.fspath(tokenizer),
        "eos_token": eos_token,
        "pad_token": pad_token,
        "add_special_tokens": add_special_tokens,
        "special_tokens": list(special_tokens or ()),
    }
