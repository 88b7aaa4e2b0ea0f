"""Every key of a record is read, or counted: nothing that carries text leaves the books in silence."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata.cli import main
from bloomdata.errors import CorruptDataError
from gdp_runs import Run, run_pipeline
from packing import pack
from reference.unread_keys import MAX_KEYS, OTHER_KEYS, WHOLE, unread_keys

# Keys as they are written in a record; `abc` in two ways.
KEYS = ["url", "abc", "\\u0061bc", "a.b", "name", "", "é\\n", "long key " * 40, "\\ud800"]
VALUES = [
    '"x"',
    '""',
    '"\\n"',
    "[]",
    "[ ]",
    "[0]",
    "{}",
    "{ }",
    '{"a": null}',
    "null",
    "0",
    "1.5",
    "true",
    "NaN",
    "[NaN]",
]


def pair(one: str, other: str) -> tuple[dict, dict]:
    return {one: "a", other: "b"}, {one: WHOLE, other: WHOLE}


def all_of(record: dict) -> tuple[dict, dict]:
    return record, dict.fromkeys(record, WHOLE)


SAID = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
CHAT = [{"role": "user", "content": "q", "weight": 0}, {"role": "assistant", "content": "a", "tool_calls": []}]
OF_MESSAGE = dict.fromkeys(("role", "content", "weight", "tool_calls"), WHOLE)
TASK = {"instruction": "i", "input": "x", "output": "o"}
NODE = {"role": "prompter", "text": "q", "lang": "en", "emojis": {"+1": 1}}
OF_NODE: dict[str, Any] = dict.fromkeys(NODE, WHOLE)
TREE = NODE | {"replies": [NODE | {"role": "assistant", "replies": [NODE]}]}
# A record of each source, and what is read of it; with options of the source, if they matter.
SOURCES: dict[str, tuple[dict, dict, dict]] = {
    **{name: (*pair("prompt", "completion"), {}) for name in ("self_instruct", "prompt_completion")},
    "belle": (*pair("instruction", "output"), {}),
    "belle_multiturn": (
        {"instruction": "Human:a\nAssistant:", "output": "b"},
        {"instruction": WHOLE, "output": WHOLE},
        {},
    ),
    "instruct_to_code": (*pair("instruction", "answer"), {}),
    "xp3": (*pair("inputs", "targets"), {}),
    "camel": (*pair("message_1", "message_2"), {}),
    "grade_school_math": (*pair("INSTRUCTION", "RESPONSE"), {}),
    "wudao": (*pair("title", "content"), {}),
    "pile": (*all_of({"text": "t"}), {}),
    "moderation": (*all_of({"text": "t"}), {}),
    "dolly": (*all_of({"instruction": "i", "context": "c", "response": "r"}), {}),
    "alpaca": (*all_of(TASK | {"system": "s", "history": [["q", "a"]]}), {}),
    "gpteacher": (*all_of({"instruction": "i", "input": "x", "response": "o"}), {}),
    "general_instruction": (*all_of(TASK), {}),
    "alpaca_pretrain": (*all_of(TASK), {}),
    "leetcode_python": (*all_of({"code_with_problem": "p", "code_only": "c", "explanation_only": "e"}), {}),
    "stack_overflow_python": (*all_of({"title": "t", "question_body": "q", "answer_body": "a"}), {}),
    "multiturn_chinese_vicuna": (*all_of({"input": ["q"], "output": ["a"]}), {}),
    "self_instruct_seed_tasks": (
        {"instruction": "i", "instances": [{"input": "x", "output": "o"}, {"input": "", "output": "p"}]},
        {"instruction": WHOLE, "instances": [{"input": WHOLE, "output": WHOLE}]},
        {},
    ),
    "sharegpt": (
        {"conversations": SAID, "system": "s"},
        {"conversations": [{"from": WHOLE, "value": WHOLE}], "system": WHOLE},
        {},
    ),
    "sharegpt in couples": (
        {"conversations": SAID, "system": "s"},
        {"conversations": [{"from": WHOLE, "value": WHOLE}]},
        {"turns": "separate"},
    ),
    "messages": ({"messages": CHAT, "system": "s"}, {"messages": [OF_MESSAGE], "system": WHOLE}, {}),
    "messages under other keys": (
        {"chat": [{"who": "user", "says": "q"}, {"who": "gpt", "says": "a"}]},
        {"chat": [{"who": WHOLE, "says": WHOLE}]},
        {"messages_keyword": "chat", "role_keyword": "who", "content_keyword": "says"},
    ),
    "open_llama": (
        {"prompt": "p", "completion": "c", "instruction": "i", "inputs": "x"},
        {"prompt": WHOLE, "completion": WHOLE},
        {},
    ),
    "open_llama of a chat": (
        {"conversations": SAID, "prompt": "p", "system": "s"},
        {"conversations": [{"from": WHOLE, "value": WHOLE}]},
        {},
    ),
    "alpaca as mindformers": (
        TASK | {"system": "s", "history": [["q", "a"]]},
        dict.fromkeys(TASK, WHOLE),
        {"compat": "mindformers"},
    ),
    "oig": (
        {"text": "t", "meta": {"source": "a"}, "metadata": {"source": "b"}},
        {"text": WHOLE, "meta": {"source": WHOLE}},
        {},
    ),
    "oig with both": (
        {"text": "t", "meta": {"source": "a"}, "metadata": {"source": "b"}},
        {"text": WHOLE, "meta": {"source": WHOLE}, "metadata": {"source": WHOLE}},
        {"source_key": "both"},
    ),
    "oasst1": (*all_of(NODE | {"message_id": "1", "parent_id": None, "rank": 0, "deleted": False}), {}),
    "bloomchat": (*all_of({"instruction": "i", "context": "c", "response": "r"}), {}),
    "oasst1_trees": ({"prompt": TREE}, {"prompt": OF_NODE | {"replies": [OF_NODE | {"replies": WHOLE}]}}, {}),
    "preference": (
        {"prompt": "p", "chosen": "b", "rejected": CHAT[1:], "input": "x", "completion": "c", "history": []},
        {"prompt": WHOLE, "chosen": WHOLE, "rejected": [OF_MESSAGE]},
        {},
    ),
    "preference with labels": (
        {"instruction": "p", "input": "x", "completion": "c", "label": True, "chosen": {"role": "gpt", "content": "a"}},
        dict.fromkeys(("instruction", "input", "completion", "label"), WHOLE),
        {"judgement": "labelled"},
    ),
    "moss": (
        {"chat": {"turn_1": {"Human": "q", "MOSS": "a"}, "turn_2": {"Human": "r", "MOSS": "b"}}},
        {"chat": [{"Human": WHOLE, "MOSS": WHOLE}]},
        {},
    ),
}


# Objects whose keys are numbers of turns, or names that are counted.
CLOSED = ("chat", "emojis")


def with_others(value: Any, rng: random.Random, keys: list[str], *, is_closed: bool = False) -> str:
    """JSON of a record with other keys in its objects, some of them twice; of those of its own the last ones count."""
    if isinstance(value, list):
        return f"[{', '.join(with_others(item, rng, keys) for item in value)}]"
    if not isinstance(value, dict):
        return json.dumps(value)
    members = [(json.dumps(key), with_others(item, rng, keys, is_closed=key in CLOSED)) for key, item in value.items()]
    if not is_closed:
        members += [(f'"{rng.choice(keys)}"', rng.choice(VALUES)) for _ in range(rng.randrange(4))]
        rng.shuffle(members)
    return f"{{{', '.join(f'{key}: {item}' for key, item in members)}}}"


def flat(node: dict) -> list[dict]:
    """A message of a tree and all below it."""
    return [node, *(below for reply in node.get("replies", []) for below in flat(reply))]


def for_reference(name: str, record: str) -> str:
    """A record in which the objects of a list are all whose keys have one name."""
    value = json.loads(record)
    if name == "oasst1_trees":
        root, *replies = flat(value["prompt"])
        value["prompt"] = root | {"replies": [reply | {"replies": []} for reply in replies]}
    if name == "moss":
        value["chat"] = list(value["chat"].values())
    return json.dumps(value)


def write_parts(folder, records: list[str]) -> list[str]:
    """Four files, so that several threads have something to do."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for part in range(4):
        path = folder / f"part-{part}.jsonl"
        path.write_text("".join(f"{record}\n" for record in records[part::4]), "utf-8")
        paths.append(str(path))
    return paths


