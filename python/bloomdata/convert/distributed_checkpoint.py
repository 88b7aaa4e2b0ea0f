"""`dcp`: folders of torch.distributed.checkpoint, as FSDP writes them, to Hugging Face."""

from __future__ import annotations

import dataclasses
import re
import warnings
from typing import TYPE_CHECKING, Any, Literal

from bloomdata.convert.checkpoints import (
    Checkpoint,
    companions_of,
    dtype_change,
    input_folder,
    open_huggingface,
    read_config,
    write_huggingface,
)
from bloomdata.convert.layouts import Layout, check_model, weights_only
from bloomdata.convert.run import convert
from bloomdata.convert.tensors import LazyTensor, Tensors, cast, cast_tolerance, import_torch
from bloomdata.errors import ConfigError, CorruptDataError

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from torch import Tensor

    from bloomdata.convert.output import OnProgress, Output
    from bloomdata.convert.report import ConversionReport

_METADATA = ".metadata"
# What wrappers put into names: FSDP1, activation checkpointing, torch.compile, DDP.
_WRAPPERS = re.compile(r"(?:_fsdp_wrapped_module|_checkpoint_wrapped_module|_orig_mod)\.|^module\.")


def dcp(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    dtype: Literal["float32", "float16", "bfloat16"] | None = None,
    config: str | os.PathLike[str] | None = None,
    max_shard_bytes: int = 5_000_000_000,
    verify: bool = False,
    overwrite: bool = False,
    on_progress: OnProgress = None,
) -> ConversionReport:
    """Converts a folder of torch.distributed.checkpoint to one of Hugging Face.

    The weights may stand anywhere in the saved state (`model`, `app.model`, ...); optimizer, scheduler and the like are
    left out. Memory: two tensors; with `verify`, the model in float32. PyTorch unpickles the file `.metadata`, which
    can run code: convert only checkpoints that you trust.

    Args:
        source: A folder with `.metadata` and `*.distcp`.
        output: Folder to write.
        dtype: Type of the weights in the output; as in the source by default.
        config: Folder with the `config.json` and the tokenizer of the model. By default the source or the folder that
            holds it.
        max_shard_bytes: Size of a file of weights.
        verify: Whether to compare the logits of both sides on random ids.
        overwrite: Whether to discard an earlier conversion in `output`.
        on_progress: Function called after every tensor with (total bytes, bytes read, tensors, bytes written).

    Raises:
        ConfigError: There is no checkpoint or no configuration, or the output holds other files.
        CorruptDataError: A file or a tensor is missing, damaged, or has the wrong shape.
        MismatchError: The output holds another conversion, or logits differ.
        UnsupportedFormatError: The model is of another family.

    Origin:
        `torch.distributed.checkpoint.format_utils.dcp_to_torch_save`, which loads all of it, the optimizer too.

    Command line:
        bloomdata-cli convert dcp checkpoints/step-1000/ bloom-hf/
        bloomdata-cli convert dcp step-1000/ bloom-hf/ --config bloom-560m/ --dtype bfloat16

    Example:
        >>> report = bloomdata.convert.dcp("checkpoints/step-1000", "bloom-hf")  # doctest: +SKIP
    """
    folder = input_folder(source)
    companions, config_path = companions_of(folder, config, folder.parent)

    def write(out: Output, checkpoint: Checkpoint) -> None:
        changes = dtype_change(checkpoint, dtype)
        written = dataclasses.replace(checkpoint, tensors=cast(checkpoint.tensors, dtype))
        write_huggingface(out, written, max_shard_bytes, changes)

    return convert(
        "dcp",
        [folder, config_path],
        output,
        options={"dtype": dtype, "max_shard_bytes": max_shard_bytes},
        read=lambda: open_dcp(folder, companions),
        write=write,
        reread=open_huggingface,
        verify=verify,
        overwrite=overwrite,
        on_progress=on_progress,
        tolerance=cast_tolerance(dtype),
    )


def open_dcp(folder: Path, companions: Path) -> Checkpoint:
    """Opens a folder of torch.distributed.checkpoint; `companions` is where the configuration is."""
    config, layout, sizes = read_config(companions)
    found = _read(folder)
    prefix = _prefix(found, layout, folder)
    named = {name.removeprefix(prefix): tensor for name, tensor in found.items() if name.startswith(prefix)}
    weights = {layout.full(layout.bare(name)): tensor for name, tensor in named.items()}
    if sizes.tied:
        # A tied head is in the state of the model, but not in files of Hugging Face.
        weights = {name: tensor for name, tensor in weights.items() if name not in layout.head}
    tensors, _ = weights_only(weights, layout)
    check_model(tensors, layout, sizes, folder)
    left_out = [name for name in found if not name.startswith(prefix)]
    return Checkpoint(folder=companions, config=config, layout=layout, sizes=sizes, tensors=tensors, left_out=left_out)


def _prefix(names: Tensors, layout: Layout, folder: Path) -> str:
    """What stands before the names of the model."""
    found = []
    for name in names:
        for inner in (layout.prefix + layout.embedding, layout.embedding):
            if name == inner or name.endswith("." + inner):
                found.append(name.removesuffix(inner))
                break
    # The state of an optimizer holds the same names behind its own, and an average of weights may be beside them.
    found = [prefix for prefix in found if not re.search(r"optim|exp_avg|\bema\b", prefix)]
    if len(found) != 1:
        wanted = layout.prefix + layout.embedding
        raise CorruptDataError(f"{folder}: expected one {wanted} in the state, found {len(found)}")
    return found[0]


def _read(folder: Path) -> Tensors:
    """All tensors of the state by their names, without the names of wrappers."""
    import_torch()
    import torch.distributed.checkpoint as checkpoints

    if not (folder / _METADATA).exists():
        raise ConfigError(f"source: {folder}: expected a checkpoint with {_METADATA}, found none")
    try:
        metadata = checkpoints.FileSystemReader(folder).read_metadata()
    # The metadata are unpickled, and damaged ones fail in any way.
    except Exception as error:
        raise CorruptDataError(f"{folder / _METADATA}: expected the metadata of a checkpoint: {error}") from None
    lost = sorted(
        {
            info.relative_path
            for info in (metadata.storage_data or {}).values()
            if not (folder / info.relative_path).exists()
        }
    )
    if lost:
        raise CorruptDataError(f"{folder / lost[0]}: expected by {_METADATA}, found none")
    entries = metadata.state_dict_metadata.items()
    return {
        _WRAPPERS.sub("", name): _lazy(folder, name, entry)
        for name, entry in entries
        if isinstance(entry, checkpoints.TensorStorageMetadata)
    }


def _lazy(folder: Path, name: str, entry: Any) -> LazyTensor:
    shape, dtype = tuple(entry.size), entry.properties.dtype

    def read() -> Tensor:
        torch = import_torch()
        import torch.distributed.checkpoint as checkpoints

        tensor: Tensor = torch.empty(shape, dtype=dtype)
        try:
            with warnings.catch_warnings():
                # That there is one process is what we want.
                warnings.simplefilter("ignore")
                checkpoints.load({name: tensor}, storage_reader=checkpoints.FileSystemReader(folder), no_dist=True)
        except (checkpoints.CheckpointException, RuntimeError, EOFError) as error:
            first = (str(error).strip() or type(error).__name__).split("\n", 1)[0]
            raise CorruptDataError(f"{folder}: tensor {name}: {first}") from None
        return tensor

    return LazyTensor(shape, dtype, f"{folder}: tensor {name}", read)
