"""`mindformers`: BLOOM under the names and in the order of MindFormers, and back."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bloomdata.convert.checkpoints import (
    Checkpoint,
    companions_of,
    dtype_change,
    input_folder,
    is_huggingface,
    open_huggingface,
    read_config,
    write_companions,
    write_huggingface,
)
from bloomdata.convert.layouts import BLOOM, check_model
from bloomdata.convert.mindspore_files import SUFFIXES, read_mindspore, write_mindspore
from bloomdata.convert.mindspore_strategies import read_ranks, read_strategies, without_optimizer
from bloomdata.convert.run import convert
from bloomdata.convert.tensors import LazyTensor, Tensors, cast, cast_tolerance, import_torch, total_bytes
from bloomdata.errors import ConfigError, CorruptDataError, UnsupportedFormatError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from torch import Tensor

    from bloomdata.convert.output import OnProgress, Output
    from bloomdata.convert.report import ConversionReport

_NAME = "combine"
_FORMATS = ("huggingface", "safetensors", "npz", "ckpt")
# Names without `h.0.` and `blocks.0.`. Where MindFormers has a matrix transposed, its name is marked.
_RENAMED = {
    "word_embeddings.weight": "embedding.word_embedding.embedding_table",
    "word_embeddings_layernorm.weight": "embedding.norm.gamma",
    "word_embeddings_layernorm.bias": "embedding.norm.beta",
    "ln_f.weight": "ln_f.gamma",
    "ln_f.bias": "ln_f.beta",
    "lm_head.weight": "head.weight",
    "input_layernorm.weight": "layernorm1.gamma",
    "input_layernorm.bias": "layernorm1.beta",
    "self_attention.dense.weight": "attention.projection.weight",
    "self_attention.dense.bias": "attention.projection.bias",
    "post_attention_layernorm.weight": "layernorm2.gamma",
    "post_attention_layernorm.bias": "layernorm2.beta",
    "mlp.dense_h_to_4h.weight": "output.mapping.weight",
    "mlp.dense_h_to_4h.bias": "output.mapping.bias",
    "mlp.dense_4h_to_h.weight": "output.projection.weight",
    "mlp.dense_4h_to_h.bias": "output.projection.bias",
}
_TRANSPOSED = {"self_attention.dense.weight", "mlp.dense_h_to_4h.weight", "mlp.dense_4h_to_h.weight"}
_FUSED = "self_attention.query_key_value."
# Query, key and value.
_SPLIT = ("attention.dense1.", "attention.dense2.", "attention.dense3.")


def mindformers(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    format: Literal["huggingface", "safetensors", "npz", "ckpt"] | None = None,  # noqa: A002 - the name that `pack` has
    dtype: Literal["float32", "float16", "bfloat16"] | None = None,
    strategy: str | os.PathLike[str] | None = None,
    config: str | os.PathLike[str] | None = None,
    max_shard_bytes: int = 5_000_000_000,
    verify: bool = False,
    overwrite: bool = False,
    on_progress: OnProgress = None,
) -> ConversionReport:
    """Converts a BLOOM model to one file of MindFormers, or files of MindFormers to Hugging Face or to one file.

    Query, key and value, which BLOOM has fused head by head, become three matrices; three others are transposed. Of the
    folders `rank_0`, ... of a distributed run, whole tensors are made by its strategy files; the state of the optimizer
    is left out. MindSpore need not be installed. Memory: two tensors; with `verify`, the model in float32.

    Args:
        source: A folder of Hugging Face, a `.ckpt`, `.safetensors` or `.npz` of MindFormers, or a folder with one of
            these or with a folder for each rank, `rank_0` and so on.
        output: Folder to write.
        format: What to write: `huggingface`, or `combine.safetensors`, `combine.npz` or `combine.ckpt` of MindFormers.
            By default safetensors for a folder of Hugging Face, and Hugging Face for anything else.
        dtype: Type of the weights in the output; as in the source by default. MindFormers' own converter writes
            float32. NumPy has no bfloat16.
        strategy: Strategy files of the run that wrote `rank_0`, ...: one merged file, or a folder.
        config: Folder with the `config.json` and the tokenizer of the model, if the source has none.
        max_shard_bytes: Size of a file of weights in a folder of Hugging Face.
        verify: Whether to compare the logits of both sides on random ids.
        overwrite: Whether to discard an earlier conversion in `output`.
        on_progress: Function called after every tensor with (total bytes, bytes read, tensors, bytes written).

    Raises:
        ConfigError: An option is invalid, strategy files are missing, or the output holds other files.
        CorruptDataError: A file or a tensor is missing, damaged, or has the wrong shape.
        MismatchError: The output holds another conversion, or logits differ.
        UnsupportedFormatError: The model is no BLOOM.

    Origin:
        `mindformers/models/bloom/convert_weight.py` and `convert_reversed.py` of mindformers (0e9a9746f);
        `transform_checkpoints` of MindSpore, for a destination without a strategy.

    Command line:
        bloomdata-cli convert mindformers bloom-hf/ bloom-ms/ --format ckpt --dtype float32
        bloomdata-cli convert mindformers checkpoint/ bloom-hf/ --strategy strategy/ --config bloom-560m/

    Example:
        >>> report = bloomdata.convert.mindformers("bloom-hf", "bloom-ms", format="npz")  # doctest: +SKIP
    """
    path = Path(source)
    if not path.is_file():
        input_folder(path)
    from_huggingface = path.is_dir() and is_huggingface(path)
    target = format or ("safetensors" if from_huggingface else "huggingface")
    companions, config_path = companions_of(path if path.is_dir() else path.parent, config)
    strategies = None if strategy is None else Path(strategy)

    def read() -> Checkpoint:
        return open_huggingface(path) if from_huggingface else open_mindformers(path, companions, strategies)

    def write(out: Output, checkpoint: Checkpoint) -> None:
        if target not in _FORMATS:
            raise ConfigError(f"format: expected one of {', '.join(_FORMATS)}, got {target!r}")
        if checkpoint.layout is not BLOOM:
            raise UnsupportedFormatError(
                f"{path}: model_type: expected bloom, found {checkpoint.config['model_type']!r}"
            )
        tensors = cast(checkpoint.tensors, dtype)
        changes = dtype_change(checkpoint, dtype)
        if target == "huggingface":
            written = dataclasses.replace(checkpoint, tensors=tensors)
            write_huggingface(out, written, max_shard_bytes, changes)
            return
        out.expect(total_bytes(tensors))
        with out.file(f"{_NAME}.{target}") as file:
            write_mindspore(file, to_mindformers(tensors, checkpoint.sizes.heads))
        write_companions(out, checkpoint, changes)

    return convert(
        "mindformers",
        [path, strategies, config_path],
        output,
        options={"format": target, "dtype": dtype, "max_shard_bytes": max_shard_bytes},
        read=read,
        write=write,
        reread=open_huggingface
        if target == "huggingface"
        else lambda written: open_mindformers(written, written, None),
        verify=verify,
        overwrite=overwrite,
        on_progress=on_progress,
        tolerance=cast_tolerance(dtype),
    )


def to_mindformers(tensors: Tensors, num_heads: int) -> Tensors:
    """Tensors of Hugging Face under MindFormers' names, in MindFormers' order. The prefix stays if there is one."""
    renamed: Tensors = {}
    for name, tensor in tensors.items():
        number, rest = BLOOM.place(name)
        # The output head has no prefix in either.
        before = BLOOM.prefix if name.startswith(BLOOM.prefix) else ""
        before += "" if number is None else f"blocks.{number}."
        if rest.startswith(_FUSED):
            part = rest.removeprefix(_FUSED)
            for axis, new in enumerate(_SPLIT):
                renamed[before + new + part] = _unfused(tensor, num_heads, axis)
        else:
            renamed[before + _RENAMED[rest]] = _transposed(tensor) if rest in _TRANSPOSED else tensor
    return renamed


def from_mindformers(tensors: Tensors, num_heads: int) -> Tensors:
    """Tensors of MindFormers as those of Hugging Face.

    Raises:
        CorruptDataError: One of query, key and value is missing.
        UnsupportedFormatError: A name does not belong to BLOOM.
    """
    names = {new: name for name, new in _RENAMED.items()}
    renamed: Tensors = {}
    for name, tensor in tensors.items():
        found = re.fullmatch(r"(?:transformer\.)?(?:blocks\.(\d+)\.)?(.+)", name)
        assert found is not None
        before, rest = ("" if found[1] is None else f"h.{found[1]}."), found[2]
        if rest.startswith(_SPLIT):
            kind, part = rest[: len(_SPLIT[0])], rest[len(_SPLIT[0]) :]
            beside = [name[: -len(rest)] + new + part for new in _SPLIT]
            missing = [other for other in beside if other not in tensors or tensors[other].shape != tensor.shape]
            if missing:
                raise CorruptDataError(f"{tensor.place}: expected {missing[0]} of the same shape beside it, found none")
            if kind == _SPLIT[0]:
                renamed[BLOOM.full(before + _FUSED + part)] = _fused([tensors[other] for other in beside], num_heads)
        elif rest in names:
            bare = names[rest]
            renamed[BLOOM.full(before + bare)] = _transposed(tensor) if bare in _TRANSPOSED else tensor
        else:
            raise UnsupportedFormatError(f"{tensor.place}: expected weights of BLOOM, found {name}")
    return renamed


def _transposed(tensor: LazyTensor) -> LazyTensor:
    return _made(tensor, tensor.shape[::-1], lambda: tensor.read().t().contiguous())


def _unfused(tensor: LazyTensor, num_heads: int, axis: int) -> LazyTensor:
    """Query, key or value of the rows, which are grouped by head, then by these three."""
    rows, rest = tensor.shape[0], tensor.shape[1:]
    return _made(
        tensor,
        (rows // 3, *rest),
        lambda: tensor.read().view(num_heads, 3, rows // 3 // num_heads, *rest)[:, axis].reshape(rows // 3, *rest),
    )


def _fused(parts: list[LazyTensor], num_heads: int) -> LazyTensor:
    first = parts[0]
    rows, rest = first.shape[0], first.shape[1:]
    if rows % num_heads:
        raise CorruptDataError(f"{first.place}: expected a multiple of {num_heads} rows, found {rows}")

    def read() -> Tensor:
        fused = import_torch().empty((num_heads, 3, rows // num_heads, *rest), dtype=first.dtype)
        for axis, part in enumerate(parts):
            fused[:, axis] = part.read().view(num_heads, rows // num_heads, *rest)
        whole: Tensor = fused.view(3 * rows, *rest)
        return whole

    return _made(first, (3 * rows, *rest), read)


def _made(tensor: LazyTensor, shape: tuple[int, ...], read: Callable[[], Tensor]) -> LazyTensor:
    return LazyTensor(shape, tensor.dtype, tensor.place, read)


def open_mindformers(path: Path, companions: Path, strategies: Path | None) -> Checkpoint:
    """Opens a file of MindFormers, or a folder with one or with folders of ranks."""
    config, layout, sizes = read_config(companions)
    if layout is not BLOOM:
        raise UnsupportedFormatError(f"{companions}: model_type: expected bloom, found {config['model_type']!r}")
    if path.is_dir() and (path / "rank_0").is_dir():
        found = read_ranks(path, None if strategies is None else read_strategies(strategies))
    else:
        files = [path] if path.is_file() else sorted(file for file in path.iterdir() if file.suffix in SUFFIXES)
        if len(files) != 1:
            raise ConfigError(
                f"source: {path}: expected one file of {', '.join(SUFFIXES)} or rank_0, found {len(files)}"
            )
        found = read_mindspore(files[0])
    kept, left_out = without_optimizer(found)
    tensors = from_mindformers(kept, sizes.heads)
    check_model(tensors, layout, sizes, path)
    return Checkpoint(folder=companions, config=config, layout=layout, sizes=sizes, tensors=tensors, left_out=left_out)
