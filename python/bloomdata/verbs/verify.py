"""The verb `verify`."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomdata import _core
from bloomdata.errors import CorruptDataError
from bloomdata.manifest import read_manifest
from bloomdata.options.arguments import check_arguments
from bloomdata.options.checks import thread_count
from bloomdata.options.padded_vocabulary import padded_vocab_size
from bloomdata.options.paths import finished_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bloomdata.options.inputs import OnProgress


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
    num_threads: int | None = None,
    on_progress: OnProgress = None,
) -> Verification:
    """Checks a finished folder: every hash, size and count, every index, every token against the vocabulary.

    Memory: 4 bytes per document of the largest Megatron index.

    Args:
        folder: A folder written by `shard`, `prepare`, `pack`, `merge` or `gdp pipeline`.
        sequence_length: Tokens in a row that the training run expects; not checked by default.
        vocab_size: Vocabulary size of the model that will be trained; not checked by default.
        tensor_parallel: Ranks that share the embedding; `vocab_size` must suit them, and `padded_vocab_size` is told.
        vocab_divisible_by: Every rank gets a multiple of as many rows of the embedding.
        num_workers: Training workers, each of which needs its own file; not checked by default.
        batch_size: Rows that a worker reads from a file at once; not checked by default.
        evaluate: Whether dev files are required too.
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

    Example:
        >>> _ = bloomdata.shard("raw/*.jsonl", "shards")
        >>> bloomdata.verify("shards").files
        1
    """
    result = json.loads(_core.verify(finished_path(folder, "folder"), thread_count(num_threads), on_progress))
    problems = [f"  {problem['path']}: {problem['reason']}" for problem in result["problems"]]
    if problems := problems or list(_compressed_problems(Path(folder))):
        lines = [f"{os.fspath(folder)}: {len(problems)} problem(s)", *problems]
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


def _compressed_problems(folder: Path) -> Iterator[str]:
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
            yield f"  {output['path']}: {error}"
            continue
        if len(dataset) != output["rows"] or dataset.sequence_length != manifest["config"]["sequence_length"]:
            yield f"  {output['path']}: expected {output['rows']} rows, found {dataset!r}"
        for start in range(0, len(dataset), 1024):
            rows = dataset[start : start + 1024]
            for name, limit in limits.items():
                if ((rows[name] < 0) | (rows[name] >= limit)).any():
                    yield f"  {output['path']}: {name}: expected values from 0 to {limit - 1}, found others"
                    return
