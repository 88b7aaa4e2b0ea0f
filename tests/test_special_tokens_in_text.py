"""Special tokens that texts hold are text, or tokens, or refused; what a template writes is always a token."""

import json
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

import bloomdata
from bloomdata.errors import ConfigError, CorruptDataError
from chats import SOURCES
from files import write
from message_runs import line, text_of
from preparing import quarantine_in
from reference.articles import PROMPT
from small_tokenizers import (
    MARK,
    Join,
    added_token,
    byte_fallback_bpe,
    byte_level_bpe,
    prepend_and_replace,
)

SPECIAL = ["<|im_start|>", "<|im_end|>", "</s>", "<s>"]
# Whole, cut, inside each other, and one that is added but not special.
WORDS = [*SPECIAL, *SPECIAL, "<|im_", "end|>", "<|im_<|im_end|>end|>", "</s", ">", "<plain>", "<plain></s>"]
WORDS += ["a", "é ", " ", "\n", "中", "<", "aa"]
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map("".join)


class Both(NamedTuple):
    """A tokenizer as `pack` takes it, and the package's, to which special tokens are tokens or text."""

    path: Path
    tokens: Tokenizer
    text: Tokenizer
    ids: dict[str, int]


def both_of(definition: dict[str, Any], folder: Path, **flags: bool) -> Both:
    size = len(definition["model"]["vocab"])
    ids = {name: size + at for at, name in enumerate([*SPECIAL, "<plain>"])}
    definition["added_tokens"] = [
        added_token(number, name, special=name in SPECIAL, **(flags if name in SPECIAL else {}))
        for name, number in ids.items()
    ]
    folder.mkdir()
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(definition))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>", "bos_token": "<s>"}))
    tokens, text = (Tokenizer.from_file(str(path)) for _ in range(2))
    text.encode_special_tokens = True
    return Both(path, tokens, text, ids)


def bos_first(size: int) -> dict[str, Any]:
    return {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [size + 3], "tokens": ["<s>"]}},
    }


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizers")
    joins = [Join(at, 3 * at + 1) for at in range(40)]

    def byte_level(**parts: Any) -> dict[str, Any]:
        return byte_level_bpe(joins, alphabet="aé中 <|im_end>/s", **parts)

    marks = byte_fallback_bpe(known=MARK + "aé中<|im_startend>/\n", normalizer=prepend_and_replace())
    return {
        "byte level": both_of(byte_level(), folder / "plain"),
        "with BOS": both_of(byte_level(post_processor=bos_first(len(byte_level()["model"]["vocab"]))), folder / "bos"),
        "normalized": both_of(byte_level(), folder / "normalized", normalized=True),
        "stripping": both_of(byte_level(), folder / "stripping", lstrip=True, rstrip=True),
        "Llama's": both_of(marks, folder / "marks"),
        "the package's own": both_of(
            byte_level(pre_tokenizer={"type": "Whitespace"}, decoder=None), folder / "reference"
        ),
    }


NAMES = ["byte level", "with BOS", "normalized", "stripping", "Llama's", "the package's own"]


def documents_of(folder: Path) -> list[list[int]]:
    data = bloomdata.IndexedDataset(str(folder / "data_text_document"))
    return [data[at].tolist() for at in range(len(data))]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10)
@given(data=st.lists(texts, min_size=1, max_size=8))
def test_ids_of_texts_are_those_of_the_package_with_and_without_split_special_tokens(name, data, tokenizers):
    tokenizer = tokenizers[name]
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "a.jsonl", b"".join(line({"text": text}) for text in data))
        for how, theirs in (("text", tokenizer.text), ("token", tokenizer.tokens), (None, tokenizer.tokens)):
            options = {"special_tokens_in_text": how} if how else {}
            report = bloomdata.pack(
                path, Path(folder) / str(how), tokenizer=tokenizer.path, format="megatron", append_eos=False, **options
            )
            expected = [theirs.encode(text).ids for text in data]
            assert documents_of(report.folder) == [ids for ids in expected if ids]
            [entry] = report.manifest["inputs"]
            found = [sum(id_ in special_ids(tokenizer) for id_ in tokenizer.tokens.encode(text).ids) for text in data]
            found = [count - (name == "with BOS") for count in found]
            assert entry.get("special_tokens_in_text", 0) == sum(found)
            assert entry.get("documents_with_special_tokens", 0) == sum(count > 0 for count in found)


def special_ids(tokenizer: Both) -> set[int]:
    return {tokenizer.ids[name] for name in SPECIAL}


def chatml_ids(tokenizer: Both, chat, encode) -> list[int]:
    """The marks of the template are tokens; what is between them is encoded by itself."""
    ids = []
    for message in chat:
        ids += [tokenizer.ids["<|im_start|>"], *encode(f"{message['role']}\n{message['content']}")]
        ids += [tokenizer.ids["<|im_end|>"], *encode("\n")]
    return ids[: len(ids) - len(encode("\n"))]


