"""Prompts of similar lengths answered together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from bloomdata.inference.streaming import IncrementalDecoder, StopFilter
from bloomdata.inference.weights import explained

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bloomdata.inference.model import Model
    from bloomdata.inference.rules import Rules


class Request(NamedTuple):
    """A prompt to answer: its number and that of the sample, and its ids."""

    key: tuple[int, int]
    ids: list[int]


@dataclass(frozen=True, kw_only=True)
class Generated:
    """An answer.

    Attributes:
        key: Number of the prompt, and of the sample.
        text: Without what ended it, and without special tokens.
        reason: `end`: it has ended, also by a stop string; `length`: it was cut at `max_new_tokens`; `refused`.
        ids: All ids, with the one that ended it.
        prompt_ids: Those before it.
        logprobs: For each id its log-probability, if they were asked for.
    """

    key: tuple[int, int]
    text: str
    reason: Literal["end", "length", "refused"]
    ids: tuple[int, ...]
    prompt_ids: tuple[int, ...]
    logprobs: tuple[float, ...] | None = None


def batches(requests: Sequence[Request], batch_tokens: int, max_new_tokens: int) -> Iterator[list[Request]]:
    """Requests of similar lengths, the longest first: what does not fit the memory fails at once.

    A batch has at most `batch_tokens` tokens, padding and answers included, or one row.
    """
    batch: list[Request] = []
    for request in sorted(requests, key=lambda request: (-len(request.ids), request.key)):
        longest = len(batch[0].ids) if batch else len(request.ids)
        if batch and (len(batch) + 1) * (longest + max_new_tokens) > batch_tokens:
            yield batch
            batch = []
        batch.append(request)
    if batch:
        yield batch


def generate_batch(
    model: Model, batch: list[Request], rules: Rules, *, keeps_logprobs: bool = False
) -> list[Generated]:
    """Answers a batch, in halves if an accelerator has not the memory for all of it.

    Raises:
        ConfigError: One row does not fit the memory.
    """
    import torch

    try:
        return _answers(model, batch, rules, keeps_logprobs=keeps_logprobs)
    except torch.OutOfMemoryError:
        if len(batch) == 1:
            with explained(model.name):
                raise
    torch.cuda.empty_cache()
    middle = len(batch) // 2
    halves = (batch[:middle], batch[middle:])
    return [answer for half in halves for answer in generate_batch(model, half, rules, keeps_logprobs=keeps_logprobs)]


def _answers(model: Model, batch: list[Request], rules: Rules, *, keeps_logprobs: bool) -> list[Generated]:
    import torch

    from bloomdata.inference.sampling import Sampler, StopAt, generation_config, pad_id

    width = max(len(request.ids) for request in batch)
    padding = [width - len(request.ids) for request in batch]
    filler = pad_id(model)
    rows = [[filler] * empty + request.ids for empty, request in zip(padding, batch, strict=True)]
    ids = torch.tensor(rows, device=model.network.device)
    mask = torch.tensor([[0] * empty + [1] * (width - empty) for empty in padding], device=ids.device)
    keys = [f"{rules.settings.seed}:{index}:{sample}" for index, sample in (request.key for request in batch)]
    sampler = Sampler(rules.settings, keys, padding, keeps_logprobs=keeps_logprobs)
    more: dict[str, Any] = {"logits_processor": [sampler]} if sampler.is_needed else {}
    if rules.stops:
        more["stopping_criteria"] = [StopAt(rules.stops, model.tokenizer, width)]
    with torch.inference_mode():
        found = model.network.generate(
            ids, attention_mask=mask, generation_config=generation_config(rules, model), **more
        )
    return [
        _cut(model, request, answer, rules, [float(step[row]) for step in sampler.logprobs] if keeps_logprobs else None)
        for row, (request, answer) in enumerate(zip(batch, found[:, width:].tolist(), strict=True))
    ]


def _cut(model: Model, request: Request, ids: list[int], rules: Rules, logprobs: list[float] | None) -> Generated:
    """An answer up to its end: rows of a batch go on until all have ended."""
    length = next((at + 1 for at, token in enumerate(ids) if token in rules.end_ids), None)
    decoder, stop, shown, used = IncrementalDecoder(model.tokenizer, request.ids), StopFilter(rules.stops), [], 0
    for token in ids[:length]:
        shown.append(stop.feed(decoder.feed(token)))
        used += 1
        if stop.stopped:
            break
    shown += [stop.feed(decoder.finish()), stop.finish()]
    has_ended = stop.stopped or length is not None
    return Generated(
        key=request.key,
        text="".join(shown),
        reason="end" if has_ended else "length",
        ids=tuple(ids[:used]),
        prompt_ids=tuple(request.ids),
        logprobs=None if logprobs is None else tuple(logprobs[:used]),
    )
