"""The verb `decontaminate`."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Literal

from bloomdata import _core
from bloomdata.errors import ConfigError
from bloomdata.options.arguments import check_arguments
from bloomdata.options.checks import byte_count, check_choice, check_counts
from bloomdata.options.inputs import file_inputs
from bloomdata.options.paths import output_path, utf8_path
from bloomdata.options.running import limits_of, running
from bloomdata.options.shards import shard_config
from bloomdata.parts.running import counted_first
from bloomdata.parts.sharing import share_of, written
from bloomdata.reports.report import DecontaminateReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bloomdata.options.inputs import Inputs, OnProgress
    from bloomdata.parts.gathering import Executor

_THRESHOLD = 0.8


@check_arguments
@counted_first(lambda _: True)
def decontaminate(
    inputs: Inputs,
    output: str | os.PathLike[str],
    *,
    evaluations: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    action: Literal["report", "drop", "cut"] = "report",
    ngram: int = 13,
    threshold: float = _THRESHOLD,
    common: int = 10,
    preset: Literal["lineage"] | None = None,
    memory_limit: int | str = "2GB",
    text_field: str = "text",
    max_lines: int = 16_384,
    max_bytes: int | None = None,
    compression: Literal["zstd", "gzip", "none"] = "zstd",
    level: int = 3,
    prefix: str = "part",
    on_bad_record: Literal["raise", "quarantine"] = "raise",
    max_bad: str | float | None = None,
    allow_duplicate_inputs: bool = False,
    parts: int = 1,
    part: int | str | None = None,
    counting: bool = False,
    executor: Executor | None = None,  # noqa: ARG001 - what `in_parts` reads
    num_threads: int | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = None,
) -> DecontaminateReport:
    """Finds documents that hold rows of evaluations: lists them, drops them, or cuts the rows out.

    Rows are records of JSON with `text` or `question`, and optionally `id`, `answer` and `passage`. A passage is
    looked for like a text. Words are runs of letters, marks and numbers in lower case, whatever is between them. The
    score of a row in a document is the share of its different n-grams that are found there within twice its length, so
    that neither lines that are wrapped anew nor a long document around it hide it. A row of 50 words or more needs the
    score `threshold`, a shorter one more, up to all of it at 20 words. A row shorter than an n-gram is looked for as a
    whole if it has 8 words, and is listed in `ignored.jsonl` otherwise, as are n-grams that are phrases of the
    language.

    `contamination.jsonl` has a line for every row in every document: where the two are, the score, and both texts.
    Lines that stay are copied byte for byte into shards, as `shard` writes them. The answer depends on the documents
    and the rows alone, not on threads or how documents are cut into files.

    Inputs are read twice, and those with matches once more; once less without shards. A killed run resumes behind the
    last phase that was done; a finished run does nothing.

    Args:
        inputs: Files, folders or patterns, as for `shard`, but no table in memory.
        output: Folder to write: new, empty, or the output of an earlier call.
        evaluations: Files, folders or patterns of rows, `.jsonl`, `.json` or `.parquet`, each file a set of its own.
        action: What to do with contaminated documents: `report` them and write no shards, `drop` them, or `cut` 200
            characters on each side of a match. Pieces under 200 characters, and documents that would be cut more than
            10 times, are left out. All n-grams of the rows that were found are cut; each piece becomes a line.
        ngram: Number of words of an n-gram.
        threshold: The score from which on a row of 50 words or more is found.
        common: An n-gram in more documents than this is a phrase of the language and counts for no row.
        preset: `lineage` for the rules of Megatron-LM's `filter_ngrams.py`: a single n-gram of a question or text is
            enough, and cuts go on to the end of a sentence.
        memory_limit: Memory for sorting, in bytes or as `500MB`; what does not fit goes to the disk. Rows are kept in
            memory beside it: their texts and about 60 bytes for each n-gram.
        text_field: Field that holds the text, such as `data.text`.
        max_lines: Maximum number of lines in a shard.
        max_bytes: Maximum number of decompressed bytes in a shard.
        compression: Compression of the shards.
        level: Compression level.
        prefix: First part of the names of shards.
        on_bad_record: Whether to stop at the first bad record (`raise`), or to collect bad records in
            `quarantine.jsonl` and count them by reason (`quarantine`).
        max_bad: As for `shard`.
        allow_duplicate_inputs: Whether to read both of two files with the same content, or of one name in two formats
            or compressions (`a.jsonl` and `a.jsonl.gz`), which is an error otherwise.
        parts: Number of parts, as for `shard`. Where shards end depends on it, and nothing else. In how many documents
            n-grams are is counted in all parts before the rest is done in any of them.
        part: The only part to run, as for `shard`.
        counting: Whether to count only, for the other parts; with `part`.
        executor: Runs the parts, as for `shard`; before, it counts in parts, too.
        num_threads: Number of threads; one per processor by default. Never changes the output.
        overwrite: Whether to discard the output of an earlier run in `output`.
        on_progress: Function called regularly with (total bytes, bytes read, documents, bytes written).

    Returns:
        A report of what was read, kept and dropped, with a table of the evaluation files.

    Raises:
        ConfigError: An option is invalid, an evaluation file has no rows, the folder holds other files, or a part comes
            before the counts of all parts.
        CorruptDataError: An input is damaged, a record is bad, or a row has no text.
        MismatchError: The folder, or the counts in it, belong to a call with other options, rows or inputs, or an input
            changed while it was read.
        OSError: The operating system reports an error.

    Origin:
        `tools/openwebtext/filter_ngrams.py` of NVIDIA/Megatron-LM (17b8a8a7): n-grams of 13 words, whole rows from 8
        words on, cuts of 200 characters, 10 cuts, 10 occurrences. There, one n-gram is enough (here with
        `preset="lineage"`), occurrences count instead of documents, `_` is a letter, and the margin behind a match
        starts where its words would end if single blanks were between them.

    Command line:
        bloomdata-cli decontaminate clean/ --output found/ --evaluations evals/ --html found.html
        bloomdata-cli decontaminate clean/ --output safe/ --evaluations evals/ --ngram 13 --action drop
        bloomdata-cli decontaminate clean/ --output safe/ --evaluations evals/*.jsonl --preset lineage --action cut
        bloomdata-cli decontaminate clean/ --output safe/ --evaluations evals/ --parts 16 --local 4
        bloomdata-cli decontaminate clean/ --output safe/ --evaluations evals/ --parts 16 --part 3 --counting
        bloomdata-cli decontaminate clean/ --output safe/ --evaluations evals/ --parts 16 --part 3
        bloomdata-cli decontaminate clean/ --output safe/ --evaluations evals/ --parts 16 --finish

    Example:
        >>> row = '{"id": 1, "text": "a row of a benchmark that nobody should train a model on"}'
        >>> _ = Path("evals.jsonl").write_text(row)
        >>> report = bloomdata.decontaminate("raw/*.jsonl", "safe", evaluations="evals.jsonl", action="drop")
        >>> report.ledger["documents_kept"], report.contaminated
        (2, 0)
    """
    check_choice("action", action, "report", "drop", "cut")
    check_choice("preset", preset, "lineage", None)
    check_choice("compression", compression, "zstd", "gzip", "none")
    check_choice("on_bad_record", on_bad_record, "raise", "quarantine")
    check_counts(ngram=ngram, common=common, max_lines=max_lines, max_bytes=max_bytes, level=abs(level))
    if preset is not None and threshold != _THRESHOLD:
        raise ConfigError(f"threshold: expected none with preset={preset!r}, which takes one n-gram, got {threshold}")
    config = {
        "text_field": text_field,
        "ngram": ngram,
        "threshold": float(threshold),
        "common": common,
        "preset": preset,
        "action": action,
        "shards": shard_config(
            max_lines=max_lines,
            max_bytes=max_bytes,
            compression=compression,
            level=level,
            prefix=prefix,
            text_field=text_field,
            on_bad_record=on_bad_record,
        ),
    }
    paths = file_inputs(inputs)
    files = [evaluations] if isinstance(evaluations, (str, os.PathLike)) else evaluations
    rows = [utf8_path(path, "evaluations") for path in files]
    limits = limits_of(allow_empty=True, max_bad=max_bad, on_bad_record=on_bad_record)
    options = running(output_path(output), num_threads, overwrite=overwrite, limits=limits)
    memory = (byte_count("memory_limit", memory_limit), counting)
    share = share_of(parts, part)
    start = time.monotonic()
    given = (paths, allow_duplicate_inputs, share)
    result = _core.decontaminate(given, rows, json.dumps(config), options, memory, on_progress)
    return DecontaminateReport.from_run(written(output, share), result, time.monotonic() - start)
