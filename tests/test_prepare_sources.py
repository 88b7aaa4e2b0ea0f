"""Every source's records against golden conversions and slow oracles; trees are in `test_prepare_trees`."""

import hashlib
import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bloomdata import _core
from bloomdata.errors import ConfigError
from bloomdata.prepare_sources import SOURCES
from reference import prepare_chats, prepare_record
from reference.prepare_open_llama import open_llama

GOLDEN = Path(__file__).parent / "golden" / "prepare"
CASES = [case for path in sorted(GOLDEN.glob("*.toml")) for case in tomllib.loads(path.read_text("utf-8"))["case"]]
WUDAO_TO_ANY = [
    "wudao",
    "pile",
    "self_instruct",
    "belle",
    "belle_multiturn",
    "sharegpt",
    "instruct_to_code",
    "xp3",
    "camel",
    "grade_school_math",
    "open_llama",
]
CHATS = [
    "dolly",
    "alpaca",
    "gpteacher",
    "general_instruction",
    "self_instruct_seed_tasks",
    "prompt_completion",
    "messages",
    "oig",
]
OPTIONS = {
    "belle_multiturn": [{}, {"turns": "separate"}],
    "sharegpt": [{}, {"turns": "separate"}],
    "open_llama": [{}, {"turns": "joined"}, {"turns": "separate"}],
    "alpaca": [{}, {"prompt": "stanford"}, {"compat": "mindformers"}],
    "gpteacher": [{}, {"prompt": "stanford"}],
    "messages": [
        *({"consecutive": rule} for rule in ("keep", "last", "join", "refuse")),
        {"messages_keyword": "conversations", "role_keyword": "from", "content_keyword": "value"},
    ],
    "oig": [{}, {"parse": True}, {"source_key": "both", "drop_sources": ["a", "Human:"]}],
}
KEYS = [
    "title",
    "content",
    "text",
    "prompt",
    "completion",
    "instruction",
    "output",
    "answer",
    "input",
    "response",
    "context",
    "conversations",
    "inputs",
    "targets",
    "message_1",
    "message_2",
    "INSTRUCTION",
    "RESPONSE",
    "messages",
    "meta",
    "metadata",
    "instances",
]
# Whatever the rules look for, next to each other: seams are where they go wrong.
PIECES = ["Human:", "Assistant:", "Output:", "\\n", "\n", " ", "\u2028", "\x1c", "a", "<human>:", "<bot>: ", "é😀", '"']
texts = st.lists(st.sampled_from(PIECES), max_size=7).map("".join)
oddities = st.sampled_from([None, 1, True, [], {}, ["x"], "\ud800"])
roles = st.sampled_from(
    ["human", "gpt", "user", "assistant", "human", "gpt", "system", "tool", "human", "gpt", "bing", " Human", "GPT"]
)


def an_object(**fields):
    return st.fixed_dictionaries(fields)


def mostly(strategy, *, odd):
    """Where `odd`, one value in eight is something else."""
    return st.one_of(*[strategy] * 7, oddities) if odd else strategy


def values_of(key, *, odd):
    names = st.one_of(roles, st.just("nobody")) if odd else roles
    message = an_object(**{"from": names, "value": texts, "role": names, "content": texts})
    instance = an_object(input=texts, output=mostly(texts, odd=odd))
    known = {
        "conversations": st.lists(mostly(message, odd=odd), max_size=7),
        "messages": st.lists(mostly(message, odd=odd), max_size=7),
        "meta": an_object(source=st.sampled_from(["prosocial", "a", 1])),
        "metadata": an_object(source=st.sampled_from(["prosocial", "a", None])),
        "instances": st.lists(mostly(instance, odd=odd), max_size=3),
    }
    return mostly(known.get(key, texts), odd=odd)


# Keys that belong together.
FORMS = {
    "wudao": "title content",
    "pile": "text",
    "self_instruct": "prompt completion",
    "belle": "instruction output",
    "belle_multiturn": "instruction output",
    "sharegpt": "conversations",
    "instruct_to_code": "instruction answer",
    "xp3": "inputs targets",
    "camel": "message_1 message_2",
    "grade_school_math": "INSTRUCTION RESPONSE",
    "dolly": "instruction context response",
    "alpaca": "instruction input output",
    "gpteacher": "instruction input response",
    "general_instruction": "instruction input output",
    "self_instruct_seed_tasks": "instruction instances",
    "prompt_completion": "prompt completion",
    "messages": "messages conversations",
    "oig": "text meta metadata",
}


@st.composite
def records(draw, source):
    """A record as JSON: mostly of its source's form, else of another's, of none, or what is no record at all."""
    kind = draw(st.integers(0, 19))
    if kind == 0:
        return draw(st.sampled_from(["", "[]", "1", "null", "{", '{"text":NaN}', '{"text":"a"} x', "[1]", "[[]]"]))
    if kind == 1:
        return json.dumps(
            draw(st.one_of(values_of("messages", odd=False), st.lists(an_object(prompt=texts, completion=texts))))
        )
    form = FORMS.get(source) if kind < 15 else None
    keys = (form or draw(st.sampled_from(list(FORMS.values())))).split()
    if kind > 10:
        keys += draw(st.lists(st.sampled_from(KEYS), max_size=2))
    odd = kind % 3 == 0
    members = [(key, draw(values_of(key, odd=odd))) for key in keys]
    ascii_only = draw(st.booleans()) or "\\ud800" in json.dumps(members)
    # Written by hand: keys may occur twice.
    return "{" + ", ".join(f'"{key}": {json.dumps(value, ensure_ascii=ascii_only)}' for key, value in members) + "}"


