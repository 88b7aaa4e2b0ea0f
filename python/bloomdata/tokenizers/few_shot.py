"""Few-shot samples for a moderation model: a header, then labelled texts until there are enough tokens."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bloomdata.tokenizers.tokenizer import Tokenizer

LABELS = ("casual", "needs caution", "needs intervention", "possibly needs caution", "probably needs caution")
# Same as in `stages/moderation.rs`.
MODERATION_HEADER = "\n".join(["Possible labels:", *(f"{number}. {label}" for number, label in enumerate(LABELS, 1))])

# Maximum number of prefixes counted together, whose memory grows with the square of this.
_MOST_TEXTS = 64


@dataclass(frozen=True)
class FewShot:
    """One sample.

    Attributes:
        text: The header and the texts, separated by blank lines, stripped, not truncated.
        num_texts: Number of texts.
        num_tokens: Number of tokens before truncation.
    """

    text: str
    num_texts: int
    num_tokens: int


def few_shot(
    texts: Iterable[str],
    *,
    tokenizer: Tokenizer,
    sequence_length: int,
    add_special_tokens: bool = True,
    num_threads: int | None = None,
) -> Iterator[FewShot]:
    r"""Joins texts into samples: each takes texts until it has more than `sequence_length` tokens.

    Only the last sample may have fewer. The text that exceeds the limit does not continue in the next sample: its
    truncated tokens are lost, as in the original.

    Tokens are counted on whole samples, since a token may span two texts. So for a sample of n texts, n prefixes are
    counted, in one batch.

    Args:
        texts: Texts in the order of the samples; read on demand.
        tokenizer: Tokenizer that counts the tokens.
        sequence_length: Tokens that a sample is truncated to later.
        add_special_tokens: Whether to count the special tokens that the tokenizer adds.
        num_threads: Threads of the tokenizer. Never changes the samples.

    Yields:
        Samples.

    Raises:
        ConfigError: `sequence_length` is below 1.

    Origin:
        `training/tasks/data_loaders/prosocial.py` of togethercomputer/OpenChatKit. There, texts come in the order of a
        shuffle buffer and start again at the end, so no sample is short.

    Example:
        >>> samples = bloomdata.few_shot(["a", "b", "c"], tokenizer=bloomdata.Tokenizer("bytes"), sequence_length=122)
        >>> [(sample.num_texts, sample.num_tokens, sample.text[-4:]) for sample in samples]
        [(2, 123, 'a\n\nb'), (1, 120, 'n\n\nc')]
    """
    if sequence_length < 1:
        raise ConfigError(f"sequence_length: expected 1 or more, got {sequence_length}")
    unread, waiting, guess = iter(texts), deque[str](), 8
    while True:
        sample, num_texts, counts = MODERATION_HEADER, 0, [0]
        while True:
            waiting.extend(islice(unread, max(0, guess - len(waiting))))
            block = [waiting.popleft() for _ in range(min(guess, len(waiting)))]
            if not block:
                if num_texts:
                    yield FewShot(sample.strip(), num_texts, counts[-1])
                return
            prefixes = []
            for text in block:
                sample += "\n\n" + text
                prefixes.append(sample)
            counts = tokenizer.count_tokens(
                [prefix.strip() for prefix in prefixes], add_special_tokens=add_special_tokens, num_threads=num_threads
            ).tolist()
            taken = next((at for at, count in enumerate(counts, 1) if count > sequence_length), None)
            if taken is not None:
                yield FewShot(prefixes[taken - 1].strip(), num_texts + taken, counts[taken - 1])
                waiting.extendleft(reversed(block[taken:]))
                # Consecutive samples take similar numbers of texts.
                guess = min(num_texts + taken + 1, _MOST_TEXTS)
                break
            num_texts += len(block)
