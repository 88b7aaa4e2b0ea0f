"""Switches of messages and records (`weight`, `train`, `loss_mask`, ...): what is trained on is what they say."""

import json
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata.errors import CorruptDataError
from chat_runs import pack, tokens_and_types
from files import write
from message_runs import PLAIN, check, contents, line, packed, refusal, trained_of

SWITCHES = ["weight", "train", "training", "trainable", "loss", "loss_mask"]
on_or_off = st.sampled_from([0, 1, True, False, None, 0.0, 1.0, 0, 1])
odd_switch = st.sampled_from([0.5, 2, -1, "1", "false", {}])


@st.composite
def switched_records(draw):
    """Conversations with switches of one kind, now and then of two, or one that is not understood."""
    roles = ["system"] * draw(st.integers(0, 1)) + ["user", "assistant"] * draw(st.integers(1, 3))
    chat = [{"role": role, "content": draw(contents)} for role in roles]
    keys = draw(
        st.lists(st.sampled_from(SWITCHES), min_size=1, max_size=draw(st.sampled_from([1, 1, 1, 2])), unique=True)
    )
    value = st.one_of(on_or_off, on_or_off, on_or_off, on_or_off, odd_switch) if draw(st.booleans()) else on_or_off
    for message in chat:
        is_answer = message["role"] == "assistant"
        for key in keys:
            if draw(st.integers(0, 2)):
                message[key] = (
                    draw(value) if is_answer or draw(st.integers(0, 9)) == 0 else draw(st.sampled_from([0, None]))
                )
    record = {"messages": chat}
    kind = draw(st.integers(0, 5))
    if kind < 2:
        record[draw(st.sampled_from(SWITCHES))] = draw(value)
    elif kind == 2:
        mask = [draw(value) if role == "assistant" else 0 for role in roles]
        record[draw(st.sampled_from(SWITCHES))] = mask[: len(mask) - draw(st.sampled_from([0, 0, 0, 1]))]
    return record


@settings(max_examples=150)
@given(st.lists(switched_records(), min_size=1, max_size=4))
def test_switches_say_which_answers_are_trained_on_or_are_refused(records):
    check(records)


GENERATION = (
    "{% for m in messages %}[{{ m.role }}]{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}\n{% endfor %}"
)
LOCATED = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ m.x }}{% if not loop.last %}!{% endif %}\n{% endfor %}"
)


@pytest.mark.parametrize("template", ["chatml", GENERATION, PLAIN], ids=["built in", "generation", "Jinja"])
@pytest.mark.parametrize("more", [{}, {"name": "x"}], ids=["plain", "with a name"])
@settings(max_examples=20)
@given(
    states=st.lists(st.sampled_from([0, 1, None]), min_size=1, max_size=4), train_on=st.sampled_from(["all", "last"])
)
def test_every_kind_of_template_obeys_switches(template, more, states, train_on):
    chat = []
    for at, state in enumerate(states):
        chat += [
            {"role": "user", "content": f"q{at}"},
            {"role": "assistant", "content": f"<{at}>", "weight": state, **more},
        ]
    wanted = [at for at, state in enumerate(states) if state != 0]
    wanted = [at for at in wanted if train_on == "all" or at == len(states) - 1]
    with tempfile.TemporaryDirectory() as folder:
        documents, reasons, report = packed([{"messages": chat}], folder, template=template, train_on=train_on)
    if not wanted:
        assert (documents, reasons, report.ledger["documents_dropped"]) == ([], [], {"switched off": 1})
        return
    [document] = documents
    end = {"chatml": "<|im_end|>", PLAIN: "</s>"}.get(template, "")
    assert trained_of(document) == "".join(f"<{at}>{end}" for at in wanted)
    [entry] = report.manifest["inputs"]
    assert (entry["turns"], entry.get("turns_switched_off", 0)) == (len(states), states.count(0))
    assert ("switched off" in str(report)) == (0 in states)


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({"weight": 0.5}, "message 1: weight: expected 0 or 1, false or true, or null, found 0.5"),
        ({"train": "no"}, 'message 1: train: expected 0 or 1, false or true, or null, found "no"'),
        ({"train_detail": [{"begin_offset": 0}]}, "message 1: train_detail: expected null, found"),
        ({"weight": 1, "train": False}, "message 1: its switches contradict each other"),
    ],
    ids=str,
)
def test_a_switch_that_is_not_understood_is_named_by_its_message(record, told, tmp_path):
    chat = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", **record}]
    assert refusal({"messages": chat}, tmp_path).startswith(told)
    chat[1] = {"role": "assistant", "content": "a"}
    if "weight" in record and len(record) == 1:
        assert refusal({"messages": chat, **record}, tmp_path / "x").startswith("weight: expected 0 or 1")
    assert refusal({"messages": chat, "loss_mask": [1]}, tmp_path / "y").startswith("loss_mask: expected 2 values")
    told = refusal({"messages": chat, "loss_mask": [1, 1]}, tmp_path / "z")
    assert told.startswith("message 0 is switched on: expected a message of the assistant")


@pytest.mark.parametrize("source", ["messages", "sharegpt"])
def test_switches_survive_prepare_and_a_source_of_pack(source, tmp_path):
    keys = {"messages": ("messages", "role", "content"), "sharegpt": ("conversations", "from", "value")}
    messages, role, content = keys[source]
    chat = [("user", "q1", {}), ("assistant", "BAD", {"weight": 0}), ("user", "q2", {}), ("assistant", "GOOD", {})]
    chat = [{role: who, content: said, **more} for who, said, more in chat]
    path = write(tmp_path / "a.jsonl", line({messages: chat}))
    made = bloomdata.prepare(source, path, tmp_path / "made.jsonl")
    written = json.loads((tmp_path / "made.jsonl").read_text())["messages"]
    assert [message.get("weight") for message in written] == [None, 0, None, None]
    options = {"template": "chatml", "format": "megatron"}
    for name, inputs, more in [("two", str(tmp_path / "made.jsonl"), {}), ("one", path, {"source": source})]:
        [document] = tokens_and_types(pack(inputs, tmp_path / name, **options, **more).folder)
        assert trained_of(document) == "GOOD<|im_end|>"
    for style in ("text", "completion", "prompt_completion"):
        with pytest.raises(CorruptDataError, match='message 1 is not to be trained on: only the style "messages"'):
            bloomdata.prepare(source, path, tmp_path / style, style=style)
    assert made.ledger["documents_kept"] == 1
