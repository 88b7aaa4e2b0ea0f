"""Sources of texts are packed as texts, conversations as conversations, without a word about what kind they are."""

import json

import pytest

import bloomdata
from bloomdata import ConfigError
from bloomdata.prepare_sources import SOURCES

TEXTS = {
    "wudao": {"title": "a title", "content": "what it says"},
    "pile": {"text": "a text"},
    "moderation": {"text": "a text"},
    "oig": {"text": "<human>: Hi\n<bot>: Hello\n"},
    "alpaca_pretrain": {"instruction": "Add.", "input": "1 and 2", "output": "3"},
    "stack_overflow_python": {"title": "t", "question_body": "q", "answer_body": "a"},
    "alpaca": {"instruction": "Add.", "input": "1 and 2", "output": "3"},
    "gpteacher": {"instruction": "Add.", "input": "1 and 2", "response": "3"},
}
OPTIONS = {"alpaca": {"compat": "mindformers"}, "gpteacher": {"compat": "mindformers"}}


def written(name, records):
    lines = "".join(json.dumps(record) + "\n" for record in records)
    with open(name, "w", encoding="utf-8") as file:
        file.write(lines)
    return name


@pytest.mark.parametrize("packing", [{"sequence_length": 16}, {"format": "megatron"}])
@pytest.mark.parametrize("name", TEXTS)
def test_a_source_of_texts_gives_the_bytes_that_its_prepared_texts_give(name, packing, raw, tmp_path):
    inputs = written("in.jsonl", [TEXTS[name]] * 3)
    options = OPTIONS.get(name, {})
    bloomdata.prepare(name, inputs, "prepared.jsonl", **options)
    two_steps = bloomdata.pack("prepared.jsonl", "two", tokenizer="bytes", **packing)
    one_step = bloomdata.pack(inputs, "one", tokenizer="bytes", source={"source": name, **options}, **packing)
    assert one_step.fingerprint == two_steps.fingerprint
    assert bloomdata.count(inputs, tokenizer="bytes", source={"source": name, **options}).documents == 3
    bloomdata.verify("one")


def test_what_kind_a_source_is_follows_from_its_options():
    kinds = {name: bloomdata._core.is_text_source(json.dumps({"source": name})) for name in SOURCES}
    assert {name for name, is_text in kinds.items() if is_text} == set(TEXTS) - set(OPTIONS)
    assert bloomdata._core.is_text_source('{"source": "alpaca", "compat": "mindformers"}')
    assert not bloomdata._core.is_text_source('{"source": "oig", "parse": true}')


def test_a_source_of_texts_reads_all_columns_of_a_table(raw):
    pa = pytest.importorskip("pyarrow")
    table = pa.Table.from_pylist([TEXTS["wudao"]] * 2)
    report = bloomdata.pack(table, "one", tokenizer="bytes", format="megatron", source="wudao")
    assert report.ledger["documents_kept"] == 2
    assert bloomdata.Tokenizer("bytes").decode(bloomdata.open("one")[0][:-1]) == "a title\nwhat it says"


CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


@pytest.fixture
def tokenizer(tmp_path):
    """A folder with a tokenizer, and no template yet."""
    folder = tmp_path / "tok"
    bloomdata.train_tokenizer(written("words.jsonl", [{"text": "hello hi"}] * 3), folder, vocab_size=300)
    return folder


def test_a_column_of_messages_makes_conversations(raw, tokenizer):
    pa = pytest.importorskip("pyarrow")
    datasets = pytest.importorskip("datasets")
    (tokenizer / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m.role }}: {{ m.content }}</s>{% endfor %}"
    )
    rows = [{"messages": CHAT}] * 2
    for number, inputs in enumerate((pa.Table.from_pylist(rows), datasets.Dataset.from_list(rows))):
        report = bloomdata.pack(inputs, f"out-{number}", tokenizer=tokenizer, sequence_length=32)
        assert report.ledger["documents_kept"] == 2
        assert (bloomdata.open(f"out-{number}")[0]["token_type_ids"] == 0).any()
        assert bloomdata.count(inputs, tokenizer=tokenizer).documents == 2
        assert bloomdata.plan(inputs, tokenizer=tokenizer, sequence_length=32).num_documents == 2
    both = pa.Table.from_pylist([{"messages": CHAT, "text": "a text"}])
    packed = bloomdata.pack(both, "both", tokenizer=tokenizer, format="megatron")
    assert [output["path"] for output in packed.outputs if output["path"].endswith(".idx")] == [
        "data_text_document.idx"
    ]


def test_a_tokenizer_without_a_template_is_named_with_what_to_pass(raw, tokenizer):
    inputs = written("chats.jsonl", [{"messages": CHAT}])
    for given in (tokenizer, tokenizer / "tokenizer.json"):
        with pytest.raises(
            ConfigError, match=rf'^template: {tokenizer} has no chat template .* pass template= .*"chatml"'
        ):
            bloomdata.pack(inputs, "out", tokenizer=given, record="messages", sequence_length=32)
    with pytest.raises(ConfigError, match='the tokenizer "bytes" has no chat template'):
        bloomdata.pack(inputs, "out", tokenizer="bytes", source="dolly", sequence_length=32)
