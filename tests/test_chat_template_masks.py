"""Trained on is what the assistant says and the token that ends it, nothing else, or the conversation is refused."""

from __future__ import annotations

import functools
import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata.errors import ConfigError
from chats import FOLDER, OURS, SOURCES, VARIABLES, message, plain_chats, rich_chats, template_of, texts
from reference import chat_template as reference

template = functools.cache(template_of)

# What stands between the prompt and the answer, what ends it, and whether white space around messages is left out.
ANSWERS = {
    "human_bot": (" ", "", False),
    "user_system": ("", "</s>", False),
    "alpaca": ("", "</s>", False),
    "chatml": ("", "<|im_end|>", False),
    "llama2": ("", " </s>", True),
    "llama3": ("", "<|eot_id|>", True),
    "zephyr": ("", "</s>", False),
    "mistral": ("", "</s>", True),
    "default_system": ("", "<|im_end|>", False),
    "tools_and_date": ("", "<|eot_id|>", True),
    "alternating": ("", "</s>", True),
    "renamed_roles": ("", "<end_of_turn>", True),
}
ALWAYS = [*OURS, "default_system", "tools_and_date", "renamed_roles"]


def stripped(chat):
    return [one | {"content": one["content"].strip()} for one in chat]


def expected(name, chat):
    """The text and what is trained on, from marks around what the assistant says."""
    lead, end, _ = ANSWERS[name]
    text, spans = reference.places(SOURCES[name], chat, **VARIABLES)
    leads = [len(lead) if text[:start].endswith(lead) and start > len("<bot>: ") else 0 for start, _ in spans]
    spans = [(start - lead, stop + len(end)) for (start, stop), lead in zip(spans, leads, strict=True)]
    return text, [span for span in spans if span[0] < span[1]]


@pytest.mark.parametrize("name", ALWAYS)
@settings(max_examples=80, suppress_health_check=list(HealthCheck))
@given(chat=plain_chats())
def test_answers_and_the_tokens_that_end_them_are_trained_on(name, chat):
    chat = stripped(chat) if ANSWERS[name][2] else chat
    try:
        text, spans = expected(name, chat)
    except Exception:
        with pytest.raises(ConfigError):
            template(name).render_trained(chat)
        return
    if not spans:
        with pytest.raises(ConfigError, match="nothing in it is trained on"):
            template(name).render_trained(chat)
        return
    assert template(name).render_trained(chat) == (text, spans)


@pytest.mark.parametrize("name", ANSWERS)
@settings(max_examples=50, suppress_health_check=list(HealthCheck))
@given(chat=plain_chats())
def test_white_space_that_is_left_out_is_not_trained_on(name, chat):
    try:
        rendered = template(name).render_trained(chat)
    except ConfigError:
        return
    lead, end, strips = ANSWERS[name]
    contents = [one["content"].strip() if strips else one["content"] for one in chat if one["role"] == "assistant"]
    parts = [rendered.text[start:stop] for start, stop in rendered.trained]
    wanted = [part for part in (content + end for content in contents) if part or lead]
    leads = [lead] * len(wanted) if chat[0]["role"] != "assistant" else ["", *[lead] * (len(wanted) - 1)]
    assert parts == [part for part in map(str.__add__, leads, wanted) if part]


@pytest.mark.parametrize("name", [name for name in SOURCES if not name.startswith("generation_") or "chatml" in name])
@settings(max_examples=50, suppress_health_check=list(HealthCheck))
@given(chat=rich_chats(), which=st.sampled_from(["all", "last"]))
def test_no_word_of_others_is_ever_trained_on(name, chat, which):
    chat = [one | ({"content": "QQQ"} if one["role"] != "assistant" else {}) for one in chat]
    try:
        text, spans = template(name, train_on=which).render_trained(chat)
    except ConfigError:
        return
    if all(isinstance(one["content"], str) for one in chat):
        assert text == template(name).render(chat)
    assert spans == sorted(spans)
    for start, stop in spans:
        assert start < stop
        assert "QQQ" not in text[start:stop]


@pytest.mark.parametrize("name", [name for name in SOURCES if "generation" in name])
@settings(max_examples=50, suppress_health_check=list(HealthCheck))
@given(chat=st.one_of(plain_chats(), rich_chats()))
def test_generation_blocks_say_what_is_trained_on(name, chat):
    # What else a message may hold is refused, or decides what is trained on: `test_pack_messages`.
    chat = [{"role": one["role"], "content": one["content"]} for one in chat if isinstance(one["content"], str)]
    try:
        text, spans = reference.render_trained(SOURCES[name], chat, **VARIABLES)
    except Exception:
        return
    spans = [span for span in spans if span[0] < span[1]]
    if spans and sum(stop - start for start, stop in spans) < len(text):
        assert template(name).render_trained(chat) == (text, spans)
    else:
        with pytest.raises(ConfigError):
            template(name).render_trained(chat)


@settings(max_examples=80)
@given(question=texts, answer=texts)
def test_the_last_answer_is_the_last_of_all(question, answer):
    chat = [message("user", question), message("assistant", answer)] * 2
    for name in ("chatml", "llama3", "default_system", "generation_chatml"):
        every = template(name).render_trained(chat)
        assert template(name, train_on="last").render_trained(chat) == (every.text, every.trained[-1:])


TAGS = [
    "<bot>:",
    "\n<bot>: ",
    "<|im_end|>",
    "<|im_start|>assistant\n",
    "</s>",
    "assistant",
    "a",
    "",
    " ",
    "[/INST]",
    "<|eot_id|>",
]


