"""BLOOM with a mask of documents.

The models of transformers have no way to pass one: `position_ids` are ignored, and a mask of four dimensions fails.
Only the given instance changes, and only for masks of four dimensions; all other calls give what they gave before.
"""

from __future__ import annotations

import functools
import types
from typing import Any

from bloomdata.errors import ConfigError


def accept_document_masks(model: Any) -> None:
    """Lets a BLOOM model take a boolean mask of (rows, 1, length, length). Does nothing the second time.

    Args:
        model: A `BloomForCausalLM` or another model with a `BloomModel` inside.

    Raises:
        ConfigError: There is no `BloomModel` inside.
    """
    from transformers.models.bloom.modeling_bloom import BloomModel

    inner = model.base_model
    if not isinstance(inner, BloomModel):
        raise ConfigError(f"model: expected a BloomModel inside, got {type(model).__name__}")
    if "build_alibi_tensor" in vars(inner):
        return
    inner.build_alibi_tensor = types.MethodType(_alibi, inner)
    for block in inner.h:
        attention = block.self_attention
        attention.forward = functools.partial(_attend, attention, attention.forward)


def _alibi(model: Any, attention_mask: Any, num_heads: int, dtype: Any) -> Any:
    """ALiBi of a mask: for four dimensions with the mask in it, computed once for all layers."""
    if attention_mask.ndim != 4:
        return type(model).build_alibi_tensor(model, attention_mask, num_heads, dtype)
    return _document_bias(attention_mask, num_heads, dtype)


def _document_bias(mask: Any, num_heads: int, dtype: Any) -> Any:
    """What is added to the scores: ALiBi, and minus infinity for other documents; (rows, heads, length, length).

    Distances from the query, not positions of keys: softmax gives the same for both, but a product of a slope and a
    position in the thousands loses its digits in bfloat16, near the query, where they matter.
    """
    import torch

    places = torch.arange(mask.shape[-1], device=mask.device)
    distances = (places[None, :] - places[:, None]).float()
    bias = _slopes(num_heads, mask.device)[:, None, None] * distances
    return bias.to(dtype).masked_fill(~mask, float("-inf"))


def _slopes(num_heads: int, device: Any) -> Any:
    """Slopes of ALiBi, (heads,) float32: powers of one base, then odd powers of its square root."""
    import torch

    power = 1 << (num_heads.bit_length() - 1)
    base = 2.0 ** (-8 / power)
    slopes = [base**n for n in range(1, power + 1)]
    slopes += [base ** (n / 2) for n in range(1, 2 * (num_heads - power), 2)]
    return torch.tensor(slopes, dtype=torch.float32, device=device)


def _attend(
    attention: Any,
    otherwise: Any,
    hidden_states: Any,
    residual: Any,
    alibi: Any,
    attention_mask: Any,
    *rest: Any,
    **more: Any,
) -> tuple[Any, Any]:
    """The forward pass of `BloomAttention`: through fused kernels if the bias has the documents in it."""
    if alibi.ndim != 4:
        unpacked: tuple[Any, Any] = otherwise(hidden_states, residual, alibi, attention_mask, *rest, **more)
        return unpacked
    from transformers.models.bloom.modeling_bloom import dropout_add

    if more.get("output_attentions"):
        raise ConfigError("output_attentions: expected False for packed rows, got True: fused attention has no weights")
    query, key, value = attention._reshape(attention.query_key_value(hidden_states))
    dropout = attention.attention_dropout.p if attention.training else 0.0
    flash = _flash(query, dropout)
    if flash is None:
        from torch.nn.functional import scaled_dot_product_attention

        context = scaled_dot_product_attention(query, key, value, attn_mask=alibi.to(query.dtype), dropout_p=dropout)
    else:
        context = _by_flash(flash, query, key, value, attention_mask, dropout)
    context = context.transpose(1, 2).reshape(hidden_states.shape)
    output = attention.dense(context)
    return dropout_add(output, residual, attention.hidden_dropout, attention.training), None


def _flash(query: Any, dropout: float) -> Any:
    """`flash_attn_varlen_func`, where it can be used: on CUDA, in half precision, with the package installed."""
    import torch

    if query.device.type != "cuda" or query.dtype not in {torch.float16, torch.bfloat16} or dropout:
        return None
    try:
        from flash_attn import flash_attn_varlen_func
    except ImportError:
        return None
    return flash_attn_varlen_func


def _by_flash(flash: Any, query: Any, key: Any, value: Any, mask: Any, dropout: float) -> Any:
    """Attention by document lengths, with slopes instead of a bias: no memory for (length, length)."""
    import torch

    rows, heads, length, size = query.shape
    # The first key that a query may attend to is where its document starts.
    is_start = mask[:, 0].int().argmax(-1) == torch.arange(length, device=query.device)
    starts = torch.nonzero(is_start.reshape(-1)).squeeze(1).to(torch.int32)
    bounds = torch.cat([starts, starts.new_tensor([rows * length])])
    longest = int((bounds[1:] - bounds[:-1]).max())
    flat = [states.transpose(1, 2).reshape(rows * length, heads, size) for states in (query, key, value)]
    slopes = _slopes(heads, query.device)
    context = flash(*flat, bounds, bounds, longest, longest, dropout_p=dropout, causal=True, alibi_slopes=slopes)
    return context.reshape(rows, length, heads, size).transpose(1, 2)
