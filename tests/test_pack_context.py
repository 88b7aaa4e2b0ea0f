"""What a record says beside its messages: it is in the rendered text, or the record is refused."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bloomdata import _core
from bloomdata.cli import main
from chat_runs import tokens_and_types
from files import write
from message_runs import EACH, END, check, contents, line, packed, refusal, text_of, trained_of

CHAT = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
TOOL = {"type": "function", "function": {"name": "weather", "description": "d", "parameters": {"type": "object"}}}
CALL = {"function": {"name": "weather", "arguments": {"x": 1}}}


@st.composite
def records(draw):
    """Conversations with texts of systems and other things beside them, or in their messages."""
    roles = ["system"] * draw(st.integers(0, 1)) + ["user", "assistant"] * draw(st.integers(1, 2))
    chat = [{"role": role, "content": draw(contents)} for role in roles]
    for message in chat:
        if message["role"] == "assistant":
            message |= draw(st.sampled_from([{}, {}, {"weight": 0}, {"weight": 1}, {"reasoning_content": None}]))
            message |= draw(st.sampled_from([{}, {}, {}, {"reasoning_content": ""}, {"reasoning_content": "so"}]))
    record = {"messages": chat, "id": "x"}
    system = st.one_of(st.sampled_from([chat[0]["content"], "", None]), contents, st.sampled_from([1, ["s"]]))
    for key in draw(st.lists(st.sampled_from(["system", "system_prompt", "system_message"]), max_size=2, unique=True)):
        record[key] = draw(system)
    if draw(st.integers(0, 5)) == 0:
        record |= draw(
            st.sampled_from([{"tools": [TOOL]}, {"tools": []}, {"functions": [TOOL]}, {"history": [["a", "b"]]}])
        )
    return record


@settings(max_examples=150)
@given(st.lists(records(), min_size=1, max_size=4))
def test_what_stands_beside_messages_is_in_the_text_or_the_record_is_bad(drawn):
    check(drawn)


NAMED = EACH + "{{ m.name }}{{ m.content }}" + END


@pytest.mark.parametrize("more", [{}, {"name": "N"}], ids=["plain", "with a name"])
@pytest.mark.parametrize("template", ["chatml", NAMED], ids=["built in", "Jinja"])
def test_the_text_of_a_system_is_the_first_message(template, more, tmp_path):
    chat = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "BAD", "weight": 0, **more}]
    chat += [{"role": "user", "content": "q"}, {"role": "assistant", "content": "GOOD", **more}]
    [document] = packed([{"messages": chat, "system": "Be brief."}], tmp_path / "beside", template=template)[0]
    inside = [{"role": "system", "content": "Be brief."}, *chat]
    assert packed([{"messages": inside}], tmp_path / "inside", template=template)[0] == [document]
    assert "Be brief." in text_of(document)
    assert "GOOD" in trained_of(document)
    assert "BAD" not in trained_of(document)


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({"system": 1}, "system: expected a text"),
        ({"tools": [TOOL]}, "the template does not write tools: it would be lost (ignore_fields"),
        ({"tools": json.dumps([TOOL])}, "the template does not write tools: it would be lost"),
        ({"tools": "none"}, "tools: expected a list of descriptions of tools, found a string that holds none"),
        ({"functions": [TOOL]}, "functions beside the messages: it would be lost"),
        ({"history": [["a", "b"]]}, "history beside the messages: it would be lost"),
        (
            {"messages": [CHAT[0], CHAT[1] | {"reasoning_content": "so"}]},
            "message 1: the template does not write reasoning",
        ),
    ],
    ids=str,
)
def test_what_would_be_lost_is_named_and_may_be_ignored(record, told, tmp_path):
    record = {"messages": CHAT} | record
    assert refusal(record, tmp_path).startswith(told)
    if "ignore_fields" in told or "would be lost" in told or "does not write" in told:
        names = ["tools", "functions", "history", "reasoning_content"]
        [document] = packed([record], tmp_path / "x", ignore_fields=names)[0]
        assert trained_of(document) == "a<|im_end|>"
        path = write(tmp_path / "b.jsonl", line(record))
        command = ["pack", path, "-o", str(tmp_path / "cli"), "--tokenizer", "bytes", "--template", "chatml"]
        assert main([*command, "--format", "megatron", "-q", "--ignore-fields", *names]) == 0
        assert tokens_and_types(tmp_path / "cli") == [document]


def test_a_system_text_beside_another_one_is_refused(tmp_path):
    chat = [{"role": "system", "content": "one"}, *CHAT]
    told = refusal({"messages": chat, "system": "two"}, tmp_path)
    assert told.startswith("system: expected no other system text beside message 0")


@pytest.mark.parametrize("form", [list, json.dumps])
def test_tools_and_thoughts_reach_a_template_that_writes_them(form, tmp_path):
    template = "{% for t in tools or [] %}<{{ t.function.name }}>{% endfor %}" + EACH
    template += "{% if m.reasoning_content %}({{ m.reasoning_content }}){% endif %}{{ m.content }}" + END
    record = {"messages": [CHAT[0], CHAT[1] | {"reasoning_content": "so"}], "tools": form([TOOL])}
    [document] = packed([record], tmp_path, template=template)[0]
    assert text_of(document) == "<weather>[user]q[assistant](so)a</s>"


# --- sources of `prepare` --------------------------------------------------------------------------------------------


def read(source, record):
    [outcome] = json.loads(_core.read_records(json.dumps({"source": source}), [json.dumps(record)]))
    return outcome


@pytest.mark.parametrize("source", ["messages", "sharegpt"])
def test_sources_of_messages_keep_the_text_of_a_system_and_refuse_tools(source):
    messages, role, content = {"messages": ("messages", "role", "content")}.get(
        source, ("conversations", "from", "value")
    )
    record = {messages: [{role: message["role"], content: message["content"]} for message in CHAT]}
    [document] = read(source, record | {"system": "s", "tools": "[]"})["documents"]
    assert document["messages"] == [{"role": "system", "content": "s"}, *CHAT]
    assert 'field "tools" holds descriptions of tools' in read(source, record | {"tools": [TOOL]})["detail"]


@given(st.lists(st.tuples(contents, contents), max_size=3), st.one_of(st.none(), contents))
def test_alpaca_keeps_its_history_and_its_system(history, system):
    record = {"instruction": "i", "input": "x", "output": "o", "history": history, "system": system}
    [document] = read("alpaca", record)["documents"]
    expected = [("system", system)] if system else []
    expected += [turn for asked, said in history for turn in (("user", asked), ("assistant", said))]
    expected += [("user", "i\nx"), ("assistant", "o")]
    assert [(message["role"], message["content"]) for message in document["messages"]] == expected


def test_a_history_of_another_form_is_refused():
    record = {"instruction": "i", "output": "o", "history": [["a"]]}
    assert (
        read("alpaca", record)["detail"] == 'field "history" holds a list, not a list of pairs of question and answer'
    )