@pytest.mark.parametrize(
    "template", ["chatml", SOURCES["default_system"], SOURCES["thinking"]], ids=["built in", "Jinja", "run"]
)
@pytest.mark.parametrize("name", ["byte level", "with BOS", "normalized", "Llama's"])
@settings(max_examples=6)
@given(data=st.lists(st.tuples(texts, texts), min_size=1, max_size=3))
def test_no_text_of_a_conversation_forges_a_turn(name, template, data, tokenizers):
    tokenizer = tokenizers[name]
    roles = ("system", "user", "assistant")
    system = [{"role": "system", "content": "a"}]
    contents = [text for two in data for text in two]
    chat = system + [{"role": roles[1 + at % 2], "content": f"({text})"} for at, text in enumerate(contents)]
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "a.jsonl", line({"messages": chat}))
        options = {"tokenizer": tokenizer.path, "template": template, "format": "megatron", "train_on": "last"}
        report = bloomdata.pack(path, Path(folder) / "out", **options)
        [ids] = documents_of(report.folder)
        types = bloomdata.IndexedDataset(str(report.folder / "data_text_token_types"))[0].tolist()
    assert ids.count(tokenizer.ids["<|im_start|>"]) == len(chat)
    assert ids.count(tokenizer.ids["<|im_end|>"]) == len(chat)
    [entry] = report.manifest["inputs"]
    finder = Tokenizer.from_file(str(tokenizer.path))
    counts = [
        sum(id_ in special_ids(tokenizer) for id_ in finder.encode(text, add_special_tokens=False).ids)
        for text in contents
    ]
    assert entry.get("special_tokens_in_text", 0) == sum(counts)
    assert entry.get("documents_with_special_tokens", 0) == (sum(counts) > 0)
    if template != SOURCES["thinking"]:
        assert ids == chatml_ids(
            tokenizer, chat, lambda text: tokenizer.text.encode(text, add_special_tokens=False).ids
        )
    # The mask ends with the answer and begins behind the last mark of a turn.
    first = len(types) - types[::-1].index(PROMPT) if PROMPT in types else 0
    assert tokenizer.ids["<|im_start|>"] not in ids[first:]
    assert ids[first:].count(tokenizer.ids["<|im_end|>"]) == 1


CHAT = [{"role": "user", "content": "a<|im_end|>"}, {"role": "assistant", "content": "</s>a"}]


def test_conversations_may_ask_for_tokens_and_pay_for_it_with_forged_turns(tokenizers, tmp_path):
    tokenizer = tokenizers["byte level"]
    path = write(tmp_path / "a.jsonl", line({"messages": CHAT}))
    options = {"tokenizer": tokenizer.path, "template": "chatml", "format": "megatron"}
    report = bloomdata.pack(path, tmp_path / "out", special_tokens_in_text="token", **options)
    [ids] = documents_of(report.folder)
    assert ids == chatml_ids(tokenizer, CHAT, lambda text: tokenizer.tokens.encode(text).ids)
    assert report.manifest["inputs"][0]["special_tokens_in_text"] == 2
    assert "special tokens in texts" in str(report)


@pytest.mark.parametrize("kind", ["text", "messages", "prompt_completion"])
def test_records_with_special_tokens_can_be_refused(kind, tokenizers, tmp_path):
    records = {
        "text": ({"text": "a"}, {"text": "a</s>"}),
        "messages": ({"messages": [CHAT[0] | {"content": "a"}, CHAT[1] | {"content": "a"}]}, {"messages": CHAT}),
        "prompt_completion": ({"prompt": "a", "completion": "a"}, {"prompt": "a", "completion": "</s>a"}),
    }
    path = write(tmp_path / "a.jsonl", b"".join(map(line, records[kind])))
    options = {"tokenizer": tokenizers["byte level"].path, "format": "megatron", "record": kind}
    options |= {"template": "chatml"} if kind == "messages" else {}
    options |= {"special_tokens_in_text": "refuse"}
    with pytest.raises(
        CorruptDataError, match=r"line 2: .* special tokens of the tokenizer \(special_tokens_in_text\)"
    ):
        bloomdata.pack(path, tmp_path / "out", **options)
    report = bloomdata.pack(path, tmp_path / "set aside", on_bad_record="quarantine", **options)
    assert report.ledger["documents_quarantined"] == {"special tokens in text": 1}
    assert [entry["reason"] for entry in quarantine_in(report.folder)] == ["special tokens in text"]
    assert "special_tokens_in_text" not in report.manifest["inputs"][0]


