"""The verb `check_consumer`: whether packed data fits the training run that will read it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from bloomdata.errors import ConfigError, MismatchError
from bloomdata.manifest import read_manifest
from bloomdata.options.padded_vocabulary import padded_vocab_size
from bloomdata.options.paths import finished_path


def check_consumer(
    folder: str | os.PathLike[str],
    *,
    sequence_length: int | None = None,
    vocab_size: int | None = None,
    tensor_parallel: int | None = None,
    vocab_divisible_by: int = 128,
    num_workers: int | None = None,
    batch_size: int | None = None,
    tokenizer_model_type: str | None = None,
    evaluate: bool = False,
) -> None:
    """Checks that a finished folder fits a training run; options that are not given are not checked.

    Of Megatron pairs, whose documents have any length and are in one file, only the vocabulary is checked.

    Args:
        folder: A folder written by `pack` or by `bloomdata-cli gdp pipeline`.
        sequence_length: Tokens in a row.
        vocab_size: Vocabulary size of the model; the tokenizer of the data must not have more ids.
        tensor_parallel: Ranks that share the embedding: `vocab_size` must then be a multiple of as many times
            `vocab_divisible_by`.
        vocab_divisible_by: As for `padded_vocab_size`.
        num_workers: Training workers; each needs its own file.
        batch_size: Rows that a worker reads from a file at once; no file may have fewer.
        tokenizer_model_type: Type of the model, as in `metadata.yaml`.
        evaluate: Whether dev files are required too.

    Raises:
        MismatchError: The folder does not fit; the message lists every problem.
        ConfigError: The folder is not finished, or has no tokens.

    Example:
        >>> _ = bloomdata.pack("raw/*.jsonl", "packed", tokenizer="bytes", sequence_length=16)
        >>> bloomdata.check_consumer("packed", sequence_length=16, vocab_size=50_257, num_workers=1, batch_size=1)
        >>> bloomdata.check_consumer("packed", vocab_size=512, tensor_parallel=4)
    """
    manifest = read_manifest(Path(finished_path(folder, "folder")))
    tokenizer = manifest.get("details", {}).get("tokenizer")
    if tokenizer is None:
        raise ConfigError(f"{os.fspath(folder)}: expected tokens, found the output of {manifest['verb']!r}")
    found = manifest["config"].get("sequence_length")
    problems = []
    is_pair = any("sequences" in output for output in manifest["outputs"])  # documents, of any length
    if sequence_length is not None and found != sequence_length and not is_pair:
        problems.append(f"sequence length: expected {sequence_length}, found {found}")
    if vocab_size is not None and tokenizer["vocab_size"] > vocab_size:
        problems.append(f"vocabulary: expected at most {vocab_size} ids, found {tokenizer['vocab_size']}")
    if tensor_parallel is not None:
        padded = padded_vocab_size(tokenizer["vocab_size"], tensor_parallel, vocab_divisible_by=vocab_divisible_by)
        multiple = tensor_parallel * vocab_divisible_by
        if vocab_size is not None and vocab_size % multiple:
            problems.append(
                f"vocabulary: expected a multiple of {multiple} ({vocab_divisible_by} times {tensor_parallel} ranks), "
                f"at least {padded}, found {vocab_size}"
            )
    kind = manifest["details"].get("metadata", {}).get("tokenizer_model_type")
    if tokenizer_model_type is not None and kind != tokenizer_model_type:
        problems.append(f"tokenizer model type: expected {tokenizer_model_type}, found {kind}")
    for split in () if is_pair else ("train", "dev") if evaluate else ("train",):
        rows = _rows_of(manifest, split)
        if not rows:
            problems.append(f"{split} files: expected some, found none")
            continue
        if num_workers is not None and num_workers > len(rows):
            problems.append(f"{split} files: expected at least {num_workers}, one for each worker, found {len(rows)}")
        if batch_size is not None and batch_size > min(rows):
            problems.append(f"rows in each {split} file: expected at least {batch_size}, found {min(rows)}")
    if problems:
        raise MismatchError("\n".join([f"{os.fspath(folder)}: {len(problems)} problem(s)", *problems]))


def _rows_of(manifest: dict[str, Any], split: str) -> list[int]:
    """Rows of each file of a split. A folder without splits counts as training data."""
    has_splits = manifest["verb"] == "gdp"
    return [
        output["rows"]
        for output in manifest["outputs"]
        if "rows" in output and (output["path"].startswith(f"{split}_") if has_splits else split == "train")
    ]
