"""Megatron pairs and TNTIDX pairs, written from their description."""

import struct
from itertools import accumulate

import numpy as np

CODES = {"<u1": 1, "<i1": 2, "<i2": 3, "<i4": 4, "<i8": 5, "<u2": 8}


def write_pair(prefix, sequences, dtype="<i4", documents=None):
    """Writes sequences of tokens; `documents` is the document index, each sequence one document if not given."""
    lengths = [len(sequence) for sequence in sequences]
    itemsize = np.dtype(dtype).itemsize
    documents = list(range(len(sequences) + 1)) if documents is None else documents
    starts = [0, *accumulate(length * itemsize for length in lengths)][: len(lengths)]
    header = b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, CODES[dtype], len(sequences), len(documents))
    arrays = [np.array(lengths, "<i4"), np.array(starts, "<i8"), np.array(documents, "<i8")]
    prefix.with_name(f"{prefix.name}.idx").write_bytes(header + b"".join(array.tobytes() for array in arrays))
    return write_bin(prefix, sequences, dtype)


def write_legacy_pair(prefix, sequences, dtype="<i4", documents=None):
    """As `write_pair`, in the older layout."""
    documents = list(range(len(sequences) + 1)) if documents is None else documents
    lengths = [len(sequence) for sequence in sequences]
    header = b"TNTIDX\0\0" + struct.pack(
        "<6Q", 1, CODES[dtype], np.dtype(dtype).itemsize, len(sequences), len(lengths), len(documents)
    )
    arrays = [range(len(sequences) + 1), [0, *accumulate(lengths)], lengths, documents]
    content = header + b"".join(np.array(array, "<i8").tobytes() for array in arrays)
    prefix.with_name(f"{prefix.name}.idx").write_bytes(content)
    return write_bin(prefix, sequences, dtype)


def write_bin(prefix, sequences, dtype):
    content = b"".join(np.array(sequence, dtype).tobytes() for sequence in sequences)
    prefix.with_name(f"{prefix.name}.bin").write_bytes(content)
    return prefix
