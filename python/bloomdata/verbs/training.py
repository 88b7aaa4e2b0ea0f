"""What `train_tokenizer` is asked for, complete and checked, and the files that it writes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from bloomdata.errors import ConfigError, CorruptDataError
from bloomdata.options.checks import check_choice, check_counts
from bloomdata.tokenizers.families import PIPELINES, SPECIAL_TOKENS
from bloomdata.tokenizers.folder import ADDED_TOKEN, write_bytes, write_folder
from bloomdata.tokenizers.sentencepiece_writer import sentencepiece_bpe
from bloomdata.verbs.convert_sentencepiece import convert_sentencepiece
from bloomdata.verbs.pack import config_of

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
_MODEL = "tokenizer.model"
# Everything that may lie in the folder of a trained tokenizer, beside what parts leave.
FILES = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "trained_from.json", _MODEL}
_ROLES = ("bos_token", "eos_token", "unk_token", "pad_token")


@dataclass(frozen=True, kw_only=True)
class Training:
    """A training run: the same for one call, and for all parts of a run and their end.

    Attributes:
        family: Name of the family.
        pipeline: Normalizer, pre-tokenizer, post-processor and decoder.
        roles: Special tokens by their roles.
        specials: Special tokens by their ids.
        has_bytes: Whether rare characters fall back to tokens of bytes.
        sentencepiece: Whether a SentencePiece model is written, too.
        text_field: Field that holds the text.
        on_bad_record: What to do with bad records.
        options: Limits of the vocabulary, as the core takes them.
    """

    family: str
    pipeline: dict[str, Any]
    roles: dict[str, str]
    specials: list[str]
    has_bytes: bool
    sentencepiece: bool
    text_field: str
    on_bad_record: str
    options: dict[str, Any]

    @classmethod
    def of(
        cls,
        *,
        vocab_size: int,
        family: str,
        definition: str | os.PathLike[str] | None,
        min_frequency: int,
        special_tokens: Sequence[str] | None,
        eos_token: str | None,
        limit_alphabet: int | None,
        max_token_length: int | None,
        sentencepiece: bool,
        text_field: str,
        on_bad_record: str,
    ) -> Self:
        """The training that options of `train_tokenizer` describe.

        Raises:
            ConfigError: An option is invalid.
            CorruptDataError: The definition is no tokenizer.
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
        return cls(
            family=family,
            pipeline=pipeline,
            roles=roles,
            specials=specials,
            has_bytes=has_bytes,
            sentencepiece=sentencepiece,
            text_field=text_field,
            on_bad_record=on_bad_record,
            options=options,
        )

    @classmethod
    def of_plan(cls, plan: dict[str, Any]) -> Self:
        """The training that parts were planned for."""
        names = ("family", "specials", "has_bytes", "sentencepiece", "text_field", "on_bad_record")
        options = {name: plan[name] for name in _OPTIONS}
        pipeline, roles = json.loads(plan["pipeline"]), json.loads(plan["roles"])
        return cls(options=options, pipeline=pipeline, roles=roles, **{name: plan[name] for name in names})

    def to_plan(self) -> dict[str, Any]:
        """All of it for the plan of a run in parts. That sorts keys; where their order matters, they are text."""
        plan = asdict(self)
        options: dict[str, Any] = plan.pop("options")
        return options | plan | {name: json.dumps(plan[name]) for name in ("pipeline", "roles")}

    def to_config(self) -> str:
        """What the core needs."""
        how = {"text_field": self.text_field, "on_bad_record": self.on_bad_record}
        texts = config_of(tokenizer="bytes", format="megatron", **how)
        return json.dumps({"texts": texts, "definition": self.pipeline, "options": self.options})

    @property
    def beside(self) -> list[str]:
        """Names of files beside `tokenizer.json` that it cannot be without."""
        return [_MODEL] if self.sentencepiece else []

    def write(self, folder: Path, made: dict[str, Any]) -> tuple[Path, int]:
        """Writes the tokenizer of a vocabulary; the path of `tokenizer.json`, and its number of merges."""
        tokens = made["tokens"]
        if self.sentencepiece:
            named = {role.removesuffix("_token"): token for role, token in self.roles.items() if role in _ROLES}
            content = sentencepiece_bpe(self.specials, named, _BYTES, tokens[len(self.specials) + len(_BYTES) :])
            write_bytes(folder / _MODEL, content)
            converted = convert_sentencepiece(folder / _MODEL, folder, overwrite=True)
            return converted.path, converted.num_merges
        model = _model(made, self.roles.get("unk_token") if self.has_bytes else None, has_bytes=self.has_bytes)
        return _write(folder, self.pipeline, model, self.specials, self.roles), len(made["merges"])


# Names of the limits of a vocabulary, in the order in which `trained_from.json` has them.
_OPTIONS = (
    "vocab_size",
    "min_frequency",
    "special_tokens",
    "initial_alphabet",
    "limit_alphabet",
    "max_token_length",
)


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
