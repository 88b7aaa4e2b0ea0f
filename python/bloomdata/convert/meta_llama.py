"""Meta's own files of Llama, `consolidated.00.pth`, ..., read as a model of Hugging Face."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from bloomdata.convert.checkpoints import Checkpoint
from bloomdata.convert.layouts import LLAMA, check_model, sizes_of
from bloomdata.convert.ranks import average, join
from bloomdata.convert.tensors import LazyTensor, Tensors
from bloomdata.convert.torch_files import read_torch
from bloomdata.errors import CorruptDataError, UnsupportedFormatError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

# Meta's name -> ours, and the dimension that their shards cut.
_NAMES: dict[str, tuple[str, int | None]] = {
    "tok_embeddings.weight": ("embed_tokens.weight", 1),
    "norm.weight": ("norm.weight", None),
    "output.weight": ("lm_head.weight", 0),
    "attention.wq.weight": ("self_attn.q_proj.weight", 0),
    "attention.wk.weight": ("self_attn.k_proj.weight", 0),
    "attention.wv.weight": ("self_attn.v_proj.weight", 0),
    "attention.wo.weight": ("self_attn.o_proj.weight", 1),
    "feed_forward.w1.weight": ("mlp.gate_proj.weight", 0),
    "feed_forward.w2.weight": ("mlp.down_proj.weight", 1),
    "feed_forward.w3.weight": ("mlp.up_proj.weight", 0),
    "attention_norm.weight": ("input_layernorm.weight", None),
    "ffn_norm.weight": ("post_attention_layernorm.weight", None),
}
# Constants, which the model computes itself.
_BUFFER = re.compile(r"(layers\.\d+\.attention\.inner_attention\.)?rope\.freqs")


def is_meta(folder: Path) -> bool:
    """Whether a folder holds Meta's files of Llama."""
    return (folder / "params.json").exists() and (folder / "consolidated.00.pth").exists()


def open_meta(folder: Path) -> Checkpoint:
    """Opens Meta's files of Llama 1 or 2.

    Raises:
        CorruptDataError: A file or a tensor is missing or damaged, or `params.json` lacks a size.
        UnsupportedFormatError: A tensor does not belong to Llama.
    """
    paths = sorted(folder.glob("consolidated.*.pth"))
    for index, path in enumerate(paths):
        if path.name != f"consolidated.{index:02d}.pth":
            raise CorruptDataError(f"{folder / f'consolidated.{index:02d}.pth'}: expected, found none")
    shards = [read_torch(path) for path in paths]
    drift: dict[str, float] = {}
    merged: Tensors = {}
    for name, first in shards[0].items():
        if _BUFFER.fullmatch(name):
            continue
        number, rest = _place(name)
        if rest not in _NAMES:
            raise UnsupportedFormatError(f"{first.place}: expected weights of Llama, found {name}")
        if any(name not in shard for shard in shards):
            raise CorruptDataError(f"{first.place}: expected in all {len(shards)} files, found in fewer")
        new, dimension = _NAMES[rest]
        full = LLAMA.full(new if number is None else f"layers.{number}.{new}")
        parts = [shard[name] for shard in shards]
        merged[full] = average(full, parts, drift) if dimension is None else join(parts, dimension)
    config = _config(folder / "params.json", merged)
    sizes = sizes_of(config, folder / "params.json")
    tensors = {
        name: _halves(tensor, sizes.head) if name.endswith(("q_proj.weight", "k_proj.weight")) else tensor
        for name, tensor in merged.items()
    }
    check_model(tensors, LLAMA, sizes, folder)
    return Checkpoint(folder=folder, config=config, layout=LLAMA, sizes=sizes, tensors=tensors, drift=drift)


def _place(name: str) -> tuple[str | None, str]:
    found = re.fullmatch(r"layers\.(\d+)\.(.+)", name)
    return (found[1], found[2]) if found else (None, name)


def _config(path: Path, tensors: Tensors) -> dict[str, Any]:
    """The `config.json` that Hugging Face's converter would write."""
    try:
        params = json.loads(path.read_bytes())
        heads = params["n_heads"]
        embedding = tensors["model.embed_tokens.weight"]
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": params["dim"],
            "intermediate_size": tensors["model.layers.0.mlp.gate_proj.weight"].shape[0],
            "num_attention_heads": heads,
            "num_hidden_layers": params["n_layers"],
            "num_key_value_heads": params.get("n_kv_heads") or heads,
            "rms_norm_eps": params["norm_eps"],
            "rope_theta": params.get("rope_theta", 10_000.0),
            # Not in Meta's file: that of Llama 1.
            "max_position_embeddings": 2048,
            # Meta's file says -1: whatever the tokenizer has.
            "vocab_size": embedding.shape[0],
            "hidden_act": "silu",
            "bos_token_id": 1,
            "eos_token_id": 2,
            "tie_word_embeddings": False,
            "dtype": str(embedding.dtype).removeprefix("torch."),
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptDataError(f"{path}: expected the sizes of a Llama: {error!r}") from None


def _halves(tensor: LazyTensor, head: int) -> LazyTensor:
    """Rows of queries or keys: Meta rotates neighbours, Hugging Face the first half of a head with the second."""

    def read() -> Tensor:
        columns = math.prod(tensor.shape[1:])
        rows = tensor.read().view(-1, head // 2, 2, columns).transpose(1, 2)
        return rows.reshape(tensor.shape)

    return LazyTensor(tensor.shape, tensor.dtype, tensor.place, read)
