"""Named groups of weighted parts of data sets, as of bigscience Megatron-DeepSpeed: `NAME: W START:END PATH, ...`.

Training has one group; validation and test may have several, each with a loss of its own.
"""

from __future__ import annotations

import math
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomdata.datasets.gpt_dataset import GPTDataset
from bloomdata.datasets.megatron_blend import MegatronBlend
from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

# What bigscience Megatron-DeepSpeed builds more of each data set than its share, and when an epoch is shuffled apart.
_SURPLUS = 1.005
_SEPARATE_THRESHOLD = 0.95
_FORM = "expected NAME: WEIGHT START:END PATH, WEIGHT START:END PATH, ..."


@dataclass(frozen=True)
class BlendPart:
    """A part of a data set: its share of the group's samples, and which of its sequences, as shares from 0 to 1."""

    weight: float
    start: float
    end: float
    path: str


@dataclass(frozen=True)
class BlendGroup:
    """A name, and the parts that are blended under it."""

    name: str
    parts: tuple[BlendPart, ...]


def parse_blend_groups(groups: str | Sequence[str]) -> list[BlendGroup]:
    """Parses groups such as `train: 0.7 0:0.95 en_text_document, 0.3 0:0.95 fr_text_document`.

    Paths have no spaces and no commas.

    Raises:
        ConfigError: A group has another form, a weight is not above 0, a range is empty or not within 0 to 1, or two
            groups have one name.

    Origin:
        `--train-weighted-split-paths` and its like in `megatron/arguments.py` of bigscience Megatron-DeepSpeed.

    Example:
        >>> parse_blend_groups("valid: 1 0.95:1.0 en")[0].parts
        (BlendPart(weight=1.0, start=0.95, end=1.0, path='en'),)
    """
    return _checked([_group(text) for text in ([groups] if isinstance(groups, str) else groups)])


def read_blend_groups(path: str | os.PathLike[str]) -> list[BlendGroup]:
    """Reads groups from a file of one line, each in quotes, as the `-path` options of bigscience's scripts take them.

    Raises:
        ConfigError: The file has no line or several, or a group has another form.
    """
    lines = [line for line in Path(path).read_text("utf-8").splitlines() if line.strip()]
    if len(lines) != 1:
        raise ConfigError(f"{os.fspath(path)}: expected one line of groups in quotes, got {len(lines)}")
    try:
        return parse_blend_groups(shlex.split(lines[0]))
    except ValueError as error:
        if isinstance(error, ConfigError):
            raise ConfigError(f"{os.fspath(path)}: {error}") from error
        raise ConfigError(f"{os.fspath(path)}: {_FORM} in quotes: {error}") from error


def open_blend_groups(
    groups: str | Sequence[str | BlendGroup], *, num_samples: int, **options: Any
) -> dict[str, MegatronBlend | GPTDataset]:
    """Opens each group as samples, index for index those of bigscience Megatron-DeepSpeed.

    Of each part, as many samples are built as there: its share of `num_samples` and 0.5 % more. There, a blend is as
    long as all parts together and fails once a part runs out; here, it has the `num_samples` that a run takes of it. A
    group of one part is no blend.

    Args:
        groups: As `parse_blend_groups` takes or returns them.
        num_samples: Number of samples to request of each group.
        options: Other options of `GPTDataset`, but not `split`; `separate_threshold` is 0.95 by default, as there.

    Returns:
        Data sets by the names of their groups.

    Raises:
        ConfigError: A group or an option is invalid, or a part has no tokens.

    Origin:
        `build_dataset_group` and `get_datasets_weights_and_num_samples` of `megatron/data` in bigscience
        Megatron-DeepSpeed.

    Example:
        >>> from bloomdata.datasets.blend_groups import open_blend_groups
        >>> _ = bloomdata.pack("raw/*.jsonl", "packed-parts", tokenizer="bytes", format="megatron")
        >>> text = "train: 3 0:0.5 packed-parts, 1 0.5:1 packed-parts"
        >>> groups = open_blend_groups(text, num_samples=8, sequence_length=8)
        >>> groups["train"].dataset_index.tolist()
        [0, 1, 0, 0, 0, 1, 0, 0]
    """
    if taken := {"split", "split_range"} & set(options):
        raise ConfigError(f"{sorted(taken)[0]}: expected none, since groups have ranges of their own")
    options = {"separate_threshold": _SEPARATE_THRESHOLD} | options
    given = [groups] if isinstance(groups, str) else groups
    parsed = _checked([group if isinstance(group, BlendGroup) else _group(group) for group in given])
    return {group.name: _open(group, num_samples, options) for group in parsed}


def _open(group: BlendGroup, num_samples: int, options: dict[str, Any]) -> MegatronBlend | GPTDataset:
    def part(part: BlendPart, requested: int) -> GPTDataset:
        shares = (part.start, part.end)
        return GPTDataset(part.path, num_samples=requested, split=None, split_range=shares, **options)

    if len(group.parts) == 1:
        return part(group.parts[0], num_samples)
    total = 0.0
    for source in group.parts:
        total += source.weight
    weights = [source.weight / total for source in group.parts]
    datasets = [
        part(source, math.ceil(num_samples * weight * _SURPLUS))
        for source, weight in zip(group.parts, weights, strict=True)
    ]
    return MegatronBlend(datasets, weights, size=num_samples)


def _checked(groups: list[BlendGroup]) -> list[BlendGroup]:
    """Groups with distinct names, at least one."""
    if not groups:
        raise ConfigError(f"groups: {_FORM}, got none")
    names = [group.name for group in groups]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ConfigError(f"groups: expected distinct names, got {sorted(twice)[0]!r} twice")
    return groups


def _group(text: str) -> BlendGroup:
    name, colon, rest = text.partition(":")
    if not colon or not name.strip():
        raise ConfigError(f"groups: {text!r}: {_FORM}")
    return BlendGroup(name.strip(), tuple(_part(part, text) for part in rest.split(",")))


def _part(part: str, text: str) -> BlendPart:
    try:
        weight, shares, path = part.split()
        start, end = shares.split(":")
        found = BlendPart(float(weight), float(start), float(end), path)
    except ValueError:
        raise ConfigError(f"groups: {text!r}: {_FORM}, got {part.strip()!r}") from None
    if not (found.weight > 0 and math.isfinite(found.weight)):
        raise ConfigError(f"groups: {text!r}: expected a weight above 0, got {weight}")
    if not 0 <= found.start < found.end <= 1:
        raise ConfigError(f"groups: {text!r}: expected 0 <= START < END <= 1, got {shares}")
    return found