def in_order(records: list[str]) -> list[str]:
    return [record for part in range(4) for record in records[part::4]]


def lines_of(*records) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.mark.parametrize("name", SOURCES)
def test_prepare_counts_what_a_source_does_not_read(name, tmp_path):
    record, read, options = SOURCES[name]
    rng = random.Random(name)
    records = [with_others(record, rng, KEYS) for _ in range(60)]
    if name == "moss":
        # Its turns are read as a whole.
        records = [text.replace("NaN", "1") for text in records]
    if name == "oasst1":
        records = [text.replace('"message_id": "1"', f'"message_id": "{at}"') for at, text in enumerate(records)]
    paths = write_parts(tmp_path / "in", records)
    reports = [
        bloomdata.prepare(name.split()[0], paths, tmp_path / f"out-{threads}", num_threads=threads, **options)
        for threads in (1, 4)
    ]
    expected = unread_keys([for_reference(name, record) for record in in_order(records)], read)
    assert expected
    assert reports[0].ledger["documents_kept"] == 60
    assert [report.unread_keys for report in reports] == [expected, expected]
    assert list(reports[0].ledger["unread_keys"]) == sorted(expected)


FIELDS = {
    "one field": ({"text_field": "text"}, {"text": WHOLE}),
    "a nested field": ({"text_field": "data.text"}, {"data": {"text": WHOLE}}),
    "several fields": (
        {"text_field": ["text", "data.text", "data.more.text"], "format": "megatron", "sequence_length": None},
        {"text": WHOLE, "data": {"text": WHOLE, "more": {"text": WHOLE}}},
    ),
    "pairs": ({"record": "prompt_completion"}, {"prompt": WHOLE, "completion": WHOLE}),
    "pairs with categories": (
        {"record": "prompt_completion", "categories": ["a"]},
        {"prompt": WHOLE, "completion": WHOLE, "category": WHOLE},
    ),
}


