"""`pack` of conversations against a slow oracle: ids, what is trained on, what is left out, and the books of it."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from article_runs import PACKINGS
from chat_runs import (
    BYTES,
    TEMPLATES,
    byte_level_vocabulary,
    check_counts,
    check_rows,
    expected_of,
    messages,
    pack,
    record,
    tokens_and_types,
)
from files import everything_in, write
from reference.articles import COMPLETION, PROMPT, SEPARATOR

CHAT = [
    {"role": "system", "content": "S"},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Yo"},
    {"role": "user", "content": "Q?"},
    {"role": "assistant", "content": "A!"},
    {"role": "user", "content": "unanswered"},
]


@pytest.fixture(scope="module")
def vocabularies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizers")
    return {
        "bytes": BYTES,
        "byte-level": byte_level_vocabulary(folder / "plain"),
        "byte-level with BOS": byte_level_vocabulary(folder / "bos", adds_bos=True),
    }


NAMES = ["bytes", "byte-level", "byte-level with BOS"]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=8)
@given(data=st.data())
def test_rows_and_books_of_conversations_equal_the_oracle(name, template, data, vocabularies):
    vocabulary = vocabularies[name]
    chats = data.draw(st.lists(messages, max_size=6))
    how = {"train_on": data.draw(st.sampled_from(["all", "last"])), "append_eos": data.draw(st.booleans())}
    rows = {"packing": data.draw(st.sampled_from(PACKINGS)), "sequence_length": data.draw(st.sampled_from([4, 16, 64]))}
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "a.jsonl", b"".join(map(record, chats)))
        options = {"template": template, "on_bad_record": "quarantine", **how, **rows}
        report = pack(path, Path(folder) / "out", vocabulary, **options)
        check_rows(report, expected_of(chats, vocabulary, template, **how), vocabulary, **rows)


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=6)
@given(data=st.data())
def test_what_is_trained_on_decodes_to_the_answers_and_what_ends_them(name, template, data, vocabularies):
    vocabulary = vocabularies[name]
    chats = data.draw(st.lists(messages, min_size=1, max_size=6))
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "a.jsonl", b"".join(map(record, chats)))
        options = {"template": template, "format": "megatron", "on_bad_record": "quarantine"}
        report = pack(path, Path(folder) / "out", vocabulary, **options)
        documents = tokens_and_types(report.folder)
        expected = expected_of(chats, vocabulary, template)
        check_counts(report, expected)
    kept = [chat for chat in expected if chat is not None]
    assert documents == [tuple(map(list, list(zip(*chat.article, strict=True))[:2])) for chat in kept]
    for (tokens, types), chat in zip(documents, kept, strict=True):
        trained = [token for token, kind in zip(tokens, types, strict=True) if kind in (COMPLETION, SEPARATOR)]
        is_added = trained[-1] == vocabulary.eos and not chat.trained.endswith("</s>")
        assert is_added == (template == "human_bot" or name == "bytes")
        decoded = vocabulary.decode(trained[:-1] if is_added else trained)
        # A token on the seam of two messages is trained on as a whole.
        assert decoded == chat.trained or (not chat.is_exact and name != "bytes")


def test_the_oracle_says_what_was_worked_out_by_hand():
    [chat] = expected_of([CHAT], BYTES, "human_bot")
    text = "S\n<human>: Hi\n<bot>: Yo\n<human>: Q?\n<bot>: A!"
    types = [PROMPT] * len(text)
    for answer in (" Yo", " A!"):
        at = text.index(answer)
        types[at : at + 3] = [COMPLETION] * 3
    expected = [*zip(text.encode(), types, strict=True), (BYTES.eos, SEPARATOR)]
    assert [(token, kind) for token, kind, _ in chat.article] == expected
    assert (chat.num_trained, chat.num_left_out) == (7, len("\n<human>: unanswered"))


def test_what_follows_the_last_answer_is_left_out_and_counted(tmp_path):
    path = write(tmp_path / "a.jsonl", record(CHAT))
    report = pack(path, tmp_path / "out", template="chatml", format="megatron")
    [(tokens, _)] = tokens_and_types(report.folder)
    assert bytes(tokens[:-1]).decode().endswith("A!<|im_end|>")
    left_out = len("\n<|im_start|>user\nunanswered<|im_end|>\n")
    [entry] = report.manifest["inputs"]
    assert (entry["turns"], entry["tokens_after_last_answer"]) == (2, left_out)
    assert f"{left_out}" in str(report)
    assert "after the last answer, left out" in str(report)


def test_a_tokenizer_that_begins_texts_does_not_begin_conversations_twice(vocabularies, tmp_path):
    """The template says `<s>`; the tokenizer would say it, too."""
    vocabulary = vocabularies["byte-level with BOS"]
    template = "{{ bos_token }}{% for m in messages %}{{ m['role'] }}:{{ m['content'] }}{{ eos_token }}{% endfor %}"
    path = write(tmp_path / "a.jsonl", record(CHAT[1:5]))
    options = {"template": template, "template_variables": {"bos_token": "<s>"}, "format": "megatron"}
    report = pack(path, tmp_path / "out", vocabulary, **options)
    [(tokens, _)] = tokens_and_types(report.folder)
    text = "<s>user:Hi</s>assistant:Yo</s>user:Q?</s>assistant:A!</s>"
    assert tokens == [token for token, _, _ in vocabulary.encode(text)]
    bos = tokens[0]
    assert tokens.count(bos) == 1
    # And none is put in front where the template says none.
    report = pack(path, tmp_path / "none", vocabulary, template="human_bot", format="megatron")
    assert bos not in tokens_and_types(report.folder)[0][0]


@pytest.mark.parametrize("begin", ["{{ bos_token }}{{ bos_token }}", "<s>{{ bos_token }}"])
def test_a_template_that_begins_texts_twice_is_refused(begin, vocabularies, tmp_path):
    vocabulary = vocabularies["byte-level with BOS"]
    template = begin + "{% for m in messages %}{{ m['role'] }}:{{ m['content'] }}{{ eos_token }}{% endfor %}"
    path = write(tmp_path / "a.jsonl", record(CHAT[1:5]))
    options = {"format": "megatron", "template_variables": {"bos_token": "<s>", "eos_token": "</s>"}}
    with pytest.raises(bloomdata.CorruptDataError, match="its text begins with <s> twice"):
        pack(path, tmp_path / "out", vocabulary, template=template, **options)
    # One token may begin texts and end them: an empty message in front is no mistake.
    options["template_variables"] = {"bos_token": "</s>", "eos_token": "</s>"}
    pack(path, tmp_path / "same", vocabulary, template=template.replace("<s>", "</s>"), **options)


def test_all_conversations_of_many_blocks_are_the_same_with_any_number_of_threads(tmp_path):
    chats = [
        [message | {"content": f"{at} " + message["content"] * 9} for message in CHAT[: 3 + at % 4]]
        for at in range(9000)
    ]
    path = write(tmp_path / "a.jsonl", b"".join(map(record, chats)))
    expected = expected_of(chats, BYTES, "human_bot")
    rows = {"packing": "greedy::truncate_left", "sequence_length": 256}
    for num_threads in (1, 4):
        report = pack(path, tmp_path / str(num_threads), template="human_bot", num_threads=num_threads, **rows)
        check_rows(report, expected, BYTES, **rows)
    assert everything_in(tmp_path / "1") == everything_in(tmp_path / "4")


def test_tools_and_parts_reach_the_template(tmp_path):
    template = "{{ tools[0]['name'] }}|{% for m in messages %}<{{ m['role'] }}>"
    template += "{% if m['content'] is string %}{{ m['content'] }}{% elif m['content'] %}"
    template += "{{ m['content'][0]['text'] }}{% endif %}"
    template += "{% if m['tool_calls'] %}{{ m['tool_calls'][0]['name'] }}{% endif %};{% endfor %}"
    template += "{% if add_generation_prompt %}<assistant>{% endif %}"
    chat = [
        {"role": "user", "content": [{"type": "text", "text": "Add"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"name": "add"}]},
        {"role": "tool", "content": "3"},
        {"role": "assistant", "content": "It is 3"},
    ]
    path = write(tmp_path / "a.jsonl", record(chat, tools=[{"name": "adder"}]))
    report = pack(path, tmp_path / "out", template=template, format="megatron")
    [(tokens, types)] = tokens_and_types(report.folder)
    text = "adder|<user>Add;<assistant>add;<tool>3;<assistant>It is 3;"
    assert bytes(tokens[:-1]).decode() == text
    trained = "".join(letter for letter, kind in zip(text, types, strict=False) if kind == COMPLETION)
    assert trained == "add;It is 3;"


def test_the_template_beside_the_tokenizer_is_the_default(vocabularies, tmp_path):
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / "tokenizer.json").write_bytes(Path(vocabularies["byte-level"].tokenizer).read_bytes())
    template = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}{{ eos_token }}{% endfor %}"
    config = {"chat_template": template, "eos_token": "</s>", "pad_token": {"content": "</s>"}}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    path = write(tmp_path / "a.jsonl", record(CHAT[1:3]))
    options = {"tokenizer": folder, "record": "messages", "format": "megatron"}
    report = bloomdata.pack(path, tmp_path / "out", **options)
    [(tokens, _)] = tokens_and_types(report.folder)
    assert tokens == [token for token, _, _ in vocabularies["byte-level"].encode("[user] Hi</s>[assistant] Yo</s>")]
