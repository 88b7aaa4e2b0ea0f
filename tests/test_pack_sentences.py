"""`pack(split_sentences=True)`: the sentences of a text are the sequences of its document, as in Megatron."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata.errors import ConfigError
from files import write
from packing import pack, pair_in
from reference import pack as reference

NAME = "data_text_sentence"


def lines(texts, field="text"):
    return b"".join(json.dumps({field: text}).encode() + b"\n" for text in texts)


def write_and_pack(texts, folder, **options):
    source = write(folder / "a.jsonl", lines(texts))
    return pack(source, folder / "out", format="megatron", split_sentences=True, **options)


# Sentences that are ones by themselves, whatever stands before and behind them.
sentences = st.sampled_from(
    ["One.", "Is it?", "It is, by 3.14 at least!", "Ça va !", "今天很好。", "Съешь ещё.", "No full stop\n", "A\tB!"]
)
spaces = st.sampled_from([" ", "  ", "\n", "\r\n\n ", "\u00a0"])


@settings(deadline=None, max_examples=60)
@given(texts=st.lists(st.lists(st.tuples(sentences, spaces), max_size=5), min_size=1, max_size=6), eos=st.booleans())
def test_every_sentence_is_a_sequence_of_its_document(texts, eos):
    """Without the white space around it; a text without any is dropped, and counted."""
    written = ["".join(sentence + space for sentence, space in text) for text in texts]
    kept = [[sentence.strip() for sentence, _ in text] for text in texts if text]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report = write_and_pack(written, folder, append_eos=eos)
        documents = [reference.sentence_tokens(text, append_eos=eos) for text in kept]
        assert pair_in(folder / "out", NAME) == reference.megatron_sequences(documents)
        assert report.ledger["documents_kept"] == len(kept)
        assert report.ledger["tokens_out"] == sum(len(ids) for document in documents for ids in document)
        assert (report.outputs[1]["documents"], report.outputs[1]["sequences"]) == (len(kept), sum(map(len, kept)))
        bloomdata.verify(folder / "out")
        opened = bloomdata.open(folder / "out")
        assert [ids.tolist() for ids in opened] == [sum(document, []) for document in documents]  # noqa: RUF017


@settings(deadline=None, max_examples=200)
@given(text=st.text(st.sampled_from("aB1 .!?…。,;:'\")(\n\r\t\u2028\u00a0éЖ中\u0301\u200d"), max_size=30))
def test_sentences_are_those_of_another_implementation_of_unicode(text):
    sentencebreak = pytest.importorskip("uniseg.sentencebreak", reason="the package uniseg is not installed")
    found = [sentence.strip() for sentence in sentencebreak.sentences(text)]
    documents = [reference.sentence_tokens([sentence for sentence in found if sentence])]
    with tempfile.TemporaryDirectory() as name:
        write_and_pack([text, "x"], Path(name))
        kept = [document for document in documents if document]
        expected = reference.megatron_sequences([*kept, reference.sentence_tokens(["x"])])
        assert pair_in(Path(name) / "out", NAME) == expected


def test_fields_have_sentences_of_their_own_and_an_empty_one_has_none(tmp_path):
    records = [{"a": "One. Two.", "b": ""}, {"a": " ", "b": "Three."}, {"a": " ", "b": "\n"}]
    source = write(tmp_path / "a.jsonl", b"".join(json.dumps(record).encode() + b"\n" for record in records))
    options = {"format": "megatron", "split_sentences": True, "text_field": ["a", "b"]}
    report = pack(source, tmp_path / "out", **options)
    assert report.ledger["documents_dropped"] == {"no tokens": 1}
    for field, texts in [("a", [["One.", "Two."], []]), ("b", [[], ["Three."]])]:
        documents = [reference.sentence_tokens(text) for text in texts]
        assert pair_in(tmp_path / "out", f"data_{field}_sentence") == reference.megatron_sequences(documents)


def test_the_same_bytes_come_from_any_number_of_threads_and_merge(tmp_path):
    texts = [f"Number {n}. It is {n}! {'x ' * (n % 50)}" for n in range(3000)]
    source = write(tmp_path / "a.jsonl", lines(texts))
    for threads in (1, 4):
        options = {"format": "megatron", "split_sentences": True, "num_threads": threads}
        pack(source, tmp_path / f"{threads}", **options)
    assert pair_in(tmp_path / "1", NAME) == pair_in(tmp_path / "4", NAME)
    bloomdata.merge([tmp_path / "1", tmp_path / "4"], tmp_path / "both")
    both, one = bloomdata.open(tmp_path / "both"), bloomdata.open(tmp_path / "1")
    assert len(both) == 2 * len(one) == 6000
    assert np.array_equal(both.sequence_lengths, np.tile(one.sequence_lengths, 2))
    again = pack(source, tmp_path / "1", format="megatron", split_sentences=True)
    assert again.was_finished


def test_samples_of_sentences_are_those_of_the_same_tokens(tmp_path):
    """Megatron shuffles sequences, which are sentences here."""
    write_and_pack(["One. Two. Three.", "Four! Five?"] * 5, tmp_path)
    dataset = bloomdata.GPTDataset(tmp_path / "out", sequence_length=4, num_samples=10, split=None)
    assert len(np.unique(dataset.document_index)) == 25


@pytest.mark.parametrize(
    "options",
    [
        {"format": "hdf5", "sequence_length": 8},
        {"format": "megatron", "record": "prompt_completion"},
        {"format": "megatron", "template": "chatml"},
    ],
)
def test_only_texts_in_megatron_files_have_sentences(options, tmp_path):
    source = write(tmp_path / "a.jsonl", lines(["One."]))
    with pytest.raises(ConfigError, match="split_sentences"):
        pack(source, tmp_path / "out", split_sentences=True, **options)
