"""The verb `count`: counts the tokens of each input and writes nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from bloomdata import _core
from bloomdata.errors import ConfigError
from bloomdata.options.arguments import check_arguments
from bloomdata.options.checks import thread_count
from bloomdata.options.inputs import split_inputs
from bloomdata.options.pack_config import record_of
from bloomdata.options.paths import output_path
from bloomdata.options.running import running
from bloomdata.parts.running import in_parts
from bloomdata.parts.sharing import share_of, written
from bloomdata.reports.token_counts import TokenCounts, token_counts
from bloomdata.storage.reading import staged
from bloomdata.verbs.pack import config_of

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from bloomdata.options.inputs import Inputs, OnProgress
    from bloomdata.parts.gathering import Executor
    from bloomdata.reports.report import Report


@check_arguments
@in_parts
def count(
    inputs: Inputs,
    *,
    tokenizer: str | os.PathLike[str] | Any,
    output: str | os.PathLike[str] | None = None,
    record: Literal["text", "prompt_completion", "messages", "preference", "unpaired_preference"] = "text",
    text_field: str | Sequence[str] = "text",
    records: str | None = None,
    prompt_keyword: str = "prompt",
    completion_keyword: str = "completion",
    space_separator: bool = True,
    prompt_prefix: str | None = None,
    prompt_postfix: str | None = None,
    template: str | os.PathLike[str] | None = None,
    template_variables: Mapping[str, Any] | None = None,
    template_date: str | None = None,
    train_on: Literal["all", "last", "each"] = "all",
    messages_keyword: str = "messages",
    role_keyword: str = "role",
    content_keyword: str = "content",
    ignore_fields: Sequence[str] = (),
    tool_arguments: Literal["given", "parsed"] = "given",
    source: str | Mapping[str, Any] | None = None,
    keep_prompt_only_sequences: bool = False,
    eos_token: str | None = None,
    add_special_tokens: bool = True,
    special_tokens: Sequence[str] | None = None,
    special_tokens_in_text: Literal["text", "token", "refuse"] | None = None,
    append_eos: bool = False,
    on_bad_record: Literal["raise", "quarantine"] = "raise",
    allow_duplicate_inputs: bool = False,
    parts: int = 1,
    part: int | str | None = None,
    executor: Executor | None = None,
    scratch: str | os.PathLike[str] | None = None,
    scratch_limit: int | str = "16GB",
    num_threads: int | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = None,
) -> TokenCounts:
    """Counts the tokens that `pack` would make of each input, and writes nothing, unless it runs in parts.

    With `append_eos=True`, the default of `pack`, the total is `tokens_in` in the ledger of `pack`. Memory: 4 bytes per
    document.

    Args:
        inputs: Files, folders or patterns, or one table in memory.
        tokenizer: A `tokenizer.json`, a folder that holds one, `"bytes"`, or an object, as for `pack`. Its
            end-of-document token must be known, even if it is not counted.
        output: Folder for the counts of the parts of a run, and for nothing else.
        record: Kind of record: text, pairs of prompt and completion, messages, or judged answers.
        text_field: Field that holds the text, such as `data.text`; the tokens of several fields are added up.
        records: Key of the list of records in `.json` files, as for `shard`.
        prompt_keyword: Key of the prompt.
        completion_keyword: Key of the completion.
        space_separator: Whether completions start with exactly one space.
        prompt_prefix: Text before every prompt that is not empty.
        prompt_postfix: Text after every prompt that is not empty.
        template: Chat template, as for `pack`. Text after the last answer of a conversation is not counted.
        template_variables: Further variables of the template.
        template_date: Date that the template's `strftime_now` returns, such as `2026-01-31`.
        train_on: Whether to train on `all` answers of a conversation, on the `last` one, or on `each` in an article of
            its own, which ends with that answer and holds what is before it as the template renders it then.
        messages_keyword: Key of the list of messages.
        role_keyword: Key of the role of a message.
        content_keyword: Key of the content of a message.
        ignore_fields: Keys of records and messages whose loss is no error: `tools`, `functions`, `system`, `history`,
            `reasoning_content`.
        tool_arguments: What the template gets of `arguments` of tool calls that are a text: the text (`given`), or the
            object whose JSON it is (`parsed`), in the order of its keys.
        source: The `prepare` source of the records, as for `pack`.
        keep_prompt_only_sequences: Whether to keep pairs without a completion.
        eos_token: The end-of-document token, if the tokenizer's files do not name it.
        add_special_tokens: Whether to keep the special tokens that the tokenizer adds, such as a leading `<s>`.
        special_tokens: Tokens to add to the vocabulary.
        special_tokens_in_text: Whether special tokens in texts are `text` or `token`, or make bad records (`refuse`),
            as for `pack`.
        append_eos: Whether to count the end-of-document token of every document or pair. An end token that the
            tokenizer adds itself is not counted twice.
        on_bad_record: Whether to stop at the first bad record (`raise`) or to skip and count bad records
            (`quarantine`). Only parts write a file of them.
        allow_duplicate_inputs: Whether to read both of two files with the same content, or of one name in two formats
            or compressions (`a.jsonl` and `a.jsonl.gz`), which is an error otherwise.
        parts: Number of parts, as for `shard`. The counts are those of one run.
        part: The only part to run, as for `shard`; its counts are returned. `finish` adds up those of all.
        executor: Runs the parts, as for `shard`.
        scratch: Local folder for what comes from a store, as for `shard`; only parts read from one.
        scratch_limit: Bytes that lie there at a time, as for `shard`.
        num_threads: Number of threads; one per processor by default.
        overwrite: Whether to discard what an earlier call left in the folder of counts.
        on_progress: Function called regularly with (total bytes, bytes read, documents, bytes written).

    Returns:
        Counts for each file, for each argument, and in total.

    Raises:
        ConfigError: An option is invalid, or the tokenizer's files do not name the end-of-document token.
        CorruptDataError: An input is damaged, or a record is bad.
        MismatchError: The folder of counts belongs to a call with other options or inputs.
        OSError: The operating system reports an error.

    Command line:
        bloomdata-cli count raw/ --tokenizer tokenizer.json
        bloomdata-cli count wiki/ 'web/*.jsonl.zst' --tokenizer tokenizer.json --by-source
        bloomdata-cli count chats.jsonl --tokenizer bytes --record prompt_completion --append-eos --json
        bloomdata-cli count raw/ --tokenizer tokenizer.json --output counts/ --parts 16 --local 4

    Example:
        >>> counts = bloomdata.count("raw/*.jsonl", tokenizer="bytes")
        >>> counts.documents, counts.tokens
        (2, 28)
        >>> counts.inputs[0]["path"]
        'raw/a.jsonl'
    """
    options = {name: value for name, value in locals().items() if name not in _RUNNING}
    share = share_of(parts, part)
    if share is None and output is not None:
        raise ConfigError(f"output: expected none without parts, since nothing is written, got {output!r}")
    given = split_inputs(inputs, objects=share is not None)
    options["record"] = record_of(record, given.columns, text_field, messages_keyword)
    config = config_of(format="megatron", **options)
    fields = config["text_field"]
    if not fields or len(set(fields)) != len(fields):
        raise ConfigError(f"text_field: expected one or more distinct fields, got {fields!r}")
    if share is not None:
        assert output is not None
        how = running(output_path(output), num_threads, overwrite=overwrite)
        with staged(given, scratch, scratch_limit, are_cut=True) as objects:
            shared = (given.paths, allow_duplicate_inputs, share, objects)
            _core.count_part(shared, json.dumps(config), given.paths, how, on_progress)
        return _read(written(output, share), given.paths)
    files = (given.paths, allow_duplicate_inputs, None, None)
    _, counts = _core.lengths(files, given.streams, json.dumps(config), thread_count(num_threads), on_progress)
    return token_counts(json.loads(counts), given.paths or [table.label for table in given.tables])


# What decides how a run goes, and not what it counts.
_RUNNING = {
    *("inputs", "output", "allow_duplicate_inputs", "parts", "part", "executor", "scratch", "scratch_limit"),
    *("num_threads", "overwrite", "on_progress"),
}


def counts_of(report: Report, _: OnProgress = None) -> TokenCounts:
    """The counts of a run in parts, once all of them are one folder."""
    return _read(report.folder, report.manifest["config"]["arguments"])


def _read(folder: str | os.PathLike[str], arguments: list[str]) -> TokenCounts:
    return token_counts(json.loads(_core.read_counts(folder)), arguments)
