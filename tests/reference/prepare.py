"""Records of a source become shards of lines: what `bloomdata.prepare` must write, before compression.

What a record becomes is asked of `read`, which has oracles of its own; all else is plain Python here.
"""

from __future__ import annotations

import json
from collections import Counter
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from reference.jsonl import is_blank, records
from reference.shard import Books, cut, key, shuffled, split_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from reference.shard import Files

Outcomes = list[dict[str, Any]]
WRONG = "not of the source's form"
TREES = ("oasst1", "bloomchat")
SAMPLE_STREAM = 5


def pairs_of(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """A pair for each answer: all that was said since the one before, and the answer."""
    pairs, said = [], []
    for message in messages:
        if message["role"] == "assistant":
            pairs.append({"prompt": "\n".join(said), "completion": message["content"]})
            said = []
        else:
            said.append(message["content"])
    if said:
        pairs.append({"prompt": "\n".join(said), "completion": ""})
    return pairs


def line_of(document: dict[str, Any], style: str, render: Callable[[Any], str], *, ensure_ascii: bool) -> bytes | None:
    """The line of a document; none if it cannot be written in this style."""
    is_chat = "messages" in document
    value: Any
    if style in ("text", "completion") or (style == "auto" and not is_chat):
        text = render(document["messages"]) if is_chat else document["text"]
        text = text.strip() if document.get("strip") else text
        value = {"prompt": "", "completion": text} if style == "completion" else {"text": text}
    elif not is_chat:
        return None
    elif style == "prompt_completion":
        pairs = pairs_of(document["messages"])
        value = pairs[0] if len(pairs) == 1 else pairs
    else:
        value = {
            "messages": [{name: message[name] for name in ("role", "content")} for message in document["messages"]]
        }
    return json.dumps(value, ensure_ascii=ensure_ascii).encode()


def chosen_rows(
    fates: list[tuple[int, dict[str, Any]]], most: int | None, sampling: str, seed: int, file: int
) -> set[int]:
    """Numbers of the rows of one input that may be written."""
    if most is None:
        return {row for row, _ in fates}
    if sampling == "head":
        return set(range(most))
    rows = [row for row, fate in fates if "documents" in fate]
    stream = SAMPLE_STREAM + (file << 8)
    return set(sorted(rows, key=lambda row: (key(seed, stream, row), row))[:most])


def outcomes_of(source: str, found: list[list[bytes]], read: Callable[[list[str]], Outcomes]) -> list[Outcomes]:
    """What becomes of each record of each file; of messages of trees, all together."""

    def of(lines: list[bytes]) -> Outcomes:
        texts, fates = [], []
        for raw in lines:
            try:
                texts.append(raw.decode())
                fates.append(None)
            except UnicodeDecodeError:
                fates.append({"bad": "invalid UTF-8"})
        told = iter(read(texts))
        return [next(told) if fate is None else fate for fate in fates]

    if source not in TREES:
        return [of(lines) for lines in found]
    told = iter(of([line for lines in found for line in lines]))
    return [[next(told) for _ in lines] for lines in found]


def prepare(
    source: str,
    files: Files,
    read: Callable[[list[str]], Outcomes],
    render: Callable[[Any], str],
    *,
    style: str = "auto",
    ensure_ascii: bool = False,
    max_rows_per_input: int | None = None,
    sampling: str = "head",
    repeat: dict[str, int] | None = None,
    shuffle: bool = False,
    seed: int = 0,
    splits: dict[str, Any] | None = None,
    max_lines: int = 16_384,
) -> tuple[dict[str, bytes], Books, list[Counter]]:
    """Contents of all shards by name; the books; and what was kept of each input."""
    books, lines, inputs = Books(), [], []
    all_records = [records(name, content) for name, content in files]
    rows = [[record for record in found if not is_blank(record.raw)] for found in all_records]
    told = outcomes_of(source, [[record.raw for record in found] for found in rows], read)
    for file, ((name, content), found) in enumerate(zip(files, rows, strict=True)):
        blank = len(all_records[file]) - len(found)
        books.bytes_in += len(content)
        books.documents_in += len(all_records[file])
        books.documents_dropped["blank line"] += blank
        times = next(
            (n for pattern, n in sorted((repeat or {}).items(), reverse=True) if fnmatchcase(name, pattern)), 1
        )
        written = []
        for fate in told[file]:
            documents = fate.get("documents")
            made = [line_of(document, style, render, ensure_ascii=ensure_ascii) for document in documents or []]
            written.append({"bad": WRONG} if None in made else fate | ({"lines": made} if documents else {}))
        chosen = chosen_rows(list(enumerate(written)), max_rows_per_input, sampling, seed, file)
        kept = Counter()
        for row, (record, fate) in enumerate(zip(found, written, strict=True)):
            is_candidate = sampling == "head" or max_rows_per_input is None or "documents" in fate
            if row not in chosen and is_candidate:
                why = "beyond max_rows_per_input" if sampling == "head" else "not in the sample"
                books.documents_dropped[why] += 1
            elif "bad" in fate:
                books.set_aside(name, record, fate["bad"])
            elif "dropped" in fate:
                books.documents_dropped[fate["dropped"]] += 1
            else:
                books.documents_kept += 1
                kept["documents_kept"] += 1
                books.text_bytes += sum(map(len, fate.get("lines", [])))
                lines += [line for line in fate.get("lines", []) for _ in range(times)]
                documents = [document.get("messages", []) for document in fate.get("documents", [])]
                kept["turns"] += sum(message["role"] == "assistant" for messages in documents for message in messages)
        inputs.append(+kept)
    books.documents_dropped = +books.documents_dropped
    lines = shuffled(lines, seed) if shuffle else lines
    series: dict[str, list[bytes]] = {}
    for number, line in enumerate(lines):
        series.setdefault(f"{split_of(number, splits, seed)}/" if splits else "", []).append(line)
    contents = {
        f"{folder}part-{number:05}.jsonl": content
        for folder, part in series.items()
        for number, content in enumerate(cut(part, max_lines))
    }
    return contents, books, inputs
