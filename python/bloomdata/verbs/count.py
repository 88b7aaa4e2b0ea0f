"""The verb `count`: tokens of each input, without writing anything."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from bloomdata import _core
from bloomdata.errors import ConfigError
from bloomdata.verbs.pack import pack_config, record_of
from bloomdata.options.inputs import split_inputs, thread_count

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from bloomdata.options.inputs import Inputs, OnProgress

_COUNTS = ("documents", "text_bytes", "tokens", "dropped", "bad")
# Of more files than these, only sources are shown when nobody says what to show.
MANY_FILES = 20


@dataclass(frozen=True, kw_only=True)
class TokenCounts:
    """What inputs hold. `print(counts)` shows a table.

    Attributes:
        inputs: One entry for each file, in the order of reading: `path`, and the five counts below.
        sources: The same added up for each argument, as it was given: `source`, `files`, and the five counts.
        documents: Records that have tokens.
        text_bytes: Bytes of their texts, as UTF-8.
        tokens: Their tokens.
        dropped: Records left out though nothing is wrong with them: blank lines, empty texts.
        bad: Records that cannot become documents; none unless `on_bad_record="quarantine"`.
    """

    inputs: list[dict[str, Any]]
    sources: list[dict[str, Any]]
    documents: int
    text_bytes: int
    tokens: int
    dropped: int
    bad: int

    def to_json(self) -> dict[str, Any]:
        """For scripts."""
        return {name: getattr(self, name) for name in ("inputs", "sources", *_COUNTS)}

    def table(self, by: Literal["file", "source"] | None = None) -> str:
        """A table with the totals in its last line.

        Args:
            by: What a line is about; by default a file, or a source where there are more than 20 files.
        """
        if by is None:
            by = "file" if len(self.inputs) <= MANY_FILES else "source"
        name, entries = ("path", self.inputs) if by == "file" else ("source", self.sources)
        total = {name: "total", **{count: getattr(self, count) for count in _COUNTS}}
        shown = ["documents", "text_bytes", "tokens", *(count for count in ("dropped", "bad") if total[count])]
        heads = [name, *("bytes" if count == "text_bytes" else count for count in shown), "bytes per token"]
        rows = [heads]
        for entry in (*entries, total):
            ratio = f"{entry['text_bytes'] / entry['tokens']:.3f}" if entry["tokens"] else "-"
            rows.append([entry[name], *(f"{entry[count]:,}" for count in shown), ratio])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            f"{row[0]:<{widths[0]}}"
            + "".join(f"  {cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
            for row in rows
        )

    def __str__(self) -> str:
        return self.table()


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

    Example:
        >>> counts = bloomdata.count("raw/*.jsonl", tokenizer="bytes")
        >>> counts.documents, counts.tokens
        (2, 28)
        >>> counts.inputs[0]["path"]
        'raw/a.jsonl'
    """
    config = pack_config(
        tokenizer=tokenizer,
        format="megatron",
        record=record_of(record, inputs, text_field, messages_keyword),
        text_field=text_field,
        prompt_keyword=prompt_keyword,
        completion_keyword=completion_keyword,
        space_separator=space_separator,
        prompt_prefix=prompt_prefix,
        prompt_postfix=prompt_postfix,
        template=template,
        template_variables=template_variables,
        template_date=template_date,
        train_on=train_on,
        messages_keyword=messages_keyword,
        source=source,
        keep_prompt_only_sequences=keep_prompt_only_sequences,
        eos_token=eos_token,
        add_special_tokens=add_special_tokens,
        special_tokens=special_tokens,
        append_eos=append_eos,
        on_bad_record=on_bad_record,
    )
    fields = config["text_field"]
    if not fields or len(set(fields)) != len(fields):
        raise ConfigError(f"text_field: {fields!r} must name at least one field, and none twice")
    paths, streams = split_inputs(inputs)
    _, counts = _core.lengths(paths, streams, json.dumps(config), thread_count(num_threads), on_progress)
    return token_counts(json.loads(counts), paths or [table.label for table in streams])


def token_counts(files: list[dict[str, Any]], arguments: list[str]) -> TokenCounts:
    """Counts of files, added up for each argument and in all."""
    names = [arguments[file.pop("argument")] for file in files]
    totals = {name: sum(file[name] for file in files) for name in _COUNTS}
    return TokenCounts(inputs=files, sources=_added_up(files, names), **totals)


def _added_up(files: list[dict[str, Any]], names: list[str]) -> list[dict[str, Any]]:
    sources: dict[str, dict[str, Any]] = {}
    for file, name in zip(files, names, strict=True):
        source = sources.setdefault(name, {"source": name, "files": 0, **dict.fromkeys(_COUNTS, 0)})
        source["files"] += 1
        for count_name in _COUNTS:
            source[count_name] += file[count_name]
    return list(sources.values())
