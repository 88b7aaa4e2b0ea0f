"""datatrove as its documentation shows it: JsonlReader and DocumentTokenizer, tasks in parallel.

Run by `bench_peers.py` with a Python that has datatrove. Prints the number of tokens as JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens import DocumentTokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--eos-token", required=True)
    parser.add_argument("--text-field", default="text")
    parser.add_argument("--tasks", type=int, default=2)
    options = parser.parse_args()
    reader = JsonlReader(str(options.folder), text_key=options.text_field, glob_pattern="*.jsonl")
    # No shuffle: the others do not shuffle either.
    tokenizer = DocumentTokenizer(
        str(options.output), options.tokenizer, eos_token=options.eos_token, shuffle_documents=False
    )
    logs = str(options.output / "logs")
    # Forked, so that their CPU time is counted; the default start method imports everything again in each.
    executor = LocalPipelineExecutor(
        [reader, tokenizer], tasks=options.tasks, workers=options.tasks, logging_dir=logs, start_method="fork"
    )
    executor.run()
    # The index of each file ends with the number of its tokens.
    ends = [path.read_bytes()[-8:] for path in options.output.glob("*.ds.index")]
    print(json.dumps({"tokens": sum(int.from_bytes(end, "little") for end in ends)}))


if __name__ == "__main__":
    main()
