"""Judged answers: every form gives the same pairs, pairs stay pairs, and of each row the answer alone is trained on."""

import json
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata import _core
from bloomdata.datasets.preferences import PreferenceDataset
from bloomdata.errors import ConfigError, CorruptDataError
from chat_runs import BYTES
from chats import SOURCES
from files import everything_in, write
from message_runs import line
from reference import preferences as reference

words = st.text("ab é", min_size=1, max_size=6).map(lambda text: f"<{text}>")


def message(role, content):
    return {"role": role, "content": content}


@st.composite
def canonical(draw):
    """A prompt of one or several turns and two answers, now and then of several turns, equal or empty."""
    turns = [one for _ in range(draw(st.integers(0, 2))) for one in ("user", "assistant")]
    prompt = [message(role, draw(words)) for role in ["system"] * draw(st.integers(0, 1)) + [*turns, "user"]]
    answers = []
    for _ in range(2):
        roles = draw(st.sampled_from([["assistant"]] * 4 + [["assistant", "user", "assistant"]]))
        answers.append([message(role, draw(words)) for role in roles])
    kind = draw(st.integers(0, 9))
    if kind == 0:
        answers[1] = answers[0]
    if kind == 1:
        answers[draw(st.integers(0, 1))] = [message("assistant", draw(st.sampled_from(["", " \n"])))]
    return {"prompt": prompt, "chosen": answers[0], "rejected": answers[1]}


def share(messages):
    return [
        {"from": {"user": "human", "assistant": "gpt"}.get(one["role"], one["role"]), "value": one["content"]}
        for one in messages
    ]


def spoken(messages):
    names = {"user": "\n\nHuman: ", "assistant": "\n\nAssistant: "}
    return "".join(names[one["role"]] + one["content"] for one in messages)


def forms_of(record):
    """The same in all the forms that can say it."""
    prompt, chosen, rejected = record["prompt"], record["chosen"], record["rejected"]
    whole = {"chosen": prompt + chosen, "rejected": prompt + rejected}
    system, turns = ([], prompt) if prompt[0]["role"] != "system" else (prompt[:1], prompt[1:])
    beside = {"system": system[0]["content"]} if system else {}
    forms = [record, {"conversations": share(prompt), "chosen": share(chosen), "rejected": share(rejected)}]
    forms.append({"prompt": turns, "chosen": chosen, "rejected": rejected, **beside})
    if chosen[0] != rejected[0]:
        forms += [whole, whole | {"prompt": prompt[-1]["content"], "messages": prompt + chosen, "score_chosen": 1.5}]
        if not system and all(one["content"].strip() for one in chosen + rejected):
            forms.append({"chosen": spoken(prompt + chosen), "rejected": spoken(prompt + rejected)})
    if len(chosen) == len(rejected) == 1:
        texts = {"chosen": chosen[0]["content"], "rejected": rejected[0]["content"]}
        history = [[turns[at]["content"], turns[at + 1]["content"]] for at in range(0, len(turns) - 1, 2)]
        forms.append({"instruction": turns[-1]["content"], "input": "", "history": history, **texts, **beside})
        if len(turns) == 1:
            forms += [
                {"prompt": turns[0]["content"], **texts, **beside},
                {"question": turns[0]["content"], **texts, **beside},
            ]
        if not system:
            forms.append({"prompt": spoken(prompt) + "\n\nAssistant:", **texts})
    return forms


def read(records, judgement="compared"):
    return json.loads(
        _core.read_records(
            json.dumps({"source": "preference", "judgement": judgement}), [json.dumps(one) for one in records]
        )
    )


@settings(max_examples=150)
@given(canonical())
def test_all_forms_of_a_pair_say_the_same(record):
    dropped = reference.outcome(record)
    expected = {"dropped": dropped} if dropped else {"documents": [record]}
    for form, outcome in zip(forms_of(record), read(forms_of(record)), strict=True):
        assert outcome == expected, form


