"""Numbers of splits that fit the training devices."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError, MismatchError
from bloomdata.gdp.options import find_inputs
from bloomdata.gdp.pipeline import pipeline
from bloomdata.gdp.splits import default_training_splits
from bloomdata.options.template_options import has_chat_template
from bloomdata.tokenizers.tokenizer import Tokenizer

if TYPE_CHECKING:
    from bloomdata.reports.report import PackReport

# Lower bound of bytes of text per token.
_BYTES_PER_TOKEN = 3
_ON_RAM_BYTES = 2 << 30


def run_with_training_args(
    input_path: str | os.PathLike[str],
    output_path: str | os.PathLike[str],
    *,
    checkpoint_path: str | os.PathLike[str],
    number_of_rdus: int,
    grad_accum_steps: int,
    pef_batch_size: int,
    max_seq_length: int | None = None,
    evaluation_ratio: float = 0.0,
    custom_tokenizer_path: str | os.PathLike[str] | None = None,
    input_packing_config: str = "greedy::drop",
    shuffle: str | None = None,
    num_workers: int = 16,
    **options: Any,
) -> PackReport:
    """Runs `pipeline` with as many files as the training devices need.

    Args:
        input_path: A `.jsonl` or `.txt` file (also `.gz`, `.zst`), or a folder of these.
        output_path: Folder to write.
        checkpoint_path: Folder of the model to train, with its `config.json` and tokenizer.
        number_of_rdus: Number of training devices.
        grad_accum_steps: Micro-batches in a step.
        pef_batch_size: Rows in a micro-batch of a device.
        max_seq_length: Tokens in a row; by default the value in the model's configuration.
        evaluation_ratio: Share of dev files.
        custom_tokenizer_path: Tokenizer to use instead of the model's; its vocabulary must not be larger.
        input_packing_config: How articles become rows; `packing` of `bloomdata.pack`.
        shuffle: As for `pipeline`; by default `on_RAM` below 2 GiB of input, else `large_file`.
        num_workers: Number of threads.
        **options: Further options of `pipeline`.

    Raises:
        ConfigError: The model's configuration lacks a required value, or there is too little text for the devices.
        MismatchError: The tokenizer has more ids than the model.
    """
    for name, number in (
        ("number_of_rdus", number_of_rdus),
        ("grad_accum_steps", grad_accum_steps),
        ("pef_batch_size", pef_batch_size),
        ("max_seq_length", 1 if max_seq_length is None else max_seq_length),
    ):
        if number < 1:
            raise ConfigError(f"{name}: expected 1 or more, got {number!r}")
    path = Path(checkpoint_path) / "config.json"
    try:
        model = json.loads(path.read_bytes())
    except ValueError as error:
        raise ConfigError(f"checkpoint_path: {path}: {error}") from error
    if not isinstance(model, dict):
        raise ConfigError(f"checkpoint_path: {path}: expected a JSON object")
    length = max_seq_length or model.get("max_position_embeddings") or model.get("n_positions")
    if not isinstance(length, int):
        raise ConfigError(f"max_seq_length: expected a value in {path}, found none")
    tokenizer = os.fspath(checkpoint_path if custom_tokenizer_path is None else custom_tokenizer_path)
    # By default, use the chat template if there is one.
    if options.get("apply_chat_template") is None:
        options["apply_chat_template"] = has_chat_template(tokenizer)
    vocab_size = Tokenizer(tokenizer, eos_token=options.get("eos_token")).vocab_size
    if isinstance(model.get("vocab_size"), int) and vocab_size > model["vocab_size"]:
        raise MismatchError(f"vocab_size: expected at most {model['vocab_size']} of the model, found {vocab_size}")
    input_bytes = sum(path.stat().st_size for path in find_inputs(Path(input_path)))
    splits = _splits(input_bytes, number_of_rdus, grad_accum_steps * pef_batch_size * length)
    return pipeline(
        input_path,
        output_path,
        pretrained_tokenizer=tokenizer,
        max_seq_length=length,
        input_packing_config=input_packing_config,
        num_training_splits=splits,
        dev_ratio=evaluation_ratio,
        test_ratio=0.0,
        shuffle=shuffle or ("on_RAM" if input_bytes < _ON_RAM_BYTES else "large_file"),
        num_workers=num_workers,
        **options,
    )


def _splits(input_bytes: int, devices: int, tokens_per_split: int) -> int:
    """Number of files: a multiple of the number of devices, each file with at least the tokens of a step."""
    default = default_training_splits(input_bytes)
    for count in (math.ceil(default / devices) * devices, 2 * devices):
        if input_bytes >= count * tokens_per_split * _BYTES_PER_TOKEN:
            return count
    raise ConfigError(f"number_of_rdus: expected more text for {devices} devices, got {input_bytes} bytes")
