"""Packed data beside what a training run wants."""

from __future__ import annotations

import pytest

import bloomdata
from bloomdata.cli import main


@pytest.fixture
def packed(raw):
    """Two files of 2 and 1 rows of 16 tokens."""
    bloomdata.pack(raw, "packed", tokenizer="bytes", sequence_length=16, rows_per_file=2, packing="concat::1")
    return raw.parent / "packed"


def test_data_that_fit_pass(packed):
    bloomdata.check_consumer(packed)
    bloomdata.check_consumer(packed, sequence_length=16, vocab_size=259, num_workers=2, batch_size=1)
    bloomdata.verify(packed, sequence_length=16, vocab_size=259, num_workers=2, batch_size=1)


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        ({"sequence_length": 17}, "sequence length: expected 17, found 16"),
        ({"vocab_size": 258}, "vocabulary: expected at most 258 ids, found 259"),
        ({"num_workers": 3}, "train files: expected at least 3, one for each worker, found 2"),
        ({"batch_size": 2}, "rows in each train file: expected at least 2, found 1"),
        ({"evaluate": True}, "dev files: expected some, found none"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_named(wanted, named, packed):
    with pytest.raises(bloomdata.MismatchError, match=named):
        bloomdata.check_consumer(packed, **wanted)
    with pytest.raises(bloomdata.MismatchError, match=named):
        bloomdata.verify(packed, **wanted)


def test_everything_that_does_not_fit_is_named_at_once(packed):
    with pytest.raises(bloomdata.MismatchError, match=r"2 problem\(s\)\nsequence length.*\nvocabulary"):
        bloomdata.check_consumer(packed, sequence_length=8, vocab_size=1)


def test_shards_have_no_consumer(raw):
    bloomdata.shard(raw, "shards")
    with pytest.raises(bloomdata.ConfigError, match="expected tokens"):
        bloomdata.check_consumer("shards", sequence_length=8)


def test_the_command_line_says_what_does_not_fit(packed, capsys):
    assert main(["verify", str(packed), "--sequence-length", "16", "--batch-size", "1"]) == 0
    assert main(["verify", str(packed), "--sequence-length", "32"]) == 1
    assert "expected 32, found 16" in capsys.readouterr().err
