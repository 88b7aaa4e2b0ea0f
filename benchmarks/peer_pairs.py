"""What people write themselves for prompt and completion: json, tokenizers, a greedy loop, h5py.

Run by `bench_packings.py` with a Python that has these. Prints a hash of the rows as JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import json

import h5py
import numpy as np
from tokenizers import Tokenizer

PROMPT, COMPLETION, PADDING, SEPARATOR = range(4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("output")
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--eos-id", type=int, required=True)
    parser.add_argument("--sequence-length", type=int, default=2048)
    options = parser.parse_args()
    tokenizer, length = Tokenizer.from_file(options.tokenizer), options.sequence_length
    rows: list[tuple[list[int], list[int]]] = []
    ids: list[int] = []
    types: list[int] = []

    def flush() -> None:
        if COMPLETION in types:
            missing = length - len(ids)
            rows.append((ids + [options.eos_id] * missing, types + [PADDING] * missing))

    with open(options.source, "rb") as lines:  # noqa: PTH123 - as people do
        for line in lines:
            record = json.loads(line)
            prompt = tokenizer.encode(record["prompt"].rstrip(" ")).ids
            completion = [*tokenizer.encode(" " + record["completion"].lstrip(" ")).ids, options.eos_id]
            article = prompt + completion
            kinds = [PROMPT] * len(prompt) + [COMPLETION] * (len(completion) - 1) + [SEPARATOR]
            if len(ids) + len(article) > length:
                flush()
                ids, types = [], []
            if len(article) <= length:
                ids, types = ids + article, types + kinds
    flush()
    columns = [np.array(column, "<i4") for column in zip(*rows, strict=True)]
    with h5py.File(options.output, "w") as file:
        for name, column in zip(("input_ids", "token_type_ids"), columns, strict=True):
            file[name] = column
    state = hashlib.blake2b()
    for row in zip(*columns, strict=True):
        state.update(b"".join(part.tobytes() for part in row))
    print(json.dumps({"rows": len(rows), "hash": state.hexdigest()}))


if __name__ == "__main__":
    main()
