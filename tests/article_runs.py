"""Runs of `pack` that write rows, checked against the slow reference; any files and options for them."""

from __future__ import annotations

import json
import operator
from typing import TYPE_CHECKING, NamedTuple

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import bloomdata
from reference import rows as reference_rows
from reference.articles import NO_CATEGORY, articles_of_files
from reference.shard import Books

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROPERTY = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
PACKINGS = ["full", "full::drop", "greedy", "best_fit", "concat::1", "concat::2", "concat::7"]
PACKINGS += [f"{kind}::{rule}" for kind in ("single", "greedy") for rule in ("drop", "truncate_left", "truncate_right")]
PACKINGS += ["single::split", "best_fit::drop", "best_fit::truncate_right"]
CATEGORIES = ["code", "prose", ""]
PAIR = "prompt_completion_pair"


class Vocabulary(NamedTuple):
    """A tokenizer as `pack` takes it, and what the reference needs of it."""

    tokenizer: str | Path
    encode: Callable[[str], list[int]]
    bos: int
    eos: int
    pad: int


BYTES = Vocabulary("bytes", lambda text: list(text.encode()), bos=257, eos=258, pad=256)


def pack(files, output, vocabulary=BYTES, **options):
    """Writes files of these names and contents beside the output folder, and packs them into it."""
    inputs = [output.parent / name for name, _ in files]
    for path, (_, content) in zip(inputs, files, strict=True):
        path.write_bytes(content)
    options = {"record": "prompt_completion", "num_threads": 2, "tokenizer": vocabulary.tokenizer} | options
    options = {"allow_empty": True, "allow_duplicate_inputs": True} | options
    return bloomdata.pack(inputs, output, format="hdf5", **options)


def rows_in(folder):
    """Rows as lists of (token id, token type, category)."""
    dataset = bloomdata.open(folder)
    found = []
    for number in range(len(dataset)):
        row = {name: column.tolist() for name, column in dataset[number].items()}
        categories = row.get("category_ids", [NO_CATEGORY] * len(row["input_ids"]))
        found.append(list(zip(row["input_ids"], row["token_type_ids"], categories, strict=True)))
    return found


def articles_in(files, vocabulary, books, options):
    """Articles of these files by the reference, which has no use for some of `pack`'s options."""
    others = {"sequence_length", "packing", "window_tokens", "rows_per_file", "compression", "num_threads"}
    others |= {"keep_end_only_sequences"}
    options = {name: value for name, value in options.items() if name not in others}
    return articles_of_files(files, books, encode=vocabulary.encode, bos=vocabulary.bos, eos=vocabulary.eos, **options)


def check(files, output, vocabulary=BYTES, **options):
    """A run writes the rows, metrics and books of the reference. Returns its report."""
    report = pack(files, output, vocabulary, on_bad_record="quarantine", **options)
    books = Books()
    found = articles_in(files, vocabulary, books, options)
    how = found, options["sequence_length"], options["packing"], vocabulary.pad
    row_names = {"keep_prompt_only_sequences", "keep_end_only_sequences", "window_tokens"}
    row_options = {name: options[name] for name in row_names & set(options)}
    rows, metrics = reference_rows.rows(*how, **row_options)

    assert rows_in(report.folder) == rows
    assert {name: report.metrics[name] for name in metrics} == metrics
    assert report.manifest["details"]["metrics"] == report.metrics
    tokens = reference_rows.ledger(*how, **row_options)
    lost = reference_rows.dropped_documents(books.articles, *how[1:], **row_options)
    books.drop_after_all(lost)
    assert {name: report.ledger[name] for name in tokens} == tokens
    for name in ("documents_in", "documents_kept", "bytes_in"):
        assert report.ledger[name] == getattr(books, name), name
    for fate in ("documents_dropped", "documents_quarantined"):
        assert sum(report.ledger[fate].values()) == getattr(books, fate).total(), fate
    assert {reason: report.ledger["documents_dropped"][reason] for reason in lost} == lost
    assert report.ledger["documents_quarantined"] == dict(books.documents_quarantined)
    if rows and "rows_per_file" in options:
        counts = [output["rows"] for output in report.outputs if "rows" in output]
        assert sum(counts) == len(rows)
        assert set(counts[:-1]) <= {options["rows_per_file"]}
        assert counts[-1] <= options["rows_per_file"]
    bloomdata.verify(report.folder)
    return report


