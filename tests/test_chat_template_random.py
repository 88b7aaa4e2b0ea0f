"""Random conversations become the text that Jinja2 makes of them, or both refuse."""

from __future__ import annotations

import functools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bloomdata.errors import ConfigError
from chats import SOURCES, VARIABLES, plain_chats, rich_chats, template_of, tools
from reference import chat_template as reference

template = functools.cache(template_of)


def both(name, chat, **given):
    """What Jinja2 and what we make of a conversation; nothing where it is refused."""
    try:
        theirs = reference.render(SOURCES[name], chat, **given, **VARIABLES)
    except Exception as error:
        theirs = error
    try:
        ours = template(name).render(chat, **given)
    except ConfigError as error:
        ours = error
    return theirs, ours


@pytest.mark.parametrize("name", SOURCES)
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(chat=st.one_of(plain_chats(), rich_chats()), tools=st.one_of(st.none(), tools), asks=st.booleans())
def test_a_conversation_is_rendered_as_by_jinja2(name, chat, tools, asks):
    theirs, ours = both(name, chat, tools=tools, add_generation_prompt=asks)
    if isinstance(theirs, Exception):
        # Jinja2 refuses to loop over none, to compare kinds, to join what is no text; here these may have a meaning.
        assert isinstance(ours, ConfigError) or isinstance(theirs, TypeError), (theirs, ours)
    else:
        assert ours == theirs
