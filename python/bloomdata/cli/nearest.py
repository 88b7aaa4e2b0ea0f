"""Mistyped options: the nearest one of the verb, also for the spellings of other tools."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# Spellings of Megatron-LM, datatrove, generative_data_prep and their like -> ours.
SPELLINGS = {
    "seq-length": "sequence-length",
    "seq-len": "sequence-length",
    "max-seq-length": "sequence-length",
    "max-length": "sequence-length",
    "context-length": "sequence-length",
    "tokenizer-model": "tokenizer",
    "tokenizer-name-or-path": "tokenizer",
    "tokenizer-type": "tokenizer",
    "tokenizer-path": "tokenizer",
    "pretrained-tokenizer": "tokenizer",
    "vocab-file": "tokenizer",
    "output-prefix": "output",
    "output-path": "output",
    "output-folder": "output",
    "output-dir": "output",
    "overwrite-output-path": "overwrite",
    "force": "overwrite",
    "workers": "num-threads",
    "num-workers": "num-threads",
    "num-proc": "num-threads",
    "tasks": "num-threads",
    "threads": "num-threads",
    "json-keys": "text-field",
    "json-key": "text-field",
    "text-key": "text-field",
    "append-eod": "append-eos",
    "input-packing-config": "packing",
    "dataset-impl": "format",
    "special-tokens-dict": "special-tokens",
    "apply-chat-template": "template",
    "chat-template": "template",
    "lines-per-file": "max-lines",
    "max-file-size": "max-bytes",
    "split": "splits",
    "random-seed": "seed",
}


def nearest(given: str, known: Iterable[str]) -> str | None:
    """The option of `known` that was probably meant by `given`; both with their hyphens."""
    options = [option for option in known if option.startswith("--")]
    word = given.split("=", 1)[0].lstrip("-").replace("_", "-").lower()
    for candidate in (word, SPELLINGS.get(word)):
        if candidate is not None and f"--{candidate}" in options:
            return f"--{candidate}"
    found = difflib.get_close_matches(f"--{word}", options, n=1, cutoff=0.6)
    return found[0] if found else None