def test_prompts_and_completions_may_be_text_but_not_inside_a_template(tokenizers, tmp_path):
    tokenizer = tokenizers["byte level"]
    path = write(tmp_path / "a.jsonl", line({"prompt": "a<s>", "completion": " </s>a"}))
    options = {"tokenizer": tokenizer.path, "format": "megatron", "record": "prompt_completion"}
    report = bloomdata.pack(path, tmp_path / "out", special_tokens_in_text="text", **options)
    encode = lambda text: tokenizer.text.encode(text).ids  # noqa: E731
    assert documents_of(report.folder) == [[*encode("a<s>"), *encode(" </s>a"), tokenizer.ids["</s>"]]]
    assert report.manifest["inputs"][0]["special_tokens_in_text"] == 2
    with pytest.raises(ConfigError, match=r'special_tokens_in_text: .*expected "token"'):
        bloomdata.pack(path, tmp_path / "b", special_tokens_in_text="text", template="chatml", **options)
    with pytest.raises(ConfigError, match="special_tokens_in_text: expected one of"):
        bloomdata.pack(path, tmp_path / "c", special_tokens_in_text="split", **options)


def test_tokens_that_an_option_adds_are_tokens_wherever_they_stand(tokenizers, tmp_path):
    tokenizer = tokenizers["byte level"]
    chat = [{"role": "user", "content": "<image></s>"}, {"role": "assistant", "content": "a"}]
    path = write(tmp_path / "a.jsonl", line({"messages": chat}))
    options = {"tokenizer": tokenizer.path, "template": "chatml", "format": "megatron", "special_tokens": ["<image>"]}
    report = bloomdata.pack(path, tmp_path / "out", **options)
    [ids] = documents_of(report.folder)
    assert ids.count(max(tokenizer.ids.values()) + 1) == 1
    assert tokenizer.ids["</s>"] not in ids[:-1]
    assert report.manifest["inputs"][0]["special_tokens_in_text"] == 1


def test_a_template_that_writes_a_special_token_in_another_way_is_refused(tokenizers, tmp_path):
    template = "{% for m in messages %}<s>{{ m.content | replace('<|im_end|>', 'a') }}<|im_end|>{% endfor %}"
    path = write(tmp_path / "a.jsonl", line({"messages": CHAT}))
    options = {"tokenizer": tokenizers["byte level"].path, "template": template, "format": "megatron"}
    with pytest.raises(CorruptDataError, match="holds a special token, and the template does not write it as it is"):
        bloomdata.pack(path, tmp_path / "out", train_on="last", **options)


def test_calls_of_tools_and_their_descriptions_forge_no_turn(tokenizers, tmp_path):
    tokenizer = tokenizers["byte level"]
    call = {"type": "function", "function": {"name": "f", "arguments": {"x": "<|im_end|>"}}}
    chat = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "<|im_start|>"},
        {"role": "assistant", "content": "a"},
    ]
    tools = [{"name": "f", "description": "</s>"}]
    path = write(tmp_path / "a.jsonl", line({"messages": chat, "tools": tools}))
    options = {"tokenizer": tokenizer.path, "template": SOURCES["thinking"], "format": "megatron"}
    report = bloomdata.pack(path, tmp_path / "out", train_on="each", **options)
    ends = [ids.count(tokenizer.ids["<|im_end|>"]) for ids in documents_of(report.folder)]
    assert ends == [3, 5]  # the tools, the question, and the turns since
    assert all(tokenizer.ids["</s>"] not in ids[:-1] for ids in documents_of(report.folder))
    assert report.manifest["inputs"][0]["special_tokens_in_text"] == 3


def test_the_package_itself_cannot_tell_both_kinds_apart_in_a_conversation(tokenizers, tmp_path):
    path = write(tmp_path / "a.jsonl", line({"messages": CHAT}))
    options = {"tokenizer": tokenizers["the package's own"].path, "template": "chatml", "format": "megatron"}
    with pytest.raises(CorruptDataError, match="which this tokenizer cannot tell from those of the template"):
        bloomdata.pack(path, tmp_path / "out", **options)
    report = bloomdata.pack(path, tmp_path / "tokens", special_tokens_in_text="token", **options)
    assert report.ledger["documents_kept"] == 1


def test_counts_are_those_of_pack_and_bytes_know_no_special_tokens(tokenizers, tmp_path):
    path = write(tmp_path / "a.jsonl", line({"text": "a</s></s>"}))
    options = {"tokenizer": tokenizers["byte level"].path, "append_eos": True}
    for how in ("text", "token"):
        report = bloomdata.pack(path, tmp_path / how, format="megatron", special_tokens_in_text=how, **options)
        counts = bloomdata.count(path, special_tokens_in_text=how, **options)
        assert counts.tokens == report.ledger["tokens_in"]
    chat = write(tmp_path / "b.jsonl", line({"messages": [CHAT[0] | {"content": "<eos>"}, CHAT[1]]}))
    report = bloomdata.pack(chat, tmp_path / "bytes", tokenizer="bytes", template="chatml", format="megatron")
    [ids] = documents_of(report.folder)
    assert "<eos>" in text_of((ids, ids))
    assert ids.count(258) == 1
