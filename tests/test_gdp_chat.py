"""`--apply_chat_template`: the turns that a template makes of pairs, their ids and types."""

from __future__ import annotations

import json

import h5py
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata.errors import ConfigError
from bloomdata.gdp import data_prep
from gdp_runs import write_tokenizer
from reference import gdp_chat as reference

PROMPT, COMPLETION, SEPARATOR = 0, 1, 3
TEXT = st.text(st.sampled_from("ab \n<|im_end|>é"), max_size=8)
PAIRS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_tokenizer(tmp_path_factory.mktemp("model") / "tokenizer")


def set_template(model, source):
    path = model.tokenizer / "tokenizer_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "chat_template": source}))


def expected(model, template, pairs, prefix):
    """Ids and types of a record, one token a byte."""
    ids, types = [], []
    for prompt, completion in reference.turns(template.render, pairs):
        wrapped = f"{prefix}{prompt}" if prompt else prompt
        for text, kind in ((wrapped, PROMPT), (completion, COMPLETION)):
            found = model.encode(text)
            if kind == PROMPT and found[:1] == [model.bos]:
                found = found[1:]
            if kind == COMPLETION and prompt and found[:1] == [model.bos]:
                found = found[1:]
            if found[-1:] == [model.eos]:
                found = found[:-1]
            ids += found
            types += [kind] * len(found)
        ids.append(model.eos)
        types.append(COMPLETION)
    types[-1] = SEPARATOR
    return ids, types


SOURCES = {
    "chatml": "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}",
    "with a beginning": "{{ bos_token }}Be kind.\n{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    "with an end": "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}{% endfor %}",
    "turns that never end": "start {% for m in messages %}{{ m.content }}|{% endfor %}",
}


@pytest.mark.parametrize("name", SOURCES)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=st.lists(PAIRS, min_size=1, max_size=3), prefix=st.sampled_from(["", "> "]))
def test_rows_hold_the_turns_of_the_template(name, records, prefix, model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    set_template(model, SOURCES[name])
    lines = [json.dumps([{"prompt": p, "completion": c} for p, c in pairs]) + "\n" for pairs in records]
    (folder / "raw.jsonl").write_text("".join(lines))
    # Rows on which nothing is trained would be left out.
    options = {"keep_prompt_only_sequences": True, "max_seq_length": 4096, "input_packing_config": "single::drop"}
    data_prep(
        folder / "raw.jsonl",
        folder / "out.hdf5",
        pretrained_tokenizer=model.tokenizer,
        prompt_prefix=prefix or None,
        apply_chat_template=True,
        **options,
    )
    template = bloomdata.ChatTemplate(SOURCES[name], tokenizer=model.tokenizer)
    with h5py.File(folder / "out.hdf5") as file:
        for row, pairs in enumerate(records):
            ids, types = expected(model, template, pairs, prefix)
            assert file["input_ids"][row, : len(ids)].tolist() == ids
            assert file["token_type_ids"][row, : len(ids)].tolist() == types
            assert set(file["token_type_ids"][row, len(ids) :].tolist()) <= {2}


def test_a_template_that_begins_with_the_prompt_is_refused_with_the_record(model, tmp_path):
    set_template(model, "{% for m in messages %}{{ m.content }}{% endfor %}")
    (tmp_path / "raw.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    with pytest.raises(bloomdata.CorruptDataError, match=r"raw\.jsonl: line 1: .*turns end nowhere"):
        data_prep(
            tmp_path / "raw.jsonl",
            tmp_path / "out.hdf5",
            pretrained_tokenizer=model.tokenizer,
            apply_chat_template=True,
        )


def test_categories_and_templates_exclude_each_other(model, tmp_path):
    set_template(model, SOURCES["chatml"])
    (tmp_path / "raw.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    (tmp_path / "names.json").write_text('["x"]')
    with pytest.raises(ConfigError, match="categories"):
        data_prep(
            tmp_path / "raw.jsonl",
            tmp_path / "out.hdf5",
            pretrained_tokenizer=model.tokenizer,
            apply_chat_template=True,
            categories_path=tmp_path / "names.json",
        )
