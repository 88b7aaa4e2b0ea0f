"""Records of conversations in the forms of the wild: each becomes what a plain oracle says, or is refused."""

import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata.cli import main
from bloomdata.errors import ConfigError
from chat_runs import pack, tokens_and_types
from files import write
from message_runs import EACH, END, PLAIN, check, contents, line, packed, refusal, text_of, trained_of
from reference.chat_template import render

# --- messages without a content --------------------------------------------------------------------------------------


@st.composite
def keyed_chats(draw):
    """Conversations whose messages may lack a key, or have it under another name."""
    chat = []
    for at in range(draw(st.integers(1, 4))):
        message = {"role": ["user", "assistant"][at % 2], "content": draw(contents)}
        for key in ("role", "content"):
            if draw(st.integers(0, 7)) == 0:
                value = message.pop(key)
                message |= draw(st.sampled_from([{}, {"text": value}, {"value": value}, {"Content": value}]))
        chat.append(dict(draw(st.permutations(list(message.items())))))
    return {"messages": chat}


@settings(max_examples=40)
@given(st.lists(keyed_chats(), min_size=1, max_size=5))
def test_a_message_without_a_role_or_a_content_makes_its_record_a_bad_one(records):
    check(records)


@settings(max_examples=30)
@given(
    st.lists(keyed_chats(), min_size=1, max_size=5),
    st.permutations(["role", "content", "text", "value"]).map(lambda keys: keys[:2]),
)
def test_keys_of_messages_have_any_names(records, keys):
    named = dict(zip(("role_keyword", "content_keyword"), keys, strict=True))
    renamed = {"role": keys[0], "content": keys[1]}
    for record in records:
        record["messages"] = [
            {renamed.get(key, key): value for key, value in message.items()} for message in record["messages"]
        ]
    check(records, **named)


@pytest.mark.parametrize("template", ["human_bot", "{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}"])
@pytest.mark.parametrize("train_on", ["all", "last"])
def test_a_missing_content_is_named_by_its_message_and_the_keys_that_it_has(template, train_on, tmp_path):
    chat = [{"role": "user", "content": "q"}, {"who": "x", "role": "assistant", "text": "lost"}]
    told = refusal({"messages": chat}, tmp_path, template=template, train_on=train_on)
    assert told.startswith(
        'message 1 has no content: expected a text under the key "content" (content_keyword), '
        'found the keys "who", "role", "text"'
    )
    told = refusal({"messages": [{}]}, tmp_path, template=template)
    assert told.startswith(
        'message 0 has no role: expected a text under the key "role" (role_keyword), found the keys none'
    )


def test_a_template_gets_messages_under_its_own_names(tmp_path):
    template = "{% for m in messages %}[{{ m.role }}{{ m.name }}|{{ m['content'] }}|{{ m.value }}]{% endfor %}"
    chat = [{"from": "user", "value": "q", "name": "N"}, {"value": "a", "from": "assistant", "role": "x"}]
    keys = {"messages_keyword": "chat", "role_keyword": "from", "content_keyword": "value"}
    [(tokens, _)], _, _ = packed([{"chat": chat}], tmp_path, template=template, **keys)
    assert bytes(tokens[:-1]).decode() == "[userN|q|][assistant|a|]"[: len(tokens) - 1]


def test_keys_of_messages_are_options_of_the_command_line_and_of_count(tmp_path):
    path = write(tmp_path / "a.jsonl", line({"messages": [{"from": "user", "value": "q"}]}))
    write(tmp_path / "a.jsonl", line({"messages": [{"from": role, "value": "q"} for role in ("user", "assistant")]}))
    options = ["--tokenizer", "bytes", "--template", "chatml", "--role-keyword", "from", "--content-keyword", "value"]
    command = ["pack", path, "-o", str(tmp_path / "out"), "--format", "megatron", *options, "-q"]
    assert main(command) == 0
    [document] = tokens_and_types(tmp_path / "out")
    assert trained_of(document) == "q<|im_end|>"
    keys = {"role_keyword": "from", "content_keyword": "value"}
    counts = bloomdata.count(path, tokenizer="bytes", template="chatml", append_eos=True, **keys)
    assert counts.tokens == len(document[0])
    with pytest.raises(ConfigError, match='content_keyword: "from" is the key of the role'):
        pack(path, tmp_path / "x", template="chatml", format="megatron", role_keyword="from", content_keyword="from")


# --- contents that are no strings ------------------------------------------------------------------------------------

CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
part = st.fixed_dictionaries({"type": st.just("text"), "text": contents}, optional={"image": st.none()})
odd_parts = st.sampled_from(
    [{"type": "image"}, {"text": "a"}, {"type": "text"}, {"type": "text", "text": None}, "a", 1, []]
)
any_content = st.one_of(
    contents,
    st.lists(part, max_size=3),
    st.lists(part, max_size=3),
    st.lists(st.one_of(part, odd_parts), max_size=3),
    st.sampled_from([None, 1, 0.5, True, {}, {"type": "text", "text": "a"}]),
)


