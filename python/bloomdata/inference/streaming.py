"""Text of an answer while it comes: ids as whole characters, and nothing of a stop string."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeVar

from bloomdata.errors import ConfigError
from bloomdata.tokenizers.tokenizer import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    import numpy as np
    from numpy.typing import NDArray

Result = TypeVar("Result")
_UNFINISHED = "\ufffd"
# Tokens of the prompt that the first tokens of an answer are decoded behind.
_CONTEXT_TOKENS = 16


class Ending(NamedTuple):
    """How an answer ended: at its end or a stop string, at `max_new_tokens`, by `stop`, or refused; and its counts."""

    reason: Literal["end", "length", "stopped", "refused"]
    num_prompt_tokens: int | None = None
    num_tokens: int | None = None


class TextTokenizer(Protocol):
    """What inference needs of a tokenizer: `bloomdata.Tokenizer` and the tokenizers of transformers have it."""

    def encode(self, text: str, *, add_special_tokens: bool = True) -> Sequence[int] | NDArray[np.uint32]:
        """The ids of a text."""

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """The text of ids."""


def text_of(tokenizer: TextTokenizer, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
    """The text of ids. Those that only the model has, whose vocabulary may be padded, have none."""
    if isinstance(tokenizer, Tokenizer):
        ids = [token for token in ids if token < tokenizer.vocab_size]
    return tokenizer.decode(ids, skip_special_tokens=skip_special_tokens) if ids else ""


class IncrementalDecoder:
    """Turns ids into text as they come. Never gives out a part of a character.

    For valid text, all pieces together are the text that the ids add to `prompt_ids`. Bytes that are no character
    are given out as U+FFFD, once it is certain that nothing completes them.

    Args:
        tokenizer: Decodes.
        prompt_ids: What the ids follow. Some tokenizers write a token in another way where a text begins.
        skip_special_tokens: Whether to leave special tokens out.
    """

    def __init__(
        self, tokenizer: TextTokenizer, prompt_ids: Sequence[int] = (), *, skip_special_tokens: bool = True
    ) -> None:
        self._tokenizer = tokenizer
        self._skips = skip_special_tokens
        # Ids whose text is out, as far back as the text of later ones may depend on them; then ids that wait.
        self._shown = [int(token) for token in prompt_ids[-_CONTEXT_TOKENS:]]
        self._waiting: list[int] = []
        self._before = self._decode(self._shown)

    def _decode(self, ids: list[int]) -> str:
        return text_of(self._tokenizer, ids, skip_special_tokens=self._skips)

    def feed(self, *ids: int) -> str:
        """The text that is complete with these ids."""
        self._waiting += ids
        text = self._decode(self._shown + self._waiting)
        if text.endswith(_UNFINISHED):
            return ""
        return self._give_out(text)

    def finish(self) -> str:
        """The rest, whether its last character is complete or not."""
        return self._give_out(self._decode(self._shown + self._waiting)) if self._waiting else ""

    def _give_out(self, text: str) -> str:
        new = text[len(self._before) :]
        # Ids without text (special ones) cannot stand in front alone.
        if new:
            self._shown, self._waiting = self._waiting, []
            self._before = self._decode(self._shown)
        return new


class StopFilter:
    """Lets text through up to the first stop string, wherever the text is cut into pieces.

    Text is held back only while it may be the beginning of a stop string. The first stop string is the one that
    begins first. For any pieces, all output together is the text before the first stop string, or all of the text.

    Args:
        strings: Stop strings.

    Raises:
        ConfigError: A stop string is empty.

    Attributes:
        stopped: Whether a stop string was found. Later pieces are ignored.

    Example:
        >>> stop = bloomdata.inference.StopFilter(["<human>:"])
        >>> stop.feed("Hello <hu"), stop.feed("man"), stop.feed("kind>"), stop.finish()
        ('Hello ', '', '<humankind>', '')
    """

    def __init__(self, strings: Sequence[str] = ()) -> None:
        if isinstance(strings, str):
            raise ConfigError(f"stop: expected a list of strings, got the string {strings!r}")
        if "" in strings:
            raise ConfigError("stop: expected strings of one character or more, got an empty one")
        self.strings = tuple(strings)
        self.stopped = False
        self._held = ""

    def feed(self, piece: str) -> str:
        """What can be shown now."""
        if self.stopped:
            return ""
        self._held += piece
        found, possible = self._found(), self._possible()
        if found is not None and found <= possible:
            return self._stop(found)
        text, self._held = self._held[:possible], self._held[possible:]
        return text

    def finish(self) -> str:
        """What was held back and is no stop string."""
        if self.stopped:
            return ""
        found = self._found()
        if found is not None:
            return self._stop(found)
        text, self._held = self._held, ""
        return text

    def _stop(self, at: int) -> str:
        text, self._held = self._held[:at], ""
        self.stopped = True
        return text

    def _found(self) -> int | None:
        """Where the first whole stop string begins."""
        return min((at for string in self.strings if (at := self._held.find(string)) >= 0), default=None)

    def _possible(self) -> int:
        """Where a stop string may have begun that the text cuts off; the end of the text if nowhere."""
        length = len(self._held)
        lengths = (
            size
            for string in self.strings
            for size in range(min(len(string) - 1, length), 0, -1)
            if self._held.endswith(string[:size])
        )
        return length - max(lengths, default=0)


def stripped(pieces: Generator[str, None, Result]) -> Generator[str, None, Result]:
    """A text without the white space at both of its ends; what the generator returns is returned."""
    held, has_begun = "", False
    with closing(pieces):
        while True:
            try:
                held += next(pieces)
            except StopIteration as end:
                result: Result = end.value
                return result
            held = held if has_begun else held.lstrip()
            whole = held.rstrip()
            if whole:
                has_begun, held = True, held[len(whole) :]
                yield whole


def read_all(pieces: Generator[str, None, Result]) -> tuple[str, Result]:
    """A text, and what the generator returns."""
    text: list[str] = []
    while True:
        try:
            text.append(next(pieces))
        except StopIteration as end:
            return "".join(text), end.value