@pytest.mark.parametrize("name", [*OURS, "default_system"])
@pytest.mark.parametrize("tag", TAGS)
def test_messages_that_look_like_the_template_change_nothing(name, tag):
    chat = [message("user", tag), message("assistant", tag), message("user", tag), message("assistant", tag)]
    chat = stripped(chat) if ANSWERS[name][2] else chat
    assert template(name).render_trained(chat) == expected(name, chat)


CHAT = [message("user", "Hi"), message("assistant", "Ho"), message("user", "Hi"), message("assistant", "Ho")]
EACH = "{% for m in messages %}"
REFUSED = {
    "nothing in it is trained on": (
        "{{ messages[0].content }}{% if false %}\n{% generation %}{% endgeneration %}{% endif %}",
        CHAT,
    ),
    "everything in it is trained on": (EACH + "{% generation %}{{ m.role }}{% endgeneration %}{% endfor %}", CHAT),
    "message 1 is not in the text": (EACH + "{{ m.role }}\n{% endfor %}", CHAT),
    "does not render as it does in the whole": (
        EACH + "{{ m.role }}:{% if loop.last %}!{% endif %}{{ m.content }}\n{% endfor %}",
        CHAT,
    ),
    "generation prompt for message 1 is not": (
        EACH + "{{ m.role }}:{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant>{% endif %}",
        CHAT,
    ),
    "content of other messages": (
        EACH
        + "{{ m.role }}:{{ m.content }}{% if loop.index0 %} to {{ messages[loop.index0 - 1].content }}{% endif %}\n{% endfor %}",  # noqa: E501
        CHAT,
    ),
    "its generation blocks are not one after the other": (
        EACH + "{% generation %}a{% generation %}{{ m.content }}{% endgeneration %}{% endgeneration %}b{% endfor %}",
        CHAT,
    ),
    "reserved": (EACH + "{{ m.role }}:{{ m.content }}\n{% endfor %}", [message("user", "\ufdd3" + "0\ufdd4"), CHAT[1]]),
    "more than 1024": (EACH + "{{ m.role }}:{{ m.content }}\n{% endfor %}", CHAT * 300),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_told_for_sure_is_refused(reason):
    source, chat = REFUSED[reason]
    with pytest.raises(ConfigError, match=reason):
        bloomdata.ChatTemplate(source).render_trained(chat)


def test_a_template_that_turns_messages_around_is_refused():
    source = "{% for m in messages | reverse %}{{ m.role }}:{{ m.content }}</s>\n{% endfor %}"
    with pytest.raises(ConfigError):
        bloomdata.ChatTemplate(source, variables=VARIABLES).render_trained(CHAT)


def test_roles_with_line_ends_are_roles_of_their_own():
    plain = bloomdata.ChatTemplate("chatml")
    plain.render_trained(CHAT[:2])
    with pytest.raises(ConfigError, match="message 0 has the unknown role"):
        plain.render_trained([message("user\nassistant", "x")])


def test_roles_may_not_be_marks():
    with pytest.raises(ConfigError, match="unknown role"):
        bloomdata.ChatTemplate("chatml").render_trained([message("\ufdd3" + "9\ufdd4", "x"), CHAT[1]])


def test_thoughts_that_are_left_out_later_are_trained_on_in_the_last_answer_only():
    thinking = "<think>\nwell\n</think>\n\nHo"
    chat = [message("user", "Hi"), message("assistant", thinking)]
    one = template("thinking").render_trained(chat)
    assert [one.text[start:stop] for start, stop in one.trained] == [thinking + "<|im_end|>"]
    with pytest.raises(ConfigError, match="does not render as it does in the whole"):
        template("thinking").render_trained(chat * 2)
    last = template("thinking", train_on="last").render_trained(chat * 2)
    assert [last.text[start:stop] for start, stop in last.trained] == [thinking + "<|im_end|>"]


def test_calls_of_tools_are_trained_on_whole():
    call = {"id": "abc123def", "type": "function", "function": {"name": "f", "arguments": {"x": "<|im_end|>"}}}
    chat = [
        CHAT[0],
        message("assistant", "") | {"tool_calls": [call]},
        message("tool", "Hi"),
        message("assistant", "Ho"),
    ]
    for name, end in (("thinking", "<|im_end|>"), ("tools_and_date", "<|eom_id|>"), ("alternating", "</s>")):
        try:
            text, spans = template(name).render_trained(chat)
        except ConfigError as error:
            text, spans = template(name, train_on="last").render_trained(chat)
            assert re.search("does not render|in front of", str(error))  # noqa: PT017 - any of them may hold
            continue
        first = text[slice(*spans[0])]
        assert '"f"' in first
        assert first.endswith(end)
        assert text[slice(*spans[1])].startswith("Ho")


def test_a_final_token_is_not_trained_on_when_the_tokenizer_says_what_ends_answers(tmp_path):
    from small_tokenizers import added_token, byte_level_bpe

    definition = byte_level_bpe()
    size = len(definition["model"]["vocab"])
    definition["added_tokens"] = [
        added_token(size, "<|end|>", special=True),
        added_token(size + 1, "</s>", special=True),
    ]
    definition["model"]["vocab"] |= {"<|end|>": size, "</s>": size + 1}
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(definition))
    chats = bloomdata.ChatTemplate(FOLDER / "final_token.jinja", tokenizer=path, variables=VARIABLES)
    text, spans = chats.render_trained(CHAT)
    assert [text[start:stop] for start, stop in spans] == ["Ho<|end|>", "Ho<|end|>"]
    ids, trained = chats.encode(CHAT)
    kept = [token for token, is_trained in zip(ids, trained, strict=True) if is_trained]
    assert bloomdata.Tokenizer(path).decode(kept) == "Ho<|end|>Ho<|end|>"
