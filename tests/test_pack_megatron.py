"""`pack` to Megatron pairs: byte for byte what the reference writes."""

import json
import struct

import numpy as np
import pytest

import bloomdata
from files import write
from packing import CONTENT, GOLDEN, TEXTS, documents_of, pack, pair_in
from reference import pack as reference


@pytest.fixture
def source(tmp_path):
    return write(tmp_path / "a.jsonl", CONTENT)


@pytest.mark.parametrize("vector", GOLDEN["pair"], ids=lambda vector: vector["origin"])
def test_megatron_pairs_are_the_golden_ones_byte_for_byte(vector, tmp_path):
    num_fields = max((len(record) for record in vector["records"]), default=1)
    fields = [f"f{number}" for number in range(num_fields)]
    lines = [json.dumps(dict(zip(fields, record, strict=True))).encode() for record in vector["records"]]
    source = write(tmp_path / "a.jsonl", b"\n".join(lines))
    pack(source, tmp_path / "out", format="megatron", text_field=fields)
    expected = tuple(bytes.fromhex(vector[part]) for part in ("bin", "idx"))
    assert pair_in(tmp_path / "out", f"data_f{vector['field']}_document") == expected
    documents = [reference.tokens(record[vector["field"]]) for record in vector["records"]]
    assert reference.megatron(documents) == expected


@pytest.mark.parametrize("append_eos", [True, False])
def test_a_megatron_pair_is_what_the_reference_writes(append_eos, source, tmp_path):
    report = pack(source, tmp_path / "out", format="megatron", append_eos=append_eos)
    documents = documents_of(TEXTS, append_eos=append_eos)
    assert pair_in(tmp_path / "out") == reference.megatron(documents)
    assert report.outputs[0]["tokens"] == sum(map(len, documents))
    assert (report.outputs[1]["documents"], report.outputs[1]["sequences"]) == (8, 8)


def test_every_field_makes_a_pair_of_its_own(tmp_path):
    records = [{"a": "1", "b": {"c": "22"}}, {"a": "", "b": {"c": "333"}}, {"a": "", "b": {"c": ""}}]
    source = write(tmp_path / "a.jsonl", b"\n".join(json.dumps(record).encode() for record in records))
    report = pack(source, tmp_path / "out", format="megatron", text_field=["a", "b.c"], prefix="corpus")
    columns = {"a": ["1", ""], "b.c": ["22", "333"]}
    for field, texts in columns.items():
        expected = reference.megatron([reference.tokens(text) for text in texts])
        assert pair_in(tmp_path / "out", f"corpus_{field}_document") == expected
    assert report.ledger["documents_kept"] == 2
    assert report.ledger["documents_dropped"] == {"empty text": 1}
    assert report.ledger["tokens_in"] == report.ledger["tokens_out"] == 2 + 3 + 4
    assert report.ledger["text_bytes"] == 6


@pytest.mark.parametrize(("vocab_size", "kind", "code"), [(65_499, "H", 8), (65_500, "i", 4)])
def test_tokens_have_two_bytes_below_a_vocabulary_of_65500_and_else_four(
    vocab_size, kind, code, word_tokenizers, tmp_path
):
    source = write(tmp_path / "a.txt", b"w0 w65000 nothing\nw7\n \n")
    report = pack(source, tmp_path / "out", tokenizer=word_tokenizers[vocab_size], format="megatron")
    eos, unknown = vocab_size - 2, vocab_size - 1
    assert pair_in(tmp_path / "out") == reference.megatron([[0, 65000, unknown, eos], [7, eos]], kind, code)
    facts = report.manifest["details"]["tokenizer"]
    assert (facts["vocab_size"], facts["eos_token"], facts["eos_token_id"]) == (vocab_size, "</s>", eos)
    definition = (tmp_path / "out" / "tokenizer" / "tokenizer.json").read_bytes()
    assert definition == word_tokenizers[vocab_size].read_bytes()


def test_the_index_of_a_pair_is_what_struct_reads(source, tmp_path):
    """The table of SYSTEMS.md 6.1, field by field."""
    pack(source, tmp_path / "out", format="megatron")
    data, index = pair_in(tmp_path / "out")
    assert index[:9] == b"MMIDIDX\x00\x00"
    version, code, num_sequences, num_entries = struct.unpack_from("<QBQQ", index, 9)
    assert (version, code, num_sequences, num_entries) == (1, 8, 8, 9)
    lengths = struct.unpack_from("<8i", index, 34)
    pointers = struct.unpack_from("<8q", index, 34 + 4 * 8)
    documents = struct.unpack_from("<9q", index, 34 + 12 * 8)
    assert len(index) == 34 + 12 * 8 + 8 * 9
    assert pointers == tuple(2 * sum(lengths[:number]) for number in range(8))
    assert 2 * sum(lengths) == len(data)
    assert documents == tuple(range(9))


def test_pairs_have_their_token_types_beside_them(tmp_path):
    """One byte a token, at the same places: a loss mask survives the trip to Megatron."""
    pairs = [[{"prompt": "a", "completion": "bc"}, {"completion": "d"}], {"prompt": "e", "completion": "f"}]
    source = write(tmp_path / "a.jsonl", b"".join(json.dumps(record).encode() + b"\n" for record in pairs))
    boundary = "prompt_completion_pair"
    report = pack(source, tmp_path / "out", format="megatron", record="prompt_completion", packing_boundary=boundary)
    assert report.manifest["details"]["articles"] == 3
    documents = bloomdata.open(tmp_path / "out")
    types = bloomdata.open(tmp_path / "out" / "data_text_token_types")
    assert types.dtype == np.uint8
    assert np.array_equal(types.sequence_lengths, documents.sequence_lengths)
    assert [list(document) for document in documents] == [
        [*b"a bc", reference.EOS],
        [*b" d", reference.EOS],
        [*b"e f", reference.EOS],
    ]
    assert [list(document) for document in types] == [[0, 1, 1, 1, 1], [1, 1, 3], [0, 1, 1, 3]]
    bloomdata.verify(tmp_path / "out")
    bloomdata.merge([tmp_path / "out", tmp_path / "out"], tmp_path / "merged")
    bloomdata.verify(tmp_path / "merged")
    assert len(bloomdata.open(tmp_path / "merged")) == 6
