"""A pipeline around the `tokenizers` package: `.jsonl.zst` in, Megatron `.bin` and `.idx` out, as scripts do it.

Run by `bench_pack_tokenizer.py` with any Python that has `tokenizers`, `zstandard` and `numpy`.
"""

from __future__ import annotations

import argparse
import os
import struct
from pathlib import Path

import numpy as np
from corpus import hash_documents, texts_of_zst
from tokenizers import Tokenizer

# Of 64, 256, 1000, 5000 and all at once, 256 and 1000 take the least CPU time.
BATCH_TEXTS = 512
# Megatron's codes for uint16 and int32.
CODES = {"<u2": 8, "<i4": 4}


def synced(path: Path, parts: list[bytes]) -> None:
    with path.open("wb") as file:
        file.writelines(parts)
        file.flush()
        os.fsync(file.fileno())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--text-field", default="text")
    parser.add_argument("--eos-id", type=int, required=True, help="each document is ended by this one")
    parser.add_argument("--hash", action="store_true", help="print a hash of all documents")
    options = parser.parse_args()
    tokenizer = Tokenizer.from_file(options.tokenizer)
    dtype = "<u2" if tokenizer.get_vocab_size() < 65_500 else "<i4"
    documents: list[bytes] = []

    def encode(texts: list[str]) -> None:
        for encoding in tokenizer.encode_batch_fast(texts):
            ids = encoding.ids
            if ids:
                ended = ids if ids[-1] == options.eos_id else [*ids, options.eos_id]
                documents.append(np.array(ended, dtype).tobytes())

    texts: list[str] = []
    for text in texts_of_zst(options.file, options.text_field):
        texts.append(text)
        if len(texts) == BATCH_TEXTS:
            encode(texts)
            texts = []
    encode(texts)
    options.output.mkdir()
    synced(options.output / "data.bin", documents)
    sizes = np.array([len(document) for document in documents])
    pointers = np.cumsum(sizes) - sizes
    head = b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, CODES[dtype], len(sizes), len(sizes) + 1)
    lengths, numbers = sizes // np.dtype(dtype).itemsize, np.arange(len(sizes) + 1)
    index = [head, lengths.astype("<i4").tobytes(), pointers.astype("<i8").tobytes(), numbers.astype("<i8").tobytes()]
    synced(options.output / "data.idx", index)
    if options.hash:
        print(hash_documents(np.frombuffer(document, dtype).astype("<u4").tobytes() for document in documents))


if __name__ == "__main__":
    main()