def line(value):
    return json.dumps(value).encode() + b"\n"


def shown(found):
    """Rows or articles of the byte tokenizer, each token with its type: `a0 _1 b1 E3`; Pad, End, _ for a space."""
    names = {32: "_", BYTES.pad: "P", BYTES.eos: "E"}
    return " | ".join(" ".join(f"{names.get(i) or chr(i)}{kind}" for i, kind, _ in tokens) for tokens in found)


# --- any files, any options -------------------------------------------------------------------------------------------

SPECIAL = ["<s>", "</s>", "<pad>", "hello</s>", "<s> hello", "</s></s>", "<s>", "<user>", "world <user>"]
texts = st.one_of(
    st.sampled_from(["", "", " ", "   ", "a", " a ", "  hello world  ", "\tb\n", "é€😀", *SPECIAL]),
    st.text("ab \n\té😀", max_size=12),
    st.text(max_size=8),
)
pairs = st.fixed_dictionaries(
    {"completion": texts},
    optional={"prompt": st.none() | texts, "category": st.sampled_from(CATEGORIES), "other": st.integers() | texts},
)
values = st.one_of(pairs, pairs, st.lists(pairs, max_size=4))
BAD_LINES = [b"bad", b"1", b"null", b'"a"', b"[1]", b"{}", b'{"prompt":"a"}', b'{"completion":null}', b'{"text":1}']
BAD_LINES += [b'{"completion":1}', b'[{"completion":"a"},[]]', b'{"prompt":["a"],"completion":"a"}', b'{"text":"\xff"}']
json_lines = st.builds(json.dumps, values, ensure_ascii=st.booleans()).map(str.encode)
record_lines = st.one_of(*6 * [json_lines], st.sampled_from([*BAD_LINES, b"", b" \t"]))
text_lines = st.one_of(*6 * [texts.map(lambda text: line({"text": text})[:-1])], st.sampled_from([*BAD_LINES, b""]))
plain_lines = texts.map(lambda text: text.replace("\n", " ").replace("\r", " ").encode())


@st.composite
def files_of(draw, lines):
    """One to three files: most of them JSONL of these lines, some of plain text, with or without a last newline."""
    files = []
    for number in range(draw(st.integers(1, 3))):
        suffix = draw(st.sampled_from([".jsonl", ".jsonl", ".jsonl", ".txt"]))
        found = draw(st.lists(plain_lines if suffix == ".txt" else lines, max_size=8))
        content = b"".join(item + b"\n" for item in found)
        files.append((f"{number}{suffix}", content.removesuffix(b"\n") if draw(st.booleans()) else content))
    return files


@st.composite
def row_options(draw):
    options = {
        "sequence_length": draw(st.sampled_from([1, 2, 3, 5, 8, 16, 31])),
        "packing": draw(st.sampled_from(PACKINGS)),
        "rows_per_file": draw(st.integers(1, 5)),
        "compression": draw(st.sampled_from([None, None, "gzip"])),
        "keep_prompt_only_sequences": draw(st.booleans()),
        "keep_end_only_sequences": draw(st.booleans()),
    }
    if options["packing"].startswith("best_fit"):
        options["window_tokens"] = draw(st.integers(1, 60))
    return options


record_options = st.fixed_dictionaries(
    {},
    optional={
        "space_separator": st.booleans(),
        "prompt_prefix": st.sampled_from([None, "", "<<", " p ", "<s>"]),
        "prompt_postfix": st.sampled_from([None, "", ">>", " q ", "</s>"]),
        "attention_boundary": st.sampled_from(["jsonl", PAIR]),
        "packing_boundary": st.sampled_from(["jsonl", PAIR]),
        "categories": st.sampled_from([None, CATEGORIES, CATEGORIES[:2]]),
    },
)
record_runs = st.tuples(files_of(record_lines), st.builds(operator.or_, row_options(), record_options))
text_runs = st.tuples(files_of(text_lines), row_options().map(lambda options: options | {"record": "text"}))
runs = st.one_of(record_runs, record_runs, record_runs, text_runs)
