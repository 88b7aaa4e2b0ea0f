"""`stages`: OpenChatKit's files of one layer each, and the files of its pipeline stages."""

from __future__ import annotations

import dataclasses
import re
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
from bloomdata.convert.layouts import Layout, Sizes, check_model, last_names, weights_only
from bloomdata.convert.run import convert
from bloomdata.convert.safetensors_files import checked
from bloomdata.convert.tensors import Tensors, bytes_of, cast, cast_tolerance, total_bytes
from bloomdata.convert.torch_files import read_torch, save
from bloomdata.errors import ConfigError, CorruptDataError

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from bloomdata.convert.output import OnProgress, Output
    from bloomdata.convert.report import ConversionReport

_STAGE = re.compile(r"prank_(\d+)_checkpoint\.pt")
_LAYER = re.compile(r"pytorch_(\d+)\.pt")
_EMBEDDINGS, _HEAD = "pytorch_embs.pt", "pytorch_lm_head.pt"


def stages(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    num_stages: int | None = None,
    dtype: Literal["float32", "float16", "bfloat16"] | None = None,
    config: str | os.PathLike[str] | None = None,
    max_shard_bytes: int = 5_000_000_000,
    verify: bool = False,
    overwrite: bool = False,
    on_progress: OnProgress = None,
) -> ConversionReport:
    """Converts a model to OpenChatKit's files of layers or of pipeline stages, or such files to Hugging Face.

    Of a folder of Hugging Face, writes what OpenChatKit's training starts from: `pytorch_embs.pt`, `pytorch_0.pt`, ...,
    `pytorch_lm_head.pt`; or with `num_stages` what it saves: `latest` and `checkpoint_0/prank_0_checkpoint.pt`, ....
    Of either of these, a folder of Hugging Face. OpenChatKit trains the embedding and the output head apart: where
    they are tied, the head is written too, and is left out on the way back while it equals the embedding.
    Memory: one file of the output; with `verify`, the model in float32.

    Args:
        source: A folder of Hugging Face, of files of layers, or of files of stages, with or without `latest`.
        output: Folder to write.
        num_stages: Number of stages to write. Layers are dealt out evenly, fewer to the last stage. By default files of
            layers are written.
        dtype: Type of the weights in the output; as in the source by default. OpenChatKit starts from float16.
        config: Folder with the `config.json` and the tokenizer of the model, if the source has none.
        max_shard_bytes: Size of a file of weights in a folder of Hugging Face.
        verify: Whether to compare the logits of both sides on random ids.
        overwrite: Whether to discard an earlier conversion in `output`.
        on_progress: Function called after every tensor with (total bytes, bytes read, tensors, bytes written).

    Raises:
        ConfigError: There are more stages than layers, or the output holds other files.
        CorruptDataError: A file or a tensor is missing, damaged, or has the wrong shape.
        MismatchError: The output holds another conversion, or logits differ.
        UnsupportedFormatError: The model is of another family.

    Origin:
        `pretrained/prepare_pretrained.py`, `tools/convert_to_hf_gptneox.py` and `tools/convert_to_hf_llama.py` of
        OpenChatKit (a7094aa), which must be told the numbers of stages and layers, and fail for a single stage.

    Command line:
        bloomdata-cli convert stages pythia-hf/ layers/ --dtype float16
        bloomdata-cli convert stages model_ckpts/ chat-hf/ --config pythia-hf/

    Example:
        >>> report = bloomdata.convert.stages("pythia-hf", "layers")  # doctest: +SKIP
    """
    folder = input_folder(source)
    companions, config_path = companions_of(folder, config)
    to_stages = is_huggingface(folder)

    def read() -> Checkpoint:
        return open_huggingface(folder) if to_stages else open_stages(folder, companions)

    def write(out: Output, checkpoint: Checkpoint) -> None:
        tensors = cast(checkpoint.tensors, dtype)
        changes = dtype_change(checkpoint, dtype)
        if not to_stages:
            if num_stages is not None:
                raise ConfigError("num_stages: expected a folder of Hugging Face as the source, got files of stages")
            if checkpoint.sizes.tied and any(name in tensors for name in checkpoint.layout.head):
                changes["tie_word_embeddings"] = False
            written = dataclasses.replace(checkpoint, tensors=tensors)
            write_huggingface(out, written, max_shard_bytes, changes)
            return
        files = _files(tensors, checkpoint.layout, checkpoint.sizes, num_stages)
        out.expect(sum(total_bytes(file) for file in files.values()))
        for name, content in files.items():
            with out.file(name) as file:
                save(file, {key: checked(tensor) for key, tensor in content.items()})
                for _ in content:
                    file.count_tensor()
        if num_stages is not None:
            out.write_text("checkpoint_0/meta.json", '{"step": 0}')
            out.write_text("latest", "0")
        write_companions(out, checkpoint, changes)

    return convert(
        "stages",
        [folder, config_path],
        output,
        options={"num_stages": num_stages, "dtype": dtype, "max_shard_bytes": max_shard_bytes},
        read=read,
        write=write,
        reread=(lambda written: open_stages(written, written)) if to_stages else open_huggingface,
        verify=verify,
        overwrite=overwrite,
        on_progress=on_progress,
        tolerance=cast_tolerance(dtype),
    )


