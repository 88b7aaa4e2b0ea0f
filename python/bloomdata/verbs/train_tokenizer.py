"""The verb `train_tokenizer`: trains a vocabulary on texts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bloomdata import _core
from bloomdata.errors import ConfigError, CorruptDataError
from bloomdata.options.arguments import check_arguments
from bloomdata.options.checks import check_choice, check_counts, thread_count
from bloomdata.options.inputs import split_inputs
from bloomdata.options.paths import output_path
from bloomdata.tokenizers.families import PIPELINES, SPECIAL_TOKENS
from bloomdata.tokenizers.folder import ADDED_TOKEN, prepare_folder, write_bytes, write_folder
from bloomdata.tokenizers.sentencepiece_writer import sentencepiece_bpe
from bloomdata.verbs.convert_sentencepiece import ConvertReport, convert_sentencepiece
from bloomdata.verbs.pack import config_of
from bloomdata.verbs.trained_from import Origin

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from bloomdata.options.inputs import Inputs, OnProgress

_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
_MODEL = "tokenizer.model"
_ROLES = ("bos_token", "eos_token", "unk_token", "pad_token")


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """The result of `train_tokenizer`.

    Attributes:
        path: The `tokenizer.json`.
        vocab_size: Size of the vocabulary; smaller than requested if no other pair was frequent enough.
        num_merges: Number of merges.
        num_words: Pre-tokens in the texts.
        distinct_words: Distinct pre-tokens.
        inputs: For each input `path`, `documents`, `text_bytes`, and the numbers of `dropped` and `bad` records.
    """

    path: Path
    vocab_size: int
    num_merges: int
    num_words: int
    distinct_words: int
    inputs: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """The report as plain values for JSON."""
        return {**vars(self), "path": str(self.path)}

    def __str__(self) -> str:
        documents = sum(counts["documents"] for counts in self.inputs)
        size = sum(counts["text_bytes"] for counts in self.inputs)
        left_out = sum(counts["dropped"] + counts["bad"] for counts in self.inputs)
        return (
            f"{self.vocab_size:,} tokens, {self.num_merges:,} merges in {self.path}\n"
            f"from {documents:,} documents, {size:,} bytes, "
            f"{self.num_words:,} words ({self.distinct_words:,} different)"
            + (f"; {left_out:,} records left out" if left_out else "")
        )


@check_arguments
def train_tokenizer(
    inputs: Inputs,
    output: str | os.PathLike[str],
    *,
    vocab_size: int,
    family: Literal["bloom", "gpt2", "llama3", "qwen2", "starcoder", "llama"] = "bloom",
    definition: str | os.PathLike[str] | None = None,
    min_frequency: int = 2,
    special_tokens: Sequence[str] | None = None,
    eos_token: str | None = None,
    limit_alphabet: int | None = None,
    max_token_length: int | None = None,
    sentencepiece: bool = False,
    text_field: str = "text",
    on_bad_record: Literal["raise", "quarantine"] = "raise",
    allow_duplicate_inputs: bool = False,
    num_threads: int | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = None,
) -> TrainReport:
    """Trains a BPE tokenizer and writes a folder that `tokenizers`, `transformers` and `pack` load.

    A call with the same options and unchanged inputs as a finished one does nothing; `trained_from.json` in the folder
    records both.

    The merges are those of `BpeTrainer` of `tokenizers` for the same pre-tokens, for any number of threads and any
    order of documents. Every distinct pre-token is kept in memory; the texts are not.

    Args:
        inputs: Files, folders or patterns, or one table in memory.
        output: Folder for `tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json`.
        vocab_size: Size of the vocabulary, including special tokens and the byte alphabet.
        family: Pre-tokenizer and alphabet: `bloom`, `gpt2`, `llama3`, `qwen2`, `starcoder` (bytes), or `llama`
            (characters, with a fallback to bytes for rare ones; every digit is a token).
        definition: A `tokenizer.json` whose normalizer, pre-tokenizer, post-processor and decoder replace those of the
            family; its vocabulary and added tokens are ignored.
        min_frequency: Minimum count of a pair to be merged.
        special_tokens: Tokens with the lowest ids, in this order; those of the family by default.
        eos_token: The end-of-document token, one of `special_tokens`; that of the family by default.
        limit_alphabet: Maximum number of characters with their own token (`llama`); a quarter of `vocab_size` by
            default.
        max_token_length: Exclusive limit of the length of merged tokens of more than two characters (bytes, except
            for `llama`).
        sentencepiece: Whether to write a SentencePiece model, `tokenizer.model`, too (`llama`). `tokenizer.json` then
            has the ids of that model: every two neighbours that form a token merge, not only the pair that training
            merged, and every text gets a space in front.
        text_field: Field that holds the text; `a.b` is a nested field.
        on_bad_record: Whether to stop at the first bad record (`raise`) or to skip and count bad records
            (`quarantine`).
        allow_duplicate_inputs: Whether to read both of two files with the same content, or of one name in two formats
            or compressions (`a.jsonl` and `a.jsonl.gz`), which is an error otherwise.
        num_threads: Number of threads; one per processor by default.
        overwrite: Whether to replace an existing tokenizer in the folder.
        on_progress: Function called regularly with (total bytes, bytes read, documents, bytes written).

    Raises:
        ConfigError: An option is invalid, or the folder already has a tokenizer.
        CorruptDataError: An input is damaged, or a record is bad.

    Command line:
        bloomdata-cli train-tokenizer corpus/ --output my-tokenizer --vocab-size 32000
        bloomdata-cli train-tokenizer 'shards/*.jsonl.zst' --output my-llama --family llama --vocab-size 32000
        bloomdata-cli train-tokenizer shards/ --output my-llama --family llama --vocab-size 32000 --sentencepiece

    Example:
        >>> report = bloomdata.train_tokenizer("corpus/*.jsonl.zst", "my-tokenizer", vocab_size=32_000)
        ... # doctest: +SKIP
    """
    check_counts(vocab_size=vocab_size, min_frequency=min_frequency, limit_alphabet=limit_alphabet)
    check_counts(max_token_length=max_token_length)
    check_choice("family", family, *PIPELINES)
    pipeline = PIPELINES[family] if definition is None else _pipeline_of(Path(definition))
    has_bytes = (definition is None and family == "llama") or _falls_back(definition)
    roles = dict(SPECIAL_TOKENS[family]) if special_tokens is None else {}
    specials = list(dict.fromkeys(roles.values() if special_tokens is None else special_tokens))
    if eos_token is not None:
        roles["eos_token"] = eos_token
    if "eos_token" not in roles:
        raise ConfigError("eos_token: expected one of special_tokens, got None")
    if roles["eos_token"] not in specials:
        raise ConfigError(f"eos_token: expected one of the special tokens {specials}, got {roles['eos_token']!r}")
    if sentencepiece and (family != "llama" or definition is not None):
        raise ConfigError("sentencepiece: expected only with family='llama' and without a definition, got True")
    letters = [] if has_bytes else _byte_letters()
    options: dict[str, Any] = {
        "vocab_size": vocab_size,
        "min_frequency": min_frequency,
        "special_tokens": [*specials, *(_BYTES if has_bytes else [])],
        "initial_alphabet": letters,
        "limit_alphabet": (vocab_size // 4 if limit_alphabet is None else limit_alphabet) if has_bytes else None,
        "max_token_length": max_token_length,
    }
    least = len(options["special_tokens"]) + len(letters)
    if vocab_size < least:
        raise ConfigError(f"vocab_size: expected at least the {least} special tokens and bytes, got {vocab_size}")
    texts = config_of(tokenizer="bytes", format="megatron", text_field=text_field, on_bad_record=on_bad_record)
    paths, tables, _ = given = split_inputs(inputs)
    config = json.dumps({"texts": texts, "definition": pipeline, "options": options})
    extra = [_MODEL] if sentencepiece else []
    origin = None if tables else Origin.of(config, roles, paths, extra)
    if origin is not None and not overwrite and (known := origin.finished(Path(output_path(output)))):
        return TrainReport(**known)
    folder = prepare_folder(output, overwrite=overwrite)
    files = (paths, allow_duplicate_inputs, None, None)
    made = json.loads(_core.train_tokenizer(files, given.streams, config, thread_count(num_threads), on_progress))
    for counts in made["inputs"]:
        del counts["argument"]
    if sentencepiece:
        converted = _write_sentencepiece(folder, made["tokens"], specials, roles)
        path, num_merges = converted.path, converted.num_merges
    else:
        model = _model(made, roles.get("unk_token") if has_bytes else None, has_bytes=has_bytes)
        path, num_merges = _write(folder, pipeline, model, specials, roles), len(made["merges"])
    report = TrainReport(
        path=path,
        vocab_size=len(made["tokens"]),
        num_merges=num_merges,
        num_words=made["num_words"],
        distinct_words=made["distinct_words"],
        inputs=made["inputs"],
    )
    if origin is not None:
        origin.write(path, report.to_json())
    return report


def _definition(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"definition: {path}: {error.strerror}") from None
    except ValueError as error:
        raise CorruptDataError(f"{path}: expected a tokenizer: {error}") from None
    if not isinstance(found, dict) or not isinstance(found.get("model"), dict):
        raise CorruptDataError(f"{path}: expected a tokenizer, found no model")
    return found


def _pipeline_of(path: Path) -> dict[str, Any]:
    found = _definition(path)
    return {name: found.get(name) for name in ("normalizer", "pre_tokenizer", "post_processor", "decoder")}


def _falls_back(definition: str | os.PathLike[str] | None) -> bool:
    return definition is not None and bool(_definition(Path(definition))["model"].get("byte_fallback"))


def _byte_letters() -> list[str]:
    """The byte alphabet of GPT-2."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return [chr(byte) for byte in printable] + [chr(0x100 + place) for place in range(256 - len(printable))]


