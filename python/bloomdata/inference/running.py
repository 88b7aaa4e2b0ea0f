"""An answer while it is made: `generate` of transformers runs in a thread, and hands on each token."""

from __future__ import annotations

import inspect
import threading
from contextlib import closing
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from bloomdata.inference.streaming import Ending, IncrementalDecoder, StopFilter
from bloomdata.inference.weights import explained

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from bloomdata.inference.model import Model
    from bloomdata.inference.rules import Rules


class PrefixCache:
    """Keys and values of the last request, for the beginning that the next one has in common with it."""

    def __init__(self) -> None:
        self._ids: Sequence[int] = ()
        self._cache: Any = None

    def take(self, ids: Sequence[int]) -> Any:
        """The cache of what `ids` begins with, at least one id less than all; None if there is none."""
        cache, self._cache = self._cache, None
        shared = 0
        for ours, theirs in zip(self._ids, ids[:-1], strict=False):
            if ours != theirs:
                break
            shared += 1
        if cache is None or not shared:
            return None
        surplus = cache.get_seq_length() - shared
        try:
            if surplus and not getattr(cache, "is_croppable", True):
                return None
            cache.crop(-surplus)
        # Layers with a sliding window cannot go back, and say so in any of these ways: the prompt is read afresh.
        except (RuntimeError, ValueError, NotImplementedError):
            return None
        return cache

    def keep(self, ids: Sequence[int], cache: Any) -> None:
        """Keeps the cache of a finished request, whose last ids it may not have seen."""
        if cache is not None and hasattr(cache, "crop"):
            self._ids, self._cache = ids[: cache.get_seq_length()], cache


def answer_pieces(
    model: Model, ids: list[int], rules: Rules, stopped: threading.Event, memory: PrefixCache | None = None
) -> Generator[str, None, Ending]:
    """Yields the answer to a prompt piece by piece, until its end or until the event is set.

    Args:
        model: Answers.
        ids: Of the prompt.
        rules: How it answers.
        stopped: Ends the answer.
        memory: Keys and values of the request before, and then of this one.
    """
    decoder, stop = IncrementalDecoder(model.tokenizer, ids), StopFilter(rules.stops)
    count, has_ended = 0, False
    with closing(_tokens(model, ids, rules, memory or PrefixCache())) as tokens:
        for token in tokens:
            count += 1
            has_ended = token in rules.end_ids
            if has_ended or stopped.is_set():
                break
            if piece := stop.feed(decoder.feed(token)):
                yield piece
            if stop.stopped:
                break
    if rest := stop.feed(decoder.finish()) + stop.finish():
        yield rest
    if stop.stopped or has_ended:
        return Ending("end", len(ids), count)
    return Ending("stopped" if stopped.is_set() else "length", len(ids), count)


class _Streamer:
    """What `generate` puts its tokens in: the prompt first, then one by one."""

    def __init__(self, tokens: SimpleQueue[Any]) -> None:
        self._put: Any = None
        self._tokens = tokens

    def put(self, value: Any) -> None:
        if self._put is not None:
            self._put(int(value[0]))
        self._put = self._tokens.put

    def end(self) -> None:
        """The thread says it."""


def _tokens(model: Model, ids: list[int], rules: Rules, memory: PrefixCache) -> Generator[int, None, None]:
    tokens: SimpleQueue[Any] = SimpleQueue()
    over = threading.Event()

    def work() -> None:
        try:
            with explained(model.name):
                _generate(model, ids, rules, memory, tokens, over)
        except BaseException as error:
            tokens.put(error)
        finally:
            tokens.put(None)

    thread = threading.Thread(target=work, name="bloomdata-generate", daemon=True)
    thread.start()
    try:
        while (token := tokens.get()) is not None:
            if isinstance(token, BaseException):
                raise token
            yield token
    finally:
        over.set()
        thread.join()


def _generate(
    model: Model, ids: list[int], rules: Rules, memory: PrefixCache, tokens: SimpleQueue[Any], over: threading.Event
) -> None:
    import torch

    from bloomdata.inference.sampling import Sampler, StopWhen, generation_config

    network = model.network
    prompt = torch.tensor([ids], device=network.device)
    sampler = Sampler(rules.settings, [f"{rules.settings.seed}:0:0"], [0])
    more: dict[str, Any] = {"logits_processor": [sampler]} if sampler.is_needed else {}
    if (cache := memory.take(ids)) is not None:
        more[_cache_name(network)] = cache
    with torch.inference_mode():
        found = network.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            generation_config=generation_config(rules, model, return_dict_in_generate=True),
            stopping_criteria=[StopWhen(over.is_set)],
            streamer=_Streamer(tokens),
            **more,
        )
    memory.keep(found.sequences[0].tolist(), getattr(found, _cache_name(network), None))


def _cache_name(network: Any) -> str:
    """`cache` since transformers 5.24; `past_key_values` before."""
    known = inspect.signature(type(network).prepare_inputs_for_generation).parameters
    return "past_key_values" if "past_key_values" in known else "cache"
