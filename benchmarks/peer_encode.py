"""The `tokenizers` package alone: texts in memory, `encode_batch_fast` batch by batch, only that is timed.

Run by `bench_pack_tokenizer.py` with any Python that has `tokenizers`. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

from corpus import hash_documents, texts_of
from tokenizers import Tokenizer

# Of 64, 256, 1000, 5000 and all at once, 256 and 1000 take the least CPU time.
BATCH_TEXTS = 512


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--text-field", default="text")
    parser.add_argument("--eos-id", type=int, help="hash the ids, each document ended by this one")
    options = parser.parse_args()
    texts = list(texts_of(options.files, options.text_field))
    start = time.perf_counter()
    tokenizer = Tokenizer.from_file(options.tokenizer)
    loaded, cpu = time.perf_counter(), cpu_seconds()
    for first in range(0, len(texts), BATCH_TEXTS):
        tokenizer.encode_batch_fast(texts[first : first + BATCH_TEXTS])
    report = {"load": loaded - start, "encode": time.perf_counter() - loaded, "cpu": cpu_seconds() - cpu}
    if options.eos_id is not None:
        import numpy as np

        ids = (encoding.ids for encoding in tokenizer.encode_batch_fast(texts))
        ended = (of if of[-1:] == [options.eos_id] else [*of, options.eos_id] for of in ids if of)
        report["ids"] = hash_documents(np.array(of, "<u4").tobytes() for of in ended)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