def _files(tensors: Tensors, layout: Layout, sizes: Sizes, num_stages: int | None) -> dict[str, Tensors]:
    """The tensors of every file, under their names in it."""
    modules: list[Tensors] = [{} for _ in range(sizes.layers + 2)]
    for name, tensor in tensors.items():
        number, rest = layout.place(name)
        if number is not None:
            modules[number + 1][rest] = tensor
        else:
            modules[0 if rest in layout.first else -1][rest] = tensor
    head = layout.head[0]
    if not any(name in modules[-1] for name in layout.head):
        modules[-1][head] = modules[0][layout.embedding]
    if num_stages is None:
        layers = {f"pytorch_{number}.pt": module for number, module in enumerate(modules[1:-1])}
        return {_EMBEDDINGS: modules[0], **layers, _HEAD: modules[-1]}
    if not 1 <= num_stages <= sizes.layers:
        raise ConfigError(f"num_stages: expected a number from 1 to {sizes.layers} layers, got {num_stages}")
    per_stage = -(-sizes.layers // num_stages)
    if per_stage * (num_stages - 1) >= sizes.layers:
        raise ConfigError(
            f"num_stages: expected stages of {per_stage} of {sizes.layers} layers and a rest, got {num_stages} stages"
        )
    files = {}
    for stage in range(num_stages):
        chosen = modules[1 + stage * per_stage : 1 + min((stage + 1) * per_stage, sizes.layers)]
        chosen = [*([modules[0]] if stage == 0 else []), *chosen, *([modules[-1]] if stage == num_stages - 1 else [])]
        files[f"checkpoint_0/prank_{stage}_checkpoint.pt"] = {
            f"{number}.{name}": tensor for number, module in enumerate(chosen) for name, tensor in module.items()
        }
    return files


def open_stages(folder: Path, companions: Path) -> Checkpoint:
    """Opens files of layers or of stages; `companions` is where the configuration is."""
    config, layout, sizes = read_config(companions)
    modules = _modules_of_layers(folder) if (folder / _EMBEDDINGS).exists() else _modules_of_stages(folder, layout)
    if len(modules) != sizes.layers + 2:
        raise CorruptDataError(f"{folder}: expected {sizes.layers} layers, found {len(modules) - 2}")
    tensors: Tensors = {}
    for number, module in enumerate(modules):
        before = f"{layout.layers}.{number - 1}." if 0 < number <= sizes.layers else ""
        tensors |= {layout.full(before + name): tensor for name, tensor in module.items()}
    tensors, left_out = weights_only(tensors, layout)
    check_model(tensors, layout, sizes, folder)
    tensors = _without_tied_head(tensors, layout, sizes)
    return Checkpoint(folder=companions, config=config, layout=layout, sizes=sizes, tensors=tensors, left_out=left_out)


def _without_tied_head(tensors: Tensors, layout: Layout, sizes: Sizes) -> Tensors:
    """Leaves out a head that the model would take from the embedding anyway."""
    head = next((name for name in layout.head if name in tensors), None)
    if head is None or not sizes.tied:
        return tensors
    if bytes_of(tensors[head].read()) != bytes_of(tensors[layout.full(layout.embedding)].read()):
        return tensors
    return {name: tensor for name, tensor in tensors.items() if name != head}


def _modules_of_layers(folder: Path) -> list[Tensors]:
    """Embedding, layers and head from a file each."""
    numbers = {int(found[1]) for path in folder.iterdir() if (found := _LAYER.fullmatch(path.name))}
    names = [_EMBEDDINGS, *(f"pytorch_{number}.pt" for number in range(max(numbers, default=-1) + 1)), _HEAD]
    return [read_torch(_expected(folder / name)) for name in names]


def _modules_of_stages(folder: Path, layout: Layout) -> list[Tensors]:
    """Embedding, layers and head from the files of all stages."""
    if (folder / "latest").exists():
        latest = (folder / "latest").read_text("utf-8").strip()
        inner = folder / f"checkpoint_{latest}"
        if not latest.isdecimal() or not inner.is_dir():
            raise CorruptDataError(f"{folder / 'latest'}: expected the number of a checkpoint, found {latest!r}")
        folder = inner
    numbers = {int(found[1]) for path in folder.iterdir() if (found := _STAGE.fullmatch(path.name))}
    if not numbers:
        raise ConfigError(f"source: {folder}: expected {_EMBEDDINGS} or prank_0_checkpoint.pt, found none")
    modules: list[Tensors] = []
    for stage in range(max(numbers) + 1):
        path = _expected(folder / f"prank_{stage}_checkpoint.pt")
        by_number: dict[int, Tensors] = {}
        for name, tensor in read_torch(path).items():
            number, _, rest = name.partition(".")
            if not number.isdecimal():
                raise CorruptDataError(f"{tensor.place}: expected the number of a module before the name")
            by_number.setdefault(int(number), {})[rest] = tensor
        if sorted(by_number) != list(range(len(by_number))):
            raise CorruptDataError(f"{path}: expected modules 0 to {max(by_number)}, found {sorted(by_number)}")
        modules += [by_number[number] for number in sorted(by_number)]
    # A stage that was cut off, or the last one missing, would shift every layer behind it.
    if layout.embedding not in modules[0] or not any(name in modules[-1] for name in last_names(layout)):
        raise CorruptDataError(f"{folder}: expected an embedding in the first and a head in the last stage, found none")
    return modules


def _expected(path: Path) -> Path:
    if not path.exists():
        raise CorruptDataError(f"{path}: expected, found none")
    return path
