"""The model of a stage: from a folder of transformers, or with random weights."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from bloomdata.train.options import ModelOptions


def require_torch() -> None:
    """Raises an error that names the extra, if torch or transformers is not installed."""
    try:
        for name in ("torch", "transformers"):
            importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(f"train needs torch and transformers: pip install 'bloomdata[train]' ({error})") from error


def build_model(options: ModelOptions, *, vocab_size: int | None = None, weights: bool = True) -> Any:
    """The model, on the CPU, in training mode.

    Args:
        options: Section `[model]`.
        vocab_size: Vocabulary of a model with random weights, if its sizes do not say.
        weights: Whether to make weights; otherwise parameters are on the device `meta`, which takes no memory.

    Raises:
        ConfigError: The folder holds no model, the family is unknown, or a size has another name there.
    """
    require_torch()
    import torch
    from transformers import AutoModelForCausalLM

    config = model_config(options, vocab_size=vocab_size)
    dtype = getattr(torch, options.dtype)
    torch.manual_seed(options.seed)
    if not weights:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    elif options.path is not None:
        model = AutoModelForCausalLM.from_pretrained(options.path, config=config, dtype=dtype)
    else:
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    if options.stable_embedding:
        from bloomdata.train.stable_embedding import add_stable_embedding

        add_stable_embedding(model, folder=options.path if weights else None, draw=options.path is None and weights)
    if options.lora:
        model = _with_lora(model, options.lora)
    if options.activation_checkpointing:
        _checkpoint_activations(model)
    model.train()
    return model


def model_config(options: ModelOptions, *, vocab_size: int | None = None) -> Any:
    """The configuration of the model of a stage; arguments and errors as for `build_model`."""
    require_torch()
    from transformers import AutoConfig

    more: dict[str, Any] = {"use_cache": False}
    if options.shared_embedding is not None:
        more["tie_word_embeddings"] = options.shared_embedding
    if options.path is not None:
        if not (Path(options.path) / "config.json").exists():
            raise ConfigError(f"model.path: expected a folder with config.json, found none in {options.path}")
        if options.sizes:
            raise ConfigError(f"model.sizes: expected none with a path, found {sorted(options.sizes)}")
        config = AutoConfig.from_pretrained(options.path)
        for name, value in more.items():
            setattr(config, name, value)
        return config
    if options.family is None:
        raise ConfigError("model: expected path or family, found neither")
    sizes = dict(options.sizes)
    if vocab_size is not None:
        sizes.setdefault("vocab_size", vocab_size)
    try:
        known = AutoConfig.for_model(options.family)
    except ValueError as error:
        raise ConfigError(f"model.family: expected a model type of transformers, found {options.family!r}") from error
    names = set(known.to_dict()) | set(type(known).attribute_map)
    if unknown := sorted(set(sizes) - names):
        raise ConfigError(f"model.sizes: {unknown[0]!r} is not a size of {options.family}: see its configuration")
    return AutoConfig.for_model(options.family, **sizes, **more)


def _with_lora(model: Any, options: dict[str, Any]) -> Any:
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ConfigError("model.lora needs peft: pip install peft") from error
    try:
        config = LoraConfig(task_type="CAUSAL_LM", **options)
    except TypeError as error:
        raise ConfigError(f"model.lora: {error}") from error
    return get_peft_model(model, config)


def _checkpoint_activations(model: Any) -> None:
    """Turns on activation checkpointing by whichever name this version of transformers has for it."""
    for name in ("activation_checkpointing_enable", "gradient_checkpointing_enable"):
        if hasattr(model, name):
            getattr(model, name)()
            return
    raise ConfigError(f"model.activation_checkpointing: {type(model).__name__} has none")
