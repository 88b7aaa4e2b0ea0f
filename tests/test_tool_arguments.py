"""Arguments of tool calls that are JSON in a text: told, or parsed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata

# Writes each argument by itself, which needs an object.
ITEMS = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% for call in m.tool_calls or [] %}"
    "{{ call.function.name }}({% for key, value in call.function.arguments|items %}{{ key }}={{ value }};{% endfor %})"
    "{% endfor %}<end>{% endfor %}"
)
# Writes it as JSON.
TOJSON = ITEMS.replace(
    "{% for key, value in call.function.arguments|items %}{{ key }}={{ value }};{% endfor %}",
    "{{ call.function.arguments | tojson }}",
)


def chat(arguments):
    call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": arguments}}
    return [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "5 C"},
        {"role": "assistant", "content": "cold"},
    ]


def write(path, *arguments):
    path.write_text("".join(json.dumps({"messages": chat(one)}) + "\n" for one in arguments))
    return path


def test_the_place_of_the_text_and_the_way_out_are_told(tmp_path):
    path = write(tmp_path / "a.jsonl", {"city": "Oslo"}, '{"city": "Oslo"}')
    told = (
        r"line 2: .*messages\[1\]\.tool_calls\[0\]\.function\.arguments is a text; the template wants an object "
        r'\(tool_arguments="parsed" parses it\)'
    )
    with pytest.raises(bloomdata.CorruptDataError, match=told):
        bloomdata.count(path, tokenizer="bytes", template=ITEMS)
    counts = bloomdata.count(path, tokenizer="bytes", template=ITEMS, tool_arguments="parsed", append_eos=True)
    assert counts.documents == 2
    same = bloomdata.count(write(path, *2 * [{"city": "Oslo"}]), tokenizer="bytes", template=ITEMS, append_eos=True)
    assert counts.tokens == same.tokens


def test_a_text_that_is_not_an_object_is_told(tmp_path):
    for text, told in [("[1]", "found a list in the text"), ("{'a': 1}", "its text is not JSON: single quotes")]:
        path = write(tmp_path / "a.jsonl", text)
        with pytest.raises(bloomdata.CorruptDataError, match=rf"messages\[1\]\.tool_calls\[0\].*{told}"):
            bloomdata.count(path, tokenizer="bytes", template=ITEMS, tool_arguments="parsed")


def test_the_option_is_one_of_two():
    with pytest.raises(bloomdata.ConfigError, match="tool_arguments"):
        bloomdata.ChatTemplate(ITEMS, tool_arguments="object")


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=5,
)


@given(st.dictionaries(st.text("zyxab", min_size=1, max_size=2), values, max_size=4), st.sampled_from([ITEMS, TOJSON]))
@settings(max_examples=60, deadline=None)
def test_parsed_texts_and_objects_render_the_same(arguments, source):
    given_, parsed = bloomdata.ChatTemplate(source), bloomdata.ChatTemplate(source, tool_arguments="parsed")
    expected = given_.render(chat(arguments))
    assert parsed.render(chat(json.dumps(arguments))) == expected
    assert parsed.render(chat(json.dumps(arguments, indent=1, ensure_ascii=False))) == expected
    assert parsed.render(chat(arguments)) == expected
