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
from bloomdata.reports.token_counts import TokenCounts, token_counts
from bloomdata.verbs.pack import config_of

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from bloomdata.options.inputs import Inputs, OnProgress


@check_arguments
def count(
    inputs: Inputs,
    *,
    tokenizer: str | os.PathLike[str] | Any,
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
    num_threads: int | None = None,
    on_progress: OnProgress = None,
) -> TokenCounts:
    """Counts the tokens that `pack` would make of each input, and writes nothing.

    With `append_eos=True`, the default of `pack`, the total is `tokens_in` in the ledger of `pack`. Memory: 4 bytes per
    document.

    Args:
        inputs: Files, folders or patterns, or one table in memory.
        tokenizer: A `tokenizer.json`, a folder that holds one, `"bytes"`, or an object, as for `pack`. Its
            end-of-document token must be known, even if it is not counted.
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
            (`quarantine`). No file is written.
        allow_duplicate_inputs: Whether to read both of two files with the same content, or of one name in two formats
            or compressions (`a.jsonl` and `a.jsonl.gz`), which is an error otherwise.
        num_threads: Number of threads; one per processor by default.
        on_progress: Function called regularly with (total bytes, bytes read, documents, bytes written).

    Returns:
        Counts for each file, for each argument, and in total.

    Raises:
        ConfigError: An option is invalid, or the tokenizer's files do not name the end-of-document token.
        CorruptDataError: An input is damaged, or a record is bad.
        OSError: The operating system reports an error.

    Command line:
        bloomdata-cli count raw/ --tokenizer tokenizer.json
        bloomdata-cli count wiki/ 'web/*.jsonl.zst' --tokenizer tokenizer.json --by-source
        bloomdata-cli count chats.jsonl --tokenizer bytes --record prompt_completion --append-eos --json

    Example:
        >>> counts = bloomdata.count("raw/*.jsonl", tokenizer="bytes")
        >>> counts.documents, counts.tokens
        (2, 28)
        >>> counts.inputs[0]["path"]
        'raw/a.jsonl'
    """
    running = {"inputs", "allow_duplicate_inputs", "num_threads", "on_progress"}
    options = {name: value for name, value in locals().items() if name not in {*running, "running"}}
    given = split_inputs(inputs)
    options["record"] = record_of(record, given.columns, text_field, messages_keyword)
    config = config_of(format="megatron", **options)
    fields = config["text_field"]
    if not fields or len(set(fields)) != len(fields):
        raise ConfigError(f"text_field: expected one or more distinct fields, got {fields!r}")
    files = (given.paths, allow_duplicate_inputs, None, None)
    _, counts = _core.lengths(files, given.streams, json.dumps(config), thread_count(num_threads), on_progress)
    return token_counts(json.loads(counts), given.paths or [table.label for table in given.tables])
