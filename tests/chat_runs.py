"""Conversations at random, tokenizers for them, and runs of `pack` compared with the slow oracle."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from hypothesis import strategies as st

import bloomdata
from article_runs import rows_in
from reference import rows as reference_rows
from reference.chats import chat_of, chatml, human_bot, only_last
from small_tokenizers import Join, added_token, both, byte_level_bpe

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable
    from pathlib import Path

TEMPLATES = {"human_bot": human_bot, "chatml": chatml}
CONTENTS = ["a", "b c", " x ", "é中😀\n", "aa aéò\u2028", "\\n\"'", "two\nlines", "  "]
contents = st.one_of(st.sampled_from(CONTENTS), st.text("aé 中😀\n", min_size=1, max_size=8))
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "user", "assistant", "system"]), "content": contents}
    ),
    min_size=1,
    max_size=6,
)


class Vocabulary(NamedTuple):
    """A tokenizer as `pack` takes it, and what the oracle needs of it."""

    tokenizer: str | Path
    encode: Callable[[str], list[tuple[int, int, int]]]
    eos: int
    pad: int
    end_tokens: tuple[str, ...]
    decode: Callable[[list[int]], str]


def bytes_of_text(text: str) -> list[tuple[int, int, int]]:
    return [(byte, at, at + 1) for at, letter in enumerate(text) for byte in letter.encode()]


BYTES = Vocabulary("bytes", bytes_of_text, 258, 256, (), lambda ids: bytes(ids).decode())


def byte_level_vocabulary(folder: Path, *, adds_bos: bool = False) -> Vocabulary:
    """A byte-level BPE with merges inside and across characters, and special tokens; it may begin texts with one."""
    joins = [Join(at, 3 * at + 1) for at in range(40)]
    definition = byte_level_bpe(joins, alphabet="aé中 x<:")
    size = len(definition["model"]["vocab"])
    ids = {name: size + at for at, name in enumerate(["<|im_start|>", "<|im_end|>", "</s>", "<s>"])}
    definition["added_tokens"] = [added_token(number, name, special=True) for name, number in ids.items()]
    if adds_bos:
        definition["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [ids["<s>"]], "tokens": ["<s>"]}},
        }
    folder.mkdir(parents=True, exist_ok=True)
    theirs, ours = both(definition, folder)

    def encode(text: str) -> list[tuple[int, int, int]]:
        found = theirs.encode(text, add_special_tokens=False)
        return [(token, start, end) for token, (start, end) in zip(found.ids, found.offsets, strict=True)]

    def decode(tokens: list[int]) -> str:
        return theirs.decode(tokens, skip_special_tokens=False)

    return Vocabulary(
        ours.path, encode, ids["</s>"], ids["</s>"], ("<|im_start|>", "<|im_end|>", "</s>", "<s>"), decode
    )


def record(chat, **more) -> bytes:
    return json.dumps({"messages": chat, **more}, ensure_ascii=False).encode() + b"\n"


def expected_of(chats, vocabulary: Vocabulary, template: str, *, train_on: str = "all", append_eos: bool = True):
    """What becomes of each conversation."""
    found = []
    for chat in chats:
        pieces = TEMPLATES[template](chat)
        pieces = only_last(pieces) if train_on == "last" else pieces
        how = {"end_tokens": vocabulary.end_tokens, "append_eos": append_eos}
        found.append(chat_of(pieces, vocabulary.encode, vocabulary.eos, **how))
    return found


def pack(inputs, output, vocabulary: Vocabulary = BYTES, **options):
    special = {} if vocabulary.tokenizer == "bytes" else {"eos_token": "</s>", "pad_token": "</s>"}
    run = {
        "record": "messages",
        "num_threads": 2,
        "allow_empty": True,
        "allow_duplicate_inputs": True,
        "tokenizer": vocabulary.tokenizer,
        **special,
    }
    return bloomdata.pack(inputs, output, **(run | options))


def check_rows(report, chats, vocabulary: Vocabulary, *, sequence_length: int, packing: str) -> None:
    """The rows of a run, its metrics and its ledger are those of the oracle."""
    articles = [chat.article for chat in chats if chat is not None]
    rows, metrics = reference_rows.rows(articles, sequence_length, packing, vocabulary.pad)
    assert rows_in(report.folder) == rows
    assert {name: report.metrics[name] for name in metrics} == metrics
    tokens = reference_rows.ledger(articles, sequence_length, packing, vocabulary.pad)
    assert {name: report.ledger[name] for name in tokens} == tokens
    lost = reference_rows.dropped_documents([[article] for article in articles], sequence_length, packing, -1)
    check_counts(report, chats, lost=lost, trained=metrics["completion_tokens"])


def check_counts(report, chats, *, lost: Counter | None = None, trained: int | None = None) -> None:
    """What the books say of the conversations: packing has left some out, and trains on so many tokens."""
    kept = [chat for chat in chats if chat is not None]
    ledger, dropped = report.ledger, {} if lost is None else dict(lost)
    assert (ledger["documents_in"], ledger["documents_kept"]) == (len(chats), len(kept) - sum(dropped.values()))
    assert {name: count for name, count in ledger["documents_dropped"].items() if name in dropped} == dropped
    assert sum(ledger["documents_quarantined"].values()) == len(chats) - len(kept)
    [entry] = report.manifest["inputs"]
    assert entry["documents_kept"] == ledger["documents_kept"]
    trained = sum(chat.num_trained for chat in kept) if trained is None else trained
    assert entry.get("tokens_trained", 0) == trained
    if not dropped:
        assert entry.get("tokens_after_last_answer", 0) == sum(chat.num_left_out for chat in kept)
    assert entry["tokens"] == sum(len(chat.article) for chat in kept)
    bloomdata.verify(report.folder)


def tokens_and_types(folder: Path) -> list[tuple[list[int], list[int]]]:
    """Documents of Megatron pairs, and the types of their tokens."""
    tokens, types = (
        bloomdata.IndexedDataset(str(folder / f"data_text_{name}")) for name in ("document", "token_types")
    )
    assert len(tokens) == len(types)
    return [(tokens[at].tolist(), types[at].tolist()) for at in range(len(tokens))]
