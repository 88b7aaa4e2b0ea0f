"""How a model answers: complete settings, and what ends an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from bloomdata.inference.conversation import Conversation
    from bloomdata.inference.model import Model
    from bloomdata.inference.presets import Settings
    from bloomdata.inference.streaming import TextTokenizer


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How a model answers.

    Attributes:
        settings: Complete: no value is None.
        stops: Strings that end an answer.
        end_ids: Ids that do.
    """

    settings: Settings
    stops: tuple[str, ...]
    end_ids: tuple[int, ...]

    @property
    def max_new_tokens(self) -> int:
        """Tokens of an answer, at most."""
        assert self.settings.max_new_tokens is not None
        return self.settings.max_new_tokens

    @classmethod
    def of(cls, model: Model, settings: Settings, conversation: Conversation | None) -> Rules:
        """The rules for answers of a model in a conversation; None for plain text.

        Raises:
            ConfigError: The settings leave no room for a prompt.
        """
        complete = completed(settings, model)
        stops = dict.fromkeys((*complete.stop, *(() if conversation is None else conversation.stops())))
        # Special tokens do not stand in the text of an answer.
        special = {one for stop in stops if (one := special_id(model.tokenizer, stop)) is not None}
        return cls(settings=complete, stops=tuple(stops), end_ids=tuple(sorted({*model.end_ids, *special})))


def special_id(tokenizer: TextTokenizer, text: str) -> int | None:
    """The id of a text that is one special token; None for other texts."""
    ids = [int(token) for token in tokenizer.encode(text, add_special_tokens=False)]
    return ids[0] if len(ids) == 1 and not tokenizer.decode(ids, skip_special_tokens=True) else None


def completed(settings: Settings, model: Model) -> Settings:
    """Settings with those of the model where nothing is said. Top-p or top-k alone mean that tokens are sampled.

    Raises:
        ConfigError: `max_new_tokens` leaves no room for a prompt.
    """
    if settings.max_new_tokens is None:
        settings = settings.but(max_new_tokens=min(512, (model.window or 1024) // 2))
    elif model.window is not None and settings.max_new_tokens >= model.window:
        raise ConfigError(
            f"max_new_tokens: {settings.max_new_tokens} leaves no room for a prompt: the window has {model.window}"
        )
    of_model = {name: value for name, value in model.sampling.items() if getattr(settings, name) is None}
    if of_model.get("temperature") == 0 and (settings.top_p is not None or settings.top_k is not None):
        of_model["temperature"] = 1.0
    return settings.but(**of_model)
