"""The verb `shard`."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Literal

from bloomdata import _core
from bloomdata.errors import ConfigError
from bloomdata.options.checks import check_choice, check_counts, thread_count
from bloomdata.options.inputs import split_inputs
from bloomdata.options.paths import output_path
from bloomdata.reports.report import ShardReport

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from bloomdata.options.inputs import Inputs, OnProgress

SPLITS = ("train", "dev", "test")


def shard(
    inputs: Inputs,
    output: str | os.PathLike[str],
    *,
    max_lines: int = 16_384,
    max_bytes: int | None = None,
    compression: Literal["zstd", "gzip", "none"] = "zstd",
    level: int = 3,
    prefix: str = "part",
    digits: int = 5,
    first_index: int = 0,
    text_field: str = "text",
    validate: bool = True,
    on_bad_record: Literal["raise", "quarantine"] = "raise",
    shuffle: bool = False,
    seed: int = 0,
    splits: Mapping[str, float] | None = None,
    num_threads: int | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = None,
) -> ShardReport:
    """Copies the lines of all inputs into shards of at most `max_lines` lines.

    Lines are copied byte for byte; only the last shard is shorter. Elements of JSON arrays and rows of tables become
    one line each, lines of `.txt` files become `{"text": ...}`. Blank lines are dropped and counted. Shards consist of
    independent zstd frames with a seek table, which any zstd program reads.

    A run that was killed goes on when it is called again with the same arguments; a finished one does nothing.

    Args:
        inputs: Files, folders or patterns (`.jsonl`, `.ndjson`, `.json`, `.txt`, each plain, `.gz` or `.zst`;
            `.parquet`), or one `datasets.Dataset` or Arrow stream. Folders and patterns in natural order.
        output: Folder to write; made if needed, otherwise empty or from an earlier call.
        max_lines: Lines in a shard.
        max_bytes: Decompressed bytes in a shard; a longer line has a shard of its own.
        compression: Of the shards.
        level: Compression level.
        prefix: First part of names: `part-00000.jsonl.zst`.
        digits: Digits of the number, at least. 1 and `first_index=1` give the names of Open-Llama v2.
        first_index: Number of the first shard.
        text_field: Key for the lines of `.txt` inputs.
        validate: Whether every line must be a JSON object. Without it, lines are copied unread.
        on_bad_record: `"raise"` stops at the first bad line and names file, line and byte offset; `"quarantine"`
            keeps bad lines in `quarantine.jsonl` and counts them by reason.
        shuffle: Whether to shuffle all lines, in bounded memory (a temporary copy is written beside the output).
        seed: Of the shuffle and of splits by ratio.
        splits: Shares like `{"train": 0.98, "dev": 0.01, "test": 0.01}`: each line is drawn by itself; or numbers
            of lines like `{"dev": 1000, "test": 1000}`: the first lines go to test, the next to dev, the rest to
            train. Each split has a sub-folder.
        num_threads: Threads; as many as processors by default. Never changes the output.
        overwrite: Whether to discard what an earlier run left in `output`.
        on_progress: Called now and then with (total bytes, bytes read, lines, bytes written).

    Returns:
        What was read, kept, dropped and written; `manifest.json` in the folder says the same.

    Raises:
        ConfigError: An option that cannot work, or a folder that is not ours.
        CorruptDataError: A damaged or truncated input, or a bad line.
        MismatchError: The folder belongs to a call with other options or inputs.
        OSError: What the system reports.

    Origin:
        `data/preprocess_the_pile.py` and `data/preprocess_wudao.py` of s-JoL/Open-Llama (16,384 lines a file, counted
        across all inputs), without its merging of two lines where an input lacks its last newline.

    Command line:
        bloomdata-cli shard raw/ --output shards/ --max-lines 16384
        bloomdata-cli shard raw/*.jsonl.gz --output shards/ --shuffle --splits train=0.98,dev=0.01,test=0.01

    Example:
        >>> report = bloomdata.shard("raw/*.jsonl", "shards", max_lines=1000)
        >>> report.ledger["documents_kept"]
        2
    """
    check_counts(max_lines=max_lines, max_bytes=max_bytes, digits=digits, first_index=first_index, seed=seed)
    check_counts(level=abs(level))
    check_choice("compression", compression, "zstd", "gzip", "none")
    check_choice("on_bad_record", on_bad_record, "raise", "quarantine")
    if max_bytes == 0:
        raise ConfigError("max_bytes: 0 bytes make no shard")
    config = {
        "max_lines": max_lines,
        "max_bytes": max_bytes,
        "compression": compression,
        "level": level,
        "prefix": prefix,
        "digits": digits,
        "first_index": first_index,
        "text_field": text_field,
        "validate": validate,
        "on_bad_record": on_bad_record,
        "shuffle": shuffle,
        "seed": seed,
        "splits": split_config(splits),
    }
    paths, streams = split_inputs(inputs)
    options = (output_path(output), thread_count(num_threads), overwrite, 10.0)
    start = time.monotonic()
    result = _core.shard(paths, streams, json.dumps(config), options, on_progress)
    return ShardReport.from_run(output, result, time.monotonic() - start)


def split_config(splits: Mapping[str, float] | None) -> dict[str, list[float]] | None:
    """The core's description of splits."""
    if splits is None:
        return None
    if not splits:
        raise ConfigError("splits: none named")
    if unknown := set(splits) - set(SPLITS):
        msg = f"splits: {sorted(unknown)} are none of {list(SPLITS)}"
        raise ConfigError(msg)
    if not all(math.isfinite(share) and share >= 0 for share in splits.values()):
        msg = f"splits: {dict(splits)} are no shares and no numbers of lines"
        raise ConfigError(msg)
    if all(isinstance(share, int) for share in splits.values()):
        if "train" in splits:
            msg = "splits: counts are of dev and test; train gets the rest"
            raise ConfigError(msg)
        return {"count": [splits.get("dev", 0), splits.get("test", 0)]}
    return {"ratio": [float(splits.get(name, 0.0)) for name in SPLITS]}
