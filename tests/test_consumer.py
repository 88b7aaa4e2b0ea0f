"""Packed data beside what a training run wants."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


@given(vocab_size=st.integers(1, 300_000), ranks=st.integers(1, 64), divisible_by=st.integers(1, 300) | st.just(128))
@settings(deadline=None, max_examples=200)
def test_a_padded_vocabulary_is_the_first_multiple_that_is_large_enough(vocab_size, ranks, divisible_by):
    rows = bloomdata.padded_vocab_size(vocab_size, ranks, vocab_divisible_by=divisible_by)
    multiples = itertools.count(0, divisible_by * ranks)
    assert rows == next(rows for rows in multiples if rows >= vocab_size)


@pytest.mark.parametrize(
    ("vocab_size", "ranks", "rows"),
    [(250_680, 4, 250_880), (250_680, 8, 250_880), (250_680, 1, 250_752), (250_880, 8, 250_880)],
)
def test_padded_vocabularies_of_bloom_are_megatrons(vocab_size, ranks, rows):
    assert bloomdata.padded_vocab_size(vocab_size, ranks) == rows
    assert bloomdata.padded_vocab_size(250_680, 1, pad_vocab_size_to=250_880) == 250_880


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"tensor_parallel": 0}, "tensor_parallel"),
        ({"vocab_divisible_by": 0}, "vocab_divisible_by"),
        ({"pad_vocab_size_to": 99}, "pad_vocab_size_to: expected a multiple of 1 from 100 on, got 99"),
        ({"pad_vocab_size_to": 129, "tensor_parallel": 2}, "pad_vocab_size_to: expected a multiple of 2"),
    ],
)
def test_vocabularies_that_cannot_be_shared_are_refused(options, named):
    with pytest.raises(bloomdata.ConfigError, match=named):
        bloomdata.padded_vocab_size(100, **options)


@pytest.mark.parametrize("format", ["hdf5", "megatron"])
def test_ranks_that_share_the_embedding_want_a_multiple(format, raw, capsys):  # noqa: A002 - the option's name
    length = {"sequence_length": 16} if format == "hdf5" else {}
    bloomdata.pack(raw, "packed", tokenizer="bytes", format=format, **length)
    for rows, ranks in [(512, 4), (384, 1), (1024, 8)]:
        bloomdata.check_consumer("packed", vocab_size=rows, tensor_parallel=ranks)
    wanted = r"vocabulary: expected a multiple of 512 \(128 times 4 ranks\), at least 512, found 384"
    with pytest.raises(bloomdata.MismatchError, match=wanted):
        bloomdata.verify("packed", vocab_size=384, tensor_parallel=4)
    assert bloomdata.verify("packed").padded_vocab_size is None
    assert bloomdata.verify("packed", tensor_parallel=2, vocab_divisible_by=64).padded_vocab_size == 384
    assert main(["verify", "packed", "--tensor-parallel", "4"]) == 0
    assert "vocabulary on 4 ranks: 512 rows" in capsys.readouterr().out


def test_megatron_pairs_have_no_rows_to_check(raw):
    bloomdata.pack(raw, "packed", tokenizer="bytes", format="megatron")
    bloomdata.check_consumer("packed", sequence_length=16, vocab_size=259, num_workers=2, batch_size=1, evaluate=True)
    with pytest.raises(bloomdata.MismatchError, match="at most 258 ids, found 259"):
        bloomdata.check_consumer("packed", vocab_size=258)


def test_shards_have_no_consumer(raw):
    bloomdata.shard(raw, "shards")
    with pytest.raises(bloomdata.ConfigError, match="expected tokens"):
        bloomdata.check_consumer("shards", sequence_length=8)


def test_the_command_line_says_what_does_not_fit(packed, capsys):
    assert main(["verify", str(packed), "--sequence-length", "16", "--batch-size", "1"]) == 0
    assert main(["verify", str(packed), "--sequence-length", "32"]) == 1
    assert "expected 32, found 16" in capsys.readouterr().err
