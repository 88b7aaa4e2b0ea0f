"""How MindSpore has cut tensors over ranks: its strategy files, and the tensors that the folders of all ranks make.

A parameter has a device matrix, such as [2, 4], and a tensor map, such as [0, -1]: for every dimension, which entry of
the matrix cuts it, counted from the right, or -1. With a parallel optimizer, ranks that would hold the same part hold a
share of its rows instead.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bloomdata.convert.mindspore_files import SUFFIXES, read_mindspore
from bloomdata.convert.protobuf import read_bytes, read_fields, read_numbers
from bloomdata.convert.tensors import LazyTensor, Tensors, import_torch
from bloomdata.errors import ConfigError, CorruptDataError, UnsupportedFormatError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import BinaryIO

    from torch import Tensor

    from bloomdata.convert.protobuf import Field

_RANK = re.compile(r"rank_(\d+)")


@dataclass(frozen=True)
class Cut:
    """How a parameter is cut.

    Attributes:
        devices: The device matrix of a pipeline stage.
        tensor_map: For every dimension, the entry of the matrix that cuts it, from the right, or -1.
        optimizer_step: Distance between ranks that share the rows of a part.
        optimizer_size: Number of ranks that share the rows of a part; 0 or 1 for none.
    """

    devices: tuple[int, ...]
    tensor_map: tuple[int, ...]
    optimizer_step: int = 0
    optimizer_size: int = 0

    @property
    def num_devices(self) -> int:
        """Ranks of a pipeline stage."""
        return math.prod(self.devices)

    def counts(self) -> list[int]:
        """Into how many parts every dimension is cut."""
        counts = [1 if axis == -1 else self.devices[-1 - axis] for axis in self.tensor_map]
        if self.optimizer_size > 1 and counts:
            counts[0] *= self.optimizer_size
        return counts

    def position(self, rank: int) -> tuple[int, ...]:
        """Which part a rank of the stage holds, for every dimension."""
        coordinates, rest = [], rank
        for size in reversed(self.devices):
            rest, coordinate = divmod(rest, size)
            coordinates.append(coordinate)
        position = [0 if axis == -1 else coordinates[axis] for axis in self.tensor_map]
        if self.optimizer_size > 1 and position:
            position[0] = position[0] * self.optimizer_size + rank // self.optimizer_step % self.optimizer_size
        return tuple(position)


Strategy = dict[int, dict[str, Cut]]


def read_strategies(path: Path) -> Strategy:
    """The cuts of all pipeline stages, from a merged file or a folder with a file for each stage or rank.

    Raises:
        ConfigError: There is no strategy.
        CorruptDataError: A file is damaged, or a stage is missing.
    """
    paths = sorted(found for kind in ("*.ckpt", "*.json") for found in path.glob(kind)) if path.is_dir() else [path]
    strategy: Strategy = {}
    for file in paths:
        stage, cuts = _read_json(file) if file.suffix == ".json" else _read_protobuf(file)
        for name, cut in cuts.items():
            # Merged files have the stage in front of names.
            number, _, rest = name.rpartition("-")
            strategy.setdefault(int(number) if number.isdecimal() else stage, {})[rest] = cut
    if not strategy:
        raise ConfigError(f"strategy: {path}: expected strategies of MindSpore, found none")
    if sorted(strategy) != list(range(len(strategy))):
        raise CorruptDataError(f"{path}: expected stages 0 to {max(strategy)}, found {sorted(strategy)}")
    return strategy


def _read_json(path: Path) -> tuple[int, dict[str, Cut]]:
    try:
        found = json.loads(path.read_bytes())
        stages = [item["stage"] for item in found.get("parallel_strategy_item", {}).values()]
        cuts = {
            name: _cut(
                path,
                name,
                item["dev_matrix"],
                item["tensor_map"],
                item["opt_weight_shard_step"],
                item["opt_weight_shard_size"],
            )
            for name, item in found["parallel_layout_item"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CorruptDataError(f"{path}: expected a strategy of MindSpore, found other text") from None
    return (stages[0] if stages else 0), cuts


def _read_protobuf(path: Path) -> tuple[int, dict[str, Cut]]:
    """Reads `ParallelStrategyMap` of MindSpore's `node_strategy.proto`."""
    stage = 0
    cuts: dict[str, Cut] = {}
    with path.open("rb") as file:

        def inside(field: Field) -> list[Field]:
            if field.start is None:
                raise CorruptDataError(f"{path}: expected a strategy of MindSpore, found other bytes")
            return list(read_fields(file, path, field.start, field.start + field.value))

        for item in read_fields(file, path, 0, path.stat().st_size):
            if item.number == 2:
                # node_name = 1, strategies = 2 { stage = 1, ... }
                for strategies in (field for field in inside(item) if field.number == 2):
                    stage = next((field.value for field in inside(strategies) if field.number == 1), stage)
            elif item.number == 3:
                fields = {field.number: field for field in inside(item)}
                if 1 not in fields or 2 not in fields:
                    raise CorruptDataError(f"{path}: expected a parameter and its layout, found neither")
                name = read_bytes(file, fields[1]).decode("utf-8", "replace")
                cuts[name] = _layout(file, path, name, inside(fields[2]), inside)
    return stage, cuts


