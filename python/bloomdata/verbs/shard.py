"""The verb `shard`."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Literal

from bloomdata import _core
from bloomdata.errors import ConfigError
from bloomdata.options.arguments import check_arguments
from bloomdata.options.checks import check_choice, check_counts
from bloomdata.options.inputs import split_inputs
from bloomdata.options.paths import output_path
from bloomdata.options.running import limits_of, running
from bloomdata.options.shards import shard_config
from bloomdata.parts.running import counted_first
from bloomdata.parts.sharing import share_of, written
from bloomdata.reports.report import ShardReport
from bloomdata.storage.reading import staged

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from bloomdata.options.inputs import Inputs, OnProgress
    from bloomdata.parts.gathering import Executor

SPLITS = ("train", "dev", "test")


@check_arguments
@counted_first(lambda options: bool(options["splits"]))
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
    records: str | None = None,
    validate: bool = True,
    allow_nan: bool = False,
    on_bad_record: Literal["raise", "quarantine"] = "raise",
    max_bad: str | float | None = None,
    allow_empty: bool = False,
    shuffle: bool = False,
    seed: int = 0,
    splits: Mapping[str, float] | None = None,
    parts: int = 1,
    part: int | str | None = None,
    counting: bool = False,
    executor: Executor | None = None,  # noqa: ARG001 - what `in_parts` reads
    scratch: str | os.PathLike[str] | None = None,
    scratch_limit: int | str = "16GB",
    allow_duplicate_inputs: bool = False,
    num_threads: int | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = None,
) -> ShardReport:
    """Copies the lines of all inputs into shards of at most `max_lines` lines.

    Lines are copied byte for byte; only the last shard is shorter. Elements of JSON arrays and rows of tables become
    one line each, and lines of `.txt` files become `{"text": ...}`. Blank lines are dropped and counted. Shards consist
    of independent zstd frames with a seek table, which any zstd program reads.

    A killed run resumes when it is called again with the same arguments; a finished run does nothing.

    Args:
        inputs: Files, folders or patterns (`.jsonl`, `.ndjson`, `.json`, `.txt`, each plain or `.gz`, `.zst`, `.bz2`,
            `.xz`, `.lz4`; `.parquet`, `.arrow`, `.feather`, `.ipc`; folders of `save_to_disk`), read in natural order.
            FORMAT.md says which files of a folder are data. `-` is the standard input: lines of JSON, compressed or
            not. Or one table: a `datasets.Dataset` or `IterableDataset`, an Arrow table or stream, or dictionaries in a
            list, a generator or any other iterable. A run over what can be read only once cannot be resumed. Or the
            name of a dataset of the Hugging Face hub (`owner/name`) whose files are in the local cache; nothing is
            downloaded.
        output: Folder to write: new, empty, or the output of an earlier call.
        max_lines: Maximum number of lines in a shard.
        max_bytes: Maximum number of decompressed bytes in a shard; a longer line gets its own shard.
        compression: Compression of the shards.
        level: Compression level.
        prefix: First part of the names of shards: `part-00000.jsonl.zst`.
        digits: Minimum number of digits in the names. 1 and `first_index=1` give the names of Open-Llama v2.
        first_index: Number of the first shard.
        text_field: Key for the lines of `.txt` inputs.
        records: Key of the list of records in `.json` files, as in `{"data": [...]}`; `a.b` is a nested key. `.` says
            that a file's own values are its records, also where one object holds one list of objects.
        validate: Whether to require that every line is a JSON object. If not, lines are copied without parsing.
        allow_nan: Whether lines may hold `NaN`, `Infinity` and `-Infinity`, which Python writes and JSON does not have.
            They are copied as they are; `pack`, `prepare` and `dedup` read them, other readers may refuse them.
        on_bad_record: Whether to stop at the first bad line with its file, line and byte offset (`raise`), or to
            collect bad lines in `quarantine.jsonl` and count them by reason (`quarantine`).
        shuffle: Whether to shuffle all lines, in bounded memory (a temporary copy is written beside the output).
        seed: Seed of the shuffle and of splits by share.
        splits: Shares such as `{"train": 0.98, "dev": 0.01, "test": 0.01}`, drawn independently for each line; or
            numbers of lines such as `{"dev": 1000, "test": 1000}`: the first lines go to test, the next to dev, the
            rest to train. Each split gets a sub-folder. A run in parts reads the inputs twice: it counts lines first.
        max_bad: Bad records at which a run that quarantines them stops: a number, or a share of all records such as
            `"0.1%"` or 0.001. A share is compared from the 100,000th record on, and at the end.
        allow_empty: Whether a run may keep none of its records. By default that is an error, and the folder stays
            unfinished. Inputs without records give an empty output.
        parts: Number of parts that the inputs are shared out among, by their sizes. It decides where files end, not
            which documents there are. Without `part`, all parts run, one after the other or by `executor`, and make one
            folder; docs/parts.md says what depends on their number.
        part: The only part to run, from 0 on; `slurm` for the number of a task of an array job. It is written to a
            folder of its own in `output`; `finish` makes one folder of all.
        counting: Whether `part` only counts what the parts behind it need to know, before any of them is run: lines,
            for `splits`. All parts at once count by themselves.
        executor: Runs the parts: anything with `submit`, such as a `concurrent.futures` executor, a client of Dask, or
            `submitit`.
        scratch: Local folder for what comes from a store or goes there; by default one in the system's temporary
            folder.
        scratch_limit: Bytes of inputs that are brought ahead at most; a larger share of a file is there alone.
        allow_duplicate_inputs: Whether to read both of two files with the same content, or of one name in two formats
            or compressions (`a.jsonl` and `a.jsonl.gz`), which is an error otherwise.
        num_threads: Number of threads; one per processor by default. Never changes the output.
        overwrite: Whether to discard the output of an earlier run in `output`.
        on_progress: Function called regularly with (total bytes, bytes read, lines, bytes written).

    Returns:
        A report of what was read, kept, dropped and written, as in `manifest.json` of the folder.

    Raises:
        ConfigError: An option is invalid, or the folder holds other files.
        CorruptDataError: An input is damaged or truncated, or a line is bad.
        MismatchError: The folder belongs to a call with other options or inputs.
        OSError: The operating system reports an error.

    Origin:
        `data/preprocess_the_pile.py` and `data/preprocess_wudao.py` of s-JoL/Open-Llama (16,384 lines per file, counted
        across all inputs), but without joining two lines where an input lacks its last newline.

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
        raise ConfigError("max_bytes: expected 1 or more, got 0")
    config = shard_config(
        max_lines=max_lines,
        max_bytes=max_bytes,
        compression=compression,
        level=level,
        prefix=prefix,
        digits=digits,
        first_index=first_index,
        text_field=text_field,
        validate=validate,
        allow_nan=allow_nan,
        records=records,
        on_bad_record=on_bad_record,
        shuffle=shuffle,
        seed=seed,
        splits=split_config(splits),
    )
    if counting:
        config["counting"] = True
    share = share_of(parts, part, shuffle=shuffle)
    given = split_inputs(inputs, objects=True)
    limits = limits_of(allow_empty=allow_empty, max_bad=max_bad, on_bad_record=on_bad_record)
    options = running(output_path(output), num_threads, overwrite=overwrite, limits=limits)
    start = time.monotonic()
    with staged(given, scratch, scratch_limit, are_cut=share is not None) as objects:
        files = (given.paths, allow_duplicate_inputs, share, objects)
        result = _core.shard(files, given.streams, json.dumps(config), options, on_progress)
    return ShardReport.from_run(written(output, share), result, time.monotonic() - start)


def split_config(splits: Mapping[str, float] | None) -> dict[str, list[float]] | None:
    """The core's configuration of splits."""
    if splits is None:
        return None
    if not splits:
        raise ConfigError("splits: expected at least one split, got none")
    if unknown := set(splits) - set(SPLITS):
        msg = f"splits: expected some of {list(SPLITS)}, got {sorted(unknown)}"
        raise ConfigError(msg)
    if not all(math.isfinite(share) and share >= 0 for share in splits.values()):
        msg = f"splits: expected shares or numbers of lines >= 0, got {dict(splits)}"
        raise ConfigError(msg)
    if all(isinstance(share, int) for share in splits.values()):
        if "train" in splits:
            msg = "splits: expected numbers of lines for dev and test only, got one for train, which has the rest"
            raise ConfigError(msg)
        return {"count": [splits.get("dev", 0), splits.get("test", 0)]}
    return {"ratio": [float(splits.get(name, 0.0)) for name in SPLITS]}
