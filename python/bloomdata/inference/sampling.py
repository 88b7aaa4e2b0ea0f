"""How the next token is chosen, and when an answer ends: what `generate` of transformers is given."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    StoppingCriteria,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from bloomdata.inference.streaming import text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bloomdata.inference.model import Model
    from bloomdata.inference.presets import Settings
    from bloomdata.inference.rules import Rules
    from bloomdata.inference.streaming import TextTokenizer


class Sampler(LogitsProcessor):  # type: ignore[misc]  # transformers has no types here
    """Chooses each token with numbers of its row's own: the same text for a seed, in any batch.

    The processors are those of transformers, in the order repetition penalty, temperature, top-k, top-p. A token is
    then chosen here, by one random number and the cumulated probabilities, and given all of the probability.

    Args:
        settings: Complete: no value is None.
        keys: For each row, what its random numbers depend on.
        padding: For each row, the number of tokens of padding before the prompt.
        keeps_logprobs: Whether to keep the log-probability of each chosen token, as the model gives it.

    Attributes:
        logprobs: For each step, those of all rows.
    """

    def __init__(
        self, settings: Settings, keys: Sequence[str], padding: Sequence[int], *, keeps_logprobs: bool = False
    ) -> None:
        self._numbers = [random.Random(key) for key in keys]
        self._steps = LogitsProcessorList()
        self._samples = bool(settings.temperature)
        self._keeps = keeps_logprobs
        self.logprobs: list[torch.Tensor] = []
        if settings.repetition_penalty not in (None, 1.0):
            penalty = float(settings.repetition_penalty or 1)
            self._steps.append(RepetitionPenaltyLogitsProcessor(penalty, torch.tensor(padding)))
        if self._samples:
            if settings.temperature != 1.0:
                self._steps.append(TemperatureLogitsWarper(float(settings.temperature or 1)))
            if settings.top_k:
                self._steps.append(TopKLogitsWarper(int(settings.top_k)))
            if settings.top_p is not None and settings.top_p < 1:
                self._steps.append(TopPLogitsWarper(float(settings.top_p)))

    @property
    def is_needed(self) -> bool:
        """Whether it does anything that taking the most probable token does not."""
        return self._samples or self._keeps or len(self._steps) > 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores of which only that of the chosen token is finite."""
        found = self._steps(input_ids, scores)
        if self._samples:
            cumulated = found.softmax(-1).cumsum(-1)
            drawn = torch.tensor([numbers.random() for numbers in self._numbers], device=scores.device)
            chosen = torch.searchsorted(cumulated, (drawn * cumulated[:, -1])[:, None], right=True)
            # Rounding may put the number behind the last token that has a probability.
            last = scores.shape[-1] - 1 - found.isfinite().flip(-1).int().argmax(-1, keepdim=True)
            chosen = torch.minimum(chosen, last)
        else:
            chosen = found.argmax(-1, keepdim=True)
        if self._keeps:
            self.logprobs.append(scores.log_softmax(-1).gather(-1, chosen)[:, 0].cpu())
        return torch.full_like(scores, -torch.inf).scatter(-1, chosen, 0.0)


class StopAt(StoppingCriteria):  # type: ignore[misc]  # transformers has no types here
    """Ends rows whose answer holds a stop string.

    Args:
        strings: Stop strings.
        tokenizer: Decodes.
        prompt_length: Ids before the answers, padding included.
    """

    def __init__(self, strings: Sequence[str], tokenizer: TextTokenizer, prompt_length: int) -> None:
        self._strings = strings
        self._tokenizer = tokenizer
        self._prompt_length = prompt_length
        # A token has a byte at least, and the first one may be a part of a character.
        self._tail = max(len(string.encode()) for string in strings) + 4

    def __call__(self, input_ids: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        """For each row whether it ends."""
        start = max(self._prompt_length, input_ids.shape[1] - self._tail)
        texts = [text_of(self._tokenizer, row) for row in input_ids[:, start:].tolist()]
        found = [any(string in text for string in self._strings) for text in texts]
        return torch.tensor(found, device=input_ids.device)


class StopWhen(StoppingCriteria):  # type: ignore[misc]  # transformers has no types here
    """Ends all rows when a function says so."""

    def __init__(self, is_over: Callable[[], bool]) -> None:
        self._is_over = is_over

    def __call__(self, input_ids: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        """For each row whether it ends."""
        return torch.full((input_ids.shape[0],), self._is_over(), device=input_ids.device)


def generation_config(rules: Rules, model: Model, **more: Any) -> GenerationConfig:
    """What `generate` does beside the sampler: it takes the most probable token, up to an end."""
    return GenerationConfig(
        do_sample=False,
        max_new_tokens=rules.max_new_tokens,
        eos_token_id=list(rules.end_ids) or None,
        pad_token_id=pad_id(model),
        use_cache=True,
        repetition_penalty=1.0,
        num_beams=1,
        num_return_sequences=1,
        **more,
    )


def pad_id(model: Model) -> int:
    """What fills rows of a batch; it is masked before prompts, and cut off behind answers."""
    own = model.network.generation_config.pad_token_id
    return int(own) if own is not None else min(model.end_ids, default=0)
