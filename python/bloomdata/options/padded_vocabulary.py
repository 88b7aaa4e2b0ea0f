"""Rows of an embedding that is cut over ranks of tensor parallelism, as Megatron pads it."""

from __future__ import annotations

from bloomdata.errors import ConfigError


def padded_vocab_size(
    vocab_size: int, tensor_parallel: int = 1, *, vocab_divisible_by: int = 128, pad_vocab_size_to: int | None = None
) -> int:
    """Rows of the embedding when every rank gets as many, as Megatron computes it.

    Args:
        vocab_size: Ids of the tokenizer, or rows of the model.
        tensor_parallel: Number of ranks that share the embedding.
        vocab_divisible_by: Every rank gets a multiple of as many rows; `--make-vocab-size-divisible-by` of Megatron.
        pad_vocab_size_to: The result itself, for models that were trained on another number of ranks.

    Raises:
        ConfigError: A number is below 1; the wanted size is too small, or cannot be shared equally.

    Origin:
        `_vocab_size_with_padding` of `megatron/tokenizer`; `pad_vocab_size_to` of bigscience Megatron-DeepSpeed.

    Example:
        >>> bloomdata.padded_vocab_size(250_680, 4), bloomdata.padded_vocab_size(250_680, 1)
        (250880, 250752)
    """
    for name, value in (("vocab_size", vocab_size), ("tensor_parallel", tensor_parallel)):
        if value < 1:
            raise ConfigError(f"{name}: expected a number from 1 on, got {value}")
    if vocab_divisible_by < 1:
        raise ConfigError(f"vocab_divisible_by: expected a number from 1 on, got {vocab_divisible_by}")
    if pad_vocab_size_to is None:
        multiple = vocab_divisible_by * tensor_parallel
        return -(-vocab_size // multiple) * multiple
    if pad_vocab_size_to < vocab_size or pad_vocab_size_to % tensor_parallel:
        raise ConfigError(
            f"pad_vocab_size_to: expected a multiple of {tensor_parallel} from {vocab_size} on, got {pad_vocab_size_to}"
        )
    return pad_vocab_size_to
