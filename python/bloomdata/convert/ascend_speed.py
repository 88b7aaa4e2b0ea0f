"""`ascend`: BLOOM in AscendSpeed's files for tensor and pipeline parallelism, and back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bloomdata.convert.checkpoints import (
    Checkpoint,
    companions_of,
    input_folder,
    is_huggingface,
    open_huggingface,
    read_config,
    write_companions,
    write_huggingface,
)
from bloomdata.convert.layouts import BLOOM, check_divides, check_model, weights_only
from bloomdata.convert.run import convert
from bloomdata.convert.safetensors_files import checked
from bloomdata.convert.tensor_parallel import merge_model, split_model
from bloomdata.convert.tensors import Tensors, total_bytes
from bloomdata.convert.torch_files import read_torch, save
from bloomdata.errors import ConfigError, CorruptDataError, UnsupportedFormatError
from bloomdata.options.padded_vocabulary import padded_vocab_size

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from bloomdata.convert.output import OnProgress, Output
    from bloomdata.convert.report import ConversionReport

# The pipeline of Megatron-DeepSpeed counts the embedding and two casts as its first modules, another cast as the one
# behind the layers.
_BEFORE_LAYERS = 3
_BEHIND_LAYERS = 4
_FIRST = {
    "word_embeddings.weight": "tied_modules.embed.word_embeddings.weight",
    "word_embeddings_layernorm.weight": "tied_modules.embed.word_embeddings.norm.weight",
    "word_embeddings_layernorm.bias": "tied_modules.embed.word_embeddings.norm.bias",
}
_LAST = {"ln_f.weight": "final_layernorm.weight", "ln_f.bias": "final_layernorm.bias"}
_FILES = {
    "deepspeed": re.compile(r"mp_rank_(?P<rank>\d+)_model_states\.pt"),
    "megatron": re.compile(r"mp_rank_(?P<tensor>\d+)(?:_(?P<stage>\d+))?/model_optim_rng\.pt"),
}
# The text file that names the folder of the weights.
_LATEST = {"deepspeed": "latest", "megatron": "latest_checkpointed_iteration.txt"}


def ascend(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    tensor_parallel: int | None = None,
    pipeline_layers: Sequence[int] | None = None,
    format: Literal["deepspeed", "megatron"] = "deepspeed",  # noqa: A002 - the name that `pack` has
    vocab_divisible_by: int = 128,
    pad_vocab_size_to: int | None = None,
    vocab_padding: Literal["repeat", "zeros"] = "repeat",
    config: str | os.PathLike[str] | None = None,
    max_shard_bytes: int = 5_000_000_000,
    verify: bool = False,
    overwrite: bool = False,
    on_progress: OnProgress = None,
) -> ConversionReport:
    """Converts a BLOOM model to checkpoints of AscendSpeed, back, or to other numbers of ranks.

    Writes `latest` and `release/mp_rank_00_model_states.pt`, ...; rank `p * T + t` of `T` tensor-parallel ranks is rank
    `t` of stage `p`. Of an AscendSpeed folder, makes a folder of Hugging Face if `tensor_parallel` is not given.
    Memory: one file of the output; with `verify`, the model in float32.

    Args:
        source: A folder of Hugging Face, or one of AscendSpeed.
        output: Folder to write.
        tensor_parallel: Number of tensor-parallel ranks of the output. By default 1, and none for a source of
            AscendSpeed, which becomes a folder of Hugging Face.
        pipeline_layers: Number of layers of each pipeline stage; one stage by default. For BLOOM-176B: 6 eleven times,
            then 4.
        format: `deepspeed` writes `mp_rank_00_model_states.pt`, `megatron` writes `mp_rank_00/model_optim_rng.pt`. Both
            are read.
        vocab_divisible_by: Rows of the embedding of a rank are padded to a multiple of this.
        pad_vocab_size_to: Rows of the embedding on all ranks together instead.
        vocab_padding: What the padding rows hold: the last rows once more, as AscendSpeed does, or zeros.
        config: Folder with the `config.json` and the tokenizer of the model, if the source has none.
        max_shard_bytes: Size of a file of weights in a folder of Hugging Face.
        verify: Whether to compare the logits of both sides on random ids.
        overwrite: Whether to discard an earlier conversion in `output`.
        on_progress: Function called after every tensor with (total bytes, bytes read, tensors, bytes written).

    Returns:
        A report, with the tensors that had drifted apart between ranks.

    Raises:
        ConfigError: Numbers of ranks or layers do not fit the model, or the output holds other files.
        CorruptDataError: A file or a tensor is missing, damaged, or has the wrong shape.
        MismatchError: The output holds another conversion, or logits differ.
        UnsupportedFormatError: The model is no BLOOM.

    Origin:
        `tools/ckpt_convert/bloom/convert_weights_from_huggingface.py` of AscendSpeed (64b1937). It asks for the size of
        the model by name, and there is no way back; here both come from `config.json`.

    Command line:
        bloomdata-cli convert ascend bloom-hf/ ascend/ --tensor-parallel 8 --pipeline-layers 6,6,6,6,6
        bloomdata-cli convert ascend ascend/ bloom-hf/

    Example:
        >>> report = bloomdata.convert.ascend("bloom-hf", "ascend", tensor_parallel=8)  # doctest: +SKIP
    """
    folder = input_folder(source)
    companions, config_path = companions_of(folder, config)
    to_huggingface = tensor_parallel is None and not is_huggingface(folder)
    ranks = 1 if tensor_parallel is None else tensor_parallel

    def read() -> Checkpoint:
        return open_huggingface(folder) if is_huggingface(folder) else open_ascend(folder, companions)

    def write(out: Output, checkpoint: Checkpoint) -> None:
        if to_huggingface:
            write_huggingface(out, checkpoint, max_shard_bytes)
            return
        if checkpoint.layout is not BLOOM:
            raise UnsupportedFormatError(
                f"{folder}: model_type: expected bloom, found {checkpoint.config['model_type']!r}"
            )
        if format not in _FILES:
            raise ConfigError(f"format: expected one of {', '.join(_FILES)}, got {format!r}")
        check_divides(ranks, checkpoint.sizes)
        rows = padded_vocab_size(
            checkpoint.sizes.vocab, ranks, vocab_divisible_by=vocab_divisible_by, pad_vocab_size_to=pad_vocab_size_to
        )
        stages = _stages(checkpoint, pipeline_layers)
        models = split_model(checkpoint, ranks, rows, vocab_padding)
        out.expect(sum(total_bytes(model) for model in models))
        for stage, names in enumerate(stages):
            for rank, model in enumerate(models):
                tensors = {new: model[name] for name, new in names.items()}
                _write(out, tensors, format, (rank, stage), (ranks, len(stages)))
        out.write_text(_LATEST[format], "release\n")
        write_companions(out, checkpoint)

    return convert(
        "ascend",
        [folder, config_path],
        output,
        options={
            "tensor_parallel": tensor_parallel,
            "pipeline_layers": None if pipeline_layers is None else list(pipeline_layers),
            "format": format,
            "vocab_divisible_by": vocab_divisible_by,
            "pad_vocab_size_to": pad_vocab_size_to,
            "vocab_padding": vocab_padding,
            "max_shard_bytes": max_shard_bytes,
        },
        read=read,
        write=write,
        reread=open_huggingface if to_huggingface else lambda written: open_ascend(written, written),
        verify=verify,
        overwrite=overwrite,
        on_progress=on_progress,
    )


def _stages(checkpoint: Checkpoint, pipeline_layers: Sequence[int] | None) -> list[dict[str, str]]:
    """For every stage, AscendSpeed's name of each of its tensors."""
    num_layers = checkpoint.sizes.layers
    layers = [num_layers] if pipeline_layers is None else list(pipeline_layers)
    if sum(layers) != num_layers or any(count < 1 for count in layers):
        raise ConfigError(
            f"pipeline_layers: expected numbers from 1 on with a sum of {num_layers}, got {','.join(map(str, layers))}"
        )
    stage_of = [stage for stage, count in enumerate(layers) for _ in range(count)]
    stages: list[dict[str, str]] = [{} for _ in layers]
    for name in checkpoint.tensors:
        number, rest = BLOOM.place(name)
        if number is not None:
            stages[stage_of[number]][name] = f"{number + _BEFORE_LAYERS}.{rest}"
        elif rest in _FIRST:
            stages[0][name] = _FIRST[rest]
        elif rest in _LAST:
            stages[-1][name] = f"{num_layers + _BEHIND_LAYERS}.{_LAST[rest]}"
        elif not checkpoint.sizes.tied:
            raise UnsupportedFormatError(f"{checkpoint.tensors[name].place}: expected an output head that is tied")
    return stages