@settings(max_examples=25)
@given(data=st.data())
def test_rows_and_books_of_pairs_equal_the_oracle(data):
    records = data.draw(st.lists(canonical(), max_size=6))
    length = data.draw(st.sampled_from([32, 48, 64, 160]))
    written = [data.draw(st.sampled_from(forms_of(record))) for record in records]
    expected, dropped, cut = [], {}, 0
    for record in records:
        reason, made = reference.outcome(record), None
        if reason is None:
            made = reference.rows(record["prompt"], [record["chosen"], record["rejected"]], length)
            reason = None if made else "no room for the answer"
        if made:
            expected.append(made[0])
            cut += made[1]
        else:
            dropped[reason] = dropped.get(reason, 0) + 1
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "a.jsonl", b"".join(map(line, [*written, {"chosen": "a"}])))
        options = {"template": "chatml", "sequence_length": length, "on_bad_record": "quarantine"}
        report = pack(path, Path(folder) / "out", rows_per_file=2, **options)
        bloomdata.verify(report.folder)
        pairs = bloomdata.open(report.folder)
        found = [[row_of(pairs.rows[2 * at + number]) for number in range(2)] for at in range(len(pairs))]
        batches = list(pairs)
    assert found == expected
    ledger = report.ledger
    assert (ledger["documents_in"], ledger["documents_kept"]) == (len(records) + 1, len(expected))
    assert ledger["documents_dropped"] == dropped
    assert sum(ledger["documents_quarantined"].values()) == 1
    [entry] = report.manifest["inputs"]
    assert entry.get("prompt_tokens_cut", 0) == cut
    # What trainers get: the same prompt before both answers, and labels of the answers alone.
    for batch, pair in zip(batches, expected, strict=True):
        for name, (ids, types) in zip(("chosen", "rejected"), pair, strict=True):
            assert batch[f"{name}_input_ids"].tolist() == ids
            assert batch[f"{name}_attention_mask"].tolist() == [int(kind != 2) for kind in types]
            labels = [token if kind in (1, 3) else -100 for token, kind in zip(ids, types, strict=True)]
            assert batch[f"{name}_labels"].tolist() == labels
        prompts = [ids[: types.index(1)] for ids, types in pair]
        assert prompts[0] == prompts[1]


def row_of(row):
    return row["input_ids"].tolist(), row["token_type_ids"].tolist()


def pack(inputs, output, **options):
    run = {"record": "preference", "tokenizer": "bytes", "num_threads": 2, "allow_empty": True}
    return bloomdata.pack(inputs, output, **(run | options))


GOOD = {"prompt": "q", "chosen": "good", "rejected": "bad"}
BAD = {
    "answer different prompts": {
        "chosen": [message("user", "a"), message("assistant", "x")],
        "rejected": [message("user", "b"), message("assistant", "x")],
    },
    "another prompt than the one in chosen and rejected": {
        "prompt": "other",
        "chosen": [message("user", "a"), message("assistant", "x")],
        "rejected": [message("user", "a"), message("assistant", "y")],
    },
    "messages say something else": GOOD | {"messages": [message("user", "q"), message("assistant", "else")]},
    "there is no prompt": {"chosen": "a", "rejected": "b"},
    'no field "rejected"': {"prompt": "q", "chosen": "a"},
    "prompt and instruction are both prompts": GOOD | {"instruction": "q"},
    "would be lost": GOOD | {"tools": [{"name": "f"}]},
    "begin and end with a message of the assistant, found one of the user": GOOD
    | {"chosen": [message("assistant", "a"), message("user", "b")]},
    "the prompt ends with an answer": GOOD | {"prompt": [message("user", "a"), message("assistant", "b")]},
    "unknown|expected a role": GOOD | {"chosen": [message("robot", "a")]},
}


@pytest.mark.parametrize("told", BAD)
def test_what_is_no_pair_is_refused_by_its_place(told, tmp_path):
    path = write(tmp_path / "a.jsonl", line(GOOD) + line(BAD[told]))
    with pytest.raises(CorruptDataError, match=rf"line 2: .*({told})"):
        pack(path, tmp_path / "out", template="chatml", sequence_length=64)


def test_a_template_that_renders_the_prompt_in_two_ways_is_refused(tmp_path):
    template = "{{ messages[-1].content | length }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    path = write(tmp_path / "a.jsonl", line(GOOD))
    with pytest.raises(CorruptDataError, match=r"does not render|front of message|prompt of both answers"):
        pack(path, tmp_path / "out", template=template, sequence_length=64)


def test_earlier_answers_may_be_rewritten_since_they_are_context(tmp_path):
    prompt = [message("user", "a"), message("assistant", "<think>\nwell\n</think>\n\nb"), message("user", "c")]
    path = write(tmp_path / "a.jsonl", line({"prompt": prompt, "chosen": "good", "rejected": "bad"}))
    report = pack(path, tmp_path / "out", template=SOURCES["thinking"], sequence_length=256)
    [pair] = list(bloomdata.open(report.folder))
    for name, answer in (("chosen", "good"), ("rejected", "bad")):
        text = bytes(token for token in pair[f"{name}_input_ids"].tolist() if token < 256).decode()
        assert "well" not in text
        trained = bytes(token for token in pair[f"{name}_labels"].tolist() if 0 <= token < 256).decode()
        assert trained == f"<think>\n\n</think>\n\n{answer}<|im_end|>"


