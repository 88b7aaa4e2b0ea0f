"""`train_on="each"`: one article for each answer, with what is before it as the template renders it then."""

import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata.errors import ConfigError, CorruptDataError
from chat_runs import BYTES, byte_level_vocabulary, pack, record, tokens_and_types
from chats import OURS, SOURCES, VARIABLES
from files import write
from message_runs import line, packed, trained_of
from reference.articles import COMPLETION, PROMPT, SEPARATOR
from reference.each_answer import samples

# Thoughts stand in the last answer alone.
FORGETFUL = (
    "{% for m in messages %}[{{ m.role }}]{% if m.role == 'assistant' and not loop.last %}"
    "{{ m.content.split('</think>')[-1] }}{% else %}{{ m.content }}{% endif %}[/]\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
# What is said before is told in one line.
RETOLD = (
    "{% for m in messages[:-1] %}{{ m.role }}={{ m.content | length }};{% endfor %}"
    "{% if add_generation_prompt %}{{ messages[-1].role }}={{ messages[-1].content | length }};>{% else %}"
    ">{{ messages[-1].content }}{% endif %}"
)
MARKED = (
    "{% for m in messages %}[{{ m.role }}]{% if m.role == 'assistant' %}{% generation %}"
    "{{ m.content.split('</think>')[-1] if not loop.last else m.content }}[/]{% endgeneration %}"
    "{% else %}{{ m.content }}[/]{% endif %}\n{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
)
ENDS = {
    "human_bot": "",
    "chatml": "<|im_end|>",
    "llama3": "<|eot_id|>",
    "thinking": "<|im_end|>",
    "default_system": "<|im_end|>",
    "generation_chatml": "<|im_end|>",
    FORGETFUL: "[/]",
    RETOLD: "",
    MARKED: "[/]",
}
IDS = [name if name in SOURCES else ["forgetful", "retold", "marked"][at - 6] for at, name in enumerate(ENDS)]
words = st.text("ab é", max_size=4).map(lambda text: f"<{text}>")
answers = st.one_of(words, words, st.tuples(words, words).map(lambda two: f"<think>\n{two[0]}\n</think>\n\n{two[1]}"))


@st.composite
def conversations(draw):
    roles = ["system"] * draw(st.integers(0, 1)) + ["user", "assistant"] * draw(st.integers(1, 4))
    roles = roles[: len(roles) - draw(st.integers(0, 1))]
    chat = [{"role": role, "content": draw(answers if role == "assistant" else words)} for role in roles]
    if draw(st.integers(0, 2)) == 0:
        for message in chat:
            if message["role"] == "assistant":
                message["weight"] = draw(st.sampled_from([0, 1]))
    return chat


@pytest.mark.parametrize("template", ENDS, ids=IDS)
@settings(max_examples=12)
@given(chats=st.lists(conversations(), min_size=1, max_size=5))
def test_each_answer_is_trained_on_once_in_the_text_that_the_template_renders_up_to_it(template, chats):
    expected = [samples(SOURCES.get(template, template), chat, ENDS[template], **VARIABLES) for chat in chats]
    answers = [[one for one in chat if one["role"] == "assistant"] for chat in chats]
    kept = [number for number, found in enumerate(expected) if found]
    with tempfile.TemporaryDirectory() as folder:
        given = template if template in OURS else SOURCES.get(template, template)
        options = {"template": given, "train_on": "each", "template_variables": VARIABLES}
        documents, reasons, report = packed([{"messages": chat} for chat in chats], folder, **options)
    wanted = [sample for found in expected for sample in found]
    assert [text_and_types(document) for document in documents] == [
        (sample.prompt + sample.trained, sample.trained) for sample in wanted
    ]
    # In the books a conversation is one document, whatever is made of it.
    assert (report.ledger["documents_in"], report.ledger["documents_kept"]) == (len(chats), len(kept))
    off = sum(bool(told) and not found for told, found in zip(answers, expected, strict=True))
    assert report.ledger["documents_dropped"] == ({"switched off": off} if off else {})
    assert len(reasons) == len(chats) - len(kept) - off
    assert report.manifest["details"]["articles"] == len(wanted)
    [entry] = report.manifest["inputs"]
    turns = [told for told, found in zip(answers, expected, strict=True) if found]
    assert entry.get("turns", 0) == sum(map(len, turns))
    assert entry.get("turns", 0) - entry.get("turns_switched_off", 0) == len(wanted)
    assert entry.get("tokens_after_last_answer", 0) == sum(len(sample.rest.encode()) for sample in wanted)


def text_and_types(document):
    """The text of an article, and the part of it that is trained on: all of it up to the end."""
    tokens, types = document
    assert tokens[-1] == BYTES.eos or types[-1] == SEPARATOR
    own = [(token, kind) for token, kind in zip(tokens, types, strict=True) if token < 256]
    kinds = [kind for _, kind in own]
    first = kinds.index(COMPLETION) if COMPLETION in kinds else len(kinds) - 1
    assert set(kinds[:first]) <= {PROMPT}
    assert set(kinds[first:]) <= {COMPLETION, SEPARATOR}
    data = bytes(token for token, _ in own)
    return data.decode(), data[first:].decode()


def test_thoughts_of_each_turn_are_trained_on_and_forgotten_later(tmp_path):
    """A template for thinking with two turns: no one text holds both answers as the model gives them."""
    chat = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "<think>first</think>1"},
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": "<think>second</think>2"},
        {"role": "user", "content": "unanswered"},
    ]
    path = write(tmp_path / "a.jsonl", record(chat))
    options = {"template": FORGETFUL, "format": "megatron"}
    with pytest.raises(CorruptDataError, match='train_on="each" makes a text for each answer'):
        pack(path, tmp_path / "all", **options)
    report = pack(path, tmp_path / "each", train_on="each", **options)
    documents = tokens_and_types(report.folder)
    assert [bytes(tokens[:-1]).decode() for tokens, _ in documents] == [
        "[user]one[/]\n[assistant]<think>first</think>1[/]",
        "[user]one[/]\n[assistant]1[/]\n[user]two[/]\n[assistant]<think>second</think>2[/]",
    ]
    assert [trained_of(document) for document in documents] == ["<think>first</think>1[/]", "<think>second</think>2[/]"]


