"""The verb `pack`."""

from __future__ import annotations

import json
import math
import os
import time
from typing import TYPE_CHECKING, Literal

from bloomdata import _core
from bloomdata.errors import ConfigError
from bloomdata.hdf5 import Hdf5Files
from bloomdata.report import PackReport
from bloomdata.tokenizer import tokenizer_options
from bloomdata.verbs.run import check_choice, check_counts, split_inputs, thread_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bloomdata.verbs.run import Inputs, OnProgress


def pack(
    inputs: Inputs,
    output: str | os.PathLike[str],
    *,
    tokenizer: str | os.PathLike[str],
    format: Literal["hdf5", "megatron"] = "hdf5",  # noqa: A002 - the name that every tool uses
    sequence_length: int | None = None,
    packing: Literal["full"] | None = None,
    text_field: str | Sequence[str] = "text",
    eos_token: str | None = None,
    pad_token: str | None = None,
    add_special_tokens: bool = True,
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
    `<prefix>-00000.hdf5` and so on with `input_ids` and `token_type_ids`, int32, (rows, sequence_length): documents
    one after the other, cut wherever a row is full (packing `full`); contiguous and page-aligned, so that readers map
    them without an HDF5 library, or chunked and compressed with `compression="gzip"`.

    Token types: 1 text, 2 padding, 3 the last token of a document. Blank lines and empty texts are dropped and
    counted. A run that was killed goes on when it is called again with the same arguments.

    Args:
        inputs: As for `shard`.
        output: Folder to write; made if needed, otherwise empty or from an earlier call.
        tokenizer: A `tokenizer.json`, a folder that holds one, or `"bytes"`, which needs no file: ids 0 to 255 are
            the bytes of UTF-8, then `<pad>`, `<bos>`, `<eos>`.
        format: Kind of the output files.
        sequence_length: Tokens in a row. HDF5 only, and required there.
        packing: How documents become rows. HDF5 only.
        text_field: Field that holds the text, `data.text` for one inside another. Several make one Megatron pair
            each, from the same records.
        eos_token: The token that ends a document. By default what the files beside the tokenizer say
            (`tokenizer_config.json`, `special_tokens_map.json`), else the one known end token of its vocabulary.
        pad_token: The token that pads the last row; by default the tokenizer's own, else the end token.
        add_special_tokens: Whether tokens that the tokenizer itself adds (a leading `<s>`) are kept, as
            `transformers` does. An end token that it adds is never doubled.
        append_eos: Whether every document ends with the end token.
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
        `tools/preprocess_data.py` and `megatron/core/datasets/indexed_dataset.py` of NVIDIA/Megatron-LM; packing
        `full` and the HDF5 columns of sambanova/generative_data_prep.

    Example:
        >>> report = bloomdata.pack("raw/*.jsonl", "packed", tokenizer="bytes", sequence_length=64)
        >>> report.ledger["tokens_out"] % 64
        0
    """
    check_counts(sequence_length=sequence_length, rows_per_file=rows_per_file)
    check_choice("format", format, "hdf5", "megatron")
    check_choice("packing", packing, None, "full")
    check_choice("on_bad_record", on_bad_record, "raise", "quarantine")
    if not 0 <= checkpoint_seconds < math.inf:
        raise ConfigError(f"checkpoint_seconds: {checkpoint_seconds!r} is no time")
    fields = [text_field] if isinstance(text_field, str) else list(text_field)
    config = {
        **tokenizer_options(tokenizer, eos_token, pad_token, add_special_tokens=add_special_tokens),
        "text_field": fields,
        "format": format,
        "sequence_length": sequence_length,
        "packing": packing or ("full" if format == "hdf5" else None),
        "compression": compression,
        "rows_per_file": rows_per_file,
        "prefix": prefix,
        "append_eos": append_eos,
        "on_bad_record": on_bad_record,
    }
    paths, streams = split_inputs(inputs)
    options = (os.fspath(output), thread_count(num_threads), overwrite, checkpoint_seconds)
    hdf5 = Hdf5Files(sequence_length or 1, compression)
    start = time.monotonic()
    result = _core.pack(paths, streams, json.dumps(config), options, hdf5, on_progress)
    return PackReport.from_run(output, result, time.monotonic() - start)
