"""Reads a folder of a model: weights, adapter, tokenizer; and says what is wrong with it."""

from __future__ import annotations

import importlib
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError, CorruptDataError
from bloomdata.tokenizers.tokenizer import Tokenizer

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from bloomdata.inference.streaming import TextTokenizer


@contextmanager
def explained(model: str) -> Iterator[None]:
    """Errors of transformers and torch, with what they mean for a model and what would help."""
    import torch
    from safetensors import SafetensorError

    try:
        yield
    except torch.OutOfMemoryError as error:
        first = str(error).split(". ", 1)[0]
        raise ConfigError(
            f'model: {model} does not fit the memory of the accelerator: use dtype="int8" or dtype="bfloat16", a '
            f"smaller max_new_tokens or batch_tokens, or cpu_memory=... for a part of the weights ({first})"
        ) from error
    except SafetensorError as error:
        raise CorruptDataError(f"model: {model}: damaged weights: {error}") from error
    except ImportError as error:
        raise ConfigError(f"model: {model} needs a package that is not installed: {error}") from error


def folder_of(model: str, gguf_file: str | None) -> tuple[Path, str | None]:
    """The folder of a model, and the GGUF file in it that is wanted; arguments and errors as for `load`."""
    path = Path(model)
    if path.is_file() and path.suffix == ".gguf":
        return path.parent, path.name
    if not path.is_dir() and re.fullmatch(r"[\w.-]+/[\w.-]+", model) and not path.parent.exists():
        path = _from_hub(model)
    wanted = gguf_file or "config.json"
    if not (path / wanted).is_file():
        found = f"none in {model}" if path.is_dir() else f"no folder {model}"
        raise ConfigError(f"model: expected a folder with {wanted}, found {found}")
    return path, gguf_file


def _from_hub(model: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(model, allow_patterns=["*.json", "*.jinja", "*.safetensors", "*.model", "*.txt"]))
    except (HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError, OSError) as error:
        raise ConfigError(f"model: found no folder {model}, and could not get it from the Hub: {error}") from error


def read_network(folder: Path, gguf_file: str | None, options: dict[str, Any]) -> Any:
    """The network of a folder, with all of its weights; errors as for `load`."""
    from transformers import AutoModelForCausalLM

    more = {} if gguf_file is None else {"gguf_file": gguf_file}
    try:
        network, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True, **more, **options)
    except (ValueError, OSError, KeyError, IndexError) as error:
        # What is said of files that are cut differs by format and version.
        kind = ConfigError if isinstance(error, OSError) else CorruptDataError
        raise kind(f"model: {folder}: {error}") from error
    if missing := sorted(info["missing_keys"]) + sorted(str(key) for key in info["mismatched_keys"]):
        raise CorruptDataError(
            f"model: {folder}: expected weights for all of the network, found none that fit for {missing[0]} and "
            f"{len(missing) - 1} others"
        )
    if any(".embed_norm." in key for key in info["unexpected_keys"]):
        from bloomdata.train.stable_embedding import add_stable_embedding

        add_stable_embedding(network, folder=str(folder), draw=False)
    return network


def with_adapter(network: Any, adapter: str | os.PathLike[str]) -> Any:
    """A network with a LoRA adapter: merged, or beside weights of 8 bits."""
    if not (Path(adapter) / "adapter_config.json").is_file():
        raise ConfigError(f"adapter: expected a folder with adapter_config.json, found none in {adapter}")
    try:
        peft = importlib.import_module("peft")
    except ImportError as error:
        raise ConfigError(f"adapter needs peft: pip install peft ({error})") from error
    adapted = peft.PeftModel.from_pretrained(network, adapter)
    return adapted if getattr(network, "is_quantized", False) else adapted.merge_and_unload()


def read_tokenizer(folder: Path, gguf_file: str | None) -> TextTokenizer:
    """The tokenizer of a folder: ours, as in training, wherever there is a `tokenizer.json`."""
    from transformers import AutoTokenizer

    if gguf_file is None and (folder / "tokenizer.json").is_file():
        return Tokenizer(folder)
    more = {} if gguf_file is None else {"gguf_file": gguf_file}
    try:
        tokenizer: TextTokenizer = AutoTokenizer.from_pretrained(folder, **more)
    except (ValueError, OSError, KeyError) as error:
        raise ConfigError(f"model: {folder}: found no tokenizer that can be read: {error}") from error
    return tokenizer
