"""Records of several sources, files of them, and runs of `prepare` compared with the slow oracle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

import bloomdata
from files import everything_in, write
from reference.jsonl import stored
from reference.prepare import prepare as reference_prepare
from sharding import contents_of
from test_prepare_sources import read, texts, values_of
from test_prepare_sources import records as any_records
from test_prepare_trees import NAMES, bodies

TREES = ("oasst1", "bloomchat")
SOURCES: dict[str, dict[str, Any]] = {
    "open_llama": {"turns": "separate"},
    "sharegpt": {"turns": "separate"},
    "belle_multiturn": {"turns": "separate"},
    "prompt_completion": {},
    "dolly": {},
    "oig": {},
    "oasst1": {},
    "bloomchat": {"end_on": "assistant"},
}


def mostly(strategy, other):
    """One in ten is something else."""
    return st.one_of(*[strategy] * 9, other)


def objects(**fields):
    return st.fixed_dictionaries(fields).map(json.dumps)


dolly = objects(instruction=texts, context=texts, response=texts)
pair = st.fixed_dictionaries({"prompt": texts, "completion": texts})
histories = st.lists(st.sampled_from(["Human:", "Human: a", "Assistant:", "Assistant: b\\n", "c", " "]), max_size=9)


ANY_FORM = ("self_instruct", "belle", "sharegpt", "instruct_to_code", "xp3", "camel", "grade_school_math", "messages")


@st.composite
def messages_of_trees(draw):
    """A message whose parent is mostly a root or another one's, wherever that one is."""
    message = draw(bodies) | {"message_id": draw(st.sampled_from(NAMES)), "parent_id": None}
    if draw(st.integers(0, 3)):
        message["parent_id"] = draw(st.sampled_from(NAMES))
    return json.dumps(message)


FORMS = {
    "open_llama": st.sampled_from(ANY_FORM).flatmap(any_records),
    "sharegpt": objects(conversations=values_of("conversations", odd=True)),
    "belle_multiturn": st.builds(
        lambda history, answer: json.dumps({"instruction": "".join(history), "output": answer}), histories, texts
    ),
    "prompt_completion": st.one_of(pair, st.lists(pair, max_size=4)).map(json.dumps),
    "dolly": dolly,
    "oig": objects(text=texts, meta=st.sampled_from([{"source": "prosocial"}, {"source": "a"}])),
    "oasst1": messages_of_trees(),
    "bloomchat": st.one_of(messages_of_trees(), dolly),
}
NO_RECORDS = st.sampled_from([b"", b"", b" \t\r", b"\xff{}", b"[]", b"{", b'"x"'])


@st.composite
def corpora(draw, source):
    """One to three files: name, content, suffix of its compression."""
    line = mostly(
        st.one_of(*[FORMS[source]] * 9, st.sampled_from(ANY_FORM).flatmap(any_records)).map(str.encode), NO_RECORDS
    )
    names = ["a.jsonl", "b.jsonl", "c-1.jsonl"][: draw(st.integers(1, 3))]
    return [
        (name, b"\n".join(draw(st.lists(line, max_size=9))) + draw(st.sampled_from([b"", b"\n"])), suffix)
        for name, suffix in zip(names, draw(st.permutations(["", ".gz", ".zst"])), strict=False)
    ]


def options_for(source):
    """Options of a run; those of texts that hold no roles are style `auto`, `text` and `completion`."""
    counts = st.fixed_dictionaries({}, optional={"dev": st.integers(0, 4), "test": st.integers(0, 4)})
    optional = {
        "style": st.sampled_from(["auto", "messages", "prompt_completion", "completion", "text"]),
        "ensure_ascii": st.booleans(),
        "repeat": st.sampled_from([{"a.jsonl*": 3}, {"*": 2}, {"a*": 0}, {"a*": 2, "b*": 5}, {}]),
        "shuffle": st.booleans(),
        "seed": st.integers(0, 3),
        "splits": st.one_of(st.just({"train": 0.5, "dev": 0.3, "test": 0.2}), counts.filter(bool)),
        "max_lines": st.sampled_from([1, 2, 3, 5, 100]),
    }
    if source not in TREES:
        optional |= {
            "max_rows_per_input": st.integers(0, 6),
            "sampling": st.sampled_from(["head", "reservoir"]),
        }
    return st.fixed_dictionaries({}, optional=optional)


def write_files(folder: Path, corpus: list[tuple[str, bytes, str]]) -> list[str]:
    return [write(folder / f"{name}{suffix}", stored(content, suffix)) for name, content, suffix in corpus]


def expected_of(source: str, corpus: list[tuple[str, bytes, str]], **options):
    """As the oracle has it, with `options` of `prepare` and of the source."""
    own = {name: options.pop(name) for name in list(options) if name in bloomdata.SOURCES[source].options}
    template = bloomdata.ChatTemplate(options.pop("template", "human_bot"))
    files = [(name + suffix, content) for name, content, suffix in corpus]
    return reference_prepare(source, files, lambda records: read(source, records, **own), template.render, **options)


def check(source: str, corpus: list[tuple[str, bytes, str]], folder: Path, *, num_threads: int = 2, **options):
    """A run writes the lines and books of the oracle, and its folder is whole. Returns its report."""
    inputs = write_files(folder / "in", corpus)
    run = {
        "on_bad_record": "quarantine",
        "num_threads": num_threads,
        "allow_empty": True,
        "allow_duplicate_inputs": True,
    }
    report = bloomdata.prepare(source, inputs, folder / f"out-{num_threads}", **run, **options)
    contents, books, kept = expected_of(source, corpus, **options)
    assert contents_of(report.folder) == contents
    ledger = report.ledger
    assert ledger["documents_in"] == books.documents_in
    assert ledger["documents_kept"] == books.documents_kept
    assert ledger["documents_dropped"] == books.documents_dropped
    assert ledger["documents_quarantined"] == books.documents_quarantined
    assert (ledger["bytes_in"], ledger["text_bytes"]) == (books.bytes_in, books.text_bytes)
    dropped, bad = ledger["documents_dropped"].values(), ledger["documents_quarantined"].values()
    assert ledger["documents_in"] == ledger["documents_kept"] + sum(dropped) + sum(bad)
    assert report.manifest["details"]["lines"] == sum(content.count(b"\n") for content in contents.values())
    found = [
        {name: entry[name] for name in ("documents_kept", "turns") if entry.get(name)}
        for entry in report.manifest["inputs"]
    ]
    assert found == kept
    assert quarantine_in(report.folder) == books.quarantine
    bloomdata.verify(report.folder)
    return report


def quarantine_in(folder: Path) -> list[dict[str, Any]]:
    """Entries of the quarantine, without the wording of their reasons and the folder of the file."""
    path = folder / "quarantine.jsonl"
    if not path.exists():
        return []
    entries = [json.loads(line) for line in path.read_bytes().splitlines()]
    keys = ("file", "line", "offset", "reason", "raw", "raw_hex")
    return [{key: entry[key] for key in keys if key in entry} | {"file": Path(entry["file"]).name} for entry in entries]


def same_everywhere(*folders: Path) -> None:
    """All folders hold the same bytes."""
    found = [everything_in(folder) for folder in folders]
    assert all(other == found[0] for other in found[1:])
