"""Converts options of generative_data_prep to those of `bloomdata.pack`, and finds input files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bloomdata import _core
from bloomdata.errors import ConfigError
from bloomdata.options.inputs import COMPRESSED
from bloomdata.options.pack_config import read_categories
from bloomdata.options.template_options import has_chat_template, template_source
from bloomdata.tokenizers.tokenizer import Tokenizer
from bloomdata.verbs.pack import config_of

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from pathlib import Path


def pack_options(
    *,
    max_seq_length: int = 2048,
    input_packing_config: str = "full",
    disable_space_separator: bool = False,
    categories_path: str | os.PathLike[str] | None = None,
    special_tokens: Sequence[str] | None = None,
    ignore_input_format_error: bool = False,
    apply_chat_template: bool = False,
    tokenizer: str | os.PathLike[str] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Options of `bloomdata.pack` from those of generative_data_prep; `options` have the same names in both."""
    if apply_chat_template:
        if tokenizer is None or not has_chat_template(tokenizer):
            raise ConfigError(f"apply_chat_template: expected a chat template beside {tokenizer}, found none")
        options["template"] = template_source(tokenizer)
    return {
        "record": "prompt_completion",
        "sequence_length": max_seq_length,
        "packing": input_packing_config,
        "space_separator": not disable_space_separator,
        "categories": read_categories(categories_path, "categories_path"),
        "special_tokens": list(special_tokens or ()),
        "keep_end_only_sequences": False,
        "on_bad_record": "quarantine" if ignore_input_format_error else "raise",
        **options,
    }


def check_options(source: str, options: dict[str, Any]) -> Tokenizer:
    """Checks options before anything is written, with their names in this command; returns the tokenizer."""
    names = {"sequence_length": "max_seq_length", "packing": "input_packing_config", "eos_token": "special_tokens_dict"}
    try:
        config_of(tokenizer=source, **options)
        _core.plan(b"", options["sequence_length"], [options["packing"]], 0, 1)
        return Tokenizer(
            source,
            eos_token=options.get("eos_token"),
            pad_token=options.get("pad_token"),
            special_tokens=options["special_tokens"],
        )
    except ConfigError as error:
        name, colon, reason = str(error).partition(":")
        raise ConfigError(f"{names.get(name, name)}{colon}{reason}") from error


def find_inputs(path: Path) -> list[Path]:
    """The input files at a path: the file itself, or the `.jsonl` files of a folder, or else its `.txt` files."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: expected a file or folder, found none")
    found = [path] if path.is_file() else sorted(file for file in path.iterdir() if not file.name.startswith("."))
    for suffix in (".jsonl", ".txt"):
        names = [file for file in found if bare(file).suffix == suffix]
        if names:
            return names
    raise ConfigError(f"input_path: expected a .jsonl or .txt file, or a folder of these, got {path}")


def bare(path: Path) -> Path:
    """A path without a compression suffix."""
    return path.with_suffix("") if path.suffix in COMPRESSED else path
