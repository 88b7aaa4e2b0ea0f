"""Inference: answers of a model, in Python, in a terminal and over HTTP. torch is imported where a model is loaded.

- `conversation`: turns as text and ids, by the templates that made the training text. `stream`: ids as text, piece by
  piece, up to a stop string. Neither needs torch.
- `presets`: settings of answers, by name. `model`: loads models. `sampling`: chooses tokens, and stops.
- `generation`: `generate` and `stream`. `answer_files`: prompts from a file to a file.
- `backends`: where answers come from: a model, or a server. `session`: a chat. `moderation`: what is refused.
- `serving`: runs the server of transformers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bloomdata.inference.conversation import Conversation as Conversation
    from bloomdata.inference.session import ChatSession as ChatSession
    from bloomdata.inference.stream import StopFilter as StopFilter

_PLACES = {
    "ChatSession": "session",
    "Conversation": "conversation",
    "StopFilter": "stream",
}
__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
