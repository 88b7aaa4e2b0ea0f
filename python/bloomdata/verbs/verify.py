"""The verb `verify`."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomdata import _core
from bloomdata.errors import ConfigError, CorruptDataError
from bloomdata.manifest import MANIFEST_NAME, read_manifest
from bloomdata.options.arguments import check_arguments
from bloomdata.options.checks import thread_count
from bloomdata.options.padded_vocabulary import padded_vocab_size
from bloomdata.options.paths import finished_path
from bloomdata.parts.sharing import PLAN_NAME, part_name, part_number
from bloomdata.parts.signs import planned_parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bloomdata.options.inputs import OnProgress
    from bloomdata.parts.gathering import Executor


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The result of `verify`.

    Attributes:
        files: Number of files of which every byte was checked.
        bytes: Their size in total.
        padded_vocab_size: Rows of an embedding on `tensor_parallel` ranks; None if that was not given.
    """

    files: int
    bytes: int
    padded_vocab_size: int | None = None


@check_arguments
def verify(
    folder: str | os.PathLike[str],
    *,
    sequence_length: int | None = None,
    vocab_size: int | None = None,
    tensor_parallel: int | None = None,
    vocab_divisible_by: int = 128,
    num_workers: int | None = None,
    batch_size: int | None = None,
    evaluate: bool = False,
    part: int | str | None = None,
    executor: Executor | None = None,
    num_threads: int | None = None,
    on_progress: OnProgress = None,
) -> Verification:
    """Checks a finished folder: every hash, size and count, every index, every token against the vocabulary.

    Memory: 4 bytes per document of the largest Megatron index.

    Args:
        folder: A folder with a `manifest.json`, as `shard`, `prepare`, `pack`, `merge` or `gdp pipeline` write it.
        sequence_length: Tokens in a row that the training run expects; not checked by default.
        vocab_size: Vocabulary size of the model that will be trained; not checked by default.
        tensor_parallel: Ranks that share the embedding; `vocab_size` must suit them, and `padded_vocab_size` is told.
        vocab_divisible_by: Every rank gets a multiple of as many rows of the embedding.
        num_workers: Training workers, each of which needs its own file; not checked by default.
        batch_size: Rows that a worker reads from a file at once; not checked by default.
        evaluate: Whether dev files are required too.
        part: The only part to check of a run in parts, finished or not; `slurm` as for `shard`.
        executor: Checks the parts of a finished run, one a task; the rest is checked here. Anything with `submit`, as
            for `shard`.
        num_threads: Number of threads; one per processor by default.
        on_progress: Function called regularly with (total bytes, bytes read, documents, bytes written).

    Returns:
        The numbers of files and bytes checked.

    Raises:
        CorruptDataError: Files are damaged; the message names each of them and its problem.
        MismatchError: The data does not fit the training run.
        ConfigError: The folder is not finished, or was not written by bloomdata.

    Command line:
        bloomdata-cli verify packed/
        bloomdata-cli verify packed/ --sequence-length 2048 --vocab-size 250680 --num-workers 8 --batch-size 16
        bloomdata-cli verify megatron/ --tensor-parallel 4
        bloomdata-cli verify packed/ --local 8

    Example:
        >>> _ = bloomdata.shard("raw/*.jsonl", "shards")
        >>> bloomdata.verify("shards").files
        1
    """
    folder = finished_path(folder, "folder")
    threads = thread_count(num_threads)
    if part is not None:
        folder = _folder_of(Path(folder), part, executor)
    if executor is None:
        result = _check(os.fspath(folder), threads, on_progress)
    else:
        result = _check_by(executor, Path(folder), threads, on_progress)
    if problems := result["problems"]:
        lines = [f"{os.fspath(folder)}: {len(problems)} problem(s)", *(f"  {path}: {why}" for path, why in problems)]
        raise CorruptDataError("\n".join(lines))
    wanted: dict[str, Any] = {
        "sequence_length": sequence_length,
        "vocab_size": vocab_size,
        "tensor_parallel": tensor_parallel,
        "num_workers": num_workers,
        "batch_size": batch_size,
        "evaluate": evaluate,
    }
    if any(wanted.values()):
        from bloomdata.verbs.check_consumer import check_consumer

        check_consumer(folder, vocab_divisible_by=vocab_divisible_by, **wanted)
    padded = None
    if tensor_parallel is not None:
        ids = read_manifest(Path(folder))["details"]["tokenizer"]["vocab_size"]
        padded = padded_vocab_size(ids, tensor_parallel, vocab_divisible_by=vocab_divisible_by)
    return Verification(files=result["files"], bytes=result["bytes"], padded_vocab_size=padded)


