"""The verb `dedup`."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from bloomdata import _core
from bloomdata.errors import ConfigError
from bloomdata.options.arguments import check_arguments
from bloomdata.options.checks import byte_count, check_choice, check_counts
from bloomdata.options.dedup_config import dedup_config
from bloomdata.options.inputs import file_inputs
from bloomdata.options.near import MinHash, Substring, described
from bloomdata.options.paths import finished_path, output_path, utf8_path
from bloomdata.options.running import limits_of, running
from bloomdata.parts.sharing import share_of, written
from bloomdata.reports.report import DedupReport
from bloomdata.verbs.dedup_parts import decided, decided_first, run_set_parts, set_parts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bloomdata.options.inputs import Inputs, OnProgress
    from bloomdata.parts.gathering import Executor


@check_arguments
@decided_first
def dedup(
    inputs: Inputs,
    output: str | os.PathLike[str],
    *,
    exact: Literal["document", "paragraph", "line", "none"] | None = "document",
    exact_normalize: Literal["none", "whitespace", "fold"] = "none",
    min_characters: int = 20,
    near: MinHash | Mapping[str, Any] | None = None,
    substring: Substring | Mapping[str, Any] | None = None,
    keep: Literal["first", "components"] = "first",
    against: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    signatures: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    report_only: bool = False,
    memory_limit: int | str = "2GB",
    text_field: str = "text",
    max_lines: int = 16_384,
    max_bytes: int | None = None,
    compression: Literal["zstd", "gzip", "none"] = "zstd",
    level: int = 3,
    prefix: str = "part",
    on_bad_record: Literal["raise", "quarantine"] = "raise",
    max_bad: str | float | None = None,
    parts: int = 1,
    part: int | str | None = None,
    decide: bool = False,
    executor: Executor | None = None,
    num_threads: int | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = None,
) -> DedupReport:
    """Removes duplicate documents, exact and near ones, and repeated passages; names a kept document for each.

    Lines that stay are copied byte for byte into shards, as `shard` writes them. `duplicates.jsonl` says for every
    document that was dropped where it stood, which kept document it repeats, and how similar the two are;
    `spans.jsonl` says where every repeated passage stood, and where it stood first. The answer depends on the
    documents and their order alone: not on threads, memory, or how they are cut into files.

    Inputs are read two to four times. A killed run resumes behind the last phase that was done; a finished run does
    nothing.

    Args:
        inputs: Files, folders or patterns, as for `shard`, but no table in memory.
        output: Folder to write: new, empty, or the output of an earlier call.
        exact: What to look for that is equal to something earlier: the whole `document`, which is dropped; each
            `paragraph` (up to a blank line) or `line`, which is cut out of its document; or `none`.
        exact_normalize: What makes texts equal: `none` compares them as they are; `whitespace` reads them in NFC,
            each run of white space as one blank; `fold` in NFC and lower case, only letters, marks and numbers.
        min_characters: Length from which on paragraphs and lines are compared; shorter ones stay.
        near: How to find similar documents: a `MinHash`, or its options in a dictionary; by default
            they are not looked for.
        substring: How to find repeated passages: a `Substring`, or its options in a dictionary; by default they are not
            looked for. Not together with paragraphs or lines.
        keep: Which of similar documents stay: `first` drops a document if it is similar to an earlier one that is
            kept; `components` keeps the first of each connected component, as other tools do, so that a chain of
            similar documents goes even if its ends have nothing in common.
        against: Files, folders or patterns that documents are compared with, too, and that are not written.
        signatures: Folders that `signatures` has written, in place of the first pass; every input must be in one of
            them, unchanged.
        report_only: Whether to write no shards, only the report and the list of duplicates.
        memory_limit: Memory for tables and sorting, in bytes or as `500MB`; what does not fit goes to the disk, and the
            answer stays the same. Beside it, reading takes about 80 MB a thread, and writing 200.
        text_field: Field that holds the text, such as `data.text`.
        max_lines: Maximum number of lines in a shard.
        max_bytes: Maximum number of decompressed bytes in a shard.
        compression: Compression of the shards.
        level: Compression level.
        prefix: First part of the names of shards.
        on_bad_record: Whether to stop at the first bad record (`raise`), or to collect bad records in
            `quarantine.jsonl` and count them by reason (`quarantine`).
        max_bad: As for `shard`.
        parts: Number of parts among which files are shared out, whole ones. What goes is decided once, for all of
            them, in the folder `decisions` of `output`; then each part writes what stays of its files. Where shards
            end depends on it, and nothing else. A report alone has no parts.
        part: The only part to run, as for `shard`, once it is decided what goes.
        decide: Whether to decide only, on this machine, what goes; with `parts`.
        executor: Runs the parts, as for `shard`; before, unless `signatures` are given, it makes them in parts, too.
            Texts of documents that may be similar are read in parts as well.
        num_threads: Number of threads; one per processor by default. Never changes the output.
        overwrite: Whether to discard the output of an earlier run in `output`.
        on_progress: Function called regularly with (total bytes, bytes read, documents, bytes written).

    Returns:
        A report of what was read, kept and dropped, with recall and precision on samples.

    Raises:
        ConfigError: An option is invalid, the limit of memory is too low, or the folder holds other files; a part comes
            before the decisions.
        CorruptDataError: An input is damaged, or a record is bad.
        MismatchError: The folder, or the decisions in it, belong to a call with other options or inputs, or an input
            changed while it was read.
        OSError: The operating system reports an error.

    Origin:
        MinHash and bands: Broder 1997; Indyk, Motwani 1998. `find_duplicates.py` and `remove_group_duplicates.py` of
        Megatron-LM's `tools/openwebtext`, but with every similarity verified, and without their chance in what is kept.

    Command line:
        bloomdata-cli dedup shards/ --output clean/
        bloomdata-cli dedup shards/ --output clean/ --near --threshold 0.8 --memory-limit 2GB
        bloomdata-cli dedup shards/ --output found/ --near --report-only --html found.html
        bloomdata-cli dedup shards/ --output clean/ --exact none --substring --substring-words 50
        bloomdata-cli dedup new/ --output clean-2/ --near --against clean/
        bloomdata-cli dedup shards/ --output clean/ --near --signatures signatures-0/ signatures-1/
        bloomdata-cli dedup shards/ --output clean/ --near --parts 16 --local 4
        bloomdata-cli dedup shards/ --output clean/ --near --parts 16 --signatures signatures/ --decide
        bloomdata-cli dedup shards/ --output clean/ --near --parts 16 --part 3
        bloomdata-cli dedup shards/ --output clean/ --near --parts 16 --finish
        bloomdata-cli dedup --explain --threshold 0.8

    Example:
        >>> report = bloomdata.dedup("raw/*.jsonl", "clean", near=bloomdata.MinHash(0.8))
        >>> report.ledger["documents_kept"]
        2
    """
    check_counts(max_lines=max_lines, max_bytes=max_bytes, level=abs(level), min_characters=min_characters)
    exact = None if exact == "none" else exact
    check_choice("exact", exact, "document", "paragraph", "line", None)
    check_choice("exact_normalize", exact_normalize, "none", "whitespace", "fold")
    check_choice("keep", keep, "first", "components")
    check_choice("compression", compression, "zstd", "gzip", "none")
    check_choice("on_bad_record", on_bad_record, "raise", "quarantine")
    near, substring = described(MinHash, "near", near), described(Substring, "substring", substring)
    limit = byte_count("memory_limit", memory_limit)
    has_filters = near is not None and near.index == "bloom"
    if has_filters:
        # Equal documents share all bands. The filters decide the answer, so their size must not depend on threads.
        exact = None if exact == "document" else exact
        limit -= limit // 2
    repeated = None if substring is None else substring.to_config()
    if exact in ("paragraph", "line"):
        if repeated is not None:
            raise ConfigError(f"substring: expected None with exact={exact!r}, got {substring!r}")
        piece = {f"{exact}s": {"normalize": exact_normalize, "min_characters": min_characters}}
        repeated = {"part": piece, "action": "cut", "whole_lines": False, "max_share": 1.0}
    elif exact is None and near is None and repeated is None:
        raise ConfigError("exact: expected exact, near or substring, got none of them: nothing to look for")
    config = dedup_config(
        exact=exact,
        exact_normalize=exact_normalize,
        near=None if near is None else near.to_config(limit),
        repeated=repeated,
        keep=keep,
        report_only=report_only,
        against=[utf8_path(path, "against") for path in _paths(against)],
        text_field=text_field,
        max_lines=max_lines,
        max_bytes=max_bytes,
        compression=compression,
        level=level,
        prefix=prefix,
        on_bad_record=on_bad_record,
    )
    paths = file_inputs(inputs)
    limits = limits_of(allow_empty=True, max_bad=max_bad, on_bad_record=on_bad_record)
    options = running(output_path(output), num_threads, overwrite=overwrite, limits=limits)
    start = time.monotonic()
    share = share_of(parts, part)
    if share is not None:
        folder = written(output, share)
        result = _core.dedup_part(paths, share, json.dumps(config), options, on_progress)
    else:
        folder = decided(output) if decide else Path(output)
        memory = (limit, [finished_path(path, "signatures") for path in _paths(signatures)])
        asked, text = set_parts(parts if executor is not None else 0), json.dumps(config)
        found = _core.dedup(paths, text, options, memory, asked if decide else None, on_progress)
        if found is None:
            of_parts = {"inputs": paths, "output": output, "config": text, "parts": asked, "num_threads": num_threads}
            run_set_parts(of_parts, executor, on_progress)
            options = running(output_path(output), num_threads, overwrite=False, limits=limits)
            found = _core.dedup(paths, text, options, memory, 0, on_progress)
        result = cast("tuple[str, bool, bool]", found)
    return DedupReport.from_run(folder, result, time.monotonic() - start)


def _paths(given: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None) -> list[str | os.PathLike[str]]:
    return [given] if isinstance(given, (str, os.PathLike)) else list(given or [])
