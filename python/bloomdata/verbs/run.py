"""What all verbs share: inputs, threads, progress."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from typing import TYPE_CHECKING, Any, TypeAlias

from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# Files, folders and patterns, or one table: a `datasets.Dataset`, or anything with `__arrow_c_stream__`.
Inputs: TypeAlias = "str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Any"
# Called about 20 times a second with (total bytes, bytes read, documents, bytes written); 0 when unknown.
OnProgress: TypeAlias = "Callable[[int, int, int, int], object] | None"


def split_inputs(inputs: Inputs) -> tuple[list[str], list[tuple[str, Any]]]:
    """Separates paths from tables. A table comes with a label that tells it from others, as far as it can be told."""
    if isinstance(inputs, (str, os.PathLike)):
        return [_path(inputs)], []
    if hasattr(inputs, "with_format") and hasattr(inputs, "features") and hasattr(inputs, "num_rows"):
        facts = f"{len(inputs)} rows, {inputs.features}, {getattr(inputs, '_fingerprint', '')}"
        return [], [(_label("dataset", facts), _dataset_stream(inputs))]
    if hasattr(inputs, "__arrow_c_stream__"):
        facts = f"{getattr(inputs, 'num_rows', '?')} rows, {getattr(inputs, 'schema', '')}"
        return [], [(_label("arrow", facts), inputs)]
    if isinstance(inputs, (list, tuple)) and all(isinstance(path, (str, os.PathLike)) for path in inputs):
        return [_path(path) for path in inputs], []
    msg = f"inputs: {type(inputs).__name__} is no path, no list of paths, and no Arrow table or dataset"
    raise ConfigError(msg)


def _path(path: str | os.PathLike[str]) -> str:
    text = os.fspath(path)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"inputs: the name {text!r} is not UTF-8") from None
    return text


def is_there(path: str) -> bool:
    """Whether a file or folder has this name, or any fits this pattern, which may hold alternatives in braces."""
    if os.path.exists(path):  # noqa: PTH110 - a pattern is no path
        return True
    parts = re.fullmatch(r"(.*?)\{([^{}]*)\}(.*)", path, re.DOTALL)
    if parts is None:
        return bool(glob.glob(path, recursive=True))  # noqa: PTH207
    before, inside, after = parts.groups()
    return any(is_there(before + part + after) for part in inside.split(","))


def _label(kind: str, facts: str) -> str:
    return f"<{kind} {hashlib.blake2b(facts.encode(), digest_size=8).hexdigest()}>"


def check_counts(**options: Any) -> None:
    """Checks that options are whole numbers that are not negative, so that the error names the one that is not."""
    for name, value in options.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 64):
            raise ConfigError(f"{name}: {value!r} is not a whole number from 0 to 2^64 - 1")


def check_choice(name: str, value: Any, *choices: Any) -> None:
    """Checks that an option has one of its values."""
    if value not in choices:
        raise ConfigError(f"{name}: {value!r} is none of {list(choices)}")


def _dataset_stream(dataset: Any) -> Any:
    """A `datasets.Dataset` as an Arrow stream, in the dataset's own order (`select` and `shuffle` included)."""
    import pyarrow as pa

    def batches() -> Iterator[Any]:
        for table in dataset.with_format("arrow").iter(batch_size=1000):
            yield from table.to_batches()

    return pa.RecordBatchReader.from_batches(dataset.features.arrow_schema, batches())


def thread_count(num_threads: int | None) -> int:
    """Threads to use: as asked for, else one for each processor that this process may use."""
    if num_threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if num_threads < 1:
        msg = f"num_threads: {num_threads} is less than 1"
        raise ConfigError(msg)
    return num_threads
