"""`TokenRows`: documents joined, cut and padded as the slow streams do."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bloomdata
from bloomdata.errors import ConfigError
from reference import pack as reference
from reference.order import labelled, token_rows

TEXTS = ["hello", "", "x" * 40, "a", "b\nc", "y" * 17, "", "zz", "last one"]


def write(folder, texts):
    """A Megatron folder, opened, and its documents."""
    source = folder / "a.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    bloomdata.pack(str(source), folder / "packed", tokenizer="bytes", format="megatron", allow_empty=True)
    dataset = bloomdata.open(folder / "packed")
    return dataset, [document.tolist() for document in dataset]


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    return write(tmp_path_factory.mktemp("documents"), TEXTS)


CASES = [
    {"mode": "concat"},
    {"mode": "concat", "separator": [300, 301, 302]},
    {"mode": "groups", "num_sequences": 1, "pad_token_id": 9},
    {"mode": "groups", "num_sequences": 4, "pad_token_id": 9, "separator": [300]},
    {"mode": "groups", "num_sequences": 100, "pad_token_id": 9},
    {"mode": "split"},
    {"mode": "truncate", "pad_token_id": 9},
]


@pytest.mark.parametrize("length", [1, 2, 7, 16, 64])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_rows_are_those_of_the_slow_stream(documents, case, length):
    dataset, tokens = documents
    rows = bloomdata.TokenRows(dataset, length, **case)
    slow = {name: value for name, value in case.items() if name not in {"mode", "pad_token_id"}}
    expected = token_rows(tokens, length, case["mode"], pad=9, **slow)
    assert len(rows) == len(expected)
    batch = rows.read_batch(np.arange(len(rows)))
    for row, wanted in enumerate(expected):
        ids, types = [token for token, _ in wanted], [kind for _, kind in wanted]
        assert batch["input_ids"][row].tolist() == ids
        labels, weights, positions, _ = labelled(ids, types)
        assert batch["labels"][row].tolist() == labels
        assert batch["loss_weights"][row].tolist() == weights
        assert batch["position_ids"][row].tolist() == positions


@given(st.lists(st.integers(0, 30), min_size=1, max_size=12), st.integers(1, 20), st.sampled_from(CASES))
def test_rows_of_any_documents_are_those_of_the_slow_stream(tmp_path_factory, lengths, length, case):
    dataset, tokens = write(tmp_path_factory.mktemp("any"), ["x" * count for count in lengths])
    rows = bloomdata.TokenRows(dataset, length, **case)
    slow = {name: value for name, value in case.items() if name not in {"mode", "pad_token_id"}}
    expected = token_rows(tokens, length, case["mode"], pad=9, **slow)
    got = rows.read_batch(np.arange(len(rows)))["input_ids"].tolist()
    assert got == [[token for token, _ in row] for row in expected]


def test_windows_are_inside_their_document_and_a_quarter_are_at_its_start(tmp_path):
    dataset, tokens = write(tmp_path, [f"{number:04d}" + "abcdefghij" * 20 for number in range(400)])
    rows = bloomdata.TokenRows(dataset, 10, mode="sample", pad_token_id=0, seed=5)
    starts = []
    for row, document in zip(rows.read_batch(np.arange(400))["input_ids"].tolist(), tokens, strict=True):
        places = [at for at in range(len(document) - 9) if document[at : at + 10] == row]
        assert places
        starts.append(places[0] == 0)
    assert 60 < sum(starts) < 140
    other = bloomdata.TokenRows(dataset, 10, mode="sample", pad_token_id=0, seed=6)
    assert other.fingerprint != rows.fingerprint
    assert other.read_batch([3])["input_ids"].tolist() != rows.read_batch([3])["input_ids"].tolist()


def test_the_streams_of_other_tools_know_no_documents(documents):
    dataset, _ = documents
    plain = bloomdata.LabelRules(eod_mask_loss=False, reset_position_ids=False, reset_attention_mask=False)
    batch = bloomdata.TokenRows(dataset, 8, separator=[10], rules=plain).read_batch(np.arange(4))
    assert (batch["labels"][:, :-1] == batch["input_ids"][:, 1:]).all()
    assert batch["cu_seqlens"].tolist() == [0, 8, 16, 24, 32]
    aware = bloomdata.TokenRows(dataset, 8, separator=[10]).read_batch(np.arange(4))
    assert len(aware["cu_seqlens"]) > 5


def test_a_loader_and_a_blend_take_them(documents):
    dataset, tokens = documents
    rows = bloomdata.TokenRows(dataset, 8)
    loader = bloomdata.DataLoader(rows, batch_size=1)
    seen = sorted(batch["input_ids"][0].tolist() for batch in loader)
    stream = [token for document in tokens for token in document]
    assert seen == sorted(stream[at : at + 8] for at in range(0, len(stream) - 7, 8))
    blend = bloomdata.BlendedDataset([(rows, 1), (rows.with_rules(prompt_loss_weight=1.0), 1)])
    assert len(blend) == 2 * len(rows)
    copied = pickle.loads(pickle.dumps(rows))
    assert copied.fingerprint == rows.fingerprint
    assert copied[0]["input_ids"].tolist() == rows[0]["input_ids"].tolist()
    assert reference.tokens(TEXTS[0]) == tokens[0]


@pytest.mark.parametrize(
    "options",
    [
        {"sequence_length": 0}, {"mode": "cut"}, {"mode": "split", "separator": [1]}, {"mode": "truncate"},
        {"mode": "groups", "pad_token_id": 0}, {"mode": "groups", "pad_token_id": 0, "num_sequences": 0},
        {"num_sequences": 3}, {"mode": "sample"},
    ],
)  # fmt: skip
def test_options_that_cannot_work_are_refused(documents, options):
    with pytest.raises(ConfigError):
        bloomdata.TokenRows(documents[0], **{"sequence_length": 8, **options})


def test_rows_are_no_documents(tmp_path):
    from sample_files import numbered

    with pytest.raises(ConfigError, match="expected documents"):
        bloomdata.TokenRows(numbered(tmp_path / "a.hdf5", 3), 8)
