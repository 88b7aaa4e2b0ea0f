"""Articles of tokenizers that add tokens of their own: none begins or ends twice."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from article_runs import PAIR, PROPERTY, Vocabulary, articles_in, check, line, pack, record_runs, rows_in
from reference.articles import articles
from reference.rows import rows
from reference.shard import Books

TEMPLATES = {"none": None, "bos": "<s> $A", "eos": "$A </s>", "bos and eos": "<s> $A </s>"}


def byte_level() -> Tokenizer:
    """A token for each byte, and two words."""
    names = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "Ġa", "ab"]
    model = models.BPE({name: number for number, name in enumerate(names)}, [("Ġ", "a"), ("a", "b")])
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


def words() -> Tokenizer:
    """A token for each word, so that a text of spaces has none."""
    tokenizer = Tokenizer(models.WordLevel({"hello": 0, "a": 1, "b": 2, "<unk>": 3}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def vocabulary_of(tokenizer: Tokenizer, folder: Path, **names: str) -> Vocabulary:
    """A tokenizer in a folder, beside a file that names its special tokens."""
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    ids = {name.removesuffix("_token"): tokenizer.token_to_id(token) for name, token in names.items()}
    return Vocabulary(folder, lambda text: tokenizer.encode(text).ids, **ids)


@pytest.fixture(scope="module")
def vocabularies(tmp_path_factory) -> dict[tuple[str, str], Vocabulary]:
    """By template and model; with the template "shared" one token begins, ends and pads, as GPT-2's does."""
    found = {}
    for template in [*TEMPLATES, "shared"]:
        for make in (byte_level, words):
            tokenizer = make()
            tokenizer.add_special_tokens(["<pad>", "<s>", "</s>"])
            if TEMPLATES.get(template) is not None:
                special = [(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")]
                tokenizer.post_processor = processors.TemplateProcessing(
                    single=TEMPLATES[template], special_tokens=special
                )
            names = ("</s>", "</s>", "</s>") if template == "shared" else ("<s>", "</s>", "<pad>")
            names = dict(zip(("bos_token", "eos_token", "pad_token"), names, strict=True))
            folder = tmp_path_factory.mktemp("tokenizer")
            found[template, make.__name__] = vocabulary_of(tokenizer, folder, **names)
    return found


# Prompt, completion, and the tokens for each template; < and > are <s> and </s>, lower case is a prompt.
STRIPPED = [
    ("a", "b", {"none": "aB>", "bos": "<aB>", "eos": "aB>", "bos and eos": "<aB>"}),
    ("", "b", {"none": "B>", "bos": "<B>", "eos": "B>", "bos and eos": "<B>"}),
    ("a</s>", "b</s>", {"none": "aB>", "bos": "<aB>", "eos": "a>B>>", "bos and eos": "<a>B>>"}),
    ("<s>a", "<s>b", {"none": "<aB>", "bos": "<<a<B>", "eos": "<aB>", "bos and eos": "<<a<B>"}),
    ("a", "</s>", {"none": "a>", "bos": "<a>", "eos": "a>>", "bos and eos": "<a>>"}),
    ("", "</s>", {"none": "", "bos": "<>", "eos": ">>", "bos and eos": "<>>"}),
    ("</s>", "<s>", {"none": "", "bos": "<<>", "eos": ">>", "bos and eos": "<><>"}),
]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize(("prompt", "completion", "expected"), STRIPPED)
def test_beginning_and_end_are_stripped_by_their_ids(prompt, completion, expected, template, vocabularies, tmp_path):
    """The article worked out by hand, the reference's, and `pack`'s."""
    vocabulary = vocabularies[template, "words"]
    value = {"prompt": prompt, "completion": completion}
    found = articles(value, encode=vocabulary.encode, bos=vocabulary.bos, eos=vocabulary.eos, space_separator=False)
    names = {1: "a", 2: "B", vocabulary.bos: "<", vocabulary.eos: ">"}
    assert "".join(names[token] for article in found for token, _, _ in article) == expected[template]
    options = {"space_separator": False, "keep_prompt_only_sequences": True}
    check([("a.jsonl", line(value))], tmp_path / "out", vocabulary, sequence_length=3, packing="full", **options)


@pytest.mark.parametrize("template", [*TEMPLATES, "shared"])
@settings(PROPERTY, max_examples=30)
@given(model=st.sampled_from(["byte_level", "words"]), run=record_runs)
def test_rows_of_any_tokenizer_are_those_of_the_reference(template, vocabularies, model, run):
    files, options = run
    with tempfile.TemporaryDirectory() as name:
        check(files, Path(name, "out"), vocabularies[template, model], **options)


def test_special_tokens_are_added_behind_the_vocabulary_or_found_in_it(vocabularies, tmp_path):
    vocabulary = vocabularies["bos", "words"]
    special = ["<user>", "hello", "<bot>"]
    tokenizer = Tokenizer.from_file(str(vocabulary.tokenizer / "tokenizer.json"))
    tokenizer.add_special_tokens(special)
    assert [tokenizer.token_to_id(token) for token in special] == [7, 0, 8]
    theirs = vocabulary._replace(encode=lambda text: tokenizer.encode(text).ids)
    values = [{"prompt": "<user>a hello<bot>", "completion": "b<user> ahello"}, {"completion": "<bot>"}]
    files = [("a.jsonl", b"".join(map(line, values)))]
    found = articles_in(files, theirs, Books(), {})
    assert [[token for token, _, _ in article] for article in found] == [[5, 7, 1, 0, 8, 2, 7, 1, 0, 6], [5, 8, 6]]
    report = pack(files, tmp_path / "out", vocabulary, sequence_length=13, packing="full", special_tokens=special)
    assert rows_in(report.folder) == [[token for article in found for token in article]]


# SYSTEMS.md 2.3: GPT-2's ids, L = 3.
GPT2 = {"hello": 31373, "Ġhow": 703, "Ġare": 389, "Ġyou": 345, "hi": 5303, "Ġbye": 33847, "<|endoftext|>": 50256}
TURNS = [{"prompt": "hello how", "completion": "are you"}, {"prompt": "hi", "completion": "bye"}]
WORKED_EXAMPLE = "31373:0 703:0 389:1 | 345:1 50256:3 5303:0 | 33847:1 50256:3 50256:2"
LINES = [(b"".join(map(line, TURNS)), {}), (line(TURNS), {"attention_boundary": PAIR})]


def numbers(rows):
    return " | ".join(" ".join(f"{token}:{kind}" for token, kind, _ in row) for row in rows)


@pytest.mark.parametrize(("content", "options"), LINES)
def test_rows_of_the_reference_are_those_of_the_worked_example(content, options):
    def encode(text):
        return [GPT2[word.replace(" ", "Ġ")] for word in re.findall(" ?[a-z]+", text)]

    found = articles_in([("a.jsonl", content)], Vocabulary("", encode, 50256, 50256, 50256), Books(), options)
    assert numbers(rows(found, 3, "full", 50256)[0]) == WORKED_EXAMPLE


@pytest.mark.parametrize(("content", "options"), LINES)
def test_rows_are_those_of_the_worked_example(content, options, tmp_path):
    tokenizer = Tokenizer(models.WordLevel(GPT2, unk_token="<|endoftext|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    names = dict.fromkeys(("bos_token", "eos_token", "pad_token"), "<|endoftext|>")
    vocabulary = vocabulary_of(tokenizer, tmp_path, **names)
    report = check([("a.jsonl", content)], tmp_path / "out", vocabulary, sequence_length=3, packing="full", **options)
    assert numbers(rows_in(report.folder)) == WORKED_EXAMPLE
