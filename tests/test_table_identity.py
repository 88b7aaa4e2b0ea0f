"""Tables in memory are told apart by their rows: a finished folder answers for the same rows only."""

import contextlib

import pytest

import bloomdata
from bloomdata import ConfigError, MismatchError
from files import everything_in

pa = pytest.importorskip("pyarrow")

ROWS = ["one", "two", "three"] * 50
OTHERS = ["one", "two", "THREE"] * 50


class Frame:
    """A table of some other library: Arrow by the C interface, and a length."""

    def __init__(self, table):
        self.table = table

    def __len__(self):
        return len(self.table)

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


KINDS = {
    "table": lambda rows: pa.table({"text": rows}),
    "table in chunks": lambda rows: pa.table({"text": pa.chunked_array([rows[:40], rows[40:]])}),
    "record batch": lambda rows: pa.RecordBatch.from_pydict({"text": rows}),
    "frame": lambda rows: Frame(pa.table({"text": rows})),
    "stream": lambda rows: pa.table({"text": rows}).to_reader(max_chunksize=7),
}
VERBS = {
    "shard": bloomdata.shard,
    "pack": lambda inputs, output, **options: bloomdata.pack(
        inputs, output, tokenizer="bytes", sequence_length=16, **options
    ),
    "prepare": lambda inputs, output, **options: bloomdata.prepare("pile", inputs, output, **options),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("verb", VERBS)
def test_other_rows_are_another_run(verb, kind, tmp_path):
    run, rows = VERBS[verb], KINDS[kind]
    first = run(rows(ROWS), tmp_path / "out")
    before = everything_in(tmp_path)
    assert run(rows(ROWS), tmp_path / "out").was_finished
    with pytest.raises(MismatchError, match="rows of input"):
        run(rows(OTHERS), tmp_path / "out")
    assert everything_in(tmp_path) == before
    again = run(rows(OTHERS), tmp_path / "out", overwrite=True)
    assert again.fingerprint != first.fingerprint


def test_chunks_do_not_tell_tables_apart(tmp_path):
    bloomdata.shard(KINDS["table"](ROWS), tmp_path / "out")
    assert bloomdata.shard(KINDS["table in chunks"](ROWS), tmp_path / "out").was_finished


class StoppedError(Exception):
    pass


def stopped_after_some_shards(inputs, output):
    """A run that is interrupted once shards are sealed."""

    def stop(total, read, documents, written):
        if list(output.glob("part-*.zst")):
            raise StoppedError

    with contextlib.suppress(StoppedError):
        bloomdata.shard(inputs, output, max_lines=1, on_progress=stop, num_threads=1)


MANY = [f"{number} " + "x" * 200 for number in range(1_000)]


def test_an_interrupted_run_resumes_with_the_same_rows_only(tmp_path):
    output = tmp_path / "out"
    stopped_after_some_shards(pa.table({"text": MANY}), output)
    assert (output / "journal.jsonl").exists()
    with pytest.raises(MismatchError, match="content of input"):
        bloomdata.shard(pa.table({"text": [*MANY[:-1], "other"]}), output, max_lines=1)
    report = bloomdata.shard(pa.table({"text": MANY}), output, max_lines=1)
    assert report.was_resumed
    assert report.fingerprint == bloomdata.shard(pa.table({"text": MANY}), tmp_path / "whole", max_lines=1).fingerprint


def test_an_interrupted_run_over_a_stream_is_not_resumed(tmp_path):
    output, table = tmp_path / "out", pa.table({"text": MANY})
    stopped_after_some_shards(table.to_reader(), output)
    with pytest.raises(ConfigError, match="read once only"):
        bloomdata.shard(table.to_reader(), output, max_lines=1)
    report = bloomdata.shard(table.to_reader(), output, max_lines=1, overwrite=True)
    assert report.ledger["documents_kept"] == len(MANY)
