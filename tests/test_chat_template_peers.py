"""Masks beside `transformers` itself: ids, and `return_assistant_tokens_mask` where the template marks answers."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata.errors import ConfigError
from chats import SOURCES, VARIABLES, message, texts

pytestmark = pytest.mark.peers

# Where blocks hold nothing but what is said: transformers loses the mask at white space that has no token of its own.
MARKED = ["generation_chatml"]


@pytest.fixture(scope="module")
def pairs(folder_of):
    """Our template and their tokenizer, for a template and a family."""
    transformers = pytest.importorskip("transformers")
    made = {}

    def make(name, family):
        if (name, family) not in made:
            _, folder = folder_of(family, "bos and eos")
            (folder / "tokenizer_config.json").write_text(json.dumps(VARIABLES))
            theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), **VARIABLES)
            ours = bloomdata.ChatTemplate(SOURCES[name], tokenizer=folder / "tokenizer.json", variables=VARIABLES)
            made[name, family] = (ours, theirs)
        return made[name, family]

    return make


@pytest.mark.parametrize("name", MARKED)
@pytest.mark.parametrize("family", ["byte-level BPE", "metaspace BPE with byte fallback"])
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(turns=st.lists(st.tuples(texts, texts), min_size=1, max_size=3))
def test_masks_are_those_of_transformers(pairs, name, family, turns):
    ours, theirs = pairs(name, family)
    chat = [
        one for question, answer in turns for one in (message("user", question), message("assistant", f"a{answer}z"))
    ]
    expected = theirs.apply_chat_template(
        chat, chat_template=SOURCES[name], return_assistant_tokens_mask=True, return_dict=True, tokenize=True
    )
    try:
        ids, trained = ours.encode(chat)
    except ConfigError:
        assert len(set(expected["assistant_masks"])) == 1
        return
    assert ids == expected["input_ids"]
    assert trained == [bool(flag) for flag in expected["assistant_masks"]]
