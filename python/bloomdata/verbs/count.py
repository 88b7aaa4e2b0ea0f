"""The verb `count`: tokens of each input, without writing anything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from bloomdata import _core
from bloomdata.errors import ConfigError
from bloomdata.options.checks import thread_count
from bloomdata.options.inputs import split_inputs
from bloomdata.options.pack_config import record_of
from bloomdata.reports.token_counts import TokenCounts, token_counts
from bloomdata.verbs.pack import config_of

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from bloomdata.options.inputs import Inputs, OnProgress


def count(
    inputs: Inputs,
    *,
    tokenizer: str | os.PathLike[str],
    record: Literal["text", "prompt_completion", "messages"] = "text",
    text_field: str | Sequence[str] = "text",
    prompt_keyword: str = "prompt",
    completion_keyword: str = "completion",
    space_separator: bool = True,
    prompt_prefix: str | None = None,
    prompt_postfix: str | None = None,
    template: str | os.PathLike[str] | None = None,
    template_variables: Mapping[str, Any] | None = None,
    template_date: str | None = None,
    train_on: Literal["all", "last"] = "all",
    messages_keyword: str = "messages",
    source: str | Mapping[str, Any] | None = None,
    keep_prompt_only_sequences: bool = False,
    eos_token: str | None = None,
    add_special_tokens: bool = True,
    special_tokens: Sequence[str] | None = None,
    append_eos: bool = False,
    on_bad_record: Literal["raise", "quarantine"] = "raise",
    num_threads: int | None = None,
    on_progress: OnProgress = None,
) -> TokenCounts:
    """Counts the tokens of each input, as `pack` would make them, and writes nothing.

    With `append_eos=True`, as `pack` has it, the tokens are the `tokens_in` of the books of `pack`. Memory: 4 bytes a
    document.

    Args:
        inputs: As for `pack`.
        tokenizer: As for `pack`. It must be known which token ends a document, also if none is counted.
        record: As for `pack`.
        text_field: As for `pack`; the tokens of several fields are added up.
        prompt_keyword: As for `pack`.
        completion_keyword: As for `pack`.
        space_separator: As for `pack`.
        prompt_prefix: As for `pack`.
        prompt_postfix: As for `pack`.
        template: As for `pack`. What follows the last answer of a conversation is not counted.
        template_variables: As for `pack`.
        template_date: As for `pack`.
        train_on: As for `pack`.
        messages_keyword: As for `pack`.
        source: As for `pack`.
        keep_prompt_only_sequences: As for `pack`.
        eos_token: As for `pack`.
        add_special_tokens: As for `pack`.
        special_tokens: As for `pack`.
        append_eos: Whether to count the token that ends every document, or pair, too. One that the tokenizer adds
            itself is the same token, and is counted, or not, like it.
        on_bad_record: Whether to stop at the first bad record, or to leave bad records out and count them. Nothing
            is set aside.
        num_threads: As for `pack`.
        on_progress: As for `pack`.

    Returns:
        Counts for each file, for each argument, and in all.

    Raises:
        ConfigError: An option that cannot work; a tokenizer whose files do not say which token ends a document.
        CorruptDataError: A damaged input, or a bad record.
        OSError: What the system reports.

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
    given = {name: value for name, value in locals().items() if name not in {"inputs", "num_threads", "on_progress"}}
    given["record"] = record_of(record, inputs, text_field, messages_keyword)
    config = config_of(format="megatron", **given)
    fields = config["text_field"]
    if not fields or len(set(fields)) != len(fields):
        raise ConfigError(f"text_field: {fields!r} must name at least one field, and none twice")
    paths, streams = split_inputs(inputs)
    _, counts = _core.lengths(paths, streams, json.dumps(config), thread_count(num_threads), on_progress)
    return token_counts(json.loads(counts), paths or [table.label for table in streams])
