"""Roles of messages: usual names in any letter case are known, those that a template names stay, others are refused."""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bloomdata import _core
from message_runs import PLAIN, check, contents, packed, refusal, text_of, trained_of
from reference.prepare_chats import ROLES

CHAT = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
names = st.one_of(st.sampled_from(sorted(ROLES)), st.sampled_from(["user", "assistant"]))
spelled = st.tuples(names, st.sampled_from(["", "", " ", "\n"]), st.sampled_from([str, str, str.upper, str.title])).map(
    lambda drawn: drawn[1] + drawn[2](drawn[0]) + drawn[1]
)
roles = st.one_of(spelled, spelled, spelled, spelled, st.sampled_from(["robot", "", "assist ant", "users"]))


@settings(max_examples=80)
@given(st.lists(st.lists(st.fixed_dictionaries({"role": roles, "content": contents}), min_size=1, max_size=4)))
def test_roles_have_usual_names_or_their_record_is_bad(chats):
    check([{"messages": chat} for chat in chats])


@pytest.mark.parametrize("role", ["robot", "assistant2", "", "user\nassistant"])
@pytest.mark.parametrize("template", ["chatml", PLAIN], ids=["built in", "Jinja"])
def test_an_unknown_role_is_named_with_its_message(role, template, tmp_path):
    told = refusal({"messages": [*CHAT, {"role": role, "content": "x"}]}, tmp_path, template=template)
    assert told.startswith(f"message 2 has the unknown role {json.dumps(role)}: expected system, user, assistant, tool")


def test_a_role_that_the_template_names_stays_as_it_is(tmp_path):
    template = "{% for m in messages %}{% if m.role == 'observation' %}(seen){% elif m.role == \"critic\" %}(no)"
    template += (
        "{% else %}[{{ m.role }}]{% endif %}{{ m.content }}{% if m.role == 'assistant' %}</s>{% endif %}{% endfor %}"
    )
    chat = [{"role": role, "content": "x"} for role in ("human", "gpt", "observation", "critic", "ipython", "bot")]
    [document] = packed([{"messages": chat}], tmp_path, template=template)[0]
    assert text_of(document) == "[user]x[assistant]x</s>(seen)x(no)x[tool]x[assistant]x</s>"
    assert trained_of(document) == "x</s>x</s>"


def test_keys_of_sharegpt_are_enough_for_its_records(tmp_path):
    keys = {"messages_keyword": "conversations", "role_keyword": "from", "content_keyword": "value"}
    chat = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a", "weight": None}]
    [document] = packed([{"conversations": chat}], tmp_path, **keys)[0]
    assert trained_of(document) == "a<|im_end|>"


# --- sources of `prepare` --------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(roles, st.text("ab ", max_size=3)), max_size=7))
def test_no_message_of_sharegpt_is_lost(drawn):
    record = {"conversations": [{"from": role, "value": said} for role, said in drawn]}
    [outcome] = json.loads(_core.read_records('{"source": "sharegpt"}', [json.dumps(record)]))
    known = [ROLES.get(role.strip().lower()) for role, _ in drawn]
    if None in known:
        assert f"conversations[{known.index(None)}]: field" in outcome["detail"]
    elif not {"user", "assistant"} <= set(known):
        assert outcome == {"dropped": "no valid turn"}
    else:
        found = outcome["documents"][0]["messages"]
        said = [part.strip() for message in found for part in message["content"].split("\n")]
        assert said == [said.strip() for _, said in drawn]
        neighbours = itertools.pairwise(message["role"] for message in found)
        assert all(one != other or one == "tool" for one, other in neighbours)


@given(st.permutations(range(1, 14)), st.integers(1, 13), st.integers(0, 20))
def test_turns_of_moss_are_told_by_their_numbers(order, count, lacking):
    turns = {f"turn_{at}": {"Human": f"q{at}", "MOSS": f"a{at}"} for at in order if at <= count and at != lacking}
    turns |= {f"turn_{at}": None for at in range(count + 1, count + 3)}
    [outcome] = json.loads(_core.read_records('{"source": "moss"}', [json.dumps({"chat": turns})]))
    if 1 <= lacking < count:
        assert outcome["detail"] == f'chat: expected turn_{lacking}, found "turn_{lacking + 1}"'
    elif lacking == count == 1:
        assert outcome == {"dropped": "no valid turn"}
    else:
        last = count - (lacking == count)
        said = [message["content"] for message in outcome["documents"][0]["messages"]]
        assert said == [f"{who}{at}" for at in range(1, last + 1) for who in "qa"]
