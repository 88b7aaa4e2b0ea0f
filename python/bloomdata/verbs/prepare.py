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
from bloomdata.options.checks import check_choice, check_counts, thread_count
from bloomdata.options.inputs import is_there, split_inputs
from bloomdata.options.paths import output_path
from bloomdata.options.template_options import template_options
from bloomdata.prepare_sources import SOURCES
from bloomdata.reports.report import PrepareReport
from bloomdata.verbs.shard import split_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bloomdata.options.inputs import Inputs, OnProgress

STYLES = ("auto", "messages", "prompt_completion", "completion", "text")
# One file of everything is a shard without an end.
_NO_END = 1 << 62


def prepare(
    source: str,
    inputs: Inputs,
    output: str | os.PathLike[str],
    *,
    style: Literal["auto", "messages", "prompt_completion", "completion", "text"] = "auto",
    template: str | os.PathLike[str] | None = None,
    template_variables: Mapping[str, Any] | None = None,
    template_date: str | None = None,
    ensure_ascii: bool = False,
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
    num_threads: int | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = None,
    **options: Any,
) -> PrepareReport:
    """Turns the records of a known source into conversations or texts.

    What each source reads and which options it has: `bloomdata.SOURCES`, `bloomdata-cli prepare --list`.

    `style="auto"` writes conversations as `{"messages": [{"role": ..., "content": ...}, ...]}` and texts as
    `{"text": ...}`: `pack(..., template=...)` then knows what to train on. `"prompt_completion"` writes pairs, without
    tags. `"text"` and `"completion"` write the rendered text, which no longer tells who speaks; the latter as
    `{"prompt": "", "completion": ...}`, which is BLOOMChat's form.

    A run that was killed goes on when it is called again with the same arguments; a finished one does nothing.

    Args:
        source: Name of the source: `oasst1`, `dolly`, `oig`, `alpaca`, `sharegpt`, ...
        inputs: As for `shard`.
        output: Folder for shards; or one file, `.jsonl`, `.jsonl.gz` or `.jsonl.zst`, whose books are kept in
            `<file>.books/`.
        style: Form of the lines.
        template: Chat template of styles that hold text; `human_bot` by default. See `ChatTemplate`.
        template_variables: What else the template may use, as `eos_token`.
        template_date: What the template's `strftime_now` says.
        ensure_ascii: Whether to escape everything but ASCII, as Python's `json` does by default.
        max_rows_per_input: Records taken of each input; the others are counted as left out. Not for messages of trees.
        sampling: Which records those are: the first ones, or a sample that the seed decides; it is kept in memory.
        repeat: How often the lines of some inputs are written: `{"unified_basic.jsonl": 1001}`, by name or pattern.
        missing: What an input does that is not there: raise, or be reported in the manifest and left out.
        shuffle: Whether to shuffle all lines, in bounded memory.
        seed: Of the shuffle, of samples, and of splits.
        splits: As for `shard`.
        max_lines: Lines in a shard.
        compression: Of the shards.
        level: Compression level.
        prefix: First part of names of shards.
        on_bad_record: As for `shard`. A record that is not of the source's form is bad.
        num_threads: Threads; as many as processors by default. Never changes the output.
        overwrite: Whether to discard what an earlier run left in `output`, or a file of that name.
        on_progress: Called now and then with (total bytes, bytes read, records, bytes written).
        **options: Of the source.

    Returns:
        What was read, kept, dropped and written; `manifest.json` says the same.

    Raises:
        ConfigError: No such source or option, or a folder or file that is not ours.
        CorruptDataError: A damaged or truncated input, or a bad record.
        MismatchError: The folder belongs to a call with other options or inputs.
        FileNotFoundError: An input that is not there.
        OSError: What the system reports.

    Origin:
        `data_prep` of sambanova/bloomchat, `dataset` of s-JoL/Open-Llama, `tools/dataset_preprocess` of mindformers,
        `ascendspeed/data/data_handler.py`, OpenChatKit. Each source's file says which; where they lose text or order,
        the difference is named there.

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
    if source not in SOURCES:
        raise ConfigError(f"source: {source!r} is none of {list(SOURCES)}")
    check_choice("style", style, *STYLES)
    check_choice("sampling", sampling, "head", "reservoir")
    check_choice("missing", missing, "raise", "report")
    check_choice("compression", compression, "zstd", "gzip", "none")
    check_choice("on_bad_record", on_bad_record, "raise", "quarantine")
    check_counts(max_lines=max_lines, max_rows_per_input=max_rows_per_input, seed=seed, level=abs(level))
    check_counts(**{f"repeat of {name}": times for name, times in (repeat or {}).items()})
    if unknown := set(options) - set(SOURCES[source].options):
        known = sorted(SOURCES[source].options)
        raise ConfigError(f"{sorted(unknown)[0]}: no option of {source}, which has {known or 'none'}")
    paths, streams = split_inputs(inputs)
    absent: list[str] = []
    if missing == "report":
        absent = [path for path in paths if not is_there(path)]
        paths = [path for path in paths if path not in absent]
        if not paths and not streams:
            raise FileNotFoundError(f"{absent}: none of the inputs is there")
    rendering = None
    if style in {"completion", "text"}:
        rendering = template_options(
            "human_bot" if template is None else template, variables=template_variables, date=template_date
        )
    elif template is not None or template_variables is not None or template_date is not None:
        raise ConfigError('template: only styles "text" and "completion" have one')
    output = output_path(output)
    single = one_file.suffix_of(output)
    config = {
        "max_lines": max_lines if single is None else _NO_END,
        "max_bytes": None,
        "compression": compression if single is None else one_file.COMPRESSIONS[single],
        "level": level,
        "prefix": prefix,
        "digits": 5,
        "first_index": 0,
        "text_field": "text",
        "validate": True,
        "on_bad_record": on_bad_record,
        "shuffle": shuffle,
        "seed": seed,
        "splits": split_config(splits),
        "prepare": {
            "source": {"source": source, **options},
            "style": style,
            "template": rendering,
            "ensure_ascii": ensure_ascii,
            "max_rows_per_input": max_rows_per_input,
            "sampling": sampling,
            "repeat": dict(repeat or {}),
            "missing_inputs": absent,
        },
    }
    if single is not None and splits is not None:
        raise ConfigError("splits: one file holds no splits; name a folder")
    folder = os.fspath(output) if single is None else f"{os.fspath(output)}.books"
    if single is not None:
        one_file.check(Path(folder), Path(output), paths, overwrite=overwrite)
    start = time.monotonic()
    result = _core.shard(
        paths, streams, json.dumps(config), (folder, thread_count(num_threads), overwrite, 10.0), on_progress
    )
    report = PrepareReport.from_run(folder, result, time.monotonic() - start)
    if single is not None:
        one_file.show(report.manifest, Path(folder), Path(output))
    return report
