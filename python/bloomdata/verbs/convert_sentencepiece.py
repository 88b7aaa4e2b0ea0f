"""The verb `convert_sentencepiece`: converts a SentencePiece `.model` to a `tokenizer.json`."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bloomdata.errors import UnsupportedFormatError
from bloomdata.options.arguments import check_arguments
from bloomdata.options.paths import output_path
from bloomdata.tokenizers.folder import ADDED_TOKEN, prepare_folder, write_folder
from bloomdata.tokenizers.sentencepiece_model import PieceType, read_sentencepiece

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from bloomdata.tokenizers.sentencepiece_model import SentencePieceModel

_MARK = "\u2581"


@dataclass(frozen=True, kw_only=True)
class ConvertReport:
    """The result of `convert_sentencepiece`.

    Attributes:
        path: The `tokenizer.json`.
        vocab_size: Number of pieces. Their ids do not change.
        num_merges: Number of merges.
        num_tied_pieces: Merged pieces that have the same score as another merged piece. Where two of them overlap in a
            text, SentencePiece takes the left one, and a `tokenizer.json` the one whose merge comes first.
    """

    path: Path
    vocab_size: int
    num_merges: int
    num_tied_pieces: int

    def to_json(self) -> dict[str, Any]:
        """The report as plain values for JSON."""
        return {**vars(self), "path": str(self.path)}

    def __str__(self) -> str:
        return f"{self.vocab_size:,} tokens, {self.num_merges:,} merges in {self.path}"


@check_arguments
def convert_sentencepiece(
    model: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    allow_inexact: bool = False,
    overwrite: bool = False,
) -> ConvertReport:
    """Writes a folder with a `tokenizer.json` that encodes like a SentencePiece BPE model.

    The ids are those of `SentencePieceProcessor.encode`, without a post-processor. Two things differ, as in Hugging
    Face's conversion: control pieces (`<s>`, ...) in a text become their ids, and the text after one gets its own
    leading space; and pieces of equal score may merge in another order, see `ConvertReport.num_tied_pieces`.

    Args:
        model: A `.model` file of type `bpe`.
        output: Folder for `tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json`.
        allow_inexact: Whether to convert character normalization rules (`nmt_nfkc`, `nfkc`, ...) to the normalizer
            `Precompiled`, as Hugging Face does. `Precompiled` normalizes one grapheme at a time, so sequences that
            compose to a character of six bytes or more stay decomposed (Tamil vowels, Korean jamo), and combining
            marks without a rule may be lost. By default such models are rejected.
        overwrite: Whether to replace an existing tokenizer in the folder.

    Raises:
        ConfigError: The file does not exist, or the folder already has a tokenizer.
        CorruptDataError: The model is damaged.
        UnsupportedFormatError: No `tokenizer.json` has the ids of this model; the message says why.

    Origin:
        `generate_merges` and `LlamaConverter` of transformers, with scores. transformers 5 ignores scores and orders
        merges by id, which differs from SentencePiece for a quarter of our documents. As in SentencePiece, control and
        byte pieces take no part in merges.

    Command line:
        bloomdata-cli convert-sentencepiece tokenizer.model --output llama-tokenizer/
        bloomdata-cli convert-sentencepiece spiece.model --output converted/ --allow-inexact

    Example:
        >>> report = bloomdata.convert_sentencepiece("llama/tokenizer.model", "llama-tokenizer")
        ... # doctest: +SKIP
    """
    output = output_path(output)
    found = read_sentencepiece(model)
    _check(found, allow_inexact=allow_inexact)
    merges, num_tied = _merges(found)
    folder = prepare_folder(output, overwrite=overwrite)
    roles = {f"{role}_token": found.pieces[number].text for role, number in found.special_ids.items()}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **roles}
    files = {"special_tokens_map.json": roles, "tokenizer_config.json": config}
    path = write_folder(folder, _definition(found, merges), files)
    return ConvertReport(path=path, vocab_size=len(found.pieces), num_merges=len(merges), num_tied_pieces=num_tied)


def _check(model: SentencePieceModel, *, allow_inexact: bool) -> None:
    """Rejects models whose ids would change."""
    user_defined = next((piece.text for piece in model.pieces if piece.type == PieceType.USER_DEFINED), None)
    unused = next((piece.text for piece in model.pieces if piece.type == PieceType.UNUSED), None)
    has_rules = bool(model.precompiled_charsmap)
    rules = (
        f"the normalization rules {model.normalizer_name!r}, which no normalizer of a tokenizer.json applies exactly; "
        "allow_inexact=True takes the nearest"
    )
    reasons = {
        f"its type is {model.model_type}, expected bpe": model.model_type != "bpe",
        "treat_whitespace_as_suffix": model.treat_whitespace_as_suffix,
        "escape_whitespaces=false": not model.escape_whitespaces,
        "rules that rewrite decoded text": bool(model.denormalizer_charsmap),
        f"the unused piece {unused!r}": unused is not None,
        rules: has_rules and not allow_inexact,
        f"the user-defined piece {user_defined!r} together with add_dummy_prefix, remove_extra_whitespaces or "
        "normalization rules": user_defined is not None
        and (model.add_dummy_prefix or model.remove_extra_whitespaces or has_rules),
    }
    for reason, holds in reasons.items():
        if holds:
            raise UnsupportedFormatError(f"{model.path}: not convertible: {reason}")


def _merges(model: SentencePieceModel) -> tuple[list[tuple[str, str]], int]:
    """All merges of two pieces into one, best score first, then longest parts first; and the number of tied pieces."""
    ids = {piece.text: number for number, piece in enumerate(model.pieces) if piece.type == PieceType.NORMAL}
    lengths = {len(text) for text in ids}
    merges: list[tuple[float, int, int, int, int, str, str]] = []
    pieces_by_score: dict[float, int] = {}
    for text, number in ids.items():
        size, score, before = len(text), model.pieces[number].score, len(merges)
        for cut in range(1, size):
            if not (cut in lengths and size - cut in lengths):
                continue
            left, right = text[:cut], text[cut:]
            if left in ids and right in ids:
                merges.append((-score, -cut, cut - size, number, len(merges), left, right))
        for letter, rest in ((text[0], text[1:]), (text[-1], text[:-1])):
            # SentencePiece merges any two texts that form a piece, a `tokenizer.json` only two tokens.
            if size > 1 and letter not in ids and (rest in ids or size == 2):
                raise UnsupportedFormatError(
                    f"{model.path}: not convertible: the piece {text!r} needs the piece {letter!r}, found none"
                )
        if len(merges) > before:
            pieces_by_score[score] = pieces_by_score.get(score, 0) + 1
    merges.sort()
    return [(left, right) for *_, left, right in merges], sum(count for count in pieces_by_score.values() if count > 1)


def _definition(model: SentencePieceModel, merges: list[tuple[str, str]]) -> dict[str, Any]:
    """The `tokenizer.json`."""
    added = [
        # User-defined pieces are matched after spaces became metaspaces, as in SentencePiece.
        {"id": number, "content": piece.text, **ADDED_TOKEN, "normalized": is_text, "special": not is_text}
        for number, piece in enumerate(model.pieces)
        for is_text in [piece.type == PieceType.USER_DEFINED]
        if is_text or piece.type in (PieceType.UNKNOWN, PieceType.CONTROL)
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": _normalizers(model)},
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": _decoders(model)},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": model.pieces[model.special_ids["unk"]].text,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": model.byte_fallback,
            "ignore_merges": False,
            "vocab": {piece.text: number for number, piece in enumerate(model.pieces)},
            "merges": merges,
        },
    }


def _normalizers(model: SentencePieceModel) -> list[dict[str, Any]]:
    stages: list[dict[str, Any]] = []
    if model.precompiled_charsmap:
        rules = base64.b64encode(model.precompiled_charsmap).decode()
        stages.append({"type": "Precompiled", "precompiled_charsmap": rules})
    if model.remove_extra_whitespaces:
        # At the end of a text SentencePiece strips metaspaces as spaces.
        stages += [_replace({"Regex": pattern}, "") for pattern in (r"\A +", rf"[ {_MARK}]+\z")]
        stages.append(_replace({"Regex": " {2,}"}, " "))
    if model.add_dummy_prefix:
        stages.append({"type": "Prepend", "prepend": _MARK})
    return [*stages, _replace({"String": " "}, _MARK)]


def _decoders(model: SentencePieceModel) -> list[dict[str, Any]]:
    stages = [_replace({"String": _MARK}, " ")]
    if model.byte_fallback:
        stages.append({"type": "ByteFallback"})
    stages.append({"type": "Fuse"})
    return [*stages, {"type": "Strip", "content": " ", "start": 1, "stop": 0}] if model.add_dummy_prefix else stages


def _replace(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}