def _layout(file: BinaryIO, path: Path, name: str, fields: list[Field], inside: Any) -> Cut:
    lists: dict[int, list[list[int]]] = {1: [], 2: []}
    numbers = {6: 0, 7: 0}
    for field in fields:
        if field.number in lists:
            lists[field.number].append([value for dims in inside(field) for value in read_numbers(file, path, dims)])
        elif field.number in numbers:
            numbers[field.number] = read_numbers(file, path, field)[0]
    if len(lists[1]) != 1 or len(lists[2]) > 1:
        raise UnsupportedFormatError(f"{path}: {name}: expected one device matrix and one tensor map")
    return _cut(path, name, lists[1][0], (lists[2] or [[]])[0], numbers[6], numbers[7])


def _cut(path: Path, name: str, devices: Any, tensor_map: Any, step: int, size: int) -> Cut:
    axes = [*tensor_map]
    if not all(isinstance(value, int) for value in (*devices, *axes, step, size)):
        raise UnsupportedFormatError(f"{path}: {name}: expected dimensions that one entry of the device matrix cuts")
    if not devices or min(devices) < 1 or any(not -1 <= axis < len(devices) for axis in axes):
        raise CorruptDataError(f"{path}: {name}: expected a device matrix and a tensor map, found {devices} and {axes}")
    if size > 1 or size == -1:
        size = _optimizer_size(path, name, devices, axes, step, size)
    return Cut(tuple(devices), tuple(axes), step, size)


def _optimizer_size(path: Path, name: str, devices: list[int], axes: list[int], step: int, size: int) -> int:
    """Number of ranks that share rows: over the last free entry of the matrix, or over all ranks if all are free."""
    free = [index for index, count in enumerate(devices) if len(devices) - 1 - index not in axes and count > 1]
    is_whole = len(free) == sum(count > 1 for count in devices)
    if free and (is_whole or size > 1 or len(free) == 1):
        distance = 1 if is_whole else math.prod(devices[free[-1] + 1 :])
        limit = math.prod(devices) if is_whole else devices[free[-1]]
        if step == distance and limit % (limit if size == -1 else size) == 0:
            return limit if size == -1 else size
    raise UnsupportedFormatError(
        f"{path}: {name}: expected an optimizer over one free entry of {devices}, found step {step}, size {size}"
    )


