"""Small trained tokenizers of all families, and what a template puts around their texts."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

if TYPE_CHECKING:
    from collections.abc import Callable

SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]
WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "été", "naïve", "Straße", "文字", "это"]
WORDS += ["слово", "123", "4567", "it's", "don't", "", "\n", "\t", "☃", "😀"]


def corpus() -> list[str]:
    rng = random.Random(7)
    return [" ".join(rng.choices(WORDS, k=rng.randint(1, 30))) for _ in range(400)]


def byte_level_bpe() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def metaspace_bpe() -> Tokenizer:
    """As Llama's: words keep their space, unknown characters fall apart into bytes."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    special = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer.train_from_iterator(
        corpus(), trainers.BpeTrainer(vocab_size=700, special_tokens=special, show_progress=False)
    )
    return without_byte_names(tokenizer)


def without_byte_names(tokenizer: Tokenizer) -> Tokenizer:
    """The same, but bytes are ordinary tokens of the model, not to be found in texts by their names."""
    definition = json.loads(tokenizer.to_str())
    definition["added_tokens"] = [token for token in definition["added_tokens"] if token["content"] in SPECIAL]
    return Tokenizer.from_str(json.dumps(definition))


def unigram() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def word_piece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=400, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


FAMILIES: dict[str, Callable[[], Tokenizer]] = {
    "byte-level BPE": byte_level_bpe,
    "metaspace BPE with byte fallback": metaspace_bpe,
    "Unigram": unigram,
    "WordPiece": word_piece,
}
BACKENDS = dict(zip(FAMILIES, ["byte-level BPE", "byte-fallback BPE", *["tokenizers 0.23"] * 2], strict=True))
TEMPLATES = {"none": None, "bos": "<s> $A", "eos": "$A </s>", "bos and eos": "<s> $A </s>"}


def with_template(tokenizer: Tokenizer, template: str | None) -> Tokenizer:
    copy = Tokenizer.from_str(tokenizer.to_str())
    if template is not None:
        names = [("<s>", copy.token_to_id("<s>")), ("</s>", copy.token_to_id("</s>"))]
        copy.post_processor = processors.TemplateProcessing(single=template, special_tokens=names)
    return copy
