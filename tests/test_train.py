"""Training gives the merges and ids of the `tokenizers` package, whatever the threads; the result loads everywhere."""

from __future__ import annotations

import json
import sysconfig
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.train_bpe import train as oracle
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

import bloomdata
from bloomdata import ConfigError
from bloomdata.tokenizers.families import PIPELINES, SPECIAL_TOKENS

BYTE_FAMILIES = sorted(set(PIPELINES) - {"llama"})
LETTERS = pre_tokenizers.ByteLevel.alphabet()


def empty(family):
    """A tokenizer of the package with the pipeline of a family and no vocabulary."""
    byte_fallback = family == "llama"
    model = json.loads(Tokenizer(models.BPE(byte_fallback=byte_fallback)).to_str())["model"]
    parts = {name: PIPELINES[family].get(name) for name in ("normalizer", "pre_tokenizer", "post_processor", "decoder")}
    document = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], **parts, "model": model}
    return Tokenizer.from_str(json.dumps(document))


def theirs(family, texts, **options):
    """The model that the package trains."""
    tokenizer = empty(family)
    specials = list(dict.fromkeys(SPECIAL_TOKENS[family].values()))
    if family == "llama":
        specials += [f"<0x{byte:02X}>" for byte in range(256)]
    else:
        options["initial_alphabet"] = LETTERS
    trainer = trainers.BpeTrainer(special_tokens=specials, show_progress=False, **options)
    tokenizer.train_from_iterator(texts, trainer)
    return json.loads(tokenizer.to_str())["model"]


def ours(folder, texts, family, **options):
    """The model that we train, and the path of its file."""
    source = folder / "texts.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    report = bloomdata.train_tokenizer(source, folder / "out", family=family, overwrite=True, **options)
    return json.loads(report.path.read_text("utf-8"))["model"], report.path


def same(found, expected):
    assert found["vocab"] == expected["vocab"]
    assert [tuple(merge) for merge in found["merges"]] == [tuple(merge) for merge in expected["merges"]]