def _check(folder: str, num_threads: int, on_progress: OnProgress = None) -> dict[str, Any]:
    """What is in a folder, and its problems: path and reason of each."""
    result: dict[str, Any] = json.loads(_core.verify(folder, num_threads, without_parts=False, on_progress=on_progress))
    problems = [(problem["path"], problem["reason"]) for problem in result["problems"]]
    return result | {"problems": problems or list(_compressed_problems(Path(folder)))}


def _folder_of(folder: Path, part: int | str, executor: object) -> Path:
    """The folder of a part, whatever there is of the others."""
    if executor is not None:
        raise ConfigError("executor: expected only without part")
    parts = planned_parts(folder)
    if parts is None:
        raise ConfigError(f"part: expected a folder with the parts of a run and their {PLAN_NAME}, got {folder}")
    return folder / part_name(part_number(parts, part), parts)


def _check_by(executor: Executor, folder: Path, num_threads: int, on_progress: OnProgress) -> dict[str, Any]:
    """As `_check`, of all parts by an executor, and of what is in none of them here."""
    if not callable(getattr(executor, "submit", None)):
        raise ConfigError(f"executor: expected anything with a method submit, got {executor!r:.100}")
    manifest = read_manifest(folder)
    parts = manifest["details"].get("parts")
    if parts is None:
        joined = ", got one whose pairs are joined" if "joined" in manifest["details"] else ""
        raise ConfigError(f"executor: expected a folder of parts{joined}: {folder}")
    names = [part_name(number, parts) for number in range(parts)]
    # Of one that is gone, the folder's own check says so.
    names = [name for name in names if (folder / name / MANIFEST_NAME).exists()]
    futures = [executor.submit(_check, os.fspath(folder / name), num_threads) for name in names]
    total, read = sum(output["size"] for output in manifest["outputs"]), 0
    problems = set()
    for name, future in zip(names, futures, strict=True):
        found = future.result()
        problems |= {(f"{name}/{path}", why) for path, why in found["problems"]}
        read += found["bytes"]
        if on_progress is not None:
            on_progress(total, read, 0, 0)
    result: dict[str, Any] = json.loads(
        _core.verify(os.fspath(folder), num_threads, without_parts=True, on_progress=None)
    )
    problems |= {(problem["path"], problem["reason"]) for problem in result["problems"]}
    return result | {"problems": sorted(problems)}


def _compressed_problems(folder: Path) -> Iterator[tuple[str, str]]:
    """Problems of compressed HDF5 files, which the core does not read."""
    from bloomdata.datasets.opening import PackedDataset

    manifest = read_manifest(folder)
    limits = {"input_ids": manifest["details"].get("tokenizer", {}).get("vocab_size"), "token_type_ids": 4}
    for output in manifest["outputs"]:
        if "rows" not in output or "datasets" in output:
            continue
        try:
            dataset = PackedDataset([folder / output["path"]])
        except CorruptDataError as error:
            yield output["path"], str(error)
            continue
        if len(dataset) != output["rows"] or dataset.sequence_length != manifest["config"]["sequence_length"]:
            yield output["path"], f"expected {output['rows']} rows, found {dataset!r}"
        for start in range(0, len(dataset), 1024):
            rows = dataset[start : start + 1024]
            for name, limit in limits.items():
                if ((rows[name] < 0) | (rows[name] >= limit)).any():
                    yield output["path"], f"{name}: expected values from 0 to {limit - 1}, found others"
                    return