def read_ranks(folder: Path, strategy: Strategy | None) -> Tensors:
    """The whole tensors of folders `rank_0`, `rank_1`, ....

    Args:
        folder: The folder that holds them. Of several files in one, the last by name counts, as for MindSpore.
        strategy: How tensors are cut. Without it there must be one rank.

    Raises:
        ConfigError: There are several ranks and no strategy.
        CorruptDataError: A rank or a part is missing, or shapes differ.
    """
    ranks = _rank_files(folder)
    if strategy is None:
        if len(ranks) > 1:
            raise ConfigError(f"strategy: expected strategy files for the {len(ranks)} ranks of {folder}, got none")
        return ranks[0]
    num_devices = next(iter(strategy[0].values())).num_devices if strategy[0] else 1
    if len(ranks) != num_devices * len(strategy):
        raise CorruptDataError(
            f"{folder}: expected {len(strategy)} stages of {num_devices} ranks, found {len(ranks)} ranks"
        )
    merged: Tensors = {}
    for stage, cuts in strategy.items():
        held = ranks[stage * num_devices : (stage + 1) * num_devices]
        for name in held[0]:
            # A parameter that two stages share is the same in both.
            if name not in merged and name in cuts:
                merged[name] = _merge(name, held, cuts[name])
            elif name not in cuts:
                # Counters and scales have no cut: the same everywhere.
                merged.setdefault(name, held[0][name])
    return merged


def _rank_files(folder: Path) -> list[Tensors]:
    numbers = {int(found[1]): path for path in folder.iterdir() if (found := _RANK.fullmatch(path.name))}
    ranks = []
    for rank in range(max(numbers, default=-1) + 1):
        paths = sorted(path for path in (folder / f"rank_{rank}").glob("*") if path.suffix in SUFFIXES)
        if not paths:
            raise CorruptDataError(f"{folder / f'rank_{rank}'}: expected a checkpoint, found none")
        ranks.append(read_mindspore(paths[-1]))
    if not ranks:
        raise ConfigError(f"source: {folder}: expected folders rank_0, rank_1, ..., found none")
    return ranks


def _merge(name: str, ranks: list[Tensors], cut: Cut) -> LazyTensor:
    first = ranks[0][name]
    if len(cut.tensor_map) != len(first.shape):
        if cut.tensor_map:
            raise CorruptDataError(
                f"{first.place}: expected {len(cut.tensor_map)} dimensions, found {len(first.shape)}"
            )
        return first
    counts = cut.counts()
    parts: dict[tuple[int, ...], LazyTensor] = {}
    for rank, tensors in enumerate(ranks):
        if name not in tensors or tensors[name].shape != first.shape or tensors[name].dtype != first.dtype:
            found = list(tensors[name].shape) if name in tensors else "none"
            raise CorruptDataError(
                f"{first.place}: expected {list(first.shape)} on rank {rank} of the stage, found {found}"
            )
        parts.setdefault(cut.position(rank), tensors[name])
    if len(parts) != math.prod(counts):
        raise CorruptDataError(f"{first.place}: expected {math.prod(counts)} parts, found {len(parts)}")
    shape = tuple(count * size for count, size in zip(counts, first.shape, strict=True))

    def read() -> Tensor:
        tensor = import_torch().empty(shape, dtype=first.dtype)
        for position, part in parts.items():
            where = tensor
            for dimension, (index, size) in enumerate(zip(position, first.shape, strict=True)):
                where = where.narrow(dimension, index * size, size)
            where.copy_(part.read())
        return tensor

    return first if len(parts) == 1 else LazyTensor(shape, first.dtype, first.place, read)


def without_optimizer(tensors: Mapping[str, LazyTensor]) -> tuple[Tensors, list[str]]:
    """The weights, and the names of the optimizer's tensors and of counters."""
    kept = {name: tensor for name, tensor in tensors.items() if not _OPTIMIZER.match(name)}
    return kept, [name for name in tensors if name not in kept]


_OPTIMIZER = re.compile(
    r"(adam_[mv]|accu_grads|moments?\d?|moment[12]|velocity)\.|(global_step|learning_rate|loss_scale|scale_sense|beta[12]_power"
    r"|epoch_num|step_num|current_iterator_step|last_overflow_iterator_step|append_info.*)$"
)