@pytest.fixture(scope="module")
def sources():
    """Real text: modules of the standard library, and words of other scripts."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    texts = [(folder / f"{name}.py").read_text("utf-8") for name in ("argparse", "ast", "datetime", "typing", "socket")]
    return [
        *texts,
        *["Съешь же ещё этих мягких булок 今天天气很好，我们去公园 e\u0301 ½ 12345 \U0001f600\u200d " * 3] * 4,
    ]


@pytest.mark.parametrize("family", BYTE_FAMILIES)
@pytest.mark.parametrize("options", [{"min_frequency": 2}, {"min_frequency": 0, "max_token_length": 7}])
def test_merges_are_those_of_the_package(family, options, sources, tmp_path):
    found, path = ours(tmp_path, sources, family, vocab_size=1500, **options)
    same(found, theirs(family, sources, vocab_size=1500, **options))
    loaded = Tokenizer.from_file(str(path))
    tokenizer = bloomdata.Tokenizer(path.parent)
    assert tokenizer.backend == "byte-level BPE"
    for text in sources:
        assert tokenizer.encode(text).tolist() == loaded.encode(text).ids
        normalizer = empty(family).normalizer
        expected = normalizer.normalize_str(text) if normalizer else text
        assert tokenizer.decode(tokenizer.encode(text)) == expected


def test_llama_merges_are_those_of_the_package(sources, tmp_path):
    # All letters stay: at the cut of a limit the package keeps random ones.
    options = {"vocab_size": 1500, "limit_alphabet": 10_000}
    found, path = ours(tmp_path, sources, "llama", **options)
    same(found, theirs("llama", sources, min_frequency=2, **options))
    loaded, tokenizer = Tokenizer.from_file(str(path)), bloomdata.Tokenizer(path.parent)
    assert tokenizer.backend == "byte-fallback BPE"
    for text in [*sources, "<0x41> is text", "never seen: \U0001f9ff \u0f00"]:
        assert tokenizer.encode(text).tolist() == loaded.encode(text).ids
        assert tokenizer.decode(tokenizer.encode(text)) == text


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.text("ab \n1é", min_size=1, max_size=60), min_size=1, max_size=8),
    size=st.integers(257, 300),
    family=st.sampled_from(BYTE_FAMILIES),
    longest=st.none() | st.integers(0, 6),
)
def test_ties_are_cut_as_the_package_cuts_them(texts, size, family, longest, tmp_path_factory):
    size += len(SPECIAL_TOKENS[family])
    options = {"vocab_size": size, "min_frequency": 0, "max_token_length": longest}
    found, _ = ours(tmp_path_factory.mktemp("run"), texts, family, **options)
    same(found, theirs(family, texts, **options))


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.text("abcé中 ", min_size=1, max_size=40), min_size=1, max_size=6),
    extra=st.integers(0, 30),
    limit=st.integers(0, 8),
)
def test_letters_beyond_the_limit_vanish_as_in_the_oracle(texts, extra, limit, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    found, _ = ours(folder, texts, "llama", vocab_size=259 + extra, limit_alphabet=limit, min_frequency=0)
    words: dict[str, int] = {}
    for text in texts:
        for word, _ in empty("llama").pre_tokenizer.pre_tokenize_str(text):
            words[word] = words.get(word, 0) + 1
    specials = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocab, merges = oracle(words, 259 + extra, special_tokens=specials, limit_alphabet=limit)
    same(found, {"vocab": vocab, "merges": merges})


def test_threads_and_order_do_not_matter(sources, tmp_path):
    texts = [text[at : at + 3000] for text in sources for at in range(0, len(text), 3000)]
    results = []
    for threads, order in [(1, texts), (2, texts[::-1]), (5, sorted(texts))]:
        results.append(ours(tmp_path, order, "bloom", vocab_size=900, num_threads=threads)[1].read_bytes())
    assert results[0] == results[1] == results[2]


def test_a_pipeline_of_another_file_is_taken_over(sources, tmp_path):
    other = empty("starcoder")
    other.save(str(tmp_path / "other.json"))
    found, path = ours(tmp_path, sources, "bloom", definition=tmp_path / "other.json", vocab_size=900)
    specials = list(SPECIAL_TOKENS["bloom"].values())
    trainer = trainers.BpeTrainer(
        special_tokens=specials, initial_alphabet=LETTERS, vocab_size=900, min_frequency=2, show_progress=False
    )
    other.train_from_iterator(sources, trainer)
    same(found, json.loads(other.to_str())["model"])
    assert json.loads(path.read_text("utf-8"))["pre_tokenizer"] == PIPELINES["starcoder"]["pre_tokenizer"]


def test_the_folder_can_be_packed(sources, tmp_path):
    _, path = ours(tmp_path, sources, "bloom", vocab_size=900)
    bloomdata.pack(tmp_path / "texts.jsonl", tmp_path / "packed", tokenizer=path.parent, format="megatron")
    assert bloomdata.Tokenizer(path.parent).eos_token_id == 2
    assert tokenizers.Tokenizer.from_file(str(path)).token_to_id("<pad>") == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocab_size": 100}, "vocab_size: expected at least the 260 special tokens and bytes, got 100"),
        ({"vocab_size": -1}, "vocab_size"),
        ({"vocab_size": 300, "family": "gpt9"}, "family"),
        ({"vocab_size": 300, "special_tokens": ["<a>"]}, "eos_token: expected one of special_tokens"),
        (
            {"vocab_size": 300, "special_tokens": ["<a>"], "eos_token": "<b>"},
            "eos_token: expected one of .*, got '<b>'",
        ),
        ({"vocab_size": 300, "definition": "nowhere.json"}, "definition: nowhere.json"),
        ({"vocab_size": 300, "text_field": "body"}, "body"),
    ],
)
def test_options_that_cannot_work_are_refused(options, message, tmp_path):
    source = tmp_path / "texts.jsonl"
    source.write_text('{"text": "a"}\n')
    with pytest.raises(bloomdata.BloomdataError, match=message):
        bloomdata.train_tokenizer(source, tmp_path / "out", **options)
    assert not (tmp_path / "out" / "tokenizer.json").exists()


def test_a_tokenizer_is_not_overwritten_unasked(tmp_path):
    source = tmp_path / "texts.jsonl"
    source.write_text('{"text": "a b a b"}\n{"text": 3}\n')
    with pytest.raises(bloomdata.CorruptDataError, match="line 2"):
        bloomdata.train_tokenizer(source, tmp_path / "out", vocab_size=262)
    report = bloomdata.train_tokenizer(source, tmp_path / "out", vocab_size=262, on_bad_record="quarantine")
    assert (report.inputs[0]["documents"], report.inputs[0]["bad"]) == (1, 1)
    with pytest.raises(bloomdata.ConfigError, match="overwrite"):
        bloomdata.train_tokenizer(source, tmp_path / "out", vocab_size=262)


def test_the_same_training_again_does_nothing_and_another_one_is_refused(raw, tmp_path):
    def train(**options):
        return bloomdata.train_tokenizer("raw", tmp_path / "tok", **{"vocab_size": 300} | options)

    first = train()
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "tok").iterdir()}
    assert train() == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "tok").iterdir()} == times
    for options in ({"vocab_size": 301}, {"family": "gpt2"}):
        with pytest.raises(ConfigError, match="holds a tokenizer"):
            train(**options)
    (raw / "b.jsonl").write_text('{"text":"more"}\n')
    with pytest.raises(ConfigError, match="holds a tokenizer"):
        train()
    assert train(overwrite=True) != first
    (tmp_path / "tok" / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigError, match="holds a tokenizer"):
        train()
