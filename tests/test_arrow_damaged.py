"""Arrow data that was read from a damaged file: refused with the rows, never believed, and never a crash."""

import io
import random
import struct
import subprocess
import sys

import pytest

import bloomdata
from bloomdata import CorruptDataError

pa = pytest.importorskip("pyarrow")

TABLES = {
    "strings": pa.table({"text": ["row"] * 8}),
    "large strings": pa.table({"text": pa.array(["row", "é", None, ""], pa.large_string())}),
    "views": pa.table({"text": pa.array(["a longer string than twelve bytes", "row"] * 4, pa.string_view())}),
    "dictionary": pa.table({"text": pa.array(["aaaa", "bbbb"] * 4).dictionary_encode()}),
    "lists": pa.table({"text": ["x", "y"], "l": [[["a"], []], [["b", "c"]]]}),
    "structs": pa.table({"text": ["x", "y"], "s": [{"a": 1, "b": "q"}, None]}),
}


def written(table):
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    return stream.getvalue()


def with_number(table, before, place, number):
    """The stream of a table with one of the 32-bit numbers of a buffer changed."""
    content = bytearray(written(table))
    at = bytes(content).find(struct.pack(f"<{len(before)}i", *before))
    assert at > 0
    content[at + 4 * place : at + 4 * place + 4] = struct.pack("<i", number)
    return pa.ipc.open_stream(pa.BufferReader(bytes(content)))


@pytest.mark.parametrize("number", [2**30, -1, 2**31 - 1, 25])
@pytest.mark.parametrize("place", [0, 2, 8])
def test_a_wrong_offset_is_refused_with_its_rows(number, place):
    stream = with_number(TABLES["strings"], range(0, 27, 3), place, number)
    with pytest.raises(CorruptDataError, match=r"rows from 0 on: .*[Oo]ffset") as caught:
        bloomdata.count(stream, tokenizer="bytes")
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("number", [10**6, -1, 2])
def test_an_index_that_the_dictionary_lacks_is_refused(number):
    stream = with_number(TABLES["dictionary"], [0, 1] * 4, 2, number)
    with pytest.raises(CorruptDataError, match="rows from 0 on"):
        bloomdata.count(stream, tokenizer="bytes")


def test_an_array_to_be_encoded_is_checked_too():
    content = with_number(TABLES["strings"], range(0, 27, 3), 8, 2**30).read_all()["text"]
    tokenizer = bloomdata.Tokenizer("bytes")
    for texts in (content, content.chunk(0)):
        with pytest.raises(ValueError, match=r"[Oo]ffset"):
            tokenizer.encode_batch(texts)


def test_a_table_is_checked_before_it_is_hashed(tmp_path):
    table = with_number(TABLES["strings"], range(0, 27, 3), 4, 2**30).read_all()
    with pytest.raises(CorruptDataError, match="rows from 0 on"):
        bloomdata.shard(table, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def mutated(name, seed):
    """A stream with some bytes changed, most of them in its buffers."""
    content = bytearray(written(TABLES[name]))
    rng = random.Random(seed)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        at = rng.randrange(len(content))
        if rng.random() < 0.5:
            content[at] ^= 1 << rng.randrange(8)
        else:
            value = rng.choice([0, -1, 1, 2**31 - 1, -(2**31), 2**30, rng.randrange(-300, 300)])
            content[at : at + 4] = struct.pack("<i", value)[: len(content) - at]
    return bytes(content)


def test_no_mutated_stream_crashes_or_panics():
    """In a child, which a crash would kill; each stream is counted, refused by pyarrow, or refused by us."""
    program = """
import sys
sys.path[:0] = sys.argv[1:]
import pyarrow as pa
import bloomdata
from test_arrow_damaged import TABLES, mutated
refused = 0
for name in TABLES:
    for seed in range(150):
        try:
            stream = pa.ipc.open_stream(pa.BufferReader(mutated(name, seed)))
        except (pa.ArrowException, OSError, NotImplementedError):
            continue
        try:
            bloomdata.count(stream, tokenizer="bytes", on_bad_record="quarantine")
        except (bloomdata.BloomdataError, pa.ArrowException):
            refused += 1
print("refused", refused)
"""
    ended = subprocess.run([sys.executable, "-c", program, *sys.path], capture_output=True, text=True, timeout=250)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert "panicked" not in ended.stderr
    assert int(ended.stdout.split()[1]) > 50
