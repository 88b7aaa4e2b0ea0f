"""What templates say of values: each expression gives what Jinja2 gives, or both refuse it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

import bloomdata
from bloomdata.errors import ConfigError
from reference import chat_template as reference

TABLE = tomllib.loads((Path(__file__).parent / "golden/templates/expressions.toml").read_text(encoding="utf-8"))
VALUES = {
    "s": " Ab c-d  é\n",
    "t": "a,b,,c",
    "e": "",
    "z": "\u3000x\x1c\u2028",
    "h": "<b> & \"q\" 'r'",
    "i": 7,
    "n": -3,
    "f": 2.5,
    "w": 3.0,
    "k": 1e22,
    "m": 1.5e-7,
    "b": True,
    "no": False,
    "o": None,
    "l": [3, 1, 2, 3],
    "x": [],
    "y": ["b", "a", "B"],
    "q": [1, 1.5, None, True, "é'", {"k": [1]}],
    "d": {"b": 1, "a": "x", "C": None, "n": {"k": [1, 2.0, 'é"<']}},
    "u": [{"r": "a", "v": 1}, {"r": "b", "v": 2}, {"r": "a", "v": 3}, {"r": "b", "v": None}],
    "p": {},
}
MESSAGES = [{"role": "user", "content": "hi"}]


def expressions(verdict: str) -> list[str]:
    """Those of the table of which this is said."""
    return [expression for group in TABLE[verdict].values() for expression in group]


def rendered(render):
    """What comes out, or that nothing does."""
    try:
        return render()
    except Exception:
        return None


def both(expression: str) -> tuple[str | None, str | None]:
    """What Jinja2 and what we make of an expression."""
    source = "{{ " + expression + " }}|\n"

    def ours():
        return bloomdata.ChatTemplate(source, variables=VALUES, date="2026-01-31T12:05:09").render(MESSAGES)

    return rendered(lambda: reference.render(source, MESSAGES, **VALUES)), rendered(ours)


@pytest.mark.parametrize("expression", expressions("equal"))
def test_an_expression_is_worth_what_it_is_in_jinja2(expression):
    theirs, ours = both(expression)
    assert ours == theirs


@pytest.mark.parametrize("expression", expressions("refused"))
def test_what_is_not_known_here_is_refused(expression):
    theirs, ours = both(expression)
    assert ours is None
    assert theirs is not None


@pytest.mark.parametrize("expression", expressions("meant"))
def test_only_jinja2_refuses_some_things(expression):
    theirs, ours = both(expression)
    assert theirs is None
    assert ours is not None


@pytest.mark.parametrize("expression", expressions("objects"))
def test_what_prints_an_object_of_python_is_not_the_same(expression):
    theirs, ours = both(expression)
    assert ours != theirs


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**30])
def test_whole_numbers_that_64_bits_do_not_hold_are_refused(number):
    template = bloomdata.ChatTemplate("{{ messages[0].n | tojson }}\n")
    assert template.render([{"role": "user", "n": 2**64 - 1}]) == str(2**64 - 1)
    with pytest.raises(ConfigError, match="64 bits"):
        template.render([{"role": "user", "content": "", "n": number}])
    with pytest.raises(ConfigError, match="64 bits"):
        bloomdata.ChatTemplate("chatml", variables={"n": [{"x": number}]})
