"""Records become articles: lists of (token id, token type, category), as SYSTEMS.md 2.2 and 2.3 say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from reference.jsonl import BadRecordError, decode, is_blank, records, refuse, string, text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from reference.shard import Books, Files

    Article = list[tuple[int, int, int]]

PROMPT, COMPLETION, PADDING, SEPARATOR = range(4)
NO_CATEGORY = -1


def articles(
    line: bytes | str | dict | list,
    *,
    encode: Callable[[str], list[int]],
    eos: int,
    bos: int | None = None,
    record: str = "prompt_completion",
    space_separator: bool = True,
    prompt_prefix: str | None = None,
    prompt_postfix: str | None = None,
    attention_boundary: str = "jsonl",
    packing_boundary: str = "jsonl",
    keep_prompt_only_sequences: bool = False,
    **keywords,
) -> list[Article]:
    """Articles that hold a token: of a line of JSON (bytes), its value, or a text (str)."""
    if record == "text":
        text = line if isinstance(line, str) else text_of("a.jsonl", line, "text")
        ids = encode(text) if text else []
        return [separated([(token, COMPLETION, NO_CATEGORY) for token in [*ids, eos]])] if ids else []
    if isinstance(line, str):
        article = tokens("", line, NO_CATEGORY, encode, eos, bos)
        return [separated(article)] if article else []
    value = parse(line) if isinstance(line, bytes) else line
    objects = value if isinstance(value, list) else [value]
    pairs = [pair_of(item, **keywords) for item in objects]
    found, pending = [], []
    for number, (prompt, completion, category) in enumerate(pairs, start=1):
        if completion or keep_prompt_only_sequences:
            if space_separator:
                prompt = prompt.rstrip(" ")
                completion = " " + completion.lstrip(" ") if completion else ""
            if prompt:
                prompt = (prompt_prefix or "") + prompt + (prompt_postfix or "")
            pair = tokens(prompt, completion, category, encode, eos, bos)
            pending += separated(pair) if attention_boundary == "prompt_completion_pair" else pair
        if number == len(pairs):
            found.append(separated(pending))
        elif packing_boundary == "prompt_completion_pair":
            found.append(pending)
            pending = []
    return [article for article in found if article]


def tokens(prompt, completion, category, encode, eos, bos) -> Article:
    """Ids of a pair and one end token; a text that is empty has no ids, whatever the tokenizer adds to texts."""
    prompt_ids = encode(prompt) if prompt else []
    completion_ids = encode(completion) if completion else []
    if prompt_ids[-1:] == [eos]:
        prompt_ids = prompt_ids[:-1]
    if prompt and completion_ids[:1] == [bos]:
        completion_ids = completion_ids[1:]
    if completion_ids[-1:] == [eos]:
        completion_ids = completion_ids[:-1]
    if prompt_ids or completion_ids:
        completion_ids = [*completion_ids, eos]
    typed = [(token, PROMPT) for token in prompt_ids] + [(token, COMPLETION) for token in completion_ids]
    return [(token, kind, category) for token, kind in typed]


def separated(article: Article) -> Article:
    """The article with SEPARATOR on its last token."""
    return [*article[:-1], *[(token, SEPARATOR, category) for token, _, category in article[-1:]]]


def parse(line: bytes) -> object:
    text = decode(line)
    try:
        return json.loads(text, parse_constant=refuse, parse_int=float)
    except ValueError:
        raise BadRecordError("malformed JSON") from None


def pair_of(
    item: object,
    prompt_keyword: str = "prompt",
    completion_keyword: str = "completion",
    category_keyword: str = "category",
    categories: list[str] | None = None,
) -> tuple[str, str, int]:
    """Prompt, completion and category of one object; all of them are looked at before a pair is skipped."""
    if not isinstance(item, dict):
        raise BadRecordError("not a JSON object")
    if completion_keyword not in item:
        raise BadRecordError("missing field")
    if item[completion_keyword] is None:
        raise BadRecordError("null field")
    completion = string(item[completion_keyword])
    prompt = string(item.get(prompt_keyword) if item.get(prompt_keyword) is not None else "")
    name = item.get(category_keyword) if categories is not None else None
    if name is None:
        return prompt, completion, NO_CATEGORY
    if string(name) not in categories:
        raise BadRecordError("unknown category")
    return prompt, completion, categories.index(name)


def articles_of_files(files: Files, books: Books, *, record: str = "prompt_completion", **options) -> list[Article]:
    """Articles of all records of all files, in order; the fate of every record is written into the books."""
    found = []
    for name, content in files:
        books.bytes_in += len(content)
        for item in records(name, content):
            books.documents_in += 1
            is_line = ".txt" in name and record == "prompt_completion"
            if is_blank(item.raw) and not is_line:
                books.documents_dropped["blank line"] += 1
                continue
            try:
                line = item.raw
                if ".txt" in name:
                    line = text_of(name, item.raw, "text")
                    if record == "prompt_completion":  # such a line keeps its newline, if it has one
                        line += content[item.offset + len(item.raw) :][:1].decode()
                made = articles(line, record=record, **options)
            except BadRecordError as reason:
                books.set_aside(name, item, str(reason))
                continue
            if made:
                books.documents_kept += 1
                books.articles.append(made)
            else:
                books.documents_dropped["no article"] += 1
            found += made
    return found
