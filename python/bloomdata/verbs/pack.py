"""The verb `pack`."""

from __future__ import annotations

import inspect
import json
import math
import time
from typing import TYPE_CHECKING, Any, Literal

from bloomdata import _core
from bloomdata.datasets.hdf5 import Hdf5Files
from bloomdata.errors import ConfigError
from bloomdata.options.checks import thread_count
from bloomdata.options.inputs import split_inputs
from bloomdata.options.pack_config import pack_config, record_of
from bloomdata.options.paths import output_path
from bloomdata.reports.report import PackReport

if TYPE_CHECKING:
    import os
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

    Command line:
        bloomdata-cli pack shards/ --output packed/ --tokenizer tokenizer.json --sequence-length 2048
        bloomdata-cli pack shards/ --output megatron/ --tokenizer tokenizer.json --format megatron
        bloomdata-cli pack chats.jsonl --output sft/ --tokenizer llama/ --template llama3 --sequence-length 4096

    Example:
        >>> report = bloomdata.pack("raw/*.jsonl", "packed", tokenizer="bytes", sequence_length=64)
        >>> report.ledger["tokens_out"] % 64
        0
    """
    given = {name: value for name, value in locals().items() if name not in _RUNNING}
    if not 0 <= checkpoint_seconds < math.inf:
        raise ConfigError(f"checkpoint_seconds: {checkpoint_seconds!r} is no time")
    given["record"] = record_of(record, inputs, text_field, messages_keyword)
    config = config_of(**given)
    paths, streams = split_inputs(inputs)
    options = (output_path(output), thread_count(num_threads), overwrite, checkpoint_seconds)
    hdf5 = Hdf5Files(sequence_length or 1, compression, with_categories=categories is not None)
    start = time.monotonic()
    result = _core.pack(paths, streams, json.dumps(config), options, hdf5, on_progress)
    return PackReport.from_run(output, result, time.monotonic() - start)


# What decides how a run goes, and not what it writes.
_RUNNING = {"inputs", "output", "num_threads", "checkpoint_seconds", "overwrite", "on_progress"}


def config_of(**options: Any) -> dict[str, Any]:
    """The core's description of a run of `pack`; options that are not named have the defaults of `pack`.

    Raises:
        ConfigError: An option that cannot work, or that `pack` does not have.
    """
    parameters = inspect.signature(pack).parameters
    known = {name: parameter.default for name, parameter in parameters.items() if name not in _RUNNING}
    if unknown := set(options) - set(known):
        raise ConfigError(f"{sorted(unknown)[0]}: no such option")
    return pack_config(known | options)
