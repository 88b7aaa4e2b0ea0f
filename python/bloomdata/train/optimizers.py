"""Optimizers by name. Biases, norms and other vectors are not decayed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from bloomdata.train.options import OptimizerOptions


def build_optimizers(model: Any, options: OptimizerOptions) -> list[Any]:
    """The optimizers of a model's trained parameters: one, or for `muon` two.

    Every group has `base_lr`, the highest learning rate, beside `lr`.
    """
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    if not named:
        raise ConfigError("model: expected parameters to train, found none")
    if options.name != "muon":
        return [_adam(named, options)]
    from torch.optim import Muon

    embeddings = _embeddings(model)
    matrices = [p for _, p in named if p.ndim == 2 and id(p) not in embeddings]
    rest = [(name, p) for name, p in named if p.ndim != 2 or id(p) in embeddings]
    rate = options.muon_learning_rate or options.learning_rate
    muon = Muon(matrices, lr=rate, weight_decay=options.weight_decay, adjust_lr_fn="match_rms_adamw")
    for group in muon.param_groups:
        group["base_lr"] = rate
    return [muon, _adam(rest, options)]


def _adam(named: list[tuple[str, Any]], options: OptimizerOptions) -> Any:
    decayed = [p for _, p in named if p.ndim >= 2]
    plain = [p for _, p in named if p.ndim < 2]
    groups = [
        {"params": parameters, "weight_decay": decay, "lr": options.learning_rate, "base_lr": options.learning_rate}
        for parameters, decay in ((decayed, options.weight_decay), (plain, 0.0))
        if parameters
    ]
    betas = (options.betas[0], options.betas[1])
    if options.name == "adamw_8bit":
        try:
            from bitsandbytes.optim import AdamW8bit
        except ImportError as error:
            raise ConfigError("optimizer.name: adamw_8bit needs bitsandbytes: pip install bitsandbytes") from error
        return AdamW8bit(groups, betas=betas, eps=options.eps)
    from torch.optim import AdamW

    return AdamW(groups, betas=betas, eps=options.eps, fused=True)


def _embeddings(model: Any) -> set[int]:
    """Input and output embeddings, which are matrices but do not act as such."""
    from bloomdata.train.attention import unwrapped

    inner = unwrapped(model)
    found = [inner.get_input_embeddings(), inner.get_output_embeddings()]
    return {id(module.weight) for module in found if module is not None}


def set_learning_rate(optimizers: list[Any], share: float) -> None:
    """Sets the rate of all groups to a share of their highest."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * share
