"""Documents of `pack` are the ids of their texts, and each ends once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import bloomdata
from tokenizer_families import FAMILIES, TEMPLATES, corpus

if TYPE_CHECKING:
    from pathlib import Path

    from tokenizers import Tokenizer


def ids_without_end(tokenizer: Tokenizer, text: str, template: str) -> list[int]:
    """Ids by the `tokenizers` package, less an end token that the template has added."""
    ids = tokenizer.encode(text).ids
    return ids[:-1] if template.endswith("eos") else ids


def packed_documents(inputs: Any, output: Path, **options: Any) -> list[list[int]]:
    bloomdata.pack(inputs, output, format="megatron", allow_empty=True, **options)
    return [document.tolist() for document in bloomdata.open(output)]


def write(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


@pytest.mark.parametrize("num_threads", [1, 4])
@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("family", FAMILIES)
def test_packed_documents_are_their_ids_and_one_end_token(family, template, num_threads, folder_of, tmp_path):
    theirs, folder = folder_of(family, template)
    texts = [text for text in [*corpus(), "é" * 3000, "x", " ", "\n"] if text]
    path = write(tmp_path / "a.jsonl", texts)
    documents = packed_documents(path, tmp_path / "out", tokenizer=folder, num_threads=num_threads)
    end = theirs.token_to_id("</s>")
    expected = [ids_without_end(theirs, text, template) for text in texts]
    # A text without tokens is dropped and counted.
    assert documents == [[*ids, end] for ids in expected if ids]
    assert all(document.count(end) == 1 for document in documents)


@pytest.mark.parametrize("template", TEMPLATES)
def test_without_append_eos_documents_are_the_bare_ids(template, folder_of, tmp_path):
    theirs, folder = folder_of("byte-level BPE", template)
    texts = ["the quick brown fox", "a text that ends itself</s>", "</s>in front"]
    path = write(tmp_path / "a.jsonl", texts)
    documents = packed_documents(path, tmp_path / "out", tokenizer=folder, append_eos=False)
    assert documents == [ids_without_end(theirs, text, template) for text in texts]


def test_an_end_token_that_the_text_holds_is_not_the_templates(folder_of, tmp_path):
    # Whether the tokenizer adds a leading <s> says nothing about the end.
    texts = ["the quick</s>", "</s>"]
    path = write(tmp_path / "a.jsonl", texts)
    for template in ("none", "bos"):
        theirs, folder = folder_of("byte-level BPE", template)
        documents = packed_documents(path, tmp_path / template, tokenizer=folder)
        end = theirs.token_to_id("</s>")
        assert documents == [[*theirs.encode(text).ids, end] for text in texts]


def test_an_empty_field_stays_a_document_without_tokens_whatever_the_template_adds(folder_of, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "the quick", "title": ""}\n{"text": "", "title": "brown fox"}\n')
    for template in TEMPLATES:
        theirs, folder = folder_of("byte-level BPE", template)
        output = tmp_path / template
        bloomdata.pack(tmp_path / "a.jsonl", output, tokenizer=folder, format="megatron", text_field=["text", "title"])
        end = theirs.token_to_id("</s>")
        text, title = (
            [document.tolist() for document in bloomdata.open(output, field=field)] for field in ("text", "title")
        )
        assert text == [[*ids_without_end(theirs, "the quick", template), end], []]
        assert title == [[], [*ids_without_end(theirs, "brown fox", template), end]]