def _write(out: Output, tensors: Tensors, kind: str, place: tuple[int, int], counts: tuple[int, int]) -> None:
    with out.file(_name(kind, place, counts)) as file:
        state = {name: checked(tensor) for name, tensor in tensors.items()}
        if kind == "deepspeed":
            save(file, {"checkpoint_version": 3.0, "module": {"module": state}, "dp_world_size": 0})
        else:
            save(file, {"checkpoint_version": 3.0, "model": state})
        for _ in state:
            file.count_tensor()


def _name(kind: str, place: tuple[int, int], counts: tuple[int, int]) -> str:
    (rank, stage), (num_ranks, num_stages) = place, counts
    if kind == "deepspeed":
        return f"release/mp_rank_{stage * num_ranks + rank:02d}_model_states.pt"
    return f"release/mp_rank_{rank:02d}{f'_{stage:03d}' if num_stages > 1 else ''}/model_optim_rng.pt"


def open_ascend(folder: Path, companions: Path) -> Checkpoint:
    """Opens a folder of AscendSpeed; `companions` is where the configuration is."""
    config, layout, sizes = read_config(companions)
    if layout is not BLOOM:
        raise UnsupportedFormatError(f"{companions}: model_type: expected bloom, found {config['model_type']!r}")
    stages = _by_stage(_weights_folder(folder))
    drift: dict[str, float] = {}
    tensors: Tensors = {}
    left_out: list[str] = []
    for stage in stages:
        named = [weights_only(_as_huggingface(rank, sizes.layers), layout) for rank in stage]
        left_out += named[0][1]
        for name, tensor in merge_model([weights for weights, _ in named], layout, sizes, drift).items():
            # The last stage of a training run holds a copy of the tied embedding.
            tensors.setdefault(name, tensor)
    check_model(tensors, layout, sizes, folder)
    return Checkpoint(
        folder=companions,
        config=config,
        layout=layout,
        sizes=sizes,
        tensors=tensors,
        drift=drift,
        left_out=left_out,
    )


