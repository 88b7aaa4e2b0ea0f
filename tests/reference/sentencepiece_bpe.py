"""BPE as SentencePiece does it, on texts instead of pairs: `bpe_model.cc` of google/sentencepiece, slowly."""

from __future__ import annotations

from itertools import pairwise


def pieces_of(text, scores, *, add_dummy_prefix=True, remove_extra_whitespaces=False):
    """Pieces of a text; what is no piece stays a character. `scores` by piece, of normal pieces only."""
    if remove_extra_whitespaces:
        text = " ".join(part for part in text.rstrip(" ▁").split(" ") if part)
    if not text:
        return []
    parts = list(("▁" if add_dummy_prefix else "") + text.replace(" ", "▁"))
    while True:
        found = [
            (-scores[left + right], place)
            for place, (left, right) in enumerate(pairwise(parts))
            if left + right in scores
        ]
        if not found:
            return parts
        # The best score; of equal ones the left.
        place = min(found)[1]
        parts[place : place + 2] = [parts[place] + parts[place + 1]]


def ids_of(parts, vocab):
    """Ids; characters that are no piece become bytes."""
    return [
        number
        for part in parts
        for number in ([vocab[part]] if part in vocab else [vocab[f"<0x{byte:02X}>"] for byte in part.encode()])
    ]
