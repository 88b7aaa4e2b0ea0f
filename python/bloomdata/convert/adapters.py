"""`lora`: merges an adapter of peft into its model."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from bloomdata.convert.checkpoints import Checkpoint, input_folder, open_huggingface, write_huggingface
from bloomdata.convert.logits import config_of, model_of, silence
from bloomdata.convert.run import convert
from bloomdata.convert.tensors import LazyTensor, Tensors, import_torch
from bloomdata.errors import ConfigError, CorruptDataError, UnsupportedFormatError

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from torch import Tensor

    from bloomdata.convert.output import OnProgress
    from bloomdata.convert.report import ConversionReport

_BEFORE = "base_model.model."
_ADAPTER = "default"


def lora(
    source: str | os.PathLike[str],
    adapter: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    max_shard_bytes: int = 5_000_000_000,
    verify: bool = False,
    overwrite: bool = False,
    on_progress: OnProgress = None,
) -> ConversionReport:
    """Merges a LoRA adapter into the weights of its model.

    peft merges one layer at a time, so that its scaling, rank patterns, rsLoRA and DoRA hold here too.
    Memory: two tensors and the adapter; with `verify`, the model in float32.

    Args:
        source: The model that the adapter was trained on, a folder of Hugging Face.
        adapter: Folder with `adapter_config.json` and `adapter_model.safetensors`.
        output: Folder to write.
        max_shard_bytes: Size of a file of weights.
        verify: Whether to compare logits with those of the model with its adapter beside it, on random ids.
        overwrite: Whether to discard an earlier conversion in `output`.
        on_progress: Function called after every tensor with (total bytes, bytes read, tensors, bytes written).

    Raises:
        ConfigError: peft or transformers is not installed, or the output holds other files.
        CorruptDataError: The adapter fits another model, or a tensor is missing or damaged.
        MismatchError: The output holds another conversion, or logits differ.
        UnsupportedFormatError: The adapter is no LoRA, or trains what cannot be merged layer by layer.

    Origin:
        `merge_and_unload` of peft, which needs the whole model in memory; `training/lora` of OpenChatKit.

    Command line:
        bloomdata-cli convert lora bloom-hf/ adapter/ merged-hf/
        bloomdata-cli convert lora bloom-hf/ adapter/ merged-hf/ --verify

    Example:
        >>> report = bloomdata.convert.lora("bloom-hf", "adapter", "merged-hf")  # doctest: +SKIP
    """
    folder, adapters = input_folder(source), input_folder(adapter, "adapter")
    return convert(
        "lora",
        [folder, adapters],
        output,
        options={"max_shard_bytes": max_shard_bytes},
        read=lambda: open_merged(folder, adapters),
        write=lambda out, checkpoint: write_huggingface(out, checkpoint, max_shard_bytes),
        reread=open_huggingface,
        verify=verify,
        overwrite=overwrite,
        on_progress=on_progress,
        tolerance=_tolerance(folder),
        source_model=lambda: _with_adapter(folder, adapters),
    )


def _tolerance(folder: Path) -> float:
    """Sums are taken in another order; and weights of 16 bits are rounded once more when they are merged."""
    return 1e-4 if all(tensor.dtype.itemsize >= 4 for tensor in open_huggingface(folder).tensors.values()) else 0.02


def _with_adapter(folder: Path, adapter: Path) -> Any:
    from peft import PeftModel

    model = model_of(open_huggingface(folder))
    with silence():
        return PeftModel.from_pretrained(model, str(adapter)).eval()


def open_merged(folder: Path, adapter: Path) -> Checkpoint:
    """Opens a model with an adapter merged into it."""
    checkpoint = open_huggingface(folder)
    weights, layers = _read_adapter(checkpoint, adapter)
    tensors: Tensors = {}
    used: set[str] = set()
    for name, tensor in checkpoint.tensors.items():
        full = checkpoint.layout.full(checkpoint.layout.bare(name))
        module, _, part = full.rpartition(".")
        # Weights that are in the adapter as they are: `modules_to_save`, biases, and embeddings, which peft copies.
        whole = [key for key in (f"{_BEFORE}{full}", f"{_BEFORE}{module}.base_layer.{part}") if key in weights]
        if whole:
            used.update(whole)
            tensor = _replaced(tensor, weights[whole[0]], whole[0], adapter)
        if module in layers and part == "weight":
            tensor, keys = _merged(tensor, layers[module], module, weights)
            used.update(keys)
        tensors[name] = tensor
    unused = sorted(weights.keys() - used)
    if unused:
        raise UnsupportedFormatError(
            f"{adapter}: tensor {unused[0]}: expected LoRA of a weight of the model; "
            "merge_and_unload of peft may know it"
        )
    return dataclasses.replace(checkpoint, tensors=tensors)


def _read_adapter(checkpoint: Checkpoint, adapter: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of an adapter, and peft's layers for them, which hold no memory yet."""
    torch = import_torch()
    with silence():
        try:
            from peft import PeftConfig, get_peft_model, load_peft_weights
            from peft.tuners.lora import LoraLayer
            from safetensors import SafetensorError
            from transformers import AutoModelForCausalLM
        except ImportError:
            raise ConfigError("lora needs peft: pip install peft") from None
    path = adapter / "adapter_config.json"
    if not path.exists():
        raise ConfigError(f"adapter: {adapter}: expected adapter_config.json, found none")
    try:
        kind = json.loads(path.read_bytes())["peft_type"]
    except (ValueError, KeyError, TypeError):
        raise CorruptDataError(f"{path}: expected the configuration of an adapter, found other text") from None
    if kind != "LORA":
        raise UnsupportedFormatError(f"{path}: peft_type: expected LORA, found {kind}")
    try:
        with torch.device("meta"), silence():
            bare = AutoModelForCausalLM.from_config(config_of(checkpoint))
            model = get_peft_model(bare, PeftConfig.from_pretrained(str(adapter)))
    except (ValueError, TypeError) as error:
        raise CorruptDataError(f"{adapter}: expected an adapter of {checkpoint.folder}: {error}") from None
    layers = {name: module for name, module in model.base_model.model.named_modules() if isinstance(module, LoraLayer)}
    try:
        weights: dict[str, Tensor] = load_peft_weights(str(adapter), device="cpu")
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise CorruptDataError(f"{adapter}: expected adapter_model.safetensors: {error}") from None
    return weights, layers


