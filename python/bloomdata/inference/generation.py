"""`generate` and `stream`: answers to prompts, in batches, or piece by piece."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal

from bloomdata.inference.jobs import job_of
from bloomdata.inference.running import answer_pieces
from bloomdata.inference.streaming import stripped

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from bloomdata.inference.batches import Generated
    from bloomdata.inference.model import Model
    from bloomdata.inference.moderation import Moderation
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
    moderation: Moderation | None = None,
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
        moderation: What is refused; `open_moderation` makes one.
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
    job = job_of(
        model,
        preset=preset,
        template=template,
        system=system,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        repetition_penalty=repetition_penalty,
        max_new_tokens=max_new_tokens,
        seed=seed,
        stop=stop,
        num_samples=num_samples,
        logprobs=logprobs,
        batch_tokens=batch_tokens,
        truncate_turn=truncate_turn,
        moderation=moderation,
        **loading,
    )
    is_one = isinstance(prompts, str) or (len(prompts) > 0 and isinstance(prompts[0], dict))
    asked: Sequence[Any] = [prompts] if is_one else prompts
    found: list[Generated] = []
    requests = []
    for index, prompt in enumerate(asked):
        made = job.requests(index, prompt)
        refusal = job.refusal(index, prompt)
        found += refusal
        requests += [] if refusal else made
    for batch in job.batches(requests):
        found += job.answers(batch)
    return sorted(found, key=lambda answer: answer.key)


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
    job = job_of(model, **options)
    ids = job.prompting.ids(prompt, job.rules.max_new_tokens)
    pieces = answer_pieces(job.model, ids, job.rules, stopped or threading.Event())
    with closing(pieces if job.prompting.template is None else stripped(pieces)) as shown:
        yield from shown