def test_labelled_answers_have_a_row_and_a_label_each(tmp_path):
    records = [
        {"prompt": "q", "completion": "good", "label": True},
        {"prompt": [message("user", "q")], "completion": [message("assistant", "bad")], "label": 0},
        {"messages": [message("user", "q"), message("assistant", "fine")], "kto_tag": True},
        {"prompt": "q", "completion": " ", "label": True},
        {"prompt": "q", "completion": "x" * 90, "label": True},
        {"prompt": "q", "completion": "a", "label": "yes"},
    ]
    path = write(tmp_path / "a.jsonl", b"".join(map(line, records)))
    options = {"template": "chatml", "sequence_length": 64, "on_bad_record": "quarantine"}
    report = pack(path, tmp_path / "out", record="unpaired_preference", **options)
    answers = bloomdata.open(report.folder)
    told = [bytes(token for token in one["labels"].tolist() if 0 <= token < 256).decode() for one in answers]
    assert [(text, bool(one["label"])) for text, one in zip(told, answers, strict=True)] == [
        ("good<|im_end|>", True),
        ("bad<|im_end|>", False),
        ("fine<|im_end|>", True),
    ]
    expected = [
        reference.rows([message("user", "q")], [[message("assistant", text)]], 64) for text in ("good", "bad", "fine")
    ]
    assert [row_of(row) for row in answers.rows] == [made[0][0] for made in expected]
    assert report.ledger["documents_dropped"] == {"empty answer": 1, "no room for the answer": 1}
    assert report.ledger["documents_quarantined"] == {"not of the source's form": 1}
    bloomdata.verify(report.folder)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"format": "megatron", "sequence_length": None}, "format: expected 'hdf5'"),
        ({"packing": "greedy"}, 'packing: .*expected "single::drop"'),
        ({"rows_per_file": 3}, "rows_per_file: .*expected an even number"),
        ({"train_on": "last"}, "train_on: .*trained on as a whole"),
        ({"source": "dolly"}, "source: expected none with record='preference', got 'dolly'"),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused_by_name(options, told, tmp_path):
    path = write(tmp_path / "a.jsonl", line(GOOD))
    with pytest.raises(ConfigError, match=told):
        pack(path, tmp_path / "out", **({"template": "chatml", "sequence_length": 64} | options))


def test_what_prepare_writes_packs_to_the_same_rows_with_any_number_of_threads(tmp_path):
    chosen = {"chosen": [message("user", "q"), message("assistant", "a")]}
    records = [GOOD, chosen | {"rejected": [message("user", "q"), message("assistant", "b")]}] * 3000
    records = [record | {"id": number} for number, record in enumerate(records)]
    path = write(tmp_path / "a.jsonl", b"".join(map(line, records)))
    bloomdata.prepare("preference", path, tmp_path / "made.jsonl")
    options = {"template": "chatml", "sequence_length": 64, "rows_per_file": 1000}
    folders = [
        pack(inputs, tmp_path / name, num_threads=threads, **options).folder
        for inputs, name, threads in ((path, "1", 1), (path, "4", 4), (tmp_path / "made.jsonl", "two", 2))
    ]
    files = [
        {name: data for name, data in everything_in(folder).items() if name.endswith("hdf5")} for folder in folders
    ]
    assert files[0] == files[1] == files[2]
    assert len(files[0]) == 12
    assert len(bloomdata.open(folders[0])) == 6000
    with pytest.raises(CorruptDataError, match='only the style "auto" keeps them apart'):
        bloomdata.prepare("preference", path, tmp_path / "text", style="text")


def test_a_chosen_answer_without_a_rejected_one_is_damage(tmp_path):
    report = pack(write(tmp_path / "a.jsonl", line(GOOD)), tmp_path / "out", template="chatml", sequence_length=64)
    pairs = bloomdata.open(report.folder)
    with pytest.raises(CorruptDataError, match="expected labels in category_ids"):
        PreferenceDataset(pairs.rows, "labelled")
    with pytest.raises(IndexError):
        pairs[1]
    assert repr(pairs) == "PreferenceDataset(1 pairs of 64 tokens)"
    shutil.rmtree(tmp_path / "out")
    one = pack(
        write(tmp_path / "b.jsonl", line({"prompt": "q", "completion": "a", "label": True})),
        tmp_path / "one",
        record="unpaired_preference",
        template="chatml",
        sequence_length=64,
    )
    with pytest.raises(CorruptDataError, match="expected two rows for each pair, found 1 in all"):
        PreferenceDataset(bloomdata.open(one.folder).rows)


def test_torch_gets_tensors_that_its_loader_batches(tmp_path):
    torch = pytest.importorskip("torch")
    from bloomdata.torch_views import TorchPreferences

    report = pack(write(tmp_path / "a.jsonl", line(GOOD) * 3), tmp_path / "out", template="chatml", sequence_length=64)
    pairs = bloomdata.open(report.folder)
    [batch] = torch.utils.data.DataLoader(TorchPreferences(pairs), batch_size=3)
    assert {name: tuple(values.shape) for name, values in batch.items()} == dict.fromkeys(pairs[0], (3, 64))
    assert BYTES.eos in batch["chosen_labels"][0].tolist()