@pytest.mark.parametrize("name", FIELDS)
@settings(max_examples=4)
@given(seed=st.integers(0, 1 << 30))
def test_pack_counts_what_no_field_is(name, seed, tmp_path_factory):
    options, read = FIELDS[name]
    rng, folder = random.Random(seed), tmp_path_factory.mktemp("fields")
    inside = {"text": "u", "more": {"text": "v"}}
    plain = {"text": "t", "data": inside, "prompt": "p", "completion": "c", "category": "a"}
    records = [with_others(plain, rng, KEYS) for _ in range(40)]
    if name.startswith("pairs"):
        records += [f"[{with_others(plain, rng, KEYS)}, {with_others(plain, rng, KEYS)}]" for _ in range(20)]
    paths = write_parts(folder / "in", records)
    expected = unread_keys(in_order(records), read)
    for threads in (1, 4):
        how = {"sequence_length": 64, "num_threads": threads} | options
        assert pack(paths, folder / f"out-{threads}", **how).unread_keys == expected


TEMPLATES = {
    "chatml": set(),
    "{% for m in messages %}{{ m.role }}:{{ m['content'] }}{{ m.name }}\n{% endfor %}": {"messages[].name"},
    "{{ documents }}{% for m in messages %}{{ m.role }}:{{ m.content }}\n{% endfor %}": {"documents"},
    # Every key of a message, whatever its name.
    "{% for m in messages %}{{ m.role }}:{{ m.content }}{% for k in m if k not in ['role', 'content'] %}{{ m[k] }}"
    "{% endfor %}\n{% endfor %}": {"messages[].name", "messages[].url"},
}


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_reads_the_keys_that_it_looks_for(template, tmp_path):
    rng = random.Random(template)
    chat = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    records = [
        with_others({"messages": chat, "documents": ["d"]}, rng, ["name", "url", "\\u0075rl"]) for _ in range(60)
    ]
    # A message that Python's `json` alone could write is a bad record.
    records = [record for record in records if "NaN" not in record]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f"{record}\n" for record in records), "utf-8")
    report = pack(path, tmp_path / "out", template=template, sequence_length=256)
    read = {"messages": [{"role": WHOLE, "content": WHOLE}]}
    expected = {key: n for key, n in unread_keys(records, read).items() if key not in TEMPLATES[template]}
    assert report.unread_keys == expected
    assert expected
    # What may be lost without a word is not counted either.
    report = pack(
        path, tmp_path / "ignoring", template=template, sequence_length=256, ignore_fields=["name", "documents"]
    )
    assert report.unread_keys == {key: n for key, n in expected.items() if not key.endswith(("name", "documents"))}


RUNS = {
    "greedy": (
        bloomdata.pack,
        {"tokenizer": "bytes", "sequence_length": 16, "packing": "greedy::drop", "rows_per_file": 20},
    ),
    "best fit": (
        bloomdata.pack,
        {
            "tokenizer": "bytes",
            "sequence_length": 16,
            "packing": "best_fit::drop",
            "rows_per_file": 20,
            "window_tokens": 200,
        },
    ),
    "megatron": (bloomdata.pack, {"tokenizer": "bytes", "format": "megatron", "checkpoint_seconds": 0}),
    "prepare": (lambda *arguments, **options: bloomdata.prepare("pile", *arguments, **options), {"max_lines": 20}),
    "head": (
        lambda *arguments, **options: bloomdata.prepare("pile", *arguments, **options),
        {"max_lines": 20, "max_rows_per_input": 70},
    ),
}