def _replaced(tensor: LazyTensor, weight: Tensor, key: str, adapter: Path) -> LazyTensor:
    if tuple(weight.shape) != tensor.shape:
        raise CorruptDataError(f"{adapter}: tensor {key}: expected {list(tensor.shape)}, found {list(weight.shape)}")
    return LazyTensor(tensor.shape, tensor.dtype, tensor.place, lambda: weight.to(tensor.dtype).clone())


def _merged(tensor: LazyTensor, layer: Any, module: str, weights: dict[str, Tensor]) -> tuple[LazyTensor, list[str]]:
    """A weight with its adapter, and the names of the adapter's tensors for it."""
    keys: dict[str, str] = {}
    for name, parameter in layer.named_parameters():
        if name.startswith("base_layer."):
            continue
        # The name of the adapter is in the module's names but not in those of the file.
        plain = name.replace(f".{_ADAPTER}", "")
        stored = [f"{_BEFORE}{module}.{plain}", f"{_BEFORE}{module}.{plain.removesuffix('.weight')}"]
        key = next((key for key in stored if key in weights), None)
        if key is None or weights[key].shape != parameter.shape:
            found = "none" if key is None else list(weights[key].shape)
            raise CorruptDataError(
                f"{_BEFORE}{module}.{plain}: expected {list(parameter.shape)} in the adapter, found {found}"
            )
        keys[name] = key

    def read() -> Tensor:
        torch = import_torch()
        base = layer.get_base_layer()
        for name, key in keys.items():
            _set(layer, name, weights[key])
        _set(base, "weight", tensor.read())
        layer.merge()
        merged: Tensor = base.weight.detach().to(tensor.dtype)
        # Back to no memory, and ready to be read again.
        layer.merged_adapters.clear()
        _set(base, "weight", torch.empty(tensor.shape, dtype=tensor.dtype, device="meta"))
        return merged

    return LazyTensor(tensor.shape, tensor.dtype, tensor.place, read), list(keys.values())


def _set(module: Any, name: str, value: Tensor) -> None:
    """Replaces a parameter of a module or of a module inside it."""
    torch = import_torch()
    *path, last = name.split(".")
    for part in path:
        module = module[part] if isinstance(module, torch.nn.ParameterDict) else getattr(module, part)
    parameter = torch.nn.Parameter(value, requires_grad=False)
    if isinstance(module, torch.nn.ParameterDict):
        module[last] = parameter
    else:
        setattr(module, last, parameter)
