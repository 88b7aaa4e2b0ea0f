"""Whole conversions of other projects, from small files written by hand to the bytes that their scripts write."""

import json
from collections import Counter

import pytest

import bloomdata
from files import write
from packing import rows_in
from reference.prepare_chats import WITH_INPUT, WITHOUT_INPUT
from sharding import contents_of
from small_tokenizers import added_token, both, byte_level_bpe
from test_prepare_bad import lines_in


def jsonl(path, records):
    return write(path, b"".join(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in records))


def said(name, parent, role, text, **emojis):
    marks = {
        "name": [mark for mark, _ in emojis.get("marks", [])],
        "count": [count for _, count in emojis.get("marks", [])],
    }
    return {
        "message_id": name,
        "parent_id": parent,
        "created_date": "2023-02-05",
        "text": text,
        "role": role,
        "lang": "en",
        "deleted": False,
        "rank": 0,
        "emojis": marks if emojis else None,
        "tree_state": "ready_for_export",
    }


OASST1 = [
    said("r1", None, "prompter", " What is Rust? "),
    said("r2", None, "prompter", 'Schön, "nicht"?\n'),
    # Equal scores: the first reply in the order of the data; no emojis count 0.
    said("a1", "r1", "assistant", "Iron oxide.", marks=[("+1", 1), ("-1", 1)]),
    said("a2", "r1", "assistant", "A language.\n"),
    # A negative score loses against none.
    said("a3", "r2", "assistant", "Nein.", marks=[("-1", 2)]),
    said("a4", "r2", "assistant", "Ja 😀\x7f", marks=[("red_flag", 9)]),
    said("p1", "a1", "prompter", "No, the other."),
    said("r3", None, "prompter", "Anyone?"),
]
DOLLY = [
    {"instruction": "Add", "context": "", "response": " 3 ", "category": "open_qa"},
    {"instruction": "Sum up\u2028", "context": "A text.", "response": "", "category": "summarization"},
]
# What `prepare_oa_dolly.py` writes of them (SYSTEMS.md 1.1), character by character.
BLOOMCHAT = rb"""{"prompt": "", "completion": "<human>:  What is Rust? \n<bot>: Iron oxide.\n<human>: No, the other."}
{"prompt": "", "completion": "<human>: Sch\u00f6n, \"nicht\"?\n\n<bot>: Ja \ud83d\ude00\u007f"}
{"prompt": "", "completion": "<human>: Anyone?"}
{"prompt": "", "completion": "<human>: Add\n<bot>:  3 "}
{"prompt": "", "completion": "<human>: Sum up\u2028\nA text.\n<bot>: "}
"""


def test_oasst1_and_dolly_become_what_bloomchat_trained_on_byte_for_byte(tmp_path):
    """BC-01 to BC-04."""
    inputs = [jsonl(tmp_path / "oasst1.jsonl", OASST1), jsonl(tmp_path / "dolly.jsonl", DOLLY)]
    output = tmp_path / "oasst1_dolly.jsonl"
    report = bloomdata.prepare("bloomchat", inputs, output, style="completion", ensure_ascii=True)
    assert output.read_bytes() == BLOOMCHAT
    assert report.ledger["documents_kept"] == len(OASST1) - 2 + len(DOLLY)
    assert report.ledger["documents_dropped"] == {"not on the best path": 2}
    # One after the other it is the same.
    for source, path in zip(("oasst1", "dolly"), inputs, strict=True):
        bloomdata.prepare(source, path, tmp_path / f"{source}.out.jsonl", style="completion", ensure_ascii=True)
    parts = [(tmp_path / f"{source}.out.jsonl").read_bytes() for source in ("oasst1", "dolly")]
    assert b"".join(parts) == BLOOMCHAT


def test_subsets_of_oig_become_what_bloomchat_trained_on_but_for_the_order(tmp_path):
    """BC-05 to BC-08: 1.2 of SYSTEMS.md; its shuffle has no seed."""

    def row(text, source=None, key="meta"):
        return {"text": text} | ({} if source is None else {key: {"source": source}})

    subset = [
        row(" <human>: a\n<bot>: b \n\n", "x"),
        row("prosocial", "prosocial"),
        row("kept: the key is another", "prosocial", "metadata"),
        row("é"),
        row("beyond the limit"),
    ]
    basic = [row("basic 1 "), row("basic 2", "prosocial"), row("basic 3")]
    inputs = [
        jsonl(tmp_path / "unified_chip2.jsonl", subset),
        str(tmp_path / "unified_unatural_instructions.jsonl"),
        jsonl(tmp_path / "unified_basic.jsonl", basic),
    ]
    report = bloomdata.prepare(
        *("oig", inputs, tmp_path / "oig"),
        style="completion",
        ensure_ascii=True,
        max_rows_per_input=4,
        repeat={"unified_basic.jsonl": 1001},
        missing="report",
        shuffle=True,
    )
    [content] = contents_of(report.folder).values()
    found = Counter(content.splitlines())
    expected = dict.fromkeys(("<human>: a\n<bot>: b\n", "kept: the key is another\n", "é\n"), 1)
    expected |= {"basic 1\n": 1001, "basic 3\n": 1001}
    assert found == {json.dumps({"prompt": "", "completion": text}).encode(): n for text, n in expected.items()}
    first = [json.loads(line)["completion"] for line in content.splitlines()[:200]]
    assert {"basic 1\n", "basic 3\n"} <= set(first), "copies are shuffled like all other lines"
    assert report.manifest["config"]["prepare"]["missing_inputs"] == inputs[1:2]


