"""What of a conversation fits a window."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any, NamedTuple

from bloomdata.errors import MismatchError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Encode = Callable[[Sequence[Any], Sequence[Any]], list[int]]


class Fitted(NamedTuple):
    """The ids that fit, and of how many passages."""

    ids: list[int]
    num_passages: int


def fit_turns(
    messages: Sequence[dict[str, str]],
    context: Sequence[Any],
    encode: Encode,
    max_tokens: int,
    *,
    cuts_last: bool = False,
) -> Fitted:
    """The ids of the newest whole turns that fit.

    Turns are left out from the oldest one on, each with its answers; then the last passages of the context.

    Args:
        messages: All turns.
        context: Passages for the last one.
        encode: Ids of turns and passages, with all that stands around them.
        max_tokens: How many fit.
        cuts_last: Whether to cut the text of the last turn from the left, if it does not fit alone.

    Raises:
        MismatchError: The last turn alone does not fit; the message gives both counts.
    """
    starts = [number for number, message in enumerate(messages) if message["role"] == "user"] or [0]
    # With all turns first: a conversation may begin with the assistant.
    kept = [(0, len(context)), *((start, len(context)) for start in starts if start)]
    kept += [(starts[-1], count) for count in range(len(context) - 1, -1, -1)]

    def ids_of(start: int, count: int) -> list[int]:
        return encode(messages[start:], context[:count])

    first = bisect_left(kept, True, key=lambda choice: len(ids_of(*choice)) <= max_tokens)  # noqa: FBT003 - what is searched for
    if first < len(kept):
        return Fitted(ids_of(*kept[first]), kept[first][1])
    cut = _cut_left(messages[starts[-1] :], encode, max_tokens) if cuts_last and messages else None
    if cut is not None:
        return Fitted(cut, 0)
    raise MismatchError(
        f"prompt: the last turn alone has {len(ids_of(*kept[-1]))} tokens, and {max(0, max_tokens)} fit beside the "
        'answer; use a shorter one, a smaller max_new_tokens, or truncate_turn="left"'
    )


def _cut_left(turn: Sequence[dict[str, str]], encode: Encode, max_tokens: int) -> list[int] | None:
    """The ids of a turn whose text is cut from the left, as little as needed; None if the rest alone does not fit."""
    asked, *more = turn
    text = asked["content"]

    def ids_from(start: int) -> list[int]:
        return encode([{**asked, "content": text[start:]}, *more], ())

    first = bisect_left(range(len(text)), True, key=lambda start: len(ids_from(start)) <= max_tokens)  # noqa: FBT003 - what is searched for
    ids = ids_from(first)
    return ids if len(ids) <= max_tokens else None
