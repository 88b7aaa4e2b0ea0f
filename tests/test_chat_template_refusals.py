"""Templates and conversations that are refused, in words that say where and why."""

from __future__ import annotations

import json
import re

import pytest

import bloomdata
from bloomdata.errors import ConfigError
from small_tokenizers import added_token, byte_level_bpe

CHAT = [{"role": "user", "content": "Hi"}]

BROKEN = {
    "an open block": ("a\n{% for m in messages %}\nb\n", "line 3: unexpected end of input"),
    "an open expression": ("a\n{{ messages", "line 2"),
    "an unknown tag": ("a\n\n{% zz %}", "line 3: unknown statement zz"),
    "an open generation block": ("a\n{% generation %}", "line 2: unexpected end of input"),
    "more brackets than there is room for": ("{{ " + "(" * 50_000 + "1" + ")" * 50_000 + " }}", "recursion limits"),
    "more blocks than there is room for": ("{% if 1 %}" * 10_000 + "{% endif %}" * 10_000, "recursion limits"),
    "a source without end": ("{{ 1 }}" * 50_000, "350000 bytes: more than"),
    "a jump out of a block": (
        "{% for m in messages %}\n{% with a = m %}{% break %}{% endwith %}{% endfor %}",
        "line 2: {% break %} inside of {% with %}",
    ),
    "adding to what is safe": ("{{ 'a' + messages[0].content | safe }}", "`safe`"),
}
FAILING = {
    "an unknown filter": ("a\n\n{{ 1 | zz }}", "line 3: filter zz is unknown"),
    "an unknown function": ("a\n{{ zz() }}", "line 2: zz is unknown"),
    "a loop without end": ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "fuel"),
    "a macro that calls itself": ("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "recursion limit"),
    "a text beyond memory": ("{{ 'a' * 10000000000 }}", "fuel"),
    "today's date": ("{{ strftime_now('%Y') }}", "template_date"),
    "what the template objects to": ("\n{{ raise_exception('no, thanks') }}", "line 2: no, thanks"),
}
TOO_LONG = {
    "replace": "{{ ('a' * 9000).replace('a', 'b' * 9000) }}",
    "replace of nothing": "{{ ('a' * 9000).replace('', 'b' * 9000) }}",
    "the filter replace": "{{ ('a' * 9000) | replace('a', 'b' * 9000) }}",
    "join": "{{ ('a' * 9000).join(range(9000) | map('string')) }}",
    "the filter join": "{{ range(9000) | join('a' * 9000) }}",
    "indent": "{{ ('a\\n' * 9000) | indent('b' * 9000) }}",
    "a width": "{{ '{:>99999999}'.format(1) }}",
    "the filter format": "{{ '%99999999d' | format(1) }}",
    "a width that is a value": "{{ '%*d' | format(99999999, 1) }}",
    "places for one text": "{{ ('{0}' * 9000).format('a' * 9000) }}",
    "JSON": "{{ [1, 2] | tojson(indent='a' * 40000000) }}",
}
GROWING = ["ns.t ~ ns.t", "ns.t + ns.t", "[ns.t, ns.t] | join", "ns.t.join([ns.t, 'a'])"]


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_template_is_refused_at_once(what):
    source, reason = BROKEN[what]
    with pytest.raises(ConfigError, match=re.escape(reason)):
        bloomdata.ChatTemplate(source)


@pytest.mark.parametrize("what", FAILING)
def test_a_template_that_fails_says_where(what):
    source, reason = FAILING[what]
    template = bloomdata.ChatTemplate(source)
    with pytest.raises(ConfigError, match=reason):
        template.render(CHAT)


@pytest.mark.parametrize("what", TOO_LONG)
def test_a_text_that_would_be_too_long_is_refused_before_it_is_made(what):
    with pytest.raises(ConfigError, match="line 1: a text of more than 67108864 bytes"):
        bloomdata.ChatTemplate(TOO_LONG[what]).render(CHAT)


def test_a_list_that_holds_itself_twice_again_and_again_is_no_text():
    held = "{% set l = [1] %}" + "{% set l = [l, l] %}" * 32
    with pytest.raises(ConfigError, match="a text of more than"):
        bloomdata.ChatTemplate(held + "{{ l | tojson }}").render(CHAT)