@settings(max_examples=80)
@given(st.lists(st.tuples(any_content, any_content, st.sampled_from([{}, {}, {"tool_calls": [CALL]}]))))
def test_contents_are_text_or_parts_of_text_or_their_record_is_bad(drawn):
    check(
        [
            {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": said, **more}]}
            for asked, said, more in drawn
        ]
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "message 1: content is null: expected a text, or calls of tools beside it"),
        ([], "message 1: content is an empty list: expected a text, or calls of tools beside it"),
        (7, "message 1: content: expected a text or a list of parts of text, found a number"),
        ({"a": 1}, "message 1: content: expected a text or a list of parts of text, found an object"),
        (
            [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": "x"}],
            'message 1: content[1]: expected a text or a list of parts of text, found a part of the type "image_url"',
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("calls", [None, []])
def test_a_content_that_is_no_text_is_named_by_its_place(content, told, calls, tmp_path):
    chat = [{"role": "user", "content": "q"}, {"role": "assistant", "content": content, "tool_calls": calls}]
    assert refusal({"messages": chat}, tmp_path).startswith(told)


PARTS = (
    EACH
    + "{% if m.content is string %}{{ m.content }}{% else %}"
    + "{% for p in m.content %}<{{ p.text }}>{% endfor %}{% endif %}"
    + END
)
TRIMS = EACH + "{{ m['content'] | trim }}" + END
ADDS = EACH + "{{ '' + m['content'] }}" + END
ASSISTANT_ONLY = (
    EACH
    + "{% if m.role == 'assistant' %}{{ m.content }}{% else %}"
    + "{% for p in m.content %}<{{ p.text }}>{% endfor %}{% endif %}"
    + END
)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (PARTS, "[user]<q1><q2>[assistant]<a1><a2></s>"),
        (PLAIN, "[user]q1q2[assistant]a1a2</s>"),
        (TRIMS, "[user]q1q2[assistant]a1a2</s>"),
        (ADDS, "[user]q1q2[assistant]a1a2</s>"),
        (ASSISTANT_ONLY, "[user]<q1><q2>[assistant]a1a2</s>"),
    ],
    ids=["parts", "plain", "trims", "adds", "parts of the user"],
)
def test_templates_that_read_parts_get_them_and_others_their_text(template, expected, tmp_path):
    def said(*texts):
        return [{"type": "text", "text": text} for text in texts]

    chat = [{"role": "user", "content": said("q1", "q2")}, {"role": "assistant", "content": said("a1", "a2")}]
    options = {"template_variables": {"eos_token": "</s>"}, "template": template}
    [document] = packed([{"messages": chat}], tmp_path, **options)[0]
    assert text_of(document) == expected


CALLS = "{% for c in m.tool_calls or [] %}({{ c.function.name }} {% set a = c.function.arguments %}"
CALLS += "{{ a if a is string else a | tojson }}){% endfor %}"
WRITES = {
    "null is nothing": EACH + "{{ m.content or '' }}" + CALLS + END,
    "null would be None": EACH + "{{ m.content }}" + CALLS + END,
    "null is asked for": EACH + "{% if m.content is none %}!{% else %}{{ m.content }}{% endif %}" + CALLS + END,
    "no null": EACH + "{{ '' + m.content }}" + CALLS + END,
}
ALL_BUT = {
    "no call": EACH + "{{ m.content or '' }}" + END,
    "the first call only": EACH
    + "{{ m.content or '' }}"
    + CALLS.replace("m.tool_calls or []", "(m.tool_calls or [])[:1]")
    + END,
    "names only": EACH
    + "{{ m.content or '' }}{% for c in m.tool_calls or [] %}{{ c.function.name }}{% endfor %}"
    + END,
}
arguments = st.one_of(
    st.sampled_from(['{"x": 1}', "{}", "None", ""]), st.dictionaries(st.sampled_from(["a", "None"]), st.integers(0, 9))
)
tool_calls = st.lists(
    st.fixed_dictionaries(
        {"function": st.fixed_dictionaries({"name": st.sampled_from(["f", "None", "é"]), "arguments": arguments})}
    ),
    min_size=1,
    max_size=3,
)


@pytest.mark.parametrize("name", WRITES)
@settings(max_examples=25)
@given(calls=tool_calls, content=st.sampled_from([None, "", "None", "said", "missing"]), tool=contents)
def test_null_beside_calls_is_an_empty_text_and_the_calls_are_in_the_rendered_one(name, calls, content, tool):
    call = {"role": "assistant", "content": content, "tool_calls": calls}
    if content == "missing":
        del call["content"]
    chat = [
        {"role": "user", "content": "q"},
        call,
        {"role": "tool", "content": tool},
        {"role": "assistant", "content": "a"},
    ]
    empty = [message | {"content": message.get("content") or ""} for message in chat]
    expected = render(WRITES[name], empty)
    if name == "null is asked for" and not content:
        expected = render(WRITES[name], [chat[0], call | {"content": content}, *chat[2:]])
    with tempfile.TemporaryDirectory() as folder:
        documents, reasons, _ = packed([{"messages": chat}], folder, template=WRITES[name])
    assert (reasons, list(map(text_of, documents))) == ([], [expected])


@pytest.mark.parametrize("name", [*ALL_BUT, "chatml", "llama3", "zephyr"])
@pytest.mark.parametrize("content", [None, "said"])
def test_calls_that_the_template_does_not_write_are_refused(name, content, tmp_path):
    calls = [CALL, {"function": {"name": "add", "arguments": {"x": 1}}}]
    chat = [{"role": "user", "content": "q"}, {"role": "assistant", "content": content, "tool_calls": calls}]
    options = {"template_variables": {"bos_token": "<s>", "eos_token": "</s>"}, "template": ALL_BUT.get(name, name)}
    lost = {"the first call only": 'tool_calls[1], which calls "add"', "names only": "the arguments of tool_calls[0]"}
    told = refusal({"messages": chat}, tmp_path, **options)
    lost = lost.get(name, 'tool_calls[0], which calls "weather"')
    assert told.startswith(f"message 1: the template does not write {lost}: it would be lost")


def test_a_call_without_a_name_is_refused(tmp_path):
    for at, (calls, told) in enumerate(
        [([{"id": 1}], "tool_calls[0]: expected a call with a name"), ("x", "tool_calls: expected a list, found")]
    ):
        chat = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "tool_calls": calls}]
        assert refusal({"messages": chat}, tmp_path / str(at)).startswith(f"message 1: {told}")
