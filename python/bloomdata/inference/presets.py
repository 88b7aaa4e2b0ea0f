"""Settings of answers, and those of the five systems by name."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from bloomdata.errors import ConfigError
from bloomdata.options.checks import check_choice

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How answers are made. None leaves a setting to the model: to its `generation_config.json`.

    Args:
        temperature: Divides logits; 0 takes the most probable token.
        top_p: Samples from the most probable tokens that have this probability together.
        top_k: Samples from so many most probable tokens; 0 from all.
        repetition_penalty: Divides the logits of tokens that have occurred; 1 changes nothing.
        max_new_tokens: Tokens of an answer, at most; None for 512, or half of the window if that is less.
        seed: Seed of the sampling. The same seed gives the same text, in any batch.
        stop: Strings that end an answer, beside those of the template.

    Raises:
        ConfigError: A value is out of its range.
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    repetition_penalty: float | None = None
    max_new_tokens: int | None = None
    seed: int = 0
    stop: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "stop", (self.stop,) if isinstance(self.stop, str) else tuple(self.stop))
        ranges: dict[str, tuple[Any, str]] = {
            "temperature": (lambda value: 0 <= value < float("inf"), "0 or more"),
            "top_p": (lambda value: 0 < value <= 1, "more than 0 and at most 1"),
            "top_k": (lambda value: value >= 0 and value == int(value), "a whole number, 0 or more"),
            "repetition_penalty": (lambda value: 0 < value < float("inf"), "more than 0"),
            "max_new_tokens": (lambda value: value >= 1 and value == int(value), "a whole number, 1 or more"),
            "seed": (lambda value: value >= 0 and value == int(value), "a whole number, 0 or more"),
        }
        for name, (holds, expected) in ranges.items():
            value = getattr(self, name)
            if value is not None and not holds(value):
                raise ConfigError(f"{name}: expected {expected}, got {value}")
        if "" in self.stop:
            raise ConfigError("stop: expected strings of one character or more, got an empty one")

    def but(self, **given: Any) -> Settings:
        """With other values; None leaves a setting as it is.

        Raises:
            ConfigError: A name is unknown, or a value is out of its range.
        """
        known = {field.name for field in fields(self)}
        for name in given:
            check_choice("setting", name, *sorted(known))
        return replace(self, **{name: value for name, value in given.items() if value is not None})

    def set(self, name: str, value: Any) -> Settings:
        """With another value of one setting; None leaves it to the model. Errors as for `but`."""
        if value is not None:
            return self.but(**{name: value})
        kept = {field.name: getattr(self, field.name) for field in fields(self) if field.name != name}
        return Settings(**kept)


@dataclass(frozen=True, kw_only=True)
class Preset:
    """What a system does where nothing else is said.

    Attributes:
        settings: Of answers.
        template: Name of its chat template; "none" for plain text; None for the model's own.
        has_preamble: Whether conversations begin with date and time.
        truncation_mark: What follows an answer that was cut.
        truncation: What is left out of a conversation that is too long: see `Conversation.prompt_ids`.
        window_tokens: Tokens of the prompt, at most, if fewer than the model takes.
        form: How answers are written to files: see `generate`.
    """

    settings: Settings
    template: str | None = None
    has_preamble: bool = False
    truncation_mark: str = ""
    truncation: Literal["turns", "last-ids"] = "turns"
    window_tokens: int | None = None
    form: Literal["record", "megatron", "mindformers"] = "record"


PRESETS = {
    # README of BLOOMChat, and its `rdu_quick_start/inference.py`.
    "bloomchat": Preset(
        settings=Settings(temperature=0.8, top_p=0.9, repetition_penalty=1.2, max_new_tokens=512), template="human_bot"
    ),
    "bloomchat-greedy": Preset(settings=Settings(temperature=0.0, max_new_tokens=512), template="human_bot"),
    # `inference/bot.py` of OpenChatKit.
    "openchatkit": Preset(
        settings=Settings(temperature=0.6, top_k=40, max_new_tokens=128),
        template="human_bot",
        has_preamble=True,
        truncation_mark="...",
    ),
    # `chat_server.py` of Open-Llama.
    "open-llama": Preset(
        settings=Settings(temperature=1.0, max_new_tokens=512),
        template="user_system",
        truncation="last-ids",
        window_tokens=1024,
    ),
    # `examples/bloom/generate_bloom.py` of AscendSpeed.
    "megatron": Preset(
        settings=Settings(temperature=1.0, top_p=0.9, top_k=0, max_new_tokens=1024), template="none", form="megatron"
    ),
    # The pipeline `text_generation` of mindformers.
    "mindformers": Preset(
        settings=Settings(temperature=0.0, repetition_penalty=1.0), template="none", form="mindformers"
    ),
}
PLAIN = Preset(settings=Settings())


def preset(name: str | None) -> Preset:
    """A preset by its name; None for that of no system.

    Raises:
        ConfigError: The name is unknown.
    """
    if name is None:
        return PLAIN
    check_choice("preset", name, *PRESETS)
    return PRESETS[name]
