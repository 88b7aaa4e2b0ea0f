"""Prompts are how training texts begin; what does not fit a window goes by whole turns."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata.errors import ConfigError, MismatchError
from bloomdata.inference import Conversation, Passage
from chats import OURS, template_of

BYTES = bloomdata.Tokenizer("bytes")
TEXTS = st.text(st.sampled_from("ab \n:<é"), min_size=1, max_size=9).filter(lambda text: text.strip() == text)
GOLDEN = {
    "human_bot": "<human>: Hi\n<bot>: Hello\n<human>: Bye\n<bot>:",
    "user_system": "user:Hi\nsystem:Hello</s>\nuser:Bye\nsystem:",
    "alpaca": "Below is an instruction that describes a task. Write a response that appropriately completes the "
    "request.\n\n### Instruction:\nHi\n\n### Response:\nHello</s>\n\n### Instruction:\nBye\n\n### Response:\n",
    "chatml": "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nBye"
    "<|im_end|>\n<|im_start|>assistant\n",
    "llama2": "<s>[INST] Hi [/INST] Hello </s><s>[INST] Bye [/INST]",
    "llama3": "<s><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>"
    "\n\nHello<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|><|start_header_id|>assistant"
    "<|end_header_id|>\n\n",
    "zephyr": "<|user|>\nHi</s>\n<|assistant|>\nHello</s>\n<|user|>\nBye</s>\n<|assistant|>\n",
    "mistral": "<s>[INST] Hi [/INST] Hello</s>[INST] Bye [/INST]",
}
STOPS = {
    "human_bot": "<human>:",
    "chatml": "<|im_end|>",
    "llama3": "<|eot_id|>",
    **dict.fromkeys(("user_system", "alpaca", "llama2", "zephyr", "mistral"), "</s>"),
}


def conversation_of(name, *texts, **options):
    conversation = Conversation(template_of(name), **options)
    for number, text in enumerate(texts):
        conversation.add("assistant" if number % 2 else "user", text)
    return conversation


@pytest.mark.parametrize("name", OURS)
def test_prompts_are_golden(name):
    conversation = conversation_of(name, "Hi", "Hello", "Bye")
    assert conversation.prompt() == GOLDEN[name]
    assert conversation.stops() == (STOPS[name],)


@pytest.mark.parametrize("name", OURS)
@given(st.lists(TEXTS, min_size=2, max_size=6).filter(lambda texts: len(texts) % 2 == 0))
@settings(max_examples=40)
def test_a_prompt_is_how_the_training_text_begins(name, texts):
    conversation = conversation_of(name, *texts[:-1])
    prompt = conversation.prompt()
    trained = conversation_of(name, *texts)
    text, spans = trained.template.render_trained(trained.messages)
    assert text.startswith(prompt)
    assert text[len(prompt) : spans[-1][0]].strip() == ""


def test_a_prompt_is_how_the_packed_row_begins(tmp_path):
    conversation = conversation_of("chatml", "Hi", "Hello", "Bye", "See you", system="Be kind.")
    (tmp_path / "chats.jsonl").write_text(json.dumps(conversation.to_record()) + "\n", "utf-8")
    bloomdata.pack(
        tmp_path / "chats.jsonl", tmp_path / "packed", tokenizer="bytes", template="chatml", sequence_length=256
    )
    row = bloomdata.open(tmp_path / "packed")[0]["input_ids"].tolist()
    conversation.undo()
    conversation.add("user", "Bye")
    ids = conversation.prompt_ids(BYTES)
    assert row[: len(ids)] == ids


def test_the_prompt_of_bloomchat_ends_without_a_blank():
    assert conversation_of("human_bot", "Hi").prompt().endswith("\n<bot>:")


def test_the_preamble_of_openchatkit_is_read_from_the_clock_at_each_reset():
    times = iter([datetime(2023, 5, 1, 15, 4, 5, tzinfo=UTC), datetime(2023, 5, 2, 3, 0, 0, tzinfo=UTC)])
    conversation = conversation_of("human_bot", "Hi", clock=lambda: next(times))
    first = "Current Date: 2023-05-01\nCurrent Time: 15:04:05 PM UTC\n\n<human>: Hi\n<bot>:"
    assert conversation.prompt() == first
    assert conversation.prompt() == first
    conversation.reset()
    conversation.add("user", "Hi")
    assert conversation.prompt().startswith("Current Date: 2023-05-02\nCurrent Time: 03:00:00 AM UTC\n\n<human>")


def test_a_context_is_a_turn_of_its_own_where_the_template_takes_one():
    passages = [Passage("1", "Paris is in France."), Passage("2", "Rome is in Italy.")]
    prompts = {}
    for name in ("human_bot", "llama2"):
        conversation = conversation_of(name, "Where is Paris?")
        conversation.context = passages
        prompts[name] = conversation.prompt()
    both = "Paris is in France.\n\nRome is in Italy."
    assert prompts["human_bot"] == f"<human>: {both}\n<human>: Where is Paris?\n<bot>:"
    assert prompts["llama2"] == f"<s>[INST] {both}\n\nWhere is Paris? [/INST]"


def test_a_context_keeps_its_budget_and_lasts_for_one_turn():
    conversation = conversation_of("human_bot", "Where?", context_tokens=30)
    conversation.context = [Passage(str(number), "ten bytes.") for number in range(5)]
    conversation.prompt_ids(BYTES)
    assert [passage.id for passage in conversation.context] == ["0", "1", "2"]
    conversation.prompt_ids(BYTES, 50)
    assert [passage.id for passage in conversation.context] == ["0"]
    conversation.add("assistant", "There.")
    assert len(conversation.context) == 1
    conversation.add("user", "And?")
    assert conversation.context == ()


@given(st.lists(TEXTS, min_size=1, max_size=9).filter(lambda texts: len(texts) % 2 == 1), st.integers(20, 200))
@settings(max_examples=200)
def test_the_newest_whole_turns_that_fit_are_kept(texts, max_tokens):
    conversation = conversation_of("human_bot", *texts, system="S")
    whole = []
    for start in range(0, len(texts), 2):
        kept = conversation_of("human_bot", *texts[start:], system="S")
        whole.append(BYTES.encode(kept.prompt()).tolist())
    fitting = [ids for ids in whole if len(ids) <= max_tokens]
    if fitting:
        assert conversation.prompt_ids(BYTES, max_tokens) == fitting[0]
    else:
        with pytest.raises(MismatchError, match=f"has {len(whole[-1])} tokens, and {max_tokens} fit"):
            conversation.prompt_ids(BYTES, max_tokens)
    assert len(conversation.messages) == len(texts)


@given(st.text("ab", min_size=30, max_size=80), st.integers(20, 60))
def test_a_turn_that_is_cut_loses_as_little_as_needed(text, max_tokens):
    conversation = conversation_of("human_bot", "old", "older", text)
    prompt = BYTES.decode(conversation.prompt_ids(BYTES, max_tokens, truncate_turn="left"))
    kept = text[-(max_tokens - len("<human>: \n<bot>:")) :]
    assert prompt == f"<human>: {kept}\n<bot>:"


def test_a_window_without_room_for_any_text_is_an_error_even_if_turns_are_cut():
    with pytest.raises(MismatchError, match="and 5 fit"):
        conversation_of("human_bot", "Hi").prompt_ids(BYTES, 5, truncate_turn="left")


def test_open_llama_keeps_the_last_ids():
    conversation = conversation_of("user_system", "Hi", "Hello", "Bye")
    ids = conversation.prompt_ids(BYTES, 20, truncation="last-ids")
    assert BYTES.decode(ids) == conversation.prompt()[-20:]


def test_records_are_saved_and_loaded_with_their_system_text():
    conversation = conversation_of("chatml", "Hi", "Hello", system="S")
    other = conversation_of("chatml", "x")
    other.load(json.loads(json.dumps(conversation.to_record())))
    assert other.to_record() == conversation.to_record()
    assert other.system == "S"


@pytest.mark.parametrize(
    "record",
    [None, [], {}, {"messages": "Hi"}, {"messages": ["Hi"]}, {"messages": [{"role": "user"}]}]
    + [{"messages": [{"role": role, "content": "x"}]} for role in ("tool", None, "User")]
    + [{"messages": [{"role": "user", "content": "x"}, {"role": "system", "content": "x"}]}],
)
def test_a_record_without_turns_is_refused_and_changes_nothing(record):
    conversation = conversation_of("chatml", "Hi", system="S")
    with pytest.raises(ConfigError, match="messages: "):
        conversation.load(record)
    assert conversation.messages == [{"role": "user", "content": "Hi"}]


def test_undo_removes_a_turn_and_its_answer():
    conversation = conversation_of("chatml", "Hi", "Hello", "Bye")
    assert conversation.undo() == "Bye"
    assert conversation.undo() == "Hi"
    assert conversation.undo() is None


def test_a_server_renders_its_own_turns():
    conversation = Conversation(None, system="S")
    conversation.add("user", "Hi")
    conversation.context = [Passage("1", "Found.")]
    assert conversation.turns()[-1]["content"] == "Found.\n\nHi"
    with pytest.raises(ConfigError, match="template: expected one"):
        conversation.prompt()


def test_templates_of_the_golden_prompts_are_all_there():
    assert set(GOLDEN) == set(STOPS) == set(OURS)
