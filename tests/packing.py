"""`pack`, its golden vectors, and its outputs read back without the library."""

import json
import tomllib
from pathlib import Path

import h5py
import numpy as np

import bloomdata
from reference import pack as reference

GOLDEN = tomllib.loads((Path(__file__).parent / "golden" / "megatron.toml").read_text("utf-8"))
TEXTS = ["hello", "", "é€😀", "x" * 40, "a", "b\nc", "\u2028", "\x00", "y" * 17]
CONTENT = b"".join(json.dumps({"text": text}).encode() + b"\n" for text in TEXTS)


def pack(inputs, output, **options):
    return bloomdata.pack(
        inputs,
        output,
        **({"tokenizer": "bytes", "num_threads": 2, "allow_empty": True, "allow_duplicate_inputs": True} | options),
    )


def pair_in(folder, name="data_text_document"):
    return tuple((folder / f"{name}{suffix}").read_bytes() for suffix in (".bin", ".idx"))


def rows_in(folder):
    """All rows, as h5py reads them."""
    found = []
    for path in sorted(folder.glob("*.hdf5")):
        with h5py.File(path, "r") as file:
            found.append([file[name][:] for name in ("input_ids", "token_type_ids")])
    return [np.concatenate(column) for column in zip(*found, strict=True)]


def documents_of(texts, **options):
    return [reference.tokens(text, **options) for text in texts if text]
