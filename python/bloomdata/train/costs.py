"""What a model costs: parameters, memory, floating-point operations of a step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bloomdata.train.attention import unwrapped

if TYPE_CHECKING:
    from bloomdata.train.recipe import Stage

# Peak of dense bfloat16 in FLOP/s, from the data sheets of the makers. Other devices have no MFU: it is never guessed.
_PEAKS = {
    "NVIDIA A100": 312e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H100": 989e12,
    "NVIDIA H200": 989e12,
    "NVIDIA B200": 2250e12,
    "NVIDIA L40S": 362e12,
    "AMD Instinct MI300X": 1307e12,
}
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
# Bytes of optimizer state for each trained parameter.
_STATES = {"adamw": 8, "adamw_8bit": 2, "muon": 4}


def num_parameters(model: Any) -> int:
    """All parameters, shared ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


def flops(model: Any, num_tokens: float, sum_of_squares: float) -> float:
    """Floating-point operations of forward and backward passes.

    6·N for each token, and 12·l·h for each pair of tokens that attend to each other, halved by the causal mask.

    Args:
        model: The model; N are its parameters without input embeddings, l its layers, h its hidden size.
        num_tokens: Tokens without padding.
        sum_of_squares: Sum of the squared lengths of documents: attention ends where a document ends.
    """
    inner = unwrapped(model)
    config = inner.config
    table = inner.get_input_embeddings().weight
    head = inner.get_output_embeddings()
    # A shared matrix works as the output layer, too.
    outside = 0 if head is not None and head.weight is table else table.numel()
    matrices = num_parameters(model) - outside
    attention = 12.0 * int(config.num_hidden_layers) * int(config.hidden_size) * sum_of_squares / 2
    return 6.0 * matrices * num_tokens + attention


def peak_flops(device: Any) -> float | None:
    """The peak of a device in FLOP/s, if it is known."""
    import torch

    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    fitting = [peak for known, peak in _PEAKS.items() if name.startswith(known)]
    return fitting[0] if fitting else None


def memory_bytes(model: Any, stage: Stage, world_size: int, *, is_sharded: bool) -> dict[str, int]:
    """Memory of a rank for weights, gradients and optimizer, without activations."""
    total = num_parameters(model)
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    share = world_size if is_sharded else 1
    weight = _BYTES[stage.model.dtype]
    return {
        "weights": total * weight // share,
        "gradients": trained * weight // share,
        "optimizer": trained * _STATES[stage.optimizer.name] * weight // 4 // share,
    }
