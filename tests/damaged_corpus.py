"""A corpus large enough to fail inside of, stored in every way, and the same with its last bytes damaged."""

from __future__ import annotations

import json
import os

from reference import jsonl


def write_corpus(path, *, damaged=False):
    """About 4 MiB of records: several reads of a plain file, many frames of a compressed one."""
    texts = [f"{number} é" + "x" * (number * 37 % 1500) for number in range(5000)]
    if path.name.startswith("a.jsonl"):
        content = jsonl.BYTE_ORDER_MARK + "\r\n".join(json.dumps({"text": text}) for text in texts).encode()
    elif path.name.startswith("a.json"):
        content = json.dumps([{"text": text} for text in texts], ensure_ascii=False, indent=0).encode()
    else:
        content = jsonl.BYTE_ORDER_MARK + "\n".join(texts).encode()
    data = jsonl.stored(content, path.suffix, list(range(0, len(content), 300_000)))
    # The end of a checksum, of an array, of the last line.
    path.write_bytes(data[:-3] + b"\xff\xff\xff" if damaged else data)
    os.utime(path, ns=(10**18, 10**18))
    return str(path)