def _model(made: dict[str, Any], unk_token: str | None, *, has_bytes: bool) -> dict[str, Any]:
    tokens = made["tokens"]
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": unk_token,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": has_bytes,
        "byte_fallback": has_bytes,
        "ignore_merges": False,
        "vocab": {token: number for number, token in enumerate(tokens)},
        "merges": [[tokens[left], tokens[right]] for left, right in made["merges"]],
    }


def _write(
    folder: Path, pipeline: dict[str, Any], model: dict[str, Any], specials: list[str], roles: dict[str, str]
) -> Path:
    added = [{"id": number, "content": token, **ADDED_TOKEN} for number, token in enumerate(specials)]
    parts = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
    definition = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        **{name: pipeline.get(name) for name in parts},
        "model": model,
    }
    names = {role: roles[role] for role in _ROLES if role in roles}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **names}
    return write_folder(folder, definition, {"special_tokens_map.json": names, "tokenizer_config.json": config})


def _write_sentencepiece(folder: Path, tokens: list[str], specials: list[str], roles: dict[str, str]) -> ConvertReport:
    """Writes `tokenizer.model`, and the `tokenizer.json` with its ids."""
    named = {role.removesuffix("_token"): token for role, token in roles.items() if role in _ROLES}
    content = sentencepiece_bpe(specials, named, _BYTES, tokens[len(specials) + len(_BYTES) :])
    write_bytes(folder / _MODEL, content)
    return convert_sentencepiece(folder / _MODEL, folder, overwrite=True)
