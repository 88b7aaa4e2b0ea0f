"""A model as a folder of Hugging Face holds it: configuration, and tensors by name, whatever files they are in."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomdata.convert.layouts import Layout, Sizes, check_model, layout_of, sizes_of, weights_only
from bloomdata.convert.safetensors_files import read_safetensors, write_safetensors
from bloomdata.convert.tensors import LazyTensor, Tensors, total_bytes
from bloomdata.convert.torch_files import read_torch
from bloomdata.errors import ConfigError, CorruptDataError, UnsupportedFormatError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from bloomdata.convert.output import Output

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
# In the order in which transformers looks for them.
_WEIGHTS = (SINGLE, INDEX, "pytorch_model.bin", "pytorch_model.bin.index.json")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model.

    Attributes:
        folder: Where its `config.json` and its tokenizer are.
        config: Its `config.json`.
        layout: Its family.
        sizes: Its sizes.
        tensors: Its weights by their names in Hugging Face's format.
        drift: Filled while tensors are read: those that differ between ranks, and by how much.
        left_out: Tensors of the files that are no weights.
    """

    folder: Path
    config: Mapping[str, Any]
    layout: Layout
    sizes: Sizes
    tensors: Tensors
    drift: dict[str, float] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def input_folder(source: str | os.PathLike[str], option: str = "source") -> Path:
    """An input folder.

    Raises:
        ConfigError: There is a file instead.
        FileNotFoundError: There is nothing.
    """
    folder = Path(source)
    if not folder.exists():
        raise FileNotFoundError(2, "No such file or directory", str(folder))
    if not folder.is_dir():
        raise ConfigError(f"{option}: expected a folder, got the file {folder}")
    return folder


def companions_of(source: Path, config: str | os.PathLike[str] | None, *beside: Path) -> tuple[Path, Path | None]:
    """The folder with configuration and tokenizer, and its `config.json` as an input if it is not the source.

    Args:
        source: The source.
        config: The folder that was named.
        beside: Other folders where they may be.
    """
    if config is not None:
        folder = input_folder(config, "config")
    else:
        folder = next((place for place in (source, *beside) if (place / "config.json").exists()), source)
    path = folder / "config.json"
    return folder, path if folder != source and path.exists() else None


def read_config(folder: Path) -> tuple[dict[str, Any], Layout, Sizes]:
    """The configuration of a model, its family and its sizes.

    Raises:
        ConfigError: The folder has no `config.json`.
        CorruptDataError: It is no JSON object, or a size is missing.
        UnsupportedFormatError: The family is unknown.
    """
    path = folder / "config.json"
    if not path.exists():
        raise ConfigError(
            f"{folder}: expected a model's config.json, found none; config=FOLDER takes it from elsewhere"
        )
    config = _read_json(path)
    return config, layout_of(config, path), sizes_of(config, path)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise CorruptDataError(f"{path}: expected a JSON object, found other text")
    return found


def is_huggingface(folder: Path) -> bool:
    """Whether a folder holds weights under the names of Hugging Face."""
    return any((folder / name).exists() for name in _WEIGHTS)


def open_huggingface(folder: Path) -> Checkpoint:
    """Opens a folder of Hugging Face: `model.safetensors`, `pytorch_model.bin`, or one of them in shards.

    Raises:
        ConfigError: The folder has no weights, or no configuration.
        CorruptDataError: A file or a tensor is missing or damaged.
        UnsupportedFormatError: The family is unknown, or a tensor does not belong to it.
    """
    config, layout, sizes = read_config(folder)
    name = next((name for name in _WEIGHTS if (folder / name).exists()), None)
    if name is None:
        raise ConfigError(f"source: {folder}: expected one of {', '.join(_WEIGHTS)}, found none")
    found = _read_sharded(folder / name) if name.endswith(".json") else read_file(folder / name)
    tensors, left_out = weights_only(found, layout)
    check_model(tensors, layout, sizes, folder)
    return Checkpoint(folder=folder, config=config, layout=layout, sizes=sizes, tensors=tensors, left_out=left_out)


def read_file(path: Path) -> Tensors:
    """The tensors of a `.safetensors` file or of one of `torch.save`."""
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    if path.suffix in {".bin", ".pt", ".pth"}:
        return read_torch(path)
    raise UnsupportedFormatError(f"{path}: expected .safetensors, .bin, .pt or .pth")


def _read_sharded(index: Path) -> Tensors:
    places = _read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise CorruptDataError(f"{index}: weight_map: expected file names by tensor, found none")
    files: dict[str, Tensors] = {}
    for name in sorted(set(places.values())):
        path = index.parent / name
        if Path(name).name != name or not path.exists():
            raise CorruptDataError(f"{path}: expected by {index.name}, found none")
        files[name] = read_file(path)
    tensors: Tensors = {}
    for tensor, name in places.items():
        if tensor not in files[name]:
            raise CorruptDataError(f"{index.parent / name}: tensor {tensor}: expected by {index.name}, found none")
        tensors[tensor] = files[name][tensor]
    return tensors


def write_huggingface(
    output: Output, checkpoint: Checkpoint, max_shard_bytes: int, changes: Mapping[str, Any] | None = None
) -> None:
    """Writes a folder that `from_pretrained` loads: weights, configuration and tokenizer.

    Args:
        output: Where to.
        checkpoint: The model.
        max_shard_bytes: Size of a file of weights, except for a tensor that alone is larger.
        changes: Entries of `config.json` that are new or other.

    Raises:
        ConfigError: `max_shard_bytes` is not positive.
    """
    shards = _shards(checkpoint.tensors, max_shard_bytes)
    output.expect(total_bytes(checkpoint.tensors))
    if len(shards) == 1:
        with output.file(SINGLE) as file:
            write_safetensors(file, shards[0])
    else:
        places: dict[str, str] = {}
        for number, shard in enumerate(shards, 1):
            name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
            with output.file(name) as file:
                write_safetensors(file, shard)
            places |= dict.fromkeys(shard, name)
        output.write_json(INDEX, {"metadata": {"total_size": total_bytes(checkpoint.tensors)}, "weight_map": places})
    write_companions(output, checkpoint, changes)


def dtype_change(checkpoint: Checkpoint, dtype: str | None) -> dict[str, Any]:
    """The entry of `config.json` that says the type of the weights; it had another name before transformers 4.56."""
    return {} if dtype is None else {"torch_dtype" if "torch_dtype" in checkpoint.config else "dtype": dtype}


def write_companions(output: Output, checkpoint: Checkpoint, changes: Mapping[str, Any] | None = None) -> None:
    """Copies tokenizer and configuration."""
    if changes:
        output.write_json("config.json", {**checkpoint.config, **changes})
    output.copy_companions(checkpoint.folder, without=("config.json",) if changes else ())


def _shards(tensors: Mapping[str, LazyTensor], max_shard_bytes: int) -> list[Tensors]:
    """Tensors by file, in their order."""
    if max_shard_bytes < 1:
        raise ConfigError(f"max_shard_bytes: expected a number of bytes from 1 on, got {max_shard_bytes}")
    shards: list[Tensors] = [{}]
    size = 0
    for name, tensor in tensors.items():
        if shards[-1] and size + tensor.num_bytes > max_shard_bytes:
            shards.append({})
            size = 0
        shards[-1][name] = tensor
        size += tensor.num_bytes
    return shards