def read(source, records, **options):
    return json.loads(_core.read_records(json.dumps({"source": source, **options}), records))


def without_details(outcomes):
    for outcome in outcomes:
        outcome.pop("detail", None)
    return outcomes


def rendered(document):
    """As BLOOMChat's scripts write it."""
    tags = {"user": "<human>", "assistant": "<bot>"}
    text = "".join(f"\n{tags[message['role']]}: {message['content']}" for message in document["messages"])
    return text.strip() if document["strip"] else text[1:]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['source']}: {case['name']}")
def test_golden_records_become_what_was_worked_out_by_hand(case):
    outcomes = read(case["source"], case["records"], **case.get("options", {}))
    for found, expected in zip(outcomes, case["outcomes"], strict=True):
        if "detail" not in expected:
            found.pop("detail", None)
        assert found == expected
    if "rendered" in case:
        documents = [document for outcome in outcomes for document in outcome.get("documents", [])]
        assert [rendered(document) for document in documents] == case["rendered"]


@pytest.mark.parametrize("source", WUDAO_TO_ANY)
@given(st.data())
def test_records_of_open_llama_equal_the_oracle(source, data):
    options = data.draw(st.sampled_from(OPTIONS.get(source, [{}])))
    drawn = data.draw(st.lists(records(source), min_size=1, max_size=8))
    expected = prepare_record.outcomes(lambda record: open_llama(source, record, options), drawn)
    assert without_details(read(source, drawn, **options)) == expected


@pytest.mark.parametrize("source", CHATS)
@given(st.data())
def test_records_of_chats_equal_the_oracle(source, data):
    options = data.draw(st.sampled_from(OPTIONS.get(source, [{}])))
    drawn = data.draw(st.lists(records(source), min_size=1, max_size=8))
    convert = getattr(prepare_chats, source)
    expected = prepare_record.outcomes(lambda record: convert(record, options), drawn)
    assert without_details(read(source, drawn, **options)) == expected


def test_the_templates_of_alpaca_have_the_published_checksums():
    """SYSTEMS.md 5.1."""
    fields = {"instruction": "{instruction}", "output": "{output}"}
    checksums = {
        "eb55583bc4efac4c3f59aefb860c15e6aea534cbee1309523ae8bb28cecd7440": {**fields, "input": "{input}"},
        "4c7ea19a4992a825c00e71fb101e1a3489a2ba3be9cc86fbe7a92b6441123f57": fields,
    }
    for checksum, record in checksums.items():
        [outcome] = read("alpaca", [json.dumps(record)], compat="mindformers")
        [document] = outcome["documents"]
        assert hashlib.sha256(document["text"].encode()).hexdigest() == checksum
        [outcome] = read("alpaca", [json.dumps(record)], prompt="stanford")
        [document] = outcome["documents"]
        joined = "".join(message["content"] for message in document["messages"])
        assert hashlib.sha256(joined.encode()).hexdigest() == checksum


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_in_the_table_is_known_to_the_core_with_its_default_options(source):
    assert SOURCES[source].name == source
    [outcome] = read(source, ["[1"], **SOURCES[source].options)
    assert outcome["bad"] == "malformed JSON"
    with pytest.raises(ConfigError):
        read(source, [], sauce=1)


@pytest.mark.parametrize("source", [name for name in SOURCES if name not in ("messages", "prompt_completion")])
def test_a_list_is_no_record_of_most_sources(source):
    [outcome] = read(source, ["[]"])
    assert outcome["bad"] == "not a JSON object"


def test_what_is_nested_a_million_deep_is_stepped_over_or_refused():
    deep = "[" * 1_000_000 + "]" * 1_000_000
    assert read("sharegpt", ['{"conversations":[' + deep + "]}"])[0]["detail"] == (
        "conversations[0] is not a JSON object"
    )
    assert read("messages", [deep])[0]["detail"] == "messages[0] is not a JSON object"
    nested = f'{{"chat":{{"turn_1":{{"Human":"a","MOSS":"b","Commands":{deep}}}}}}}'
    assert len(read("moss", [nested])[0]["documents"]) == 1
    nested = f'{{"message_id":"a","role":"prompter","text":"a","emojis":{{"+1":{deep}}}}}'
    assert read("oasst1", [nested])[0]["detail"] == 'emojis: field "+1" holds a list, not a whole number'


@pytest.mark.parametrize("source", ["pile", "oig"])
def test_a_record_of_many_megabytes_is_read_whole(source):
    text = "x\u2028\\" * (4 << 20)
    [outcome] = read(source, [json.dumps({"text": text}, ensure_ascii=False)])
    assert outcome["documents"][0]["text"].rstrip("\n") == text
