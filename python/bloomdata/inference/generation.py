"""`generate` and `stream`: answers to prompts, in batches, or piece by piece."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from bloomdata.errors import ConfigError
from bloomdata.inference.batches import Request, batches, generate_batch
from bloomdata.inference.conversation import Conversation
from bloomdata.inference.model import load
from bloomdata.inference.presets import preset as preset_of
from bloomdata.inference.prompts import Prompting, Rules
from bloomdata.inference.running import answer_pieces
from bloomdata.options.checks import check_counts

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from bloomdata.inference.batches import Generated
    from bloomdata.inference.model import Model
    from bloomdata.inference.prompts import Prompt


def generate(
    model: str | os.PathLike[str] | Model,
    prompts: Prompt | Sequence[Prompt],
    *,
    preset: Literal["bloomchat", "bloomchat-greedy", "openchatkit", "open-llama", "megatron", "mindformers"]
    | None = None,
    template: str | os.PathLike[str] | None = None,
    system: str | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    top_k: int | None = None,
    repetition_penalty: float | None = None,
    max_new_tokens: int | None = None,
    seed: int = 0,
    stop: Sequence[str] | None = None,
    num_samples: int = 1,
    logprobs: bool = False,
    batch_tokens: int = 8192,
    truncate_turn: Literal["left"] | None = None,
    **loading: Any,
) -> list[Generated]:
    """Answers prompts.

    Greedy answers are the same for any batch, save in bfloat16, float16 and int8, which round by the shape of a batch.

    Args:
        model: As `load` takes it.
        prompts: One prompt, or a list: texts, or conversations as lists of messages. An empty text asks for any text.
        preset: Settings and template of a system, for all that is not given here.
        template: Name of a chat template, or what else `ChatTemplate` takes; `none` for plain text. By default that of
            the preset, or else the model's own, or else none.
        system: System text.
        temperature: Divides logits; 0 takes the most probable token. By default, this and what follows are as the
            preset says, or else the model's `generation_config.json`.
        top_p: Samples from the most probable tokens that have this probability together.
        top_k: Samples from so many most probable tokens; 0 from all.
        repetition_penalty: Divides the logits of tokens that have occurred; 1 changes nothing.
        max_new_tokens: Tokens of an answer, at most. By default 512, or half of the window if that is less.
        seed: Seed of the sampling: the same seed, the same text, in any batch.
        stop: Strings that end an answer, beside those of the template.
        num_samples: Answers to each prompt.
        logprobs: Whether to keep the log-probability of each token, as the model gives it.
        batch_tokens: Tokens of a batch, at most: those of its longest prompt and answer, times its rows.
        truncate_turn: What to do with a prompt that does not fit the window: `left` cuts its beginning. By default it
            is an error.
        **loading: Options of `load`.

    Returns:
        `num_samples` answers to each prompt, in order.

    Raises:
        ConfigError: An option is invalid, or the model cannot be loaded.
        MismatchError: A prompt does not fit the window.

    Example:
        >>> answers = bloomdata.inference.generate("model/", ["Hi"], preset="bloomchat")  # doctest: +SKIP
        >>> answers[0].text  # doctest: +SKIP
        'Hello! How can I help?'
    """
    job = Job.of(
        load(model, **loading),
        preset=preset,
        template=template,
        system=system,
        truncate_turn=truncate_turn,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        repetition_penalty=repetition_penalty,
        max_new_tokens=max_new_tokens,
        seed=seed,
        stop=stop,
    )
    job = replace(job, num_samples=num_samples, keeps_logprobs=logprobs, batch_tokens=batch_tokens)
    is_one = isinstance(prompts, str) or (len(prompts) > 0 and isinstance(prompts[0], dict))
    requests = [
        request
        for index, prompt in enumerate([prompts] if is_one else prompts)
        for request in job.requests(index, prompt)  # type: ignore[arg-type]
    ]
    answers = {answer.key: answer for batch in job.answers(requests) for answer in batch}
    return [answers[request.key] for request in requests]


def stream(
    model: str | os.PathLike[str] | Model, prompt: Prompt, *, stopped: threading.Event | None = None, **options: Any
) -> Iterator[str]:
    """Yields an answer piece by piece. All pieces together are the text that `generate` gives.

    Args:
        model: As `load` takes it.
        prompt: A text, or a list of messages.
        stopped: Ends the answer when it is set, from any thread.
        **options: Options of `generate`, but those of batches.

    Raises:
        ConfigError: An option is invalid, or the model cannot be loaded.
        MismatchError: The prompt does not fit the window.
    """
    loading = {name: options.pop(name) for name in LOADING if name in options}
    job = Job.of(load(model, **loading), **options)
    ids = job.prompting.ids(prompt, job.rules.max_new_tokens)
    with closing(answer_pieces(job.model, ids, job.rules, stopped or threading.Event())) as pieces:
        yield from pieces


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
    """

    prompting: Prompting
    rules: Rules
    num_samples: int = 1
    keeps_logprobs: bool = False
    batch_tokens: int = 8192

    @classmethod
    def of(
        cls,
        model: Model,
        *,
        preset: str | None = None,
        template: str | os.PathLike[str] | None = None,
        system: str | None = None,
        truncate_turn: str | None = None,
        **settings: Any,
    ) -> Job:
        """A job from options of `generate`."""
        chosen = preset_of(preset)
        name = template or chosen.template
        found = None if name == "none" else model.template(name)
        if found is None and system is not None:
            raise ConfigError("system: expected a template that it has a place in, got none")
        prompting = Prompting(
            model=model,
            template=found,
            system=system,
            clock=local_time if chosen.has_preamble else None,
            preset=chosen,
            truncate_turn=truncate_turn,
        )
        conversation = None if found is None else Conversation(found)
        return cls(prompting=prompting, rules=Rules.of(model, chosen.settings.but(**settings), conversation))

    def __post_init__(self) -> None:
        check_counts(num_samples=self.num_samples, batch_tokens=self.batch_tokens)
        if self.num_samples < 1:
            raise ConfigError(f"num_samples: expected 1 or more, got {self.num_samples}")

    @property
    def model(self) -> Model:
        """The model."""
        return self.prompting.model

    def requests(self, index: int, prompt: Prompt) -> list[Request]:
        """The requests of a prompt; errors as for `Prompting.ids`."""
        ids = self.prompting.ids(prompt, self.rules.max_new_tokens)

        return [Request((index, sample), ids) for sample in range(self.num_samples)]

    def answers(self, requests: Sequence[Request]) -> Iterator[list[Generated]]:
        """Answers, batch by batch, the longest prompts first."""
        for batch in batches(requests, self.batch_tokens, self.rules.max_new_tokens):
            yield from generate_batch(self.model, batch, self.rules, keeps_logprobs=self.keeps_logprobs)


def local_time() -> Any:
    """The time here, with its zone."""
    from datetime import datetime

    return datetime.now().astimezone()
