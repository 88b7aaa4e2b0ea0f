"""The verb `pack`."""

from __future__ import annotations

import inspect
import json
import math
import time
from typing import TYPE_CHECKING, Any, Literal

from bloomdata import _core
from bloomdata.errors import ConfigError
from bloomdata.options.arguments import check_arguments
from bloomdata.options.inputs import split_inputs
from bloomdata.options.pack_config import judgement_of, pack_config, record_of
from bloomdata.options.paths import output_path
from bloomdata.options.running import limits_of, running
from bloomdata.parts.running import counted_first
from bloomdata.parts.sharing import share_of, written
from bloomdata.reports.report import PackReport
from bloomdata.storage.reading import staged

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from bloomdata.options.inputs import Inputs, OnProgress
    from bloomdata.parts.gathering import Executor


@check_arguments
@counted_first(lambda options: options["packing"] == "single::sample")
def pack(
    inputs: Inputs,
    output: str | os.PathLike[str],
    *,
    tokenizer: str | os.PathLike[str] | Any,
    format: Literal["hdf5", "megatron"] = "hdf5",  # noqa: A002 - the name that every tool uses
    sequence_length: int | None = None,
    packing: str | None = None,
    overlong: Literal["drop", "truncate", "cut"] | None = None,
    record: Literal["text", "prompt_completion", "messages", "preference", "unpaired_preference"] = "text",
    text_field: str | Sequence[str] = "text",
    records: str | None = None,
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
    train_on: Literal["all", "last", "each"] = "all",
    messages_keyword: str = "messages",
    role_keyword: str = "role",
    content_keyword: str = "content",
    ignore_fields: Sequence[str] = (),
    tool_arguments: Literal["given", "parsed"] = "given",
    source: str | Mapping[str, Any] | None = None,
    attention_boundary: Literal["jsonl", "prompt_completion_pair"] = "jsonl",
    packing_boundary: Literal["jsonl", "prompt_completion_pair"] = "jsonl",
    keep_prompt_only_sequences: bool = False,
    keep_end_only_sequences: bool = True,
    window_tokens: int = 1 << 23,
    seed: int = 0,
    eos_token: str | None = None,
    pad_token: str | None = None,
    add_special_tokens: bool = True,
    special_tokens: Sequence[str] | None = None,
    special_tokens_in_text: Literal["text", "token", "refuse"] | None = None,
    append_eos: bool = True,
    split_sentences: bool = False,
    exact: Literal["document", "none"] | None = None,
    exact_normalize: Literal["none", "whitespace", "fold"] = "none",
    compression: Literal["gzip"] | None = None,
    rows_per_file: int | None = None,
    prefix: str = "data",
    on_bad_record: Literal["raise", "quarantine"] = "raise",
    max_bad: str | float | None = None,
    allow_empty: bool = False,
    parts: int = 1,
    part: int | str | None = None,
    counting: bool = False,
    executor: Executor | None = None,
    scratch: str | os.PathLike[str] | None = None,
    scratch_limit: int | str = "16GB",
    allow_duplicate_inputs: bool = False,
    ignore_keys: Sequence[str] = (),
    num_threads: int | None = None,
    checkpoint_seconds: float = 10.0,
    overwrite: bool = False,
    on_progress: OnProgress = None,
) -> PackReport:
    """Turns documents into token files for training.

    `format="megatron"` writes `<prefix>_<field>_document.bin` and `.idx`, byte for byte as Megatron-core's builder:
    one sequence per document, `uint16` for vocabularies below 65,500, else `int32`. With `split_sentences`, every
    sentence is a sequence, and the files are called `<prefix>_<field>_sentence`. `format="hdf5"` writes
    `<prefix>-00000.hdf5` and so on with `input_ids` and `token_type_ids`, int32, (rows, sequence_length), packed by
    `packing`. They are contiguous, and aligned to pages if they fill a page, so readers can map them without an HDF5
    library; with `compression="gzip"` they are chunked and compressed.

    Token types: 0 prompt, 1 text or completion, 2 padding, 3 the last token of an attention unit; 1 and 3 are trained
    on. Rows of prompts alone are left out and counted. Blank lines and empty texts are dropped and counted. So are
    documents of which packing puts no token into a row. Keys of records that hold a text, a list or an object and that
    nothing reads are counted in `unread_keys` of the report. A killed run resumes when it is called again with the same
    arguments.

    Packings (a document is a record, or with `packing_boundary="prompt_completion_pair"` a pair):

    - `full`: documents are concatenated and cut into rows; only the last row is padded. `full::drop` drops it.
    - `greedy::drop`, `greedy::truncate_left`, `greedy::truncate_right`: a document goes into the open row if it fits,
      else into a new one; a document longer than a row is dropped or truncated. `greedy` is `greedy::drop`.
    - `single::drop`, `single::truncate_left`, `single::truncate_right`: one document per row. `single::split`: its
      full-length pieces, one per row. `single::sample`: a window from a random position.
    - `concat::K`: groups of K documents, each group padded to whole rows.
    - `best_fit`: whole documents into as few rows as possible; documents longer than a row are cut into full rows
      and a rest, so no token of a text is lost. A piece of a conversation that starts within an answer does not train
      on the rest of that answer; after the last answer starts in an earlier piece, the rest is left out and counted.
      `best_fit::drop` leaves out documents longer than a row, `best_fit::truncate_right` keeps their first tokens.

    With `record="prompt_completion"` a record is an object with a prompt and a completion, or a list of them (one
    chat). Exactly one space separates the two, every pair ends with the end token, and pairs without a completion are
    skipped; lines of `.txt` are completions, newline included. Megatron files get the token types as a second pair,
    `<prefix>_<field>_token_types`, one byte per token.

    With `record="messages"`, or if a `template` or a `source` is given, a record is a conversation: an object with a
    list of messages, and optionally `tools`. The template renders it; the answers of the assistant and the tokens that
    end them have type 1, all others type 0. Text after the last answer is left out and counted. The ids are those of
    the whole text, without the post-processor of the tokenizer; if the template ends no answer, the end token is
    appended to the last one. A conversation whose trained tokens cannot be determined is a bad record.

    Templates for thinking rewrite earlier turns when the conversation goes on: a conversation that they render has no
    text in which all answers can be trained on. `train_on="each"` makes an article for each answer, from the messages
    up to it, with that answer alone of type 1. Such a conversation is one document in the ledger; what became of it is
    counted in `metrics["articles"]`.

    A message needs a role and a content, under the keys `role_keyword` and `content_keyword`. The content is a text,
    or a list of parts of text, which are joined. A message may have none, or null, if it calls tools; the template has
    to write the calls. Any other message makes its record a bad one.

    A text under `system` beside the messages becomes the first one. `tools`, `functions`, `history` and thoughts such
    as `reasoning_content` that the template does not write make the record a bad one, unless `ignore_fields` names
    them.

    Roles have their usual names (`user`, `human`; `assistant`, `gpt`, `bot`; ...) in any letter case; FORMAT.md lists
    them. A role that is not known, and that the template does not name, makes the record a bad one.

    With `record="preference"` a record compares two answers to a prompt: `prompt`, `chosen` and `rejected`, each a
    text, messages or one message; lists of messages that begin alike; `instruction` and `input`, or `conversations`,
    in place of the prompt; transcripts (`Human:`, `Assistant:`). Each becomes two rows, the chosen answer first, in
    which the answer alone has type 1, and `open` gives pairs. What has no room in a row is cut off the start of the
    prompt, the same for both; pairs whose answer has no room are dropped and counted, and so are pairs of equal
    answers and empty answers. With `record="unpaired_preference"` a record is `prompt`, `completion` and `label`;
    `category_ids` of its row is 1 for a good answer and 0 for a bad one. HDF5 only.

    Switches say which answers are trained on: `weight`, `train`, `training`, `trainable`, `loss` or `loss_mask`, 0 or
    1, false or true, in a message or in the record; in the record also as a list with one value for each message.
    Other values, such as a weight of 0.5, make the record a bad one. Conversations without an answer left are dropped
    and counted.

    Args:
        inputs: Files, folders or patterns, or one table in memory, as for `shard`.
        output: Folder to write: new, empty, or the output of an earlier call.
        tokenizer: A `tokenizer.json`, a folder that holds one, or `"bytes"`, which needs no file: ids 0 to 255 are
            the bytes of UTF-8, then `<pad>`, `<bos>`, `<eos>`. Or a name of the Hugging Face hub whose files are in
            the local cache; from Python also a `bloomdata.Tokenizer`, with its options, or a tokenizer of `tokenizers`
            or `transformers`, of which a copy is kept in `~/.cache/bloomdata/tokenizers`.
        format: Format of the output files.
        sequence_length: Tokens in a row. HDF5 only, and required there.
        packing: How documents become rows; `full` by default, `single::drop` for judged answers. HDF5 only.
        overlong: What becomes of documents longer than a row, for `best_fit`, `greedy` and `single`: `drop`, `truncate`
            (`greedy::truncate_right`, ...), or, for `best_fit` alone, `cut`. By default what the packing's name says.
        record: Kind of record: text, pairs of prompt and completion, messages, or answers to a prompt that were
            compared (`preference`) or labelled (`unpaired_preference`).
        text_field: Field that holds the text; `data.text` is a nested field. Each of several fields becomes its own
            Megatron pair, from the same records.
        records: Key of the list of records in `.json` files, as for `shard`.
        prompt_keyword: Key of the prompt.
        completion_keyword: Key of the completion.
        category_keyword: Key of the category.
        categories: Names of the categories, or a file with a JSON list of them. Adds `category_ids` to HDF5 files:
            the index in the list, or -1 for no category and for padding. An unknown name is a bad record.
        space_separator: Whether completions start with exactly one space, and prompts end without one.
        prompt_prefix: Text before every prompt that is not empty.
        prompt_postfix: Text after every prompt that is not empty.
        template: Chat template that renders conversations, see `ChatTemplate`; by default the `chat_template` of the
            tokenizer. Records are then `messages`, unless they are `prompt_completion`.
        template_variables: Further variables of the template; its special tokens are those of the tokenizer.
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
        source: The `prepare` source of the records, to prepare and pack in one pass; by default records are messages.
            Its name, or a mapping with its name and options: `{"source": "sharegpt", "turns": "separate"}`.
        attention_boundary: Whether the last token of a record or of a pair has type 3.
        packing_boundary: Whether packing keeps records or pairs together.
        keep_prompt_only_sequences: Whether to keep pairs without a completion, and rows without any token of type 1.
        keep_end_only_sequences: Whether to keep rows without any token of type 1 if they hold one of type 3, such as a
            row with only the end token of a document. generative_data_prep leaves them out.
        window_tokens: Tokens that `best_fit` packs at a time; they stay in memory, 8 bytes each.
        seed: Seed of `single::sample`.
        eos_token: The end-of-document token. By default the one that the tokenizer's files name
            (`tokenizer_config.json`, `special_tokens_map.json`), else the one known end token in its vocabulary.
        pad_token: The padding token; by default the tokenizer's own, else the end token.
        add_special_tokens: Whether to keep the special tokens that the tokenizer adds, such as a leading `<s>`, as
            `transformers` does. An end token that it adds is never duplicated.
        special_tokens: Tokens to add to the vocabulary; each is always encoded as one token.
        special_tokens_in_text: What special tokens of the tokenizer are that a text holds, such as `<|im_end|>`: its
            letters (`text`), the token (`token`), or a bad record (`refuse`). By default `text` in conversations,
            where the token would end the turn, and `token` elsewhere, as `transformers` and Megatron have it.
        append_eos: Whether to end every document or pair with the end token.
        split_sentences: Whether to encode each sentence of a text by itself, as a sequence of its document, without the
            white space around it; the end token is part of the last one. Sentences end by the rules of Unicode (UAX
            #29), at the ends of lines, too. Only for texts, and for Megatron files.
        exact: `document` drops documents whose text equals that of an earlier one, and counts them; by default all
            stay. Of several fields, all texts must be equal. Inputs are read twice. Only for texts in `text_field`:
            not for pairs, conversations, a `source` or a table in memory.
        exact_normalize: What makes texts equal, as for `dedup`: `none` compares them as they are; `whitespace` reads
            them in NFC, each run of white space as one blank; `fold` in NFC and lower case, only letters, marks and
            numbers.
        compression: `"gzip"` for chunked, compressed HDF5 files like those of generative_data_prep.
        rows_per_file: Rows in an HDF5 file; 256 MiB by default. Only the last file is shorter.
        prefix: First part of file names.
        on_bad_record: Whether to stop at the first bad record (`raise`) or to collect bad records in
            `quarantine.jsonl` and count them by reason (`quarantine`).
        max_bad: Bad records at which a run that quarantines them stops: a number, or a share of all records such as
            `"0.1%"` or 0.001. A share is compared from the 100,000th record on, and at the end.
        allow_empty: Whether a run may keep none of its records. By default that is an error, and the folder stays
            unfinished. Inputs without records give an empty output.
        parts: Number of parts, as for `shard`.
        part: The only part to run, as for `shard`.
        counting: Whether `part` only counts articles, for `single::sample`, as for `shard`.
        executor: Runs the parts, as for `shard`.
        scratch: Local folder for what comes from a store or goes there, as for `shard`.
        scratch_limit: Bytes of inputs that are brought ahead, as for `shard`.
        allow_duplicate_inputs: Whether to read both of two files with the same content, or of one name in two formats
            or compressions (`a.jsonl` and `a.jsonl.gz`), which is an error otherwise.
        ignore_keys: Keys that the report leaves out of `unread_keys`, as it names them: `url`, `messages[].id`. Never
            changes the output.
        num_threads: Number of threads; one per processor by default. Never changes the output.
        checkpoint_seconds: Seconds of work that a killed run loses at most, roughly (HDF5: the file being written).
        overwrite: Whether to discard the output of an earlier run in `output`.
        on_progress: Function called regularly with (total bytes, bytes read, documents, bytes written).

    Returns:
        A report of documents and tokens in and out, as in `manifest.json` of the folder.

    Raises:
        ConfigError: An option is invalid, or the folder holds other files.
        CorruptDataError: An input is damaged or truncated, or a record is bad.
        MismatchError: The folder belongs to a call with other options or inputs, or an input changed while it was read.
        OSError: The operating system reports an error.

    Origin:
        `tools/preprocess_data.py` (which splits sentences by Punkt of NLTK, so that abbreviations are no ends and lines
        neither) and `megatron/core/datasets/indexed_dataset.py` of NVIDIA/Megatron-LM; pairs,
        `full`, `single`, `greedy` and the HDF5 columns of sambanova/generative_data_prep (where its code differs from
        its documentation, we follow the documentation); `concat`, `split`, `sample` of s-JoL/Open-Llama; `best_fit` of
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
    options = {name: value for name, value in locals().items() if name not in _RUNNING}
    if not 0 <= checkpoint_seconds < math.inf:
        raise ConfigError(f"checkpoint_seconds: expected seconds >= 0, got {checkpoint_seconds!r}")
    share = share_of(parts, part, exact=exact)
    given = split_inputs(inputs, objects=True)
    options["record"] = record_of(record, given.columns, text_field, messages_keyword)
    config = config_of(**options)
    if counting:
        config["counting"] = True
    judged = judgement_of(options["record"], (config["chats"] or {}).get("source"))
    if judged and format != "hdf5":
        raise ConfigError(f"format: expected 'hdf5' for judged answers, got {format!r}")
    from bloomdata.datasets.hdf5 import Hdf5Files

    how = running(
        output_path(output),
        num_threads,
        overwrite=overwrite,
        checkpoint_seconds=checkpoint_seconds,
        limits=limits_of(allow_empty=allow_empty, max_bad=max_bad, on_bad_record=on_bad_record),
    )
    hdf5 = Hdf5Files(sequence_length or 1, compression, with_categories=config["categories"] is not None)
    start = time.monotonic()
    with staged(given, scratch, scratch_limit, are_cut=share is not None) as objects:
        files = (given.paths, allow_duplicate_inputs, share, objects)
        result = _core.pack(files, given.streams, json.dumps(config), how, hdf5, on_progress)
    return PackReport.from_run(written(output, share), result, time.monotonic() - start, ignore_keys=ignore_keys)


# What decides how a run goes, and not what it writes.
_RUNNING = {
    *("inputs", "output", "max_bad", "allow_empty", "allow_duplicate_inputs", "parts", "part", "counting"),
    *("executor", "scratch", "scratch_limit"),
    *("ignore_keys", "num_threads", "checkpoint_seconds", "overwrite", "on_progress"),
}


def config_of(**options: Any) -> dict[str, Any]:
    """The core's description of a run of `pack`; options that are not named have the defaults of `pack`.

    Raises:
        ConfigError: An option that cannot work, or that `pack` does not have.
    """
    parameters = inspect.signature(pack).parameters
    known = {name: parameter.default for name, parameter in parameters.items() if name not in _RUNNING}
    if unknown := set(options) - set(known):
        raise ConfigError(f"{sorted(unknown)[0]}: expected an option of pack, got an unknown name")
    return pack_config(known | options)
