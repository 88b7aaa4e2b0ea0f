"""Evaluation: loss, perplexity and bits per byte of packed folders, and continuations of prompts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from bloomdata.loader.tensors import to_tensors
from bloomdata.train.attention import packed_inputs, unwrapped
from bloomdata.train.data import on_device
from bloomdata.train.engines.engine import sum_over_ranks
from bloomdata.train.loss import token_loss
from bloomdata.train.tokens import num_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from bloomdata.tokenizers.tokenizer import Tokenizer
    from bloomdata.train.engines.engine import Engine, Forward
    from bloomdata.train.options import LogOptions


def evaluate(
    engine: Forward,
    dataset: Any,
    *,
    rows: int,
    micro_rows: int,
    tokenizer: Tokenizer | None,
    allow_contamination: bool = False,
    is_asked_to_stop: Callable[[], bool] = lambda: False,
) -> dict[str, float] | None:
    """Loss over the first rows of a data set, each rank its share.

    Returns:
        `loss` in nats a target token, `perplexity`, `targets`; and `bits_per_byte`, if the tokenizer is known. None if
        all ranks were asked to stop.
    """
    import torch

    count = min(rows or len(dataset), len(dataset))
    mine = np.arange(engine.rank, count, engine.world_size)
    # All ranks take as many forward passes, as sharded weights require: those without rows repeat one, uncounted.
    passes = math.ceil(math.ceil(count / engine.world_size) / micro_rows)
    sums = torch.zeros(3, dtype=torch.float64, device=engine.device)
    engine.model.eval()
    with torch.no_grad():
        for number in range(passes):
            if is_asked_to_stop():
                engine.model.train()
                return None
            part = mine[number * micro_rows : (number + 1) * micro_rows]
            read = dataset.read_batch(part if part.size else np.zeros(1, np.int64))
            batch = on_device(to_tensors(read, pin_memory=False), engine.device)
            with engine.computing(is_last=True):
                inputs = packed_inputs(engine.model, batch, allow_contamination=allow_contamination)
                loss, weight = token_loss(engine.model(**inputs).logits, batch)
            if part.size:
                read_bytes = num_bytes(tokenizer, read) if tokenizer is not None else 0
                sums += torch.tensor([float(loss), float(weight), read_bytes], dtype=torch.float64, device=sums.device)
    engine.model.train()
    total, weight, length = sum_over_ranks(sums).tolist()
    found = {"loss": total / weight if weight else math.nan, "targets": weight}
    found["perplexity"] = math.exp(min(found["loss"], 700.0)) if weight else math.nan
    if length:
        found["bits_per_byte"] = total / math.log(2) / length
    return found


def continuations(engine: Engine, options: LogOptions, tokenizer: Tokenizer | None) -> list[dict[str, str]]:
    """Greedy continuations of the prompts; none without a tokenizer, or on several ranks."""
    import torch

    if not options.prompts or tokenizer is None or engine.world_size > 1:
        return []
    model = unwrapped(engine.model)
    model.eval()
    found = []
    for prompt in options.prompts:
        ids = torch.tensor([tokenizer.encode(prompt).tolist()], device=engine.device)
        with torch.no_grad():
            output = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=options.max_new_tokens,
                do_sample=False,
                use_cache=True,
                pad_token_id=tokenizer.eos_token_id,
                eos_token_id=tokenizer.eos_token_id,
            )
        found.append({"prompt": prompt, "continuation": tokenizer.decode(output[0, ids.shape[1] :].tolist())})
    model.train()
    return found
