"""The options of `pack` as the core takes them; `count`, `plan` and others share them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomdata import _core
from bloomdata.errors import ConfigError
from bloomdata.options.checks import check_choice, check_counts
from bloomdata.options.tables import column_names
from bloomdata.options.template_options import own_template, template_options
from bloomdata.options.tokenizer_options import tokenizer_options
from bloomdata.prepare_sources import SOURCES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bloomdata.options.inputs import Inputs


def pack_config(
    *,
    tokenizer: str | os.PathLike[str],
    format: str = "hdf5",  # noqa: A002 - the name that every tool uses
    packing: str | None = None,
    text_field: str | Sequence[str] = "text",
    categories: Sequence[str] | str | os.PathLike[str] | None = None,
    eos_token: str | None = None,
    pad_token: str | None = None,
    add_special_tokens: bool = True,
    special_tokens: Sequence[str] | None = None,
    template: str | os.PathLike[str] | None = None,
    template_variables: Mapping[str, Any] | None = None,
    template_date: str | None = None,
    train_on: str = "all",
    messages_keyword: str = "messages",
    source: str | Mapping[str, Any] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """The core's description of a run of `pack`; options that are not named have their defaults.

    Raises:
        ConfigError: An option that cannot work.
    """
    if unknown := set(options) - set(_DEFAULTS):
        raise ConfigError(f"{sorted(unknown)[0]}: no such option")
    options = {**_DEFAULTS, **options}
    check_counts(**{name: options[name] for name in ("sequence_length", "rows_per_file", "window_tokens", "seed")})
    check_choice("format", format, "hdf5", "megatron")
    check_choice("record", options["record"], "text", "prompt_completion", "messages")
    its_source = source_options(source)
    is_text = its_source is not None and template is None and _core.is_text_source(json.dumps(its_source))
    if options["record"] == "text" and not is_text and (template is not None or source is not None):
        options["record"] = "messages"
    chats = None
    if options["record"] == "messages":
        rendering = template_options(
            own_template(tokenizer) if template is None else template,
            tokenizer=tokenizer,
            variables=template_variables,
            date=template_date,
            train_on=train_on,
        )
        chats = {**rendering, "messages_keyword": messages_keyword, "source": its_source}
    else:
        given = {"template_variables": template_variables, "template_date": template_date}
        if options["record"] == "prompt_completion" and template is not None:
            given = {}
        if not is_text or options["record"] != "text":
            given["source"] = source
        for name, value in given.items():
            if value is not None:
                raise ConfigError(f"{name}: only records of messages have one")
    pair_template = None
    if options["record"] == "prompt_completion" and template is not None:
        if categories is not None:
            raise ConfigError("categories: a chat template around pairs has none")
        pair_template = template_options(
            template, tokenizer=tokenizer, variables=template_variables, date=template_date
        )
    for boundary in ("attention_boundary", "packing_boundary"):
        check_choice(boundary, options[boundary], "jsonl", "prompt_completion_pair")
    if packing is not None and not isinstance(packing, str):
        raise ConfigError(f"packing: {packing!r} is no name")
    check_choice("on_bad_record", options["on_bad_record"], "raise", "quarantine")
    default_packing = "full" if format == "hdf5" else None
    return {
        **tokenizer_options(
            tokenizer, eos_token, pad_token, add_special_tokens=add_special_tokens, special_tokens=special_tokens
        ),
        **options,
        **({"source": its_source} if is_text and options["record"] == "text" else {}),
        "chats": chats,
        "pair_template": pair_template,
        "format": format,
        "packing": default_packing if packing is None else packing,
        "text_field": [text_field] if isinstance(text_field, str) else list(text_field),
        "categories": read_categories(categories),
    }


# Of `pack`, for callers that name a few options only.
_DEFAULTS: dict[str, Any] = {
    "sequence_length": None,
    "record": "text",
    "prompt_keyword": "prompt",
    "completion_keyword": "completion",
    "category_keyword": "category",
    "space_separator": True,
    "prompt_prefix": None,
    "prompt_postfix": None,
    "attention_boundary": "jsonl",
    "packing_boundary": "jsonl",
    "keep_prompt_only_sequences": False,
    "window_tokens": 1 << 23,
    "seed": 0,
    "append_eos": True,
    "compression": None,
    "rows_per_file": None,
    "prefix": "data",
    "on_bad_record": "raise",
}


def record_of(record: str, inputs: Inputs, text_field: str | Sequence[str], messages_keyword: str) -> str:
    """What a record is; a conversation, if a table in memory has a column of messages and none of text."""
    columns = column_names(inputs) if record == "text" else None
    if columns is None or messages_keyword not in columns:
        return record
    fields = [text_field] if isinstance(text_field, str) else list(text_field)
    return record if any(field.split(".")[0] in columns for field in fields) else "messages"


def source_options(source: str | Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The core's description of a source: its name, or its name and options."""
    if source is None:
        return None
    options: dict[str, Any] = {"source": source} if isinstance(source, str) else dict(source)
    name = options.get("source")
    if not isinstance(name, str) or name not in SOURCES:
        raise ConfigError(f"source: {name!r} is none of {list(SOURCES)}")
    if unknown := set(options) - {"source", *SOURCES[name].options}:
        known = sorted(SOURCES[name].options)
        raise ConfigError(f"source: {sorted(unknown)[0]}: no option of {name}, which has {known or 'none'}")
    return options


def read_categories(
    categories: Sequence[str] | str | os.PathLike[str] | None, option: str = "categories"
) -> list[str] | None:
    """Names of categories, from a list or a file that holds one."""
    if categories is None:
        return None
    names = categories
    if isinstance(categories, (str, os.PathLike)):
        try:
            names = json.loads(Path(categories).read_bytes())
        except ValueError as error:
            raise ConfigError(f"{option}: {os.fspath(categories)}: {error}") from error
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{option}: {names!r} is no list of names")
    if len(set(names)) != len(names):
        raise ConfigError(f"{option}: a name occurs twice")
    return list(names)
