"""`open_chat`: a chat with a model or a server, from the options of the command line."""

from __future__ import annotations

import importlib
import logging
import os
from typing import TYPE_CHECKING, Any, Literal

from bloomdata.errors import ConfigError
from bloomdata.inference.backends import LocalBackend
from bloomdata.inference.conversation import Conversation
from bloomdata.inference.jobs import LOADING, job_of
from bloomdata.inference.model import load
from bloomdata.inference.presets import preset as preset_of
from bloomdata.inference.session import ChatSession
from bloomdata.inference.url_backend import UrlBackend

if TYPE_CHECKING:
    from bloomdata.inference.backends import Retrieval
    from bloomdata.inference.model import Model
    from bloomdata.inference.moderation import Moderation

_log = logging.getLogger("bloomdata.inference")
# Where a model has no chat template, and none is named.
DEFAULT_TEMPLATE = "human_bot"


def open_chat(
    model: str | os.PathLike[str] | Model | None = None,
    *,
    url: str | None = None,
    preset: Literal["bloomchat", "bloomchat-greedy", "openchatkit", "open-llama"] | None = None,
    template: str | os.PathLike[str] | None = None,
    system: str | None = None,
    retrieval: str | os.PathLike[str] | Retrieval | None = None,
    num_passages: int = 3,
    context_tokens: int = 512,
    moderation: Moderation | None = None,
    **options: Any,
) -> ChatSession:
    """Opens a chat.

    Args:
        model: As `load` takes it. With `url`, the name of a model there.
        url: A server with OpenAI's routes, such as `http://localhost:8000/v1`, instead of a model here.
        preset: Settings and template of a system.
        template: Name of a chat template, or what else `ChatTemplate` takes. By default that of the preset, or else
            the model's own, or else `human_bot`.
        system: System text.
        retrieval: Folder of an index that `retrieval build` has written, or what else finds passages for each turn.
        num_passages: Passages for each turn.
        context_tokens: Tokens of passages in a prompt, at most.
        moderation: What is refused; `open_moderation` makes one.
        **options: Settings of `generate`, and options of `load`.

    Raises:
        ConfigError: An option is invalid, or the model cannot be loaded.
        OSError: The server cannot be reached.

    Command line:
        bloomdata-cli chat model/
        bloomdata-cli chat bloomchat/ --preset bloomchat --dtype bfloat16
        bloomdata-cli chat --url http://localhost:8000/v1
    """
    found = retrieval
    if isinstance(retrieval, str | os.PathLike):
        found = importlib.import_module("bloomdata.retrieval").open(retrieval)
    extras: dict[str, Any] = {"retrieval": found, "moderation": moderation, "num_passages": num_passages}
    if url is not None:
        # Only credentials come from the environment, by the name that all clients know.
        backend = UrlBackend(url, None if model is None else str(model), api_key=os.environ.get("OPENAI_API_KEY"))
        conversation = Conversation(None, system=system, context_tokens=context_tokens)
        return ChatSession(backend, conversation, preset_of(preset).settings.but(**options), **extras)
    if model is None:
        raise ConfigError("model: expected a folder of a model, or url, got neither")
    loading = {name: options.pop(name) for name in LOADING if name in options}
    loaded = load(model, **loading)
    if template is None and preset_of(preset).template is None and not loaded.has_template:
        template = DEFAULT_TEMPLATE
        _log.warning("%s has no chat template; this chat has %s: template names another", loaded.name, template)
    job = job_of(loaded, preset=preset, template=template, system=system, **options)
    if job.prompting.template is None:
        raise ConfigError('template: a chat needs a template, got "none"')
    conversation = job.prompting.new_conversation()
    conversation.context_tokens = context_tokens
    return ChatSession(LocalBackend(job.prompting), conversation, job.rules.settings, **extras)
