"""Conversations become articles: rendered by hand, encoded as a whole, and every token trained on or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from reference.articles import COMPLETION, NO_CATEGORY, PROMPT, SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Callable

    from reference.articles import Article

Messages = list[dict[str, str]]
Pieces = list[tuple[str, bool]]
TAGS = {"user": "<human>: ", "system": ""}


class Chat(NamedTuple):
    """One conversation as `pack` takes it."""

    article: Article
    trained: str  # what is trained on, without an end token that is put behind
    num_trained: int
    num_left_out: int
    is_exact: bool  # no token stands on the seam between what is trained on and what is not


def human_bot(messages: Messages) -> Pieces:
    """The space behind `<bot>:` is for the model to say, but where nothing asks for the answer."""
    pieces: Pieces = []
    for number, message in enumerate(messages):
        if message["role"] != "assistant":
            pieces.append((TAGS[message["role"]] + message["content"], False))
        elif number == 0:
            pieces += [("<bot>: ", False), (message["content"], True)]
        else:
            pieces += [("<bot>:", False), (" " + message["content"], True)]
        pieces.append(("\n", False))
    return pieces[:-1]


def chatml(messages: Messages) -> Pieces:
    pieces: Pieces = []
    for message in messages:
        head, body = f"<|im_start|>{message['role']}\n", message["content"] + "<|im_end|>"
        pieces += [(head, False), (body, message["role"] == "assistant"), ("\n", False)]
    return pieces


def only_last(pieces: Pieces) -> Pieces:
    last = max((at for at, (_, is_trained) in enumerate(pieces) if is_trained), default=-1)
    return [(text, at == last) for at, (text, _) in enumerate(pieces)]


def chat_of(
    pieces: Pieces,
    encode: Callable[[str], list[tuple[int, int, int]]],
    eos: int,
    *,
    end_tokens: tuple[str, ...] = (),
    append_eos: bool = True,
) -> Chat | None:
    """The article of a conversation; none where nothing, or everything, is trained on.

    Args:
        pieces: Its text, and which of it is trained on.
        encode: Tokens of a text: id, and the characters that it covers.
        eos: Put behind the last answer, if that ends with none of `end_tokens`.
        end_tokens: See `eos`.
        append_eos: Whether that is done.
    """
    text = "".join(piece for piece, _ in pieces)
    flags = [is_trained for piece, is_trained in pieces for _ in piece]
    if not any(flags) or all(flags):
        return None
    encoded = encode(text)
    found = [(token, any(flags[start:end])) for token, start, end in encoded]
    is_exact = all(all(flags[start:end]) for _, start, end in encoded if any(flags[start:end]))
    last = max((at for at, (_, is_trained) in enumerate(found) if is_trained), default=-1)
    left_out = len(found) - last - 1
    kept = [(token, COMPLETION if is_trained else PROMPT) for token, is_trained in found[: last + 1]]
    answers = [piece for piece, is_trained in pieces if is_trained and piece]
    if append_eos and not answers[-1].endswith(end_tokens or ("\0never",)):
        kept.append((eos, COMPLETION))
    num_trained = sum(kind == COMPLETION for _, kind in kept)
    kept[-1] = (kept[-1][0], SEPARATOR)
    article = [(token, kind, NO_CATEGORY) for token, kind in kept]
    return Chat(article, "".join(answers), num_trained, left_out, is_exact)
