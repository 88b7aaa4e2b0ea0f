"""Tokenizers as objects, and how verbs name them."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from bloomdata import _core
from bloomdata.errors import MismatchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


def tokenizer_options(
    tokenizer: str | os.PathLike[str],
    eos_token: str | None = None,
    pad_token: str | None = None,
    *,
    add_special_tokens: bool = True,
    special_tokens: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The core's description of a tokenizer."""
    return {
        "tokenizer": os.fspath(tokenizer),
        "eos_token": eos_token,
        "pad_token": pad_token,
        "add_special_tokens": add_special_tokens,
        "special_tokens": list(special_tokens or ()),
    }


class Tokenizer:
    """A `tokenizer.json`, a folder that holds one, or `"bytes"`. Can be pickled; shared by threads.

    Args:
        tokenizer: What to load; see `bloomdata.pack`.
        eos_token: The token that ends a document, when the tokenizer's files do not say.
        pad_token: The token that pads.
        add_special_tokens: Whether `encode` keeps tokens that the tokenizer itself adds; an end token that it adds
            at the very end is left to `eos_token_id`.
        special_tokens: Tokens to add to the vocabulary, each found whole in texts.

    Example:
        >>> tokenizer = bloomdata.Tokenizer("bytes")
        >>> tokenizer.encode("hi").tolist()
        [104, 105]
        >>> tokenizer.decode([104, 105])
        'hi'
    """

    def __init__(
        self,
        tokenizer: str | os.PathLike[str],
        eos_token: str | None = None,
        pad_token: str | None = None,
        *,
        add_special_tokens: bool = True,
        special_tokens: Sequence[str] | None = None,
    ) -> None:
        options = tokenizer_options(
            tokenizer, eos_token, pad_token, add_special_tokens=add_special_tokens, special_tokens=special_tokens
        )
        self._options = json.dumps(options)
        self._core = _core.Tokenizer(self._options)

    def encode(self, text: str) -> NDArray[np.uint32]:
        """Ids of a text, (num_tokens,) uint32, read-only."""
        import numpy as np

        return np.frombuffer(self._core.encode(text), dtype="<u4")

    def decode(self, ids: Sequence[int] | NDArray[Any], *, skip_special_tokens: bool = False) -> str:
        """Text of ids; bytes that are no UTF-8 become U+FFFD.

        Raises:
            MismatchError: An id outside the vocabulary.
        """
        numbers = [int(token) for token in ids]
        for token in numbers:
            if not 0 <= token < self.vocab_size:
                raise MismatchError(f"token id: expected 0 to {self.vocab_size - 1}, found {token}")
        return self._core.decode(numbers, skip_special_tokens)

    @property
    def vocab_size(self) -> int:
        """One more than the highest id."""
        return self._core.vocab_size

    @property
    def eos_token_id(self) -> int:
        """Id that ends a document."""
        return self._core.eos_token_id

    @property
    def pad_token_id(self) -> int:
        """Id that fills up sequences."""
        return self._core.pad_token_id

    @property
    def backend(self) -> str:
        """Which code runs: `bytes`, `byte-level BPE` (ours), or `tokenizers 0.23`; the ids are the same."""
        return self._core.backend

    @property
    def backend_reason(self) -> str | None:
        """Why `tokenizers` runs, and nothing faster; `None` when something faster does."""
        return self._core.backend_reason

    @property
    def fingerprint(self) -> str:
        """BLAKE3 of the definition: equal fingerprints mean equal ids."""
        return self._core.fingerprint

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (_from_options, (self._options,))

    def __repr__(self) -> str:
        return f"Tokenizer({json.loads(self._options)['tokenizer']!r}, backend={self.backend!r})"


def _from_options(options: str) -> Tokenizer:
    return Tokenizer(**json.loads(options))