def test_keys_beside_role_and_content_reach_the_template_for_each_answer(tmp_path):
    """Thoughts under a key of their own, tools, and the text of the system beside the messages."""
    call = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
    chat = [
        {"role": "user", "content": "q1"},
        {"role": "assistant", "content": "a1", "reasoning_content": "t1"},
        {"role": "user", "content": "q2"},
        {"role": "assistant", "content": "", "reasoning_content": "t2", "tool_calls": [call]},
        {"role": "tool", "content": "r"},
        {"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "2"}]},
    ]
    options = {"template": SOURCES["thinking"], "train_on": "each"}
    documents, reasons, _ = packed([{"messages": chat, "system": "S"}], tmp_path, **options)
    assert reasons == []
    whole = [{"role": "system", "content": "S"}, *chat[:5], {"role": "assistant", "content": "a2"}]
    expected = samples(SOURCES["thinking"], whole, "<|im_end|>")
    assert [text_and_types(document) for document in documents] == [
        (sample.prompt + sample.trained, sample.trained) for sample in expected
    ]
    assert len(expected) == 3


@pytest.mark.parametrize("packing", ["best_fit", "greedy", "full", "single::truncate_left"])
def test_articles_of_one_conversation_are_packed_as_any_others(packing, tmp_path):
    """A run goes on in the middle of a conversation: rows, metrics and books are those of whole articles."""
    vocabulary = byte_level_vocabulary(tmp_path / "tokenizer")
    chat = [{"role": role, "content": f"<{at}>"} for at in range(4) for role in ("user", "assistant")]
    path = write(tmp_path / "a.jsonl", b"".join([record(chat)] * 5 + [record(chat[:2])]))
    options = {"template": "chatml", "packing": packing, "sequence_length": 64, "rows_per_file": 2}
    report = pack(path, tmp_path / "each", vocabulary, train_on="each", **options)
    apart = [record(chat[: 2 * at]) for at in range(1, 5)] * 5 + [record(chat[:2])]
    other = pack(
        write(tmp_path / "b.jsonl", b"".join(apart)), tmp_path / "apart", vocabulary, train_on="last", **options
    )
    assert report.metrics == other.metrics
    assert report.metrics["articles"] == 21
    # `greedy` leaves out the longest articles: a conversation stays as long as one of its articles does.
    assert report.ledger["documents_kept"] == 6
    assert other.ledger["documents_kept"] == (11 if packing == "greedy" else 21)
    names = sorted(path.name for path in (tmp_path / "each").glob("*.hdf5"))
    assert names == sorted(path.name for path in (tmp_path / "apart").glob("*.hdf5"))
    for name in names:
        assert (tmp_path / "each" / name).read_bytes() == (tmp_path / "apart" / name).read_bytes()
    bloomdata.verify(tmp_path / "each")


def test_one_answer_that_cannot_be_located_makes_the_whole_record_a_bad_one(tmp_path):
    template = (
        "{% for m in messages %}{{ m.role }}:{{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt and messages | length < 2 %}assistant:{% elif add_generation_prompt %}?{% endif %}"
    )
    chat = [{"role": role, "content": "x"} for role in ("user", "assistant", "user", "assistant")]
    options = {"template": template, "train_on": "each"}
    documents, reasons, _ = packed([{"messages": chat[:2]}, {"messages": chat}], tmp_path, **options)
    assert (len(documents), len(reasons)) == (1, 1)


def test_counts_and_the_template_alone_know_each(tmp_path):
    chat = [{"role": role, "content": "xy"} for role in ("user", "assistant", "user", "assistant")]
    path = write(tmp_path / "a.jsonl", line({"messages": chat}))
    report = pack(path, tmp_path / "out", template="chatml", train_on="each", format="megatron")
    counts = bloomdata.count(path, tokenizer="bytes", append_eos=True, template="chatml", train_on="each")
    assert (counts.documents, counts.tokens) == (1, report.ledger["tokens_in"])
    with pytest.raises(ConfigError, match=r"train_on: expected one of .*'all', 'last'"):
        bloomdata.ChatTemplate("chatml", train_on="each")
