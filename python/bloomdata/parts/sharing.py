"""Which part of a run a call is, and what cannot be shared out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError
from bloomdata.options.checks import check_counts
from bloomdata.parts.counting import COUNTS_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping

    # Number of the part, number of parts, least content of a unit in bytes: as the core takes them.
    Share = tuple[int, int, int]

# The least content, in bytes, that a file is cut into: below, opening files costs more than parts gain. It decides
# where parts begin, so it never changes.
UNIT_BYTES = 16 << 20
# The number of a task in an array of Slurm.
_SLURM_TASK = "SLURM_ARRAY_TASK_ID"
MAX_PARTS = 100_000
# What all parts agree on, beside their folders.
PLAN_NAME = "plan.json"
# Folders of parts of their own that phases before the parts leave beside them: of `dedup`, and of `counting`.
BEFORE_PARTS = ("signatures", COUNTS_NAME)
# Verbs that run in parts, and those of their options that look at all inputs together.
VERBS: dict[str, tuple[str, ...]] = {
    "shard": ("shuffle",),
    "prepare": ("shuffle",),
    "pack": ("exact",),
    "signatures": (),
    "dedup": ("report_only",),
    "decontaminate": (),
    "count": (),
    "train_tokenizer": (),
}
# Verbs of which only the end of a run has the result: what makes it of the finished folder, as `module:function`. They
# read files of all parts, so those are in a local folder.
ENDINGS = {
    "count": "bloomdata.verbs.count:counts_of",
    "train_tokenizer": "bloomdata.verbs.train_tokenizer:train_on_parts",
}


def part_name(number: int, parts: int) -> str:
    """Name of the folder of a part."""
    return f"part-{number:05}-of-{parts:05}"


def share_of(parts: int, part: int | str | None, **whole: Any) -> Share | None:
    """The share of a call as the core takes it; None for a run of one part.

    Args:
        parts: Number of parts.
        part: The part, if there are several.
        whole: Options that look at all inputs together, which a part cannot, by their names.

    Raises:
        ConfigError: One of those is given.
    """
    check_parts(parts)
    if part is None:
        return None
    for name, value in whole.items():
        if value:
            raise ConfigError(
                f"{name}: expected none in a run of {parts} parts, since it looks at all inputs together, got {value!r}"
            )
    return part_number(parts, part), parts, UNIT_BYTES


def can_be_shared(verb: str, options: Mapping[str, Any]) -> bool:
    """Whether a run can be shared out: nothing looks at all of its records together."""
    if verb not in VERBS or any(options.get(name) for name in VERBS[verb]):
        return False
    from bloomdata.options import one_file

    return one_file.suffix_of(options["output"]) is None


def written(output: str | os.PathLike[str], share: Share | None) -> Path:
    """The folder that a call writes: that of its part, if it has one."""
    return Path(output) if share is None else Path(output) / part_name(share[0], share[1])


def check_parts(parts: int) -> None:
    """Refuses a number of parts that cannot be.

    Raises:
        ConfigError: Such a number.
    """
    check_counts(parts=parts)
    if not 1 <= parts <= MAX_PARTS:
        raise ConfigError(f"parts: expected 1 to {MAX_PARTS:,}, got {parts}")


def part_number(parts: int, part: int | str) -> int:
    """The number of a part; `slurm` stands for that of the task of an array job.

    Raises:
        ConfigError: No number, or no task of Slurm.
    """
    number: Any = part
    if part == "slurm":
        number = os.environ.get(_SLURM_TASK)
        if number is None:
            raise ConfigError(f"part: expected {_SLURM_TASK} in the environment of a task of Slurm, found none")
    if isinstance(number, str) and number.isdigit():
        number = int(number)
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < parts:
        found = f"{part!r}, which is {number!r}" if part == "slurm" else repr(part)
        raise ConfigError(f"part: expected 0 to {parts - 1}, or 'slurm', got {found}")
    return number
