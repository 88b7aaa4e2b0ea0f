"""The verb `pack`."""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bloomdata import _core
from bloomdata.tokenizers.chat_template import own_template, template_options
from bloomdata.errors import ConfigError
from bloomdata.datasets.hdf5 import Hdf5Files
from bloomdata.options.paths import output_path
from bloomdata.prepare_sources import SOURCES
from bloomdata.reports.report import PackReport
from bloomdata.tokenizers.tokenizer import tokenizer_options
from bloomdata.options.inputs import check_choice, check_counts, split_inputs, thread_count
from bloomdata.options.tables import column_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bloomdata.options.inputs import Inputs, OnProgress


def pack(
    inputs: Inputs,
    output: str | os.PathLike[str],
    *,
    tokenizer: str | os.PathLike[str],
    format: Literal["hdf5", "megatron"] = "hdf5",  # noqa: A002 - the name that every tool uses
    sequence_length: int | None = None,
    packing: str | None = None,
    record: Literal["text", "prompt_completion", "messages"] = "text",
    text_field: str | Sequence[str] = "text",
    prompt_keyword: str = "prompt",
    completion_keyword: str = "completion",
    category_keyword: str = "category",
    categories: Sequence[str] | str | os.PathLike[str] | None = None,
    space_separator: bool = True,
    prompt_prefix: str | None = None,
    prompt_postfix: str | None = None,
    template: str | os.PathLike[str] | None = None,
    template_variables: Mapping[str, Any] | None = None,
    template_date: str | None = None,
    train_on: Literal["all", "last"] = "all",
    messages_keyword: str = "messages",
    source: str | Mapping[str, Any] | None = None,
    attention_boundary: Literal["jsonl", "prompt_completion_pair"] = "jsonl",
    packing_boundary: Literal["jsonl", "prompt_completion_pair"] = "jsonl",
    keep_prompt_only_sequences: bool = False,
    window_tokens: int = 1 << 23,
    seed: int = 0,
    eos_token: str | None = None,
    pad_token: str | None = None,
    add_special_tokens: bool = True,
    special_tokens: Sequence[str] | None = None,
    append_eos: bool = True,
    compression: Literal["gzip"] | None = None,
    rows_per_file: int | None = None,
    prefix: str = "data",
    on_bad_record: Literal["raise", "quarantine"] = "raise",
    num_threads: int | None = None,
    checkpoint_seconds: float = 10.0,
    overwrite: bool = False,
    on_progress: OnProgress = None,
) -> PackReport:
    """Turns documents into token files that training reads.

    `format="megatron"` writes `<prefix>_<field>_document.bin` and `.idx`, byte for byte as Megatron-core's builder:
    one sequence a document, `uint16` for vocabularies below 65,500, else `int32`. `format="hdf5"` writes
    `<prefix>-00000.hdf5` and so on with `input_ids` and `token_type_ids`, int32, (rows, sequence_length), put together
    as `packing` says; contiguous, and on page boundaries where they fill a page, so that readers map them without an
    HDF5 library, or chunked and compressed with `compression="gzip"`.

    Token types: 0 prompt, 1 text or completion, 2 padding, 3 the last token of an attention unit. Rows without any
    token of type 1 are left out and counted. Blank lines and empty texts are dropped and counted. A run that was
    killed goes on when it is called again with the same arguments.

    Packings, where an article is a document, or what `packing_boundary` makes of a record:

    - `full`: one after the other, cut wherever a row is full; only the last row is padded. `full::drop` drops it.
    - `greedy::drop`, `greedy::truncate_left`, `greedy::truncate_right`: into the open row if it fits, else into a new
      one; an article longer than a row is dropped or cut. `greedy` is `greedy::drop`.
    - `single::drop`, `single::truncate_left`, `single::truncate_right`: each alone in a row. `single::split`: its
      whole pieces of a row's length. `single::sample`: a stretch from a random place.
    - `concat::K`: groups of K articles, each padded to whole rows.
    - `best_fit`: whole articles into as few rows as possible; those longer than a row are cut into whole rows and a
      rest, so that nothing is lost.

    With `record="prompt_completion"` a record is an object with a prompt and a completion, or a list of them (one
    chat). Exactly one space is put between the two, every pair ends with the end token, pairs without a completion
    are skipped; lines of `.txt` are completions, newline included. Megatron files get the token types as a second
    pair, `<prefix>_<field>_token_types`, one byte a token.

    With `record="messages"`, or when a `template` or a `source` is named, a record is a conversation: an object
    with a list of messages, perhaps with `tools`. It is rendered by the template; the answers of the assistant and the
    tokens that end them have type 1, all else has type 0. What follows the last answer is left out, and counted. Ids
    are those of the whole text, without what the tokenizer puts around texts; if the template ends no answer, the end
    token is put behind the last one. A conversation for which it is not sure what is trained on is a bad record.

    Args:
        inputs: As for `shard`.
        output: Folder to write; made if needed, otherwise empty or from an earlier call.
        tokenizer: A `tokenizer.json`, a folder that holds one, or `"bytes"`, which needs no file: ids 0 to 255 are
            the bytes of UTF-8, then `<pad>`, `<bos>`, `<eos>`.
        format: Kind of the output files.
        sequence_length: Tokens in a row. HDF5 only, and required there.
        packing: How articles become rows; `full` by default. HDF5 only.
        record: What a record is: an object with text fields, or pairs of prompt and completion.
        text_field: Field that holds the text, `data.text` for one inside another. Several make one Megatron pair
            each, from the same records.
        prompt_keyword: Key of the prompt.
        completion_keyword: Key of the completion.
        category_keyword: Key of the category.
        categories: Names of the categories, or a file with a JSON list of them. Adds `category_ids` to HDF5 files:
            the place in the list, -1 for none and for padding. Another name is a bad record.
        space_separator: Whether to put one space in front of completions, and none behind prompts.
        prompt_prefix: In front of prompts that are not empty.
        prompt_postfix: Behind prompts that are not empty.
        template: How conversations become text: see `ChatTemplate`. By default the `chat_template` beside the
            tokenizer. Naming one means `record="messages"`, unless records are `"prompt_completion"`.
        template_variables: What else the template may use; its special tokens are those of the tokenizer.
        template_date: What the template's `strftime_now` says, as `2026-01-31`.
        train_on: All answers of a conversation, or the last one.
        messages_keyword: Key of the list of messages.
        source: The source whose records these are, as for `prepare`, so that both are one pass; none for messages. Its
            name, or a mapping with its name and its options: `{"source": "sharegpt", "turns": "separate"}`.
        attention_boundary: Which last tokens get type 3: those of records, or of pairs.
        packing_boundary: What packing keeps together: records, or pairs.
        keep_prompt_only_sequences: Whether to keep pairs without a completion, and rows without any token of type 1.
        window_tokens: Tokens that `best_fit` looks at together; they stay in memory, at 8 bytes each.
        seed: Of `single::sample`.
        eos_token: The token that ends a document. By default what the files beside the tokenizer say
            (`tokenizer_config.json`, `special_tokens_map.json`), else the one known end token of its vocabulary.
        pad_token: The token that pads the last row; by default the tokenizer's own, else the end token.
        add_special_tokens: Whether tokens that the tokenizer itself adds (a leading `<s>`) are kept, as
            `transformers` does. An end token that it adds is never doubled.
        special_tokens: Tokens to add to the vocabulary, each found whole in texts.
        append_eos: Whether every document, or pair, ends with the end token.
        compression: `"gzip"` for chunked, compressed HDF5 as generative_data_prep writes it.
        rows_per_file: Rows in an HDF5 file; 256 MiB of them by default. Only the last file is shorter.
        prefix: First part of file names.
        on_bad_record: As for `shard`.
        num_threads: Threads; as many as processors by default. Never changes the output.
        checkpoint_seconds: A killed run loses about this much work (HDF5: the file that was being written).
        overwrite: Whether to discard what an earlier run left in `output`.
        on_progress: Called now and then with (total bytes, bytes read, documents, bytes written).

    Returns:
        Documents and tokens in and out; `manifest.json` in the folder says the same.

    Raises:
        ConfigError: An option that cannot work, or a folder that is not ours.
        CorruptDataError: A damaged or truncated input, or a bad record.
        MismatchError: The folder belongs to a call with other options or inputs.
        OSError: What the system reports.

    Origin:
        `tools/preprocess_data.py` and `megatron/core/datasets/indexed_dataset.py` of NVIDIA/Megatron-LM; pairs,
        `full`, `single`, `greedy` and the HDF5 columns of sambanova/generative_data_prep (where it differs from its
        own documentation, the documentation counts); `concat`, `split`, `sample` of Open-Llama; `best_fit`:
        arXiv 2404.10830.

    Example:
        >>> report = bloomdata.pack("raw/*.jsonl", "packed", tokenizer="bytes", sequence_length=64)
        >>> report.ledger["tokens_out"] % 64
        0
    """
    if not 0 <= checkpoint_seconds < math.inf:
        raise ConfigError(f"checkpoint_seconds: {checkpoint_seconds!r} is no time")
    config = pack_config(
        tokenizer=tokenizer,
        format=format,
        sequence_length=sequence_length,
        packing=packing,
        record=record_of(record, inputs, text_field, messages_keyword),
        text_field=text_field,
        prompt_keyword=prompt_keyword,
        completion_keyword=completion_keyword,
        category_keyword=category_keyword,
        categories=categories,
        space_separator=space_separator,
        prompt_prefix=prompt_prefix,
        prompt_postfix=prompt_postfix,
        template=template,
        template_variables=template_variables,
        template_date=template_date,
        train_on=train_on,
        messages_keyword=messages_keyword,
        source=source,
        attention_boundary=attention_boundary,
        packing_boundary=packing_boundary,
        keep_prompt_only_sequences=keep_prompt_only_sequences,
        window_tokens=window_tokens,
        seed=seed,
        eos_token=eos_token,
        pad_token=pad_token,
        add_special_tokens=add_special_tokens,
        special_tokens=special_tokens,
        append_eos=append_eos,
        compression=compression,
        rows_per_file=rows_per_file,
        prefix=prefix,
        on_bad_record=on_bad_record,
    )
    paths, streams = split_inputs(inputs)
    options = (output_path(output), thread_count(num_threads), overwrite, checkpoint_seconds)
    hdf5 = Hdf5Files(sequence_length or 1, compression, with_categories=categories is not None)
    start = time.monotonic()
    result = _core.pack(paths, streams, json.dumps(config), options, hdf5, on_progress)
    return PackReport.from_run(output, result, time.monotonic() - start)


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
