"""A model and all that is said about its answers: what `generate`, `generate_file` and chats have in common."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from bloomdata.errors import ConfigError
from bloomdata.inference import batches as batching
from bloomdata.inference.conversation import Conversation
from bloomdata.inference.model import load
from bloomdata.inference.presets import preset as preset_of
from bloomdata.inference.prompts import Prompting
from bloomdata.inference.rules import Rules

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from bloomdata.inference.batches import Generated, Request
    from bloomdata.inference.model import Model
    from bloomdata.inference.moderation import Moderation
    from bloomdata.inference.prompts import Prompt

LOADING = ("dtype", "max_memory_fraction", "gpu_memory", "cpu_memory", "adapter", "gguf_file")


@dataclass(frozen=True, kw_only=True)
class Job:
    """Prompts to answer in one way.

    Attributes:
        prompting: How prompts become ids.
        rules: How answers are made.
        num_samples: Answers to each prompt.
        keeps_logprobs: Whether to keep log-probabilities.
        batch_tokens: Tokens of a batch.
        moderation: What is refused.
    """

    prompting: Prompting
    rules: Rules
    num_samples: int
    keeps_logprobs: bool
    batch_tokens: int
    moderation: Moderation | None

    @property
    def model(self) -> Model:
        """The model."""
        return self.prompting.model

    @property
    def form(self) -> Literal["record", "megatron", "mindformers"]:
        """How answers are written to files."""
        return self.prompting.preset.form

    def refusal(self, index: int, prompt: Prompt) -> list[Generated]:
        """What takes the place of answers if the prompt is refused; nothing if it is not."""
        asked = prompt if isinstance(prompt, str) else str(prompt[-1].get("content")) if prompt else ""
        if self.moderation is None or not self.moderation.refuses(asked, "prompt"):
            return []
        return [self._refused((index, sample)) for sample in range(self.num_samples)]

    def requests(self, index: int, prompt: Prompt) -> list[Request]:
        """The requests of a prompt; errors as for `Prompting.ids`."""
        ids = self.prompting.ids(prompt, self.rules.max_new_tokens)
        return [batching.Request((index, sample), ids) for sample in range(self.num_samples)]

    def batches(self, requests: Sequence[Request]) -> Iterator[list[Request]]:
        """Requests of similar lengths, the longest prompts first."""
        return batching.batches(requests, self.batch_tokens, self.rules.max_new_tokens)

    def answers(self, batch: list[Request]) -> list[Generated]:
        """The answers to a batch.

        Raises:
            ConfigError: A single one does not fit the memory of the accelerator.
        """
        found = batching.generate_batch(self.model, batch, self.rules, keeps_logprobs=self.keeps_logprobs)
        # With a template, the text is a turn: white space around it belongs to the template.
        if self.prompting.template is not None:
            found = [replace(answer, text=answer.text.strip()) for answer in found]
        if self.moderation is None or not self.moderation.checks_answers:
            return found
        return [
            self._refused(answer.key) if self.moderation.refuses(answer.text, "answer") else answer for answer in found
        ]

    def _refused(self, key: tuple[int, int]) -> Generated:
        assert self.moderation is not None
        return batching.Generated(key=key, text=self.moderation.refusal, reason="refused", ids=(), prompt_ids=())


def job_of(
    model: str | os.PathLike[str] | Model,
    *,
    preset: str | None = None,
    template: str | os.PathLike[str] | None = None,
    system: str | None = None,
    truncate_turn: Literal["left"] | None = None,
    num_samples: int = 1,
    logprobs: bool = False,
    batch_tokens: int = 8192,
    moderation: Moderation | None = None,
    **options: Any,
) -> Job:
    """A job from the options of `generate`; its errors are those of `generate`."""
    if num_samples < 1 or batch_tokens < 1:
        raise ConfigError(f"num_samples, batch_tokens: expected 1 or more, got {num_samples} and {batch_tokens}")
    loading = {name: options.pop(name) for name in LOADING if name in options}
    chosen = preset_of(preset)
    settings = chosen.settings.but(**options)
    loaded = load(model, **loading)
    name = template or chosen.template
    found = None if name == "none" else loaded.template(name)
    if found is None and system is not None:
        raise ConfigError("system: expected a template that has a place for it, got none")
    prompting = Prompting(
        model=loaded,
        template=found,
        system=system,
        clock=(lambda: datetime.now().astimezone()) if chosen.has_preamble else None,
        preset=chosen,
        truncate_turn=truncate_turn,
    )
    return Job(
        prompting=prompting,
        rules=Rules.of(loaded, settings, None if found is None else Conversation(found)),
        num_samples=num_samples,
        keeps_logprobs=logprobs,
        batch_tokens=batch_tokens,
        moderation=moderation,
    )
