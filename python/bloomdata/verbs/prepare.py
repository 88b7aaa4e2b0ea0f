"""The verb `prepare`."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bloomdata import _core
from bloomdata.errors import ConfigError
from bloomdata.options import one_file
from bloomdata.options.arguments import check_arguments
from bloomdata.options.checks import check_choice, check_counts
from bloomdata.options.inputs import is_there, split_inputs
from bloomdata.options.paths import output_path
from bloomdata.options.running import limits_of, running
from bloomdata.options.shards import shard_config
from bloomdata.options.template_options import template_options
from bloomdata.parts.running import counted_first
from bloomdata.parts.sharing import share_of, written
from bloomdata.prepare_sources import SOURCES
from bloomdata.reports.report import PrepareReport
from bloomdata.storage.reading import staged
from bloomdata.verbs.shard import split_config

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bloomdata.options.inputs import Inputs, OnProgress
    from bloomdata.parts.gathering import Executor

STYLES = ("auto", "messages", "prompt_completion", "completion", "text")
# A single output file is one shard without a limit.
_NO_END = 1 << 62


@check_arguments
@counted_first(lambda options: bool(options["splits"]))
def prepare(
    source: str | Any,
    inputs: Inputs,
    output: str | os.PathLike[str],
    *,
    style: Literal["auto", "messages", "prompt_completion", "completion", "text"] = "auto",
    template: str | os.PathLike[str] | None = None,
    template_variables: Mapping[str, Any] | None = None,
    template_date: str | None = None,
    ensure_ascii: bool = False,
    records: str | None = None,
    max_rows_per_input: int | None = None,
    sampling: Literal["head", "reservoir"] = "head",
    repeat: Mapping[str, int] | None = None,
    missing: Literal["raise", "report"] = "raise",
    shuffle: bool = False,
    seed: int = 0,
    splits: Mapping[str, float] | None = None,
    max_lines: int = 16_384,
    compression: Literal["zstd", "gzip", "none"] = "zstd",
    level: int = 3,
    prefix: str = "part",
    on_bad_record: Literal["raise", "quarantine"] = "raise",
    max_bad: str | float | None = None,
    allow_empty: bool = False,
    parts: int = 1,
    part: int | str | None = None,
    counting: bool = False,
    executor: Executor | None = None,  # noqa: ARG001 - what `in_parts` reads
    scratch: str | os.PathLike[str] | None = None,
    scratch_limit: int | str = "16GB",
    allow_duplicate_inputs: bool = False,
    ignore_keys: Sequence[str] = (),
    num_threads: int | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = None,
    **options: Any,
) -> PrepareReport:
    """Converts the records of a known source to conversations or texts.

    `bloomdata.SOURCES` and `bloomdata-cli prepare --list` show what each source reads and which options it has.

    `style="auto"` writes conversations as `{"messages": [{"role": ..., "content": ...}, ...]}` and texts as
    `{"text": ...}`, so that `pack(..., template=...)` knows what to train on. `"prompt_completion"` writes pairs
    without tags. `"text"` and `"completion"` write the rendered text, which no longer says who speaks; `"completion"`
    writes it as `{"prompt": "", "completion": ...}`, the form of BLOOMChat.

    Roles have their usual names, as for `pack`. Of `sharegpt` all messages stay: neighbours of one role are joined by
    newlines; `turns="separate"` has the pairs of its origin, as `open_llama` has. Numbered turns of `moss` are in the
    order of their numbers.

    `system` beside the messages of `messages` and `sharegpt`, and `system` and `history` of `alpaca`, come first;
    records with descriptions of tools are bad.

    Answers that a switch of `messages` or `sharegpt` (`weight`, `train`, `loss_mask`, ...) leaves out get `"weight":
    0`, which `pack` obeys; styles without messages refuse them.

    Keys of records that hold a text, a list or an object and that the source does not read are counted in `unread_keys`
    of the report.

    A killed run resumes when it is called again with the same arguments; a finished run does nothing.

    Args:
        source: Name of the source, such as `oasst1`, `dolly`, `alpaca` or `sharegpt`; `--list` shows all of them.
        inputs: Files, folders or patterns, or one table in memory, as for `shard`.
        output: Folder for shards; or a single file, `.jsonl`, `.jsonl.gz` or `.jsonl.zst`, whose manifest is kept in
            `<file>.books/`.
        style: Format of the lines.
        template: Chat template for the styles `text` and `completion`, see `ChatTemplate`; `human_bot` by default.
        template_variables: Further variables of the template, such as `eos_token`.
        template_date: Date that the template's `strftime_now` returns, such as `2026-01-31`.
        ensure_ascii: Whether to escape all characters outside ASCII, as Python's `json` does by default.
        records: Key of the list of records in `.json` files, as for `shard`.
        max_rows_per_input: Number of records to take from each input; the others are counted as left out. Not for
            sources of message trees.
        sampling: Which of these records to take: the first ones (`head`), or a random sample by the seed
            (`reservoir`), which is kept in memory.
        repeat: How often to write the lines of some inputs, by name or pattern: `{"unified_basic.jsonl": 1001}`.
        missing: What to do when an input does not exist: `raise`, or `report` it in the manifest and skip it.
        shuffle: Whether to shuffle all lines, in bounded memory.
        seed: Seed of the shuffle, of samples, and of splits.
        splits: Shares or numbers of lines for `train`, `dev` and `test`, as for `shard`.
        max_lines: Maximum number of lines in a shard.
        compression: Compression of the shards.
        level: Compression level.
        prefix: First part of the names of shards.
        on_bad_record: Whether to stop at the first record that does not fit the source (`raise`) or to collect such
            records in `quarantine.jsonl` and count them by reason (`quarantine`).
        max_bad: Bad records at which a run that quarantines them stops: a number, or a share of all records such as
            `"0.1%"` or 0.001. A share is compared from the 100,000th record on, and at the end.
        allow_empty: Whether a run may keep none of its records. By default that is an error, and the folder stays
            unfinished. Inputs without records give an empty output.
        parts: Number of parts, as for `shard`.
        part: The only part to run, as for `shard`.
        counting: Whether `part` only counts lines, as for `shard`.
        executor: Runs the parts, as for `shard`.
        scratch: Local folder for what comes from a store or goes there, as for `shard`.
        scratch_limit: Bytes of inputs that are brought ahead, as for `shard`.
        allow_duplicate_inputs: Whether to read both of two files with the same content, or of one name in two formats
            or compressions (`a.jsonl` and `a.jsonl.gz`), which is an error otherwise.
        ignore_keys: Keys that the report leaves out of `unread_keys`, as it names them: `url`, `messages[].id`. Never
            changes the output.
        num_threads: Number of threads; one per processor by default. Never changes the output.
        overwrite: Whether to discard the output of an earlier run in `output`, or a file of that name.
        on_progress: Function called regularly with (total bytes, bytes read, records, bytes written).
        **options: Options of the source.

    Returns:
        A report of what was read, kept, dropped and written, as in `manifest.json`.

    Raises:
        ConfigError: The source or an option is unknown, or the folder or file was not written by bloomdata.
        CorruptDataError: An input is damaged or truncated, or a record is bad.
        MismatchError: The folder belongs to a call with other options or inputs.
        FileNotFoundError: An input does not exist.
        OSError: The operating system reports an error.

    Origin:
        `data_prep` of sambanova/bloomchat, `dataset` of s-JoL/Open-Llama, `tools/dataset_preprocess` of mindformers,
        `ascendspeed/data/data_handler.py` of AscendSpeed, togethercomputer/OpenChatKit. The file of each source names
        its origin, and any difference where the original loses text or order.

    Command line:
        bloomdata-cli prepare --list
        bloomdata-cli prepare dolly dolly.jsonl --output dolly-chats.jsonl.zst
        bloomdata-cli prepare oasst1 2023-04-12_oasst_ready.messages.jsonl.gz --output oasst1/ --option lang=en
        bloomdata-cli prepare oig unified_*.jsonl --output oig/ --max-rows-per-input 100000 --shuffle

    Example:
        >>> report = bloomdata.prepare("dolly", "dolly.jsonl", "chats", style="messages")
        >>> report.ledger["documents_kept"]
        1
    """
    if not isinstance(source, str):
        raise ConfigError(
            f"source: expected a name such as 'sharegpt' (its options are arguments of their own), got {source!r}"
        )
    if source not in SOURCES:
        raise ConfigError(f"source: expected one of {list(SOURCES)}, got {source!r}")
    check_choice("style", style, *STYLES)
    check_choice("sampling", sampling, "head", "reservoir")
    check_choice("missing", missing, "raise", "report")
    check_choice("compression", compression, "zstd", "gzip", "none")
    check_choice("on_bad_record", on_bad_record, "raise", "quarantine")
    check_counts(max_lines=max_lines, max_rows_per_input=max_rows_per_input, seed=seed, level=abs(level))
    check_counts(**{f"repeat of {name}": times for name, times in (repeat or {}).items()})
    if unknown := set(options) - set(SOURCES[source].options):
        known = sorted(SOURCES[source].options)
        raise ConfigError(
            f"{sorted(unknown)[0]}: expected an option of {source} ({known or 'it has none'}), got an unknown name"
        )
    share = share_of(parts, part, shuffle=shuffle)
    given = split_inputs(inputs, objects=True)
    paths = given.paths
    absent: list[str] = []
    if missing == "report" and given.are_objects:
        raise ConfigError("missing: expected 'raise' for objects in a store, got 'report'")
    if missing == "report":
        absent = [path for path in paths if not is_there(path)]
        paths = [path for path in paths if path not in absent]
        if not paths and not given.tables:
            raise FileNotFoundError(f"{absent}: expected at least one input that exists, found none")
    rendering = None
    if style in {"completion", "text"}:
        rendering = template_options(
            "human_bot" if template is None else template, variables=template_variables, date=template_date
        )
    elif template is not None or template_variables is not None or template_date is not None:
        raise ConfigError(f"template: expected only with style='text' or style='completion', got style={style!r}")
    output = output_path(output)
    single = one_file.suffix_of(output)
    config = shard_config(
        max_lines=max_lines if single is None else _NO_END,
        compression=compression if single is None else one_file.COMPRESSIONS[single],
        level=level,
        prefix=prefix,
        validate=True,
        records=records,
        on_bad_record=on_bad_record,
        shuffle=shuffle,
        seed=seed,
        splits=split_config(splits),
    )
    config["prepare"] = {
        "source": {"source": source, **options},
        "style": style,
        "template": rendering,
        "ensure_ascii": ensure_ascii,
        "max_rows_per_input": max_rows_per_input,
        "sampling": sampling,
        "repeat": dict(repeat or {}),
        "missing_inputs": absent,
    }
    if counting:
        config["counting"] = True
    if single is not None and share is not None:
        raise ConfigError("output: expected a folder in a run of parts, got a single file")
    if single is not None and splits is not None:
        raise ConfigError("splits: expected None or a folder as output, got a single file")
    folder = os.fspath(output) if single is None else f"{os.fspath(output)}.books"
    if single is not None:
        one_file.check(Path(folder), Path(output), paths, overwrite=overwrite)
    limits = limits_of(allow_empty=allow_empty, max_bad=max_bad, on_bad_record=on_bad_record)
    running_options = running(folder, num_threads, overwrite=overwrite, limits=limits)
    start = time.monotonic()
    with staged(given, scratch, scratch_limit, are_cut=share is not None) as objects:
        files = (paths, allow_duplicate_inputs, share, objects)
        result = _core.shard(files, given.streams, json.dumps(config), running_options, on_progress)
    report = PrepareReport.from_run(written(folder, share), result, time.monotonic() - start, ignore_keys=ignore_keys)
    if single is not None:
        one_file.show(report.manifest, Path(folder), Path(output))
    return report
