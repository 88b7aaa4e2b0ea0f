"""The same bytes as ever: every verb over one small corpus, compared with hashes that were written down once."""

import hashlib
import json
import random
import tomllib
from pathlib import Path

import numpy as np
import pytest

import bloomdata

GOLDEN = tomllib.loads((Path(__file__).parent / "golden" / "fingerprints.toml").read_text("utf-8"))


def write(path, records):
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), "utf-8")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Texts, conversations, pairs, and a tokenizer trained on the texts."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = random.Random(7)
    words = ["".join(rng.choices("abcdefghijklmnopé字", k=rng.randint(1, 9))) for _ in range(300)]

    def text():
        return " ".join(rng.choices(words, k=rng.randint(1, 120)))

    def turns():
        return [{"role": "user", "content": text()}, {"role": "assistant", "content": text()}]

    write(folder / "texts.jsonl", [{"text": text(), "title": text()} for _ in range(400)])
    write(folder / "chats.jsonl", [{"messages": turns() * rng.randint(1, 3)} for _ in range(120)])
    write(folder / "pairs.jsonl", [{"prompt": text(), "completion": text()} for _ in range(120)])
    bloomdata.train_tokenizer(folder / "texts.jsonl", folder / "tokenizer", vocab_size=700)
    return folder


def hash_of_rows(folder):
    """Of all columns: what the HDF5 library writes around them changes with its version."""
    digest, dataset = hashlib.sha256(), bloomdata.open(folder)
    for number in range(len(dataset)):
        for name, values in dataset[number].items():
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def test_the_tokenizer(corpus):
    content = (corpus / "tokenizer" / "tokenizer.json").read_bytes()
    assert hashlib.sha256(content).hexdigest() == GOLDEN["train_tokenizer"]


SHARDS = {
    "shard": {},
    "shard_shuffled": {"shuffle": True, "seed": 3, "splits": {"train": 0.8, "dev": 0.1, "test": 0.1}},
}


@pytest.mark.parametrize("name", SHARDS)
def test_shards(name, corpus, tmp_path):
    options = {"max_lines": 50, "compression": "none", **SHARDS[name]}
    assert bloomdata.shard(corpus / "texts.jsonl", tmp_path / "out", **options).fingerprint == GOLDEN[name]


def test_prepared_texts(corpus, tmp_path):
    options = {"compression": "none", "style": "text", "template": "chatml"}
    report = bloomdata.prepare("messages", corpus / "chats.jsonl", tmp_path / "out", **options)
    assert report.fingerprint == GOLDEN["prepare"]


PAIRS = {
    "pack_megatron": ("texts.jsonl", {"text_field": ["text", "title"]}),
    "pack_megatron_pairs": ("pairs.jsonl", {"record": "prompt_completion"}),
}


@pytest.mark.parametrize("name", PAIRS)
def test_megatron_pairs(name, corpus, tmp_path):
    inputs, options = PAIRS[name]
    options = {"tokenizer": corpus / "tokenizer", "format": "megatron", **options}
    assert bloomdata.pack(corpus / inputs, tmp_path / "out", **options).fingerprint == GOLDEN[name]


ROWS = {
    "pack_full": ("texts.jsonl", {}),
    "pack_best_fit": ("texts.jsonl", {"packing": "best_fit"}),
    "pack_greedy_pairs": ("pairs.jsonl", {"record": "prompt_completion", "packing": "greedy"}),
    "pack_chats": ("chats.jsonl", {"template": "human_bot", "packing": "best_fit"}),
    "pack_gzip": ("texts.jsonl", {"compression": "gzip"}),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows(name, corpus, tmp_path):
    inputs, options = ROWS[name]
    options = {"tokenizer": corpus / "tokenizer", "sequence_length": 128, "rows_per_file": 60, **options}
    bloomdata.pack(corpus / inputs, tmp_path / "out", **options)
    assert hash_of_rows(tmp_path / "out") == GOLDEN[name]
