"""The verb `extend_vocabulary`: appends the tokens of one vocabulary to another."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError, CorruptDataError, MismatchError, UnsupportedFormatError
from bloomdata.options.arguments import check_arguments
from bloomdata.options.paths import output_path
from bloomdata.tokenizers.folder import prepare_folder, write_bytes, write_folder
from bloomdata.tokenizers.sentencepiece_model import PieceType, read_sentencepiece

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

_FILES = ("special_tokens_map.json", "tokenizer_config.json")


@dataclass(frozen=True, kw_only=True)
class ExtendReport:
    """The result of `extend_vocabulary`.

    Attributes:
        path: The `.model` or `tokenizer.json`.
        num_base: Number of tokens of `base`, added tokens included.
        num_added: Number of new tokens.
        num_unreachable: New tokens that no text is ever encoded as, because other merges of their characters come
            first. Special tokens are not counted.
    """

    path: Path
    num_base: int
    num_added: int
    num_unreachable: int

    def to_json(self) -> dict[str, Any]:
        """The report as plain values for JSON."""
        return {**vars(self), "path": str(self.path)}

    def __str__(self) -> str:
        return (
            f"{self.num_base:,} tokens and {self.num_added:,} new ones in {self.path}; "
            f"{self.num_unreachable:,} of the new ones are never used"
        )


@check_arguments
def extend_vocabulary(
    base: str | os.PathLike[str],
    extra: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    overwrite: bool = False,
) -> ExtendReport:
    """Appends the tokens of `extra` that `base` lacks, in order, with ids after all ids of `base`.

    The ids of `base` do not change, so a trained embedding only grows. The ids of a text may change, since new tokens
    are used where they match. Everything else (normalizer, special tokens, ...) is taken from `base`.

    For two `.model` files of SentencePiece, pieces keep their scores and types, so `<pad>` stays a control piece. The
    scores of `extra` compete with those of `base`: a new piece may merge before an old one. The unknown piece of
    `extra` is left out.

    For two `tokenizer.json` files with BPE, both must use bytes, or both characters with a fallback to bytes. All
    merges of `extra` that form a new token follow all merges of `base`, in order. Added tokens of `extra` are left out;
    pass them as `special_tokens` of `Tokenizer`. A new token of one character needs no merge. Any other new token is
    reachable if merging its own characters forms it; all new tokens are reachable if `base` looks up whole words first
    (`ignore_merges`). This does not consider whether the pre-tokenizer of `base` keeps the characters in one word.

    Args:
        base: The vocabulary to extend: a `.model`, a `tokenizer.json`, or a folder that holds one.
        extra: The vocabulary to take tokens from, of the same kind.
        output: The file to write for two `.model` files; otherwise a folder for `tokenizer.json` and the
            `tokenizer_config.json` and `special_tokens_map.json` of `base`.
        overwrite: Whether to replace an existing output.

    Raises:
        ConfigError: A file does not exist, or the output already exists.
        CorruptDataError: A file is damaged.
        MismatchError: The vocabularies are of different kinds.
        UnsupportedFormatError: A model is not BPE.

    Origin:
        `utils/merge_tokenizer.py` of Open-Llama; for two `.model` files the result is the same, byte for byte.

    Command line:
        bloomdata-cli extend-vocabulary llama.model chinese.model --output extended.model
        bloomdata-cli extend-vocabulary llama/ chinese/ --output extended/

    Example:
        >>> report = bloomdata.extend_vocabulary("llama.model", "chinese.model", "extended.model")
        ... # doctest: +SKIP
    """
    output = output_path(output)
    paths = [_file(name, path) for name, path in (("base", base), ("extra", extra))]
    kinds = [path.suffix == ".model" for path in paths]
    if kinds[0] != kinds[1]:
        raise MismatchError(f"{paths[0]} and {paths[1]}: expected two .model files or two tokenizer.json files")
    extend = _extend_sentencepiece if kinds[0] else _extend_definition
    return extend(paths[0], paths[1], Path(output), overwrite=overwrite)


def _file(option: str, path: str | os.PathLike[str]) -> Path:
    found = Path(path)
    found = found / "tokenizer.json" if found.is_dir() else found
    if not found.is_file():
        raise ConfigError(f"{option}: expected a file, got {found}")
    return found


def _extend_sentencepiece(base_path: Path, extra_path: Path, output: Path, *, overwrite: bool) -> ExtendReport:
    if output.exists() and not (overwrite and output.is_file()):
        raise ConfigError(f"output: expected a new path, got {output}, which exists; overwrite=True replaces a file")
    base, extra = read_sentencepiece(base_path), read_sentencepiece(extra_path)
    for model in (base, extra):
        if model.model_type != "bpe":
            raise UnsupportedFormatError(f"{model.path}: model type: expected bpe, found {model.model_type}")
    if extra.byte_fallback and not base.byte_fallback:
        raise MismatchError(f"{extra_path}: expected no byte_fallback as in {base_path}, found byte_fallback")
    known = {piece.text for piece in base.pieces}
    # SentencePiece does not load a model with two unknown pieces.
    new = [piece for piece in extra.pieces if piece.text not in known and piece.type != PieceType.UNKNOWN]
    mergeable = (PieceType.NORMAL, PieceType.UNUSED)
    scores = {piece.text: piece.score for piece in (*base.pieces, *new) if piece.type in mergeable}

    def rank(left: str, right: str) -> float | None:
        score = scores.get(left + right)
        return None if score is None else -score

    end = max(piece.end for piece in base.pieces)
    fields = [extra.data[piece.start : piece.end] for piece in new]
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"output: {output.parent}: {error.strerror}") from None
    write_bytes(output, b"".join([base.data[:end], *fields, base.data[end:]]))
    unreachable = sum(piece.type in mergeable and not _is_reached(piece.text, rank) for piece in new)
    return ExtendReport(path=output, num_base=len(base.pieces), num_added=len(new), num_unreachable=unreachable)


def _extend_definition(base_path: Path, extra_path: Path, output: Path, *, overwrite: bool) -> ExtendReport:
    base, extra = _Definition(base_path), _Definition(extra_path)
    if base.kind != extra.kind:
        raise MismatchError(f"{extra_path}: expected a BPE of {base.kind} as in {base_path}, found {extra.kind}")
    # Added tokens outside the vocabulary have ids after it; they keep these when it grows.
    vocab = {**base.vocab, **base.added}
    num_base, next_id = len(vocab), max(vocab.values(), default=-1) + 1
    new = [token for token in sorted(extra.vocab, key=lambda token: extra.vocab[token]) if token not in vocab]
    new = [token for token in new if token not in extra.added]
    vocab.update((token, next_id + place) for place, token in enumerate(new))
    made = set(new)
    merges = [pair for pair in extra.merges if pair[0] + pair[1] in made and pair[0] in vocab and pair[1] in vocab]
    # As in `tokenizers`, a pair that is listed twice has the rank of its last entry.
    places = {pair: place for place, pair in enumerate([*base.merges, *merges])}
    if base.json["model"].get("ignore_merges"):
        unreachable = 0
    else:
        unreachable = sum(not _is_reached(token, lambda left, right: places.get((left, right))) for token in new)
    folder = prepare_folder(output, overwrite=overwrite)
    model = {**base.json["model"], "vocab": vocab, "merges": [*base.merges, *merges]}
    files = {name: _json(base_path.with_name(name)) for name in _FILES if base_path.with_name(name).is_file()}
    path = write_folder(folder, {**base.json, "model": model}, files)
    return ExtendReport(path=path, num_base=num_base, num_added=len(new), num_unreachable=unreachable)


class _Definition:
    """A `tokenizer.json` with BPE: vocabulary, merges, added tokens, and whether it merges bytes or characters."""

    def __init__(self, path: Path) -> None:
        self.json = _json(path)
        model = self.json.get("model") if isinstance(self.json, dict) else None
        if not isinstance(model, dict):
            raise CorruptDataError(f"{path}: expected a tokenizer, found no model")
        if model.get("type", "BPE") != "BPE":
            raise UnsupportedFormatError(f"{path}: model type: expected BPE, found {model['type']}")
        for name in ("continuing_subword_prefix", "end_of_word_suffix", "dropout"):
            if model.get(name):
                raise UnsupportedFormatError(f"{path}: {name}: expected none, found {model[name]!r}")
        try:
            self.vocab = {str(token): int(number) for token, number in model["vocab"].items()}
            self.merges = [_pair(merge) for merge in model["merges"]]
            self.added = {str(token["content"]): int(token["id"]) for token in self.json.get("added_tokens") or ()}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CorruptDataError(f"{path}: expected a tokenizer: {type(error).__name__} {error}") from None
        taken = {number: token for token, number in {**self.vocab, **self.added}.items()}
        for token, number in self.added.items():
            if self.vocab.get(token, number) != number or taken[number] != token:
                raise CorruptDataError(f"{path}: added token {token!r}: expected an id of its own, found {number}")
        self.kind = self._kind(path, has_bytes=bool(model.get("byte_fallback")))

    def _kind(self, path: Path, *, has_bytes: bool) -> str:
        if has_bytes:
            return "characters that fall back to bytes"
        stages = [self.json.get("pre_tokenizer"), self.json.get("normalizer")]
        if any('"ByteLevel"' in json.dumps(stage) for stage in stages):
            return "bytes"
        raise UnsupportedFormatError(f"{path}: expected a BPE of bytes or with byte_fallback, found neither")


def _pair(merge: Any) -> tuple[str, str]:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return str(left), str(right)


def _json(path: Path) -> Any:
    try:
        found = json.loads(path.read_bytes())
        # JSON can contain a lone surrogate, which cannot be written.
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise CorruptDataError(f"{path}: expected JSON: {error}") from None
    return found


def _is_reached(token: str, rank: Callable[[str, str], float | None]) -> bool:
    """Whether merging the characters of a token forms it: lowest rank first, then leftmost."""
    parts = list(token)
    while len(parts) > 1:
        ranks = [
            (found, place)
            for place in range(len(parts) - 1)
            if (found := rank(parts[place], parts[place + 1])) is not None
        ]
        if not ranks:
            return False
        place = min(ranks)[1]
        parts = [*parts[:place], parts[place] + parts[place + 1], *parts[place + 2 :]]
    return True