OPEN_LLAMA = [
    {"prompt": " Add 1 Output:", "completion": " 2 "},
    {"instruction": "a\\nb ", "input": "ignored", "output": "c"},
    {"instruction": "Human:one\nAssistant: two\nHuman: three\nAssistant:", "output": " four"},
    {"instruction": "x", "answer": "y"},
    {"conversations": [{"from": "human" if text in "135" else "gpt", "value": text} for text in "012345"]},
    {"inputs": "i ", "targets": " t"},
    {"message_1": "m", "message_2": "n"},
    {"INSTRUCTION": "I", "RESPONSE": "R"},
]  # fmt: skip


@pytest.mark.parametrize("turns", ["joined", "separate"], ids=["v1", "v2"])
def test_instructions_become_the_turns_of_open_llama(turns, tmp_path):
    """OL-06 to OL-12. v1 keeps the turns of a conversation together, v2 makes each a text of its own."""
    path = jsonl(tmp_path / "a.jsonl", OPEN_LLAMA)
    report = bloomdata.prepare("open_llama", path, tmp_path / "out", style="messages", turns=turns)
    found = [[message["content"] for message in line["messages"]] for line in lines_in(report.folder)]
    multiturn, sharegpt = [["one", "two"], ["three", "four"]], [["1", "2"], ["3", "4"]]
    if turns == "joined":
        multiturn, sharegpt = [[*multiturn[0], *multiturn[1]]], [[*sharegpt[0], *sharegpt[1]]]
    assert found == [
        *[["Add 1", "2"], ["ab ", "c"], *multiturn, ["x", "y"]],
        *[*sharegpt, ["i", "t"], ["m", "n"], ["I", "R"]],
    ]


def test_turns_of_open_llama_are_rendered_as_its_code_does(tmp_path):
    """No space behind the colons; each text is one turn. The end token is `pack`'s."""
    path = jsonl(tmp_path / "a.jsonl", OPEN_LLAMA[:1] + OPEN_LLAMA[4:5])
    how = {"turns": "separate", "style": "text", "template": "user_system", "template_variables": {"eos_token": ""}}
    report = bloomdata.prepare("open_llama", path, tmp_path / "out", **how)
    assert [line["text"] for line in lines_in(report.folder)] == [
        "user:Add 1\nsystem:2",
        "user:1\nsystem:2",
        "user:3\nsystem:4",
    ]


def test_alpaca_becomes_the_records_of_mindformers(tmp_path):
    """MF-01 to MF-03: cut at 2049 ids, else an end token and more of them as padding."""
    length = 2049
    fixed = len((WITH_INPUT.format(instruction="i", input="") + "").encode())
    records = [
        {"instruction": "Größe", "input": "in", "output": " out "},
        {"instruction": "i", "input": "", "output": "the form is chosen by the key"},
        {"instruction": "i", "output": "no key"},
        # One id less than a record, as many, and one more.
        *({"instruction": "i", "input": "", "output": "x" * (length - fixed + more)} for more in (-1, 0, 1)),
        {"instruction": "i", "input": "", "output": "y" * 5000},
        {"instruction": "beyond N", "input": "", "output": ""},
    ]
    path = write(tmp_path / "alpaca.json", json.dumps(records).encode())
    made = bloomdata.prepare("alpaca", path, tmp_path / "texts", compat="mindformers", max_rows_per_input=7)
    special = added_token(256, "</s>", special=True)
    theirs, ours = both(byte_level_bpe(added_tokens=[special]), tmp_path)
    how = {"packing": "single::truncate_right", "sequence_length": length, "pad_token": "</s>"}
    report = bloomdata.pack(made.folder, tmp_path / "packed", tokenizer=ours.path, **how)
    eos, expected = 256, []
    for record in records[:7]:
        fields = {name: record[name] for name in ("instruction", "input") if name in record}
        template = WITH_INPUT if "input" in record else WITHOUT_INPUT
        ids = theirs.encode(template.format(**fields) + record["output"]).ids[:length]
        expected.append(ids + [eos] * (length - len(ids)))
    assert rows_in(report.folder)[0].tolist() == expected
    assert [row[-1] == eos for row in expected] == [True, True, True, True, False, False, False]


def test_messages_become_prompts_and_completions_as_generative_data_prep_has_them(tmp_path):
    """GD-26."""
    chats = [
        [("user", "a"), ("assistant", "b")],
        [("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")],
    ]
    path = jsonl(
        tmp_path / "a.jsonl", [{"messages": [{"role": role, "content": text} for role, text in chat]} for chat in chats]
    )
    report = bloomdata.prepare("messages", path, tmp_path / "pairs", style="prompt_completion")
    assert lines_in(report.folder) == [
        {"prompt": "a", "completion": "b"},
        [{"prompt": "s\na", "completion": "b"}, {"prompt": "c", "completion": "d"}],
    ]
    twice = [("user", "lost"), ("user", "a"), ("assistant", "b")]
    path = jsonl(tmp_path / "b.jsonl", [{"messages": [{"role": role, "content": text} for role, text in twice]}])
    last = bloomdata.prepare("messages", path, tmp_path / "last", style="prompt_completion", consecutive="last")
    assert lines_in(last.folder) == [{"prompt": "a", "completion": "b"}]
    packed = bloomdata.pack(
        report.folder, tmp_path / "packed", tokenizer="bytes", record="prompt_completion", sequence_length=32
    )
    assert packed.ledger["documents_kept"] == 2
