"""`isolation_canary`: trains a tiny model on rows that only a leak between documents makes predictable."""

from __future__ import annotations

from typing import Any

from bloomdata.train.attention import packed_inputs

# Tokens of the first document: one random token, repeated. The second one is token 0, then that random token.
_LENGTH = 4


def isolation_canary(
    model_class: Any,
    config: Any,
    *,
    steps: int = 100,
    rows: int = 256,
    learning_rate: float = 3e-3,
    isolated: bool = True,
    seed: int = 0,
) -> float:
    """Trains a model on rows of two documents, of which the second repeats a token of the first; returns its last loss.

    Where documents are isolated, that token cannot be predicted, and the loss stays at ln(vocab_size - 1). Where they
    are not, the model learns to copy it, and the loss falls to near 0. Takes seconds for a tiny configuration.

    Args:
        model_class: A class of transformers for causal language models, such as `BloomForCausalLM`.
        config: Its configuration; a small one: two layers, a vocabulary of 32.
        steps: Training steps.
        rows: Rows of a step.
        learning_rate: Of AdamW.
        isolated: Whether to pass what `packed_inputs` returns; otherwise only the ids, to see the leak.
        seed: Seed of weights and tokens.

    Returns:
        Mean loss of the last ten steps, in nats a token.

    Raises:
        ConfigError: `packed_inputs` refuses the model.
    """
    import torch
    from torch.nn.functional import cross_entropy

    torch.manual_seed(seed)
    model = model_class(config)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    length = _LENGTH + 2
    starts = torch.arange(rows)[:, None] * length + torch.tensor([0, _LENGTH])
    bounds = torch.cat([starts.flatten(), torch.tensor([rows * length])])
    losses = []
    for _ in range(steps):
        token = torch.randint(1, config.vocab_size, (rows, 1))
        ids = torch.cat([token.expand(rows, _LENGTH), torch.zeros_like(token), token], dim=1)
        inputs = {"input_ids": ids, "use_cache": False}
        if isolated:
            inputs = packed_inputs(model, {"input_ids": ids, "cu_seqlens": bounds})
        loss = cross_entropy(model(**inputs).logits[:, -2].float(), token[:, 0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return float(sum(losses[-10:]) / 10)
