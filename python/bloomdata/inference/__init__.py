"""Inference: answers of a model, in Python, in a terminal and over HTTP. torch is imported where a model is loaded.

- `conversation`, `messages`, `windows`: turns as text and ids, by the templates that made the training text.
  `streaming`: ids as text, piece by piece, up to a stop string. None of them needs torch.
- `presets`: settings of answers, by name. `model`, `weights`, `devices`: loads models. `prompts`: prompts as ids.
- `rules`, `sampling`, `batches`, `running`: answers in batches, and one that is shown while it is made.
- `jobs`, `generation`: `generate` and `stream`. `answer_files`, `prompt_files`, `answer_journal`: from file to file.
- `session`: a chat. `backends`, `url_backend`: where its answers come from. `chatting`: opens one.
- `moderation`, `judges`: what is refused. `serving`: runs the server of transformers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bloomdata.lazy import lazily

if TYPE_CHECKING:
    from bloomdata.inference.answer_files import GenerateReport as GenerateReport
    from bloomdata.inference.answer_files import generate_file as generate_file
    from bloomdata.inference.batches import Generated as Generated
    from bloomdata.inference.chatting import open_chat as open_chat
    from bloomdata.inference.conversation import Conversation as Conversation
    from bloomdata.inference.generation import generate as generate
    from bloomdata.inference.generation import stream as stream
    from bloomdata.inference.judges import open_moderation as open_moderation
    from bloomdata.inference.messages import Passage as Passage
    from bloomdata.inference.model import load as load
    from bloomdata.inference.moderation import Moderation as Moderation
    from bloomdata.inference.moderation import Verdict as Verdict
    from bloomdata.inference.presets import PRESETS as PRESETS
    from bloomdata.inference.presets import Settings as Settings
    from bloomdata.inference.session import ChatSession as ChatSession
    from bloomdata.inference.streaming import IncrementalDecoder as IncrementalDecoder
    from bloomdata.inference.streaming import StopFilter as StopFilter

_PLACES = {
    "PRESETS": "presets",
    "ChatSession": "session",
    "Conversation": "conversation",
    "GenerateReport": "answer_files",
    "Generated": "batches",
    "IncrementalDecoder": "streaming",
    "Moderation": "moderation",
    "Passage": "messages",
    "Settings": "presets",
    "StopFilter": "streaming",
    "Verdict": "moderation",
    "generate": "generation",
    "generate_file": "answer_files",
    "load": "model",
    "open_chat": "chatting",
    "open_moderation": "judges",
    "stream": "generation",
}
__all__ = list(_PLACES)
__getattr__ = lazily(__name__, _PLACES)
