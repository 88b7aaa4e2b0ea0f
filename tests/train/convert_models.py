"""Small random models in folders of Hugging Face, and what is in such folders."""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import tempfile
from pathlib import Path

SIZES = {
    "bloom": {"vocab_size": 100, "hidden_size": 32, "n_layer": 3, "n_head": 8},
    "llama": {
        "vocab_size": 100,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
    },
    "gpt_neox": {
        "vocab_size": 100,
        "hidden_size": 32,
        "intermediate_size": 128,
        "num_hidden_layers": 3,
        "num_attention_heads": 8,
    },
}


def new_model(family, dtype="float32", **sizes):
    """A model in which no two weights are equal: fresh biases and norms would be."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **{**SIZES.get(family, {}), **sizes})
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.to(getattr(torch, dtype)).eval()


@functools.cache
def folder_of(family, dtype="float32", *, shard=None, bare=False, pickled=False):
    """A folder with a model and the files beside it; to be read only."""
    import torch

    folder = Path(tempfile.mkdtemp(prefix="bloomdata-convert-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    model = new_model(family, dtype)
    model.save_pretrained(folder, max_shard_size=shard or "5GB")
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).write_text(json.dumps({"name": name}))
    if bare or pickled:
        state = load(folder)
        for path in folder.glob("model*"):
            path.unlink()
        if bare:
            state = {name.removeprefix("transformer."): tensor for name, tensor in state.items()}
        if pickled:
            torch.save(state, folder / "pytorch_model.bin")
        else:
            from safetensors.torch import save_file

            save_file(state, folder / "model.safetensors", {"format": "pt"})
    return folder


def load(folder):
    """All tensors of a folder of Hugging Face, by the safetensors library."""
    from safetensors.torch import load_file

    return {
        name: tensor
        for path in sorted(Path(folder).glob("model*.safetensors"))
        for name, tensor in load_file(path).items()
    }


def assert_same(found, expected):
    """Equal names, types, shapes and bits."""
    import torch

    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype, name
        assert found[name].shape == tensor.shape, name
        assert torch.equal(
            found[name].contiguous().reshape(-1).view(torch.uint8), tensor.contiguous().reshape(-1).view(torch.uint8)
        ), name


def copy_of(folder, target):
    """A copy that a test may damage."""
    return Path(shutil.copytree(folder, target))
