"""`tp`: Hugging Face folders to shards of tensor parallelism, back, and from any number of shards to any other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from bloomdata.convert.checkpoints import (
    Checkpoint,
    input_folder,
    open_huggingface,
    read_config,
    write_companions,
    write_huggingface,
)
from bloomdata.convert.layouts import Layout, Sizes, check_divides, check_model
from bloomdata.convert.ranks import average, cut, join, pad_rows, split
from bloomdata.convert.run import convert
from bloomdata.convert.safetensors_files import read_safetensors, write_safetensors
from bloomdata.convert.tensors import LazyTensor, Tensors, total_bytes
from bloomdata.errors import CorruptDataError, UnsupportedFormatError
from bloomdata.options.padded_vocabulary import padded_vocab_size

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from pathlib import Path

    from bloomdata.convert.output import OnProgress, Output
    from bloomdata.convert.ranks import VocabPadding
    from bloomdata.convert.report import ConversionReport

_NAME = re.compile(r"model-tp-(\d+)-of-(\d+)\.safetensors")


def tp(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    tensor_parallel: int,
    vocab_divisible_by: int = 128,
    pad_vocab_size_to: int | None = None,
    vocab_padding: Literal["repeat", "zeros"] = "repeat",
    max_shard_bytes: int = 5_000_000_000,
    verify: bool = False,
    overwrite: bool = False,
    on_progress: OnProgress = None,
) -> ConversionReport:
    """Changes the number of tensor-parallel shards of a model.

    Shards are files `model-tp-00-of-08.safetensors` with the names of Hugging Face; one shard is a folder that
    `from_pretrained` loads. Layer norms and the biases behind a sum are in every shard; where these copies differ, as
    in checkpoints of training runs that did not keep them in step, the report says by how much, and the mean is taken.
    Memory: one part of one tensor; with `verify`, the model in float32.

    Args:
        source: A folder of Hugging Face (BLOOM, Llama, Mistral, Qwen2 or GPT-NeoX), or one with shards of this kind.
        output: Folder to write.
        tensor_parallel: Number of shards; 1 writes a folder of Hugging Face. Must divide the number of heads, and of
            key and value heads.
        vocab_divisible_by: Rows of the embedding in a shard are padded to a multiple of this, as Megatron does.
        pad_vocab_size_to: Rows of the embedding in all shards together instead.
        vocab_padding: What the padding rows hold: the last rows once more, or zeros. They are cut off on the way back.
        max_shard_bytes: Size of a file of weights in a folder of Hugging Face.
        verify: Whether to compare the logits of both sides on random ids.
        overwrite: Whether to discard an earlier conversion in `output`.
        on_progress: Function called after every tensor with (total bytes, bytes read, tensors, bytes written).

    Returns:
        A report, with the tensors that had drifted apart.

    Raises:
        ConfigError: The number of shards divides the heads or the vocabulary badly, or the output holds other files.
        CorruptDataError: A shard or a tensor is missing, damaged, or has the wrong shape.
        MismatchError: The output holds another conversion, or logits differ.
        UnsupportedFormatError: The model is of another family.

    Origin:
        `tools/convert_checkpoint` of bigscience's Megatron-DeepSpeed; `convert_tp.py`, which AscendSpeed's README
        announces. The mean is computed in float64, not in the type of the tensors.

    Command line:
        bloomdata-cli convert tp bloom-hf/ shards/ --tensor-parallel 8 --verify
        bloomdata-cli convert tp shards/ bloom-hf/ --tensor-parallel 1

    Example:
        >>> report = bloomdata.convert.tp("bloom-hf", "shards", tensor_parallel=8)  # doctest: +SKIP
    """
    folder = input_folder(source)

    def write(out: Output, checkpoint: Checkpoint) -> None:
        check_divides(tensor_parallel, checkpoint.sizes)
        if tensor_parallel == 1:
            write_huggingface(out, checkpoint, max_shard_bytes)
            return
        rows = padded_vocab_size(
            checkpoint.sizes.vocab,
            tensor_parallel,
            vocab_divisible_by=vocab_divisible_by,
            pad_vocab_size_to=pad_vocab_size_to,
        )
        ranks = split_model(checkpoint, tensor_parallel, rows, vocab_padding)
        out.expect(sum(total_bytes(tensors) for tensors in ranks))
        for rank, tensors in enumerate(ranks):
            with out.file(f"model-tp-{rank:02d}-of-{tensor_parallel:02d}.safetensors") as file:
                write_safetensors(file, tensors)
        write_companions(out, checkpoint)

    return convert(
        "tp",
        [folder],
        output,
        options={
            "tensor_parallel": tensor_parallel,
            "vocab_divisible_by": vocab_divisible_by,
            "pad_vocab_size_to": pad_vocab_size_to,
            "vocab_padding": vocab_padding,
            "max_shard_bytes": max_shard_bytes,
        },
        read=lambda: open_model(folder),
        write=write,
        reread=open_model,
        verify=verify,
        overwrite=overwrite,
        on_progress=on_progress,
    )


def split_model(checkpoint: Checkpoint, ranks: int, num_rows: int, vocab_padding: VocabPadding) -> list[Tensors]:
    """The tensors of every rank, under the names of the model."""
    padded: dict[str, tuple[LazyTensor, int | None]] = {}
    for name, tensor in checkpoint.tensors.items():
        rule = checkpoint.layout.rule(name)
        assert rule is not None
        is_vocab = rule.shape.startswith("vocab")
        padded[name] = (pad_rows(tensor, num_rows, vocab_padding) if is_vocab else tensor, rule.split)
    return [
        {name: split(tensor, dimension, rank, ranks) for name, (tensor, dimension) in padded.items()}
        for rank in range(ranks)
    ]


def merge_model(ranks: Sequence[Tensors], layout: Layout, sizes: Sizes, drift: dict[str, float]) -> Tensors:
    """The model that the tensors of all ranks make, without padding rows.

    Raises:
        CorruptDataError: A rank lacks a tensor or has others, or shapes differ.
        UnsupportedFormatError: A tensor does not belong to the family.
    """
    merged: Tensors = {}
    for name, first in ranks[0].items():
        for tensors in ranks[1:]:
            if name not in tensors:
                place = next(iter(tensors.values())).place if tensors else "rank without tensors"
                raise CorruptDataError(f"{place}: expected {name} beside it, as in {first.place}, found none")
        parts = [tensors[name] for tensors in ranks]
        rule = layout.rule(name)
        if rule is None:
            raise UnsupportedFormatError(f"{first.place}: expected weights of {layout.model_types[0]}, found {name}")
        if rule.split is None:
            merged[name] = average(name, parts, drift)
            continue
        tensor = join(parts, rule.split)
        if rule.shape.startswith("vocab") and tensor.shape[0] > sizes.vocab:
            tensor = cut(tensor, 0, 0, sizes.vocab)
        merged[name] = tensor
    extra = next((tensor for tensors in ranks[1:] for name, tensor in tensors.items() if name not in merged), None)
    if extra is not None:
        raise CorruptDataError(f"{extra.place}: expected no tensor that rank 0 lacks")
    return merged


def open_model(folder: Path) -> Checkpoint:
    """Opens a folder of Hugging Face, or one of our shards."""
    found = {path: match for path in sorted(folder.iterdir()) if (match := _NAME.fullmatch(path.name))}
    if not found:
        return open_huggingface(folder)
    config, layout, sizes = read_config(folder)
    counts = {int(match[2]) for match in found.values()}
    if len(counts) > 1:
        raise CorruptDataError(f"{folder}: expected shards of one number of ranks, found {sorted(counts)}")
    ranks = []
    for rank in range(count := counts.pop()):
        path = folder / f"model-tp-{rank:02d}-of-{count:02d}.safetensors"
        if path not in found:
            raise CorruptDataError(f"{path}: expected {count} shards, found none of this name")
        ranks.append(read_safetensors(path))
    drift: dict[str, float] = {}
    tensors = merge_model(ranks, layout, sizes, drift)
    check_model(tensors, layout, sizes, folder)
    return Checkpoint(folder=folder, config=config, layout=layout, sizes=sizes, tensors=tensors, drift=drift)