def _weights_folder(folder: Path) -> Path:
    """The folder that the file `latest` names; `iter_0001000` for 1000."""
    for name in _LATEST.values():
        if (folder / name).exists():
            latest = (folder / name).read_text("utf-8").strip()
            inner = folder / (f"iter_{int(latest):07d}" if latest.isdecimal() else latest)
            if Path(latest).name != latest or not inner.is_dir():
                raise CorruptDataError(f"{folder / name}: expected the name of a folder beside it, found {latest!r}")
            return inner
    return folder


def _by_stage(folder: Path) -> list[list[Tensors]]:
    """The tensors of every rank of every stage."""
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.pt")}
    files: dict[tuple[int, int], Path] = {}
    flat: dict[int, Path] = {}
    for name, path in paths.items():
        if found := _FILES["deepspeed"].fullmatch(name):
            flat[int(found["rank"])] = path
        elif found := _FILES["megatron"].fullmatch(name):
            files[int(found["stage"] or 0), int(found["tensor"])] = path
    if not flat and not files:
        raise ConfigError(f"source: {folder}: expected mp_rank_00_model_states.pt or mp_rank_00/, found none")
    opened = {place: _tensors(path) for place, path in files.items()}
    if flat:
        opened = _places({rank: _tensors(path) for rank, path in flat.items()}, folder)
    num_stages, num_ranks = (max(place[axis] for place in opened) + 1 for axis in (0, 1))
    for stage in range(num_stages):
        for rank in range(num_ranks):
            if (stage, rank) not in opened:
                name = f"rank {rank} of stage {stage}"
                raise CorruptDataError(f"{folder}: expected {num_stages} x {num_ranks} files, found none for {name}")
    return [[opened[stage, rank] for rank in range(num_ranks)] for stage in range(num_stages)]


def _places(flat: dict[int, Tensors], folder: Path) -> dict[tuple[int, int], Tensors]:
    """Ranks and stages of files that have one number for both: ranks of a stage hold tensors of the same names."""
    for rank in range(max(flat) + 1):
        if rank not in flat:
            raise CorruptDataError(f"{folder / f'mp_rank_{rank:02d}_model_states.pt'}: expected, found none")
    num_ranks = next((rank for rank in range(len(flat)) if flat[rank].keys() != flat[0].keys()), len(flat))
    if len(flat) % num_ranks:
        raise CorruptDataError(f"{folder}: expected a multiple of {num_ranks} files, found {len(flat)}")
    return {divmod(rank, num_ranks): flat[rank] for rank in flat}


def _tensors(path: Path) -> Tensors:
    return read_torch(path, ("module", "module"), ("model",), ("module",))


def _as_huggingface(tensors: Tensors, num_layers: int) -> Tensors:
    """The tensors of a rank under their names in Hugging Face's format."""
    first = {new: name for name, new in _FIRST.items()}
    last = {f"{num_layers + _BEHIND_LAYERS}.{new}": name for name, new in _LAST.items()}
    renamed: Tensors = {}
    for name, tensor in tensors.items():
        bare = first.get(name) or last.get(name)
        if bare is None:
            number = re.fullmatch(r"(\d+)\.(.+)", name)
            if number is None or not 0 <= int(number[1]) - _BEFORE_LAYERS < num_layers:
                raise UnsupportedFormatError(f"{tensor.place}: expected weights of {num_layers} layers of BLOOM")
            bare = f"h.{int(number[1]) - _BEFORE_LAYERS}.{number[2]}"
        renamed[BLOOM.full(bare)] = tensor
    return renamed
