"""Pipelines for new tokenizers: everything in a `tokenizer.json` except the vocabulary."""

from __future__ import annotations

from typing import Any

_BLOOM = " ?[^(\\s|[.,!?…。，、।۔،])]+"
_CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _byte_level(*first: dict[str, Any], use_regex: bool) -> dict[str, Any]:
    last = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}
    pre_tokenizer = {"type": "Sequence", "pretokenizers": [*first, last]} if first else last
    return {
        "pre_tokenizer": pre_tokenizer,
        "post_processor": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
    }


def _split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


_LLAMA = {
    "pre_tokenizer": {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True},
            {"type": "Digits", "individual_digits": True},
        ],
    },
    "decoder": {
        "type": "Sequence",
        "decoders": [
            {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ],
    },
}

# Parts of the `tokenizer.json` of each family.
PIPELINES: dict[str, dict[str, Any]] = {
    "bloom": _byte_level(_split(_BLOOM), use_regex=False),
    "gpt2": _byte_level(use_regex=True),
    "llama3": _byte_level(_split(_CL100K % "{1,3}"), use_regex=False),
    "qwen2": {"normalizer": {"type": "NFC"}, **_byte_level(_split(_CL100K % ""), use_regex=False)},
    "starcoder": _byte_level({"type": "Digits", "individual_digits": True}, use_regex=True),
    "llama": _LLAMA,
}

# Special tokens of each family, by role.
SPECIAL_TOKENS: dict[str, dict[str, str]] = {
    "bloom": {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"},
    "gpt2": {"eos_token": "<|endoftext|>"},
    "llama3": {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"},
    "qwen2": {"eos_token": "<|endoftext|>"},
    "starcoder": {"eos_token": "<|endoftext|>"},
    "llama": {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"},
}