@pytest.mark.parametrize("grown", GROWING)
def test_a_text_that_is_doubled_again_and_again_is_refused(grown):
    source = "{% set ns = namespace(t='a') %}{% for i in range(99) %}{% set ns.t = " + grown + " %}{% endfor %}"
    with pytest.raises(ConfigError, match=r"line 1: (a text of more than|engine ran out of fuel)"):
        bloomdata.ChatTemplate(source).render(CHAT)


def test_a_long_chain_of_signs_does_not_end_the_program():
    assert bloomdata.ChatTemplate("{{ " + "not " * 60_000 + "1 }}").render(CHAT) == "True"


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize("template", ["chatml", "{% for m in messages %}{{ m }}{% endfor %}"])
@pytest.mark.parametrize(
    "record",
    [
        '{"messages": [{"role": "user", "content": "x", "more": ' + DEEP + "}]}",
        '{"messages": [{"role": "user", "content": ' + DEEP + "}]}",
        '{"messages": ' + DEEP + "}",
        '{"messages": [{"role": "assistant", "content": "x"}], "tools": ' + DEEP + "}",
    ],
)
def test_values_nested_without_end_do_not_end_the_program(template, record):
    core = bloomdata.ChatTemplate(template)._core
    for call in (lambda: core.render(record, False), lambda: core.render_trained(record)):
        try:
            call()
        except ConfigError as error:
            assert len(str(error)) < 500  # noqa: PT017 - it may be rendered, too


WRONG = {
    '{"messages": []}': "without messages",
    '{"messages": 1}': "expected a list of messages",
    '{"text": ""}': "messages",
    '{"messages": [1]}': "message 0: expected an object",
    '{"messages": [{"content": ""}]}': "message 0 has no role",
    '{"messages": [{"role": 1, "content": ""}]}': "message 0 has no role",
    '{"messages": [{"role": "user", "content": "\\ud800"}]}': "message 0 cannot be read: .* half of a surrogate",
}


@pytest.mark.parametrize("record", WRONG)
def test_records_that_are_no_conversations_are_refused(record):
    core = bloomdata.ChatTemplate("chatml")._core
    with pytest.raises(ConfigError, match=WRONG[record]):
        core.render(record, False)


def test_of_equal_keys_the_last_one_counts():
    record = '{"messages": [{"role": "user", "role": "assistant", "content": "a", "content": "b"}]}'
    assert bloomdata.ChatTemplate("chatml")._core.render(record, False) == "<|im_start|>assistant\nb<|im_end|>\n"


def tokenizer_with_ends(folder):
    """A tokenizer that puts its own tokens around every text."""
    definition = byte_level_bpe()
    size = len(definition["model"]["vocab"])
    names = {"<s>": size, "</s>": size + 1}
    definition["model"]["vocab"] |= names
    definition["added_tokens"] = [added_token(token, name, special=True) for name, token in names.items()]
    pieces = [
        {"SpecialToken": {"id": "<s>", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "</s>", "type_id": 0}},
    ]
    special = {name: {"id": name, "ids": [token], "tokens": [name]} for name, token in names.items()}
    definition["post_processor"] = {
        "type": "TemplateProcessing",
        "single": pieces,
        "pair": pieces,
        "special_tokens": special,
    }
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(definition))
    return path, names


def test_tokens_at_both_ends_are_never_doubled(tmp_path):
    path, names = tokenizer_with_ends(tmp_path)
    chat = [*CHAT, {"role": "assistant", "content": "Ho"}]
    template = bloomdata.ChatTemplate("mistral", tokenizer=path, variables={"bos_token": "<s>", "eos_token": "</s>"})
    ids, trained = template.encode(chat)
    assert ids.count(names["<s>"]) == ids.count(names["</s>"]) == 1
    assert (ids[0], ids[-1]) == (names["<s>"], names["</s>"])
    assert trained[-1]
    assert not trained[0]


def test_a_part_of_the_last_letter_is_trained_on_like_the_letter(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(byte_level_bpe(normalizer={"type": "Lowercase"})))
    template = bloomdata.ChatTemplate("human_bot", tokenizer=path)
    ids, trained = template.encode([*CHAT, {"role": "assistant", "content": "HO😀"}, {"role": "user", "content": "A"}])
    kept = [token for token, is_trained in zip(ids, trained, strict=True) if is_trained]
    assert bloomdata.Tokenizer(path).decode(kept) == " ho😀"
