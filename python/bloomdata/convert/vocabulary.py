"""`grow`: more rows for the embedding and the output head, for a tokenizer with added tokens."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING

from bloomdata.convert.checkpoints import Checkpoint, input_folder, open_huggingface, write_huggingface
from bloomdata.convert.meta_llama import is_meta, open_meta
from bloomdata.convert.run import convert
from bloomdata.convert.tensors import LazyTensor, import_torch
from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    import os

    from torch import Tensor

    from bloomdata.convert.output import OnProgress, Output
    from bloomdata.convert.report import ConversionReport


def grow(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    vocab_size: int,
    standard_deviation: float = 0.001,
    seed: int = 0,
    max_shard_bytes: int = 5_000_000_000,
    verify: bool = False,
    overwrite: bool = False,
    on_progress: OnProgress = None,
) -> ConversionReport:
    """Adds rows to the embedding and the output head of a model; those it has stay as they are, bit for bit.

    The tokenizer is copied as it is: put the one with the added tokens (`extend_vocabulary` makes it) into the output.
    Memory: two tensors; with `verify`, the model in float32.

    Args:
        source: A folder of Hugging Face, or one of Meta's for Llama 1 or 2, with `consolidated.00.pth`, ... and
            `params.json`, which does not say how long texts may be: set `max_position_embeddings` to 4096 for Llama 2.
        output: Folder to write.
        vocab_size: Rows of the output; at least those of the source.
        standard_deviation: New rows are normally distributed around 0 with this deviation.
        seed: Seed of the new rows; each tensor has its own stream of random numbers.
        max_shard_bytes: Size of a file of weights.
        verify: Whether to compare the logits of the old tokens with those of the source, on random ids.
        overwrite: Whether to discard an earlier conversion in `output`.
        on_progress: Function called after every tensor with (total bytes, bytes read, tensors, bytes written).

    Raises:
        ConfigError: The source has more rows, or the output holds other files.
        CorruptDataError: A tensor is missing, damaged, or has the wrong shape.
        MismatchError: The output holds another conversion, or logits differ.
        UnsupportedFormatError: The model is of another family.

    Origin:
        `utils/convert_ckpt.py` of Open-Llama (0157b69), which takes Meta's file of Llama-7B only, and leaves the rows
        of queries and keys in Meta's order.

    Command line:
        bloomdata-cli convert grow llama-hf/ grown-hf/ --vocab-size 68762
        bloomdata-cli convert grow Llama-2-7b/ llama-hf/ --vocab-size 32000 --verify

    Example:
        >>> report = bloomdata.convert.grow("llama-hf", "grown-hf", vocab_size=68_762)  # doctest: +SKIP
    """
    folder = input_folder(source)
    if not standard_deviation >= 0:
        raise ConfigError(f"standard_deviation: expected a number from 0 on, got {standard_deviation}")

    def write(out: Output, checkpoint: Checkpoint) -> None:
        if vocab_size < checkpoint.sizes.vocab:
            raise ConfigError(f"vocab_size: expected {checkpoint.sizes.vocab} or more, got {vocab_size}")
        tensors = dict(checkpoint.tensors)
        for name, tensor in tensors.items():
            rule = checkpoint.layout.rule(name)
            if rule is not None and rule.shape.startswith("vocab"):
                tensors[name] = _grown(tensor, vocab_size, standard_deviation, _seed(seed, name))
        written = dataclasses.replace(checkpoint, tensors=tensors)
        write_huggingface(out, written, max_shard_bytes, {"vocab_size": vocab_size})

    return convert(
        "grow",
        [folder],
        output,
        options={
            "vocab_size": vocab_size,
            "standard_deviation": standard_deviation,
            "seed": seed,
            "max_shard_bytes": max_shard_bytes,
        },
        read=lambda: open_meta(folder) if is_meta(folder) else open_huggingface(folder),
        write=write,
        reread=open_huggingface,
        verify=verify,
        overwrite=overwrite,
        on_progress=on_progress,
        # A larger output matrix may be summed up in another order.
        tolerance=1e-5,
    )


def _seed(seed: int, name: str) -> int:
    """Seed of a tensor, so that two tensors do not get the same rows."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "little") >> 1


def _grown(tensor: LazyTensor, num_rows: int, standard_deviation: float, seed: int) -> LazyTensor:
    shape = (num_rows, *tensor.shape[1:])

    def read() -> Tensor:
        torch = import_torch()
        grown: Tensor = torch.empty(shape, dtype=tensor.dtype)
        old = tensor.shape[0]
        grown[:old] = tensor.read()
        new = torch.randn((num_rows - old, *shape[1:]), generator=torch.Generator().manual_seed(seed))
        grown[old:] = (new * standard_deviation).to(tensor.dtype)
        return grown

    return LazyTensor(shape, tensor.dtype, tensor.place, read)
