"""What people write themselves: datasets to read, tokenizers to encode, a loop that packs, h5py to write.

Run by `bench_peers.py` with a Python that has these. Prints the number of tokens as JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import h5py
import numpy as np
from datasets import load_dataset
from tokenizers import Tokenizer

SEPARATOR, TEXT = 3, 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--eos-token", required=True)
    parser.add_argument("--text-field", default="text")
    parser.add_argument("--sequence-length", type=int, default=2048)
    options = parser.parse_args()
    files = sorted(str(path) for path in options.folder.glob("*.jsonl"))
    options.output.mkdir()
    dataset = load_dataset("json", data_files=files, split="train", cache_dir=str(options.output / "cache"))
    tokenizer = Tokenizer.from_file(options.tokenizer)
    eos, length = tokenizer.token_to_id(options.eos_token), options.sequence_length
    ids: list[int] = []
    types: list[int] = []
    num_tokens = 0
    with h5py.File(options.output / "train.hdf5", "w") as file:
        columns = [
            file.create_dataset(name, (0, length), maxshape=(None, length), dtype="<i4")
            for name in ("input_ids", "token_type_ids")
        ]

        def write(rows: int) -> None:
            for column, tokens in zip(columns, (ids, types), strict=True):
                start = column.shape[0]
                column.resize(start + rows, axis=0)
                column[start:] = np.array(tokens[: rows * length], "<i4").reshape(rows, length)
                del tokens[: rows * length]

        for batch in dataset.iter(batch_size=1000):
            texts = [text for text in batch[options.text_field] if text]
            for encoding in tokenizer.encode_batch_fast(texts):
                ids += [*encoding.ids, eos]
                types += [*[TEXT] * len(encoding.ids), SEPARATOR]
                num_tokens += len(encoding.ids) + 1
            write(len(ids) // length)
        padding = -len(ids) % length
        ids += [eos] * padding
        types += [2] * padding
        write(len(ids) // length)
    print(json.dumps({"tokens": num_tokens}))


if __name__ == "__main__":
    main()
