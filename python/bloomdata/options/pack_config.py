"""The options of `pack` as the core takes them; `count`, `plan` and others share them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomdata import _core
from bloomdata.errors import ConfigError
from bloomdata.options.checks import check_choice, check_counts, check_key
from bloomdata.options.template_options import own_template, template_options
from bloomdata.options.tokenizer_objects import with_own_options
from bloomdata.options.tokenizer_options import tokenizer_options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


# What the core gets in a form of its own.
_DESCRIBED = {
    *("tokenizer", "eos_token", "pad_token", "add_special_tokens", "special_tokens"),
    *("template", "template_variables", "template_date", "train_on", "source"),
    *("messages_keyword", "role_keyword", "content_keyword", "ignore_fields", "tool_arguments"),
    *("packing", "overlong", "text_field", "categories", "exact", "exact_normalize"),
}


# What records are; those that hold judged answers, and how they are judged.
JUDGEMENTS = {"preference": "compared", "unpaired_preference": "labelled"}
RECORDS = ("text", "prompt_completion", "messages", *JUDGEMENTS)


def judgement_of(record: str, source: Mapping[str, Any] | None) -> str | None:
    """How the answers of records are judged, if they are.

    Args:
        record: What a record is.
        source: The core's configuration of a source.

    Raises:
        ConfigError: The source is of another kind.
    """
    judged = JUDGEMENTS.get(record)
    of_source = (source.get("judgement") or "compared") if source and source["source"] == "preference" else None
    if judged and source and judged != of_source:
        raise ConfigError(f"source: expected none with record={record!r}, got {source['source']!r}")
    return judged or of_source


def pack_config(options: Mapping[str, Any]) -> dict[str, Any]:
    """The core's description of a run of `pack`.

    Args:
        options: All options of `pack` that decide what is written, by name.

    Raises:
        ConfigError: An option is invalid.
    """
    options = with_own_options(options)
    check_counts(**{name: options[name] for name in ("sequence_length", "rows_per_file", "window_tokens", "seed")})
    check_choice("format", options["format"], "hdf5", "megatron")
    check_choice("record", options["record"], *RECORDS)
    for boundary in ("attention_boundary", "packing_boundary"):
        check_choice(boundary, options[boundary], "jsonl", "prompt_completion_pair")
    check_key("records", options["records"])
    check_choice("on_bad_record", options["on_bad_record"], "raise", "quarantine")
    text_field = options["text_field"]
    check_choice("special_tokens_in_text", options["special_tokens_in_text"], "text", "token", "refuse", None)
    exact, form = None if options["exact"] == "none" else options["exact"], options["exact_normalize"]
    check_choice("exact", exact, "document", None)
    check_choice("exact_normalize", form, "none", "whitespace", "fold")
    if exact is None and form != "none":
        raise ConfigError(f"exact_normalize: expected only with exact='document', got {form!r}")
    judged = judgement_of(options["record"], source_options(options["source"]))
    config = {name: value for name, value in options.items() if name not in _DESCRIBED}
    return {
        **tokenizer_options(
            options["tokenizer"],
            options["eos_token"],
            options["pad_token"],
            add_special_tokens=options["add_special_tokens"],
            special_tokens=options["special_tokens"],
        ),
        **config,
        "packing": packing_name(options, is_judged=judged is not None),
        "text_field": [text_field] if isinstance(text_field, str) else list(text_field),
        "exact": None if exact is None else {"normalize": form},
        "categories": read_categories(options["categories"]) if judged != "labelled" else ["rejected", "chosen"],
        **_records(options),
    }


# Endings of packings that have several.
_OVERLONG = {"drop": "::drop", "truncate": "::truncate_right", "cut": ""}


def packing_name(options: Mapping[str, Any], *, is_judged: bool) -> str | None:
    """The packing, with what `overlong` says of long documents."""
    packing, overlong = options["packing"], options["overlong"]
    if packing is not None and not isinstance(packing, str):
        raise ConfigError(f"packing: expected a string, got {packing!r}")
    check_choice("overlong", overlong, *_OVERLONG, None)
    if overlong is None:
        default = None if options["format"] != "hdf5" else "single::drop" if is_judged else "full"
        return default if packing is None else packing
    if packing not in ("best_fit", "greedy", "single") or (overlong == "cut" and packing != "best_fit"):
        expected = "best_fit" if overlong == "cut" else "best_fit, greedy or single"
        raise ConfigError(f"overlong: {overlong!r} is expected only with packing {expected}, got {packing!r}")
    return f"{packing}{_OVERLONG[overlong]}"


def _records(options: Mapping[str, Any]) -> dict[str, Any]:
    """What records are, and which template is around them."""
    record, template, tokenizer = options["record"], options["template"], options["tokenizer"]
    values = {"variables": options["template_variables"], "date": options["template_date"]}
    source = source_options(options["source"])
    if judged := judgement_of(record, source):
        record, source = "messages", {"source": "preference", "judgement": judged}
    is_text = source is not None and template is None and _core.is_text_source(json.dumps(source))
    if record == "text" and not is_text and (template is not None or source is not None):
        record = "messages"
    described: dict[str, Any] = {"record": record, "chats": None, "pair_template": None}
    if record == "messages":
        rendering = template_options(
            own_template(tokenizer) if template is None else template,
            tokenizer=tokenizer,
            train_on=options["train_on"],
            tool_arguments=options["tool_arguments"],
            **values,
        )
        keywords = {name: options[name] for name in ("messages_keyword", "role_keyword", "content_keyword")}
        ignored = {"ignore_fields": list(options["ignore_fields"])} if options["ignore_fields"] else {}
        return described | {"chats": {**rendering, **keywords, **ignored, "source": source}}
    lacking = ["template_variables", "template_date", "source"]
    if record == "prompt_completion" and template is not None:
        lacking = ["source"]
        if options["categories"] is not None:
            raise ConfigError(
                f"categories: expected None for pairs with a chat template, got {options['categories']!r}"
            )
        described["pair_template"] = template_options(template, tokenizer=tokenizer, **values)
    if record == "text" and is_text:
        lacking.remove("source")
        described["source"] = source
    for name in lacking:
        if options[name] is not None:
            raise ConfigError(f"{name}: expected only with record='messages', got {options[name]!r}")
    return described


def record_of(
    record: str, columns: Sequence[str] | None, text_field: str | Sequence[str], messages_keyword: str
) -> str:
    """The kind of record: `messages` for a table in memory with a column of messages and no column of text."""
    if record != "text" or columns is None or messages_keyword not in columns:
        return record
    fields = [text_field] if isinstance(text_field, str) else list(text_field)
    return record if any(field.split(".")[0] in columns for field in fields) else "messages"


def source_options(source: str | Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The core's configuration of a source, given as its name or as its name and options."""
    from bloomdata.prepare_sources import SOURCES

    if source is None:
        return None
    options: dict[str, Any] = {"source": source} if isinstance(source, str) else dict(source)
    name = options.get("source")
    if not isinstance(name, str) or name not in SOURCES:
        raise ConfigError(f"source: expected one of {list(SOURCES)}, got {name!r}")
    if unknown := set(options) - {"source", *SOURCES[name].options}:
        known = sorted(SOURCES[name].options)
        raise ConfigError(
            f"source: {sorted(unknown)[0]}: expected an option of {name} ({known or 'it has none'}), "
            "got an unknown name"
        )
    try:
        _core.is_text_source(json.dumps(options))
    except (ConfigError, TypeError) as error:
        raise ConfigError(f"source: options of {name}: {error}") from error
    return options


def read_categories(
    categories: Sequence[str] | str | os.PathLike[str] | None, option: str = "categories"
) -> list[str] | None:
    """Category names, from a list or from a file with a JSON list."""
    if categories is None:
        return None
    names = categories
    if isinstance(categories, (str, os.PathLike)):
        try:
            names = json.loads(Path(categories).read_bytes())
        except ValueError as error:
            raise ConfigError(f"{option}: {os.fspath(categories)}: {error}") from error
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{option}: expected a list of names, got {names!r}")
    if len(set(names)) != len(names):
        raise ConfigError(f"{option}: expected distinct names, got {names!r}")
    return list(names)