@pytest.mark.parametrize("name", RUNS)
def test_counts_are_those_of_kept_records_however_often_a_run_is_stopped(name, tmp_path):
    verb, options = RUNS[name]
    rng = random.Random(name)
    paths, kept = [], []
    for part in range(3):
        lines = []
        for at in range(120):
            # More keys than are counted by name, and longer texts than a row.
            record = {"text": "x" * rng.randrange(1, 24), "url": "u", **{f"{part}-{at}-{n}": "k" for n in range(4)}}
            text = "{" if at % 30 == 29 else json.dumps(record)
            lines.append(f"{text}\n")
            is_whole = "sequence_length" not in options or len(record["text"]) < 16
            if text != "{" and is_whole and at < options.get("max_rows_per_input", 120):
                kept.append(text)
        path = tmp_path / f"{part}.jsonl"
        path.write_text("".join(lines))
        paths.append(str(path))
    options = options | {"on_bad_record": "quarantine"}
    whole = verb(paths, tmp_path / "whole", num_threads=1, **options)
    for most in (2, 4):
        with pytest.raises(CorruptDataError, match="max_bad"):
            verb(paths, tmp_path / "parts", num_threads=4, max_bad=most, **options)
    parts = verb(paths, tmp_path / "parts", num_threads=4, **options)
    assert parts.was_resumed
    assert (tmp_path / "parts/manifest.json").read_bytes() == (tmp_path / "whole/manifest.json").read_bytes()
    found = whole.unread_keys
    assert found["url"] == len(kept)
    if "sequence_length" in options:
        # A document is dropped after its keys got their places.
        assert len(found) <= MAX_KEYS + 1
        assert sum(found.values()) <= 5 * len(kept)
    else:
        assert found == unread_keys(kept, {"text": WHOLE})
    if name != "head":
        assert found[OTHER_KEYS] > 0


def test_dictionaries_from_python_are_counted_as_records_of_files(tmp_path):
    rows = [{"text": "a", "url": "u"}, {"text": "b", "url": ""}, {"text": "c", "more": {"x": 1}}]
    assert pack(rows, tmp_path / "out", sequence_length=64).unread_keys == {"more": 1, "url": 1}


def test_folders_that_are_put_together_have_the_sum_of_their_counts(tmp_path):
    folders = []
    for number, record in enumerate([{"text": "a", "url": "u", "id": "1"}, {"text": "b", "url": "v"}, {"text": "c"}]):
        (tmp_path / f"{number}.jsonl").write_text(lines_of(record))
        folders.append(str(tmp_path / f"out-{number}"))
        pack(tmp_path / f"{number}.jsonl", folders[-1], format="megatron")
    assert bloomdata.merge(folders, tmp_path / "merged").unread_keys == {"id": 1, "url": 2}


def test_gdp_counts_over_all_of_its_files(tmp_path):
    records = [{"prompt": "p", "completion": "c", "url": "u"} | ({"note": "n"} if at == 11 else {}) for at in range(40)]
    files = [("a.jsonl", lines_of(*records).encode())]
    report = run_pipeline(Run(files, (3, 1, 0), {"sequence_length": 8, "packing": "full"}), tmp_path)
    assert report.unread_keys == {"note": 1, "url": 40}


def test_nothing_is_said_where_everything_is_read(tmp_path):
    (tmp_path / "a.jsonl").write_text(lines_of({"text": "a", "n": 1, "url": None, "tags": []}))
    for report in (
        pack(tmp_path / "a.jsonl", tmp_path / "packed", sequence_length=64),
        bloomdata.shard(tmp_path / "a.jsonl", tmp_path / "shards"),
    ):
        assert report.unread_keys == {}
        assert "unread_keys" not in report.ledger
        assert "nothing read" not in str(report)


def test_the_report_says_which_keys_and_leaves_out_those_that_are_named(tmp_path, capsys):
    names = ["url", "title", "a\nb", "k" * 50, "x1", "x2", "x3"]
    records = [{"text": "a", **dict.fromkeys(names[:count], "v")} for count in range(1, 8)]
    (tmp_path / "a.jsonl").write_text(lines_of(*records))
    report = pack(tmp_path / "a.jsonl", tmp_path / "out", sequence_length=64)
    line = f'url in 7 records, title in 6, "a\\nb" in 5, {"k" * 37}... in 4, x1 in 3, and 2 more'
    assert f"  keys that nothing read: {line}" in str(report)
    report.save_html(tmp_path / "page.html")
    assert "Keys that nothing read" in (tmp_path / "page.html").read_text("utf-8")
    # Nothing but the report changes: the folder is found finished.
    again = pack(tmp_path / "a.jsonl", tmp_path / "out", sequence_length=64, ignore_keys=["url", "x1"])
    assert again.was_finished
    assert again.manifest == report.manifest
    assert again.unread_keys == {key: count for key, count in report.unread_keys.items() if key not in {"url", "x1"}}
    arguments = ["pack", str(tmp_path / "a.jsonl"), "-o", str(tmp_path / "out"), "--tokenizer", "bytes"]
    assert main([*arguments, "--sequence-length", "64", "--ignore-keys", "url", *names[1:]]) == 0
    assert "nothing read" not in capsys.readouterr().out
