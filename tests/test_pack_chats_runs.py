"""Runs of `pack` over conversations: refused ones, kills, sources in one pass, counts and plans, and how they look."""

import json
import signal

import pytest

import bloomdata
from bloomdata.cli import main
from bloomdata.errors import ConfigError, CorruptDataError
from chat_runs import (
    BYTES,
    byte_level_vocabulary,
    check_counts,
    check_rows,
    expected_of,
    pack,
    record,
    tokens_and_types,
)
from faults import strike, wrong
from files import everything_in, write
from preparing import quarantine_in
from small_tokenizers import MARK, added_token, both, byte_fallback_bpe, prepend_and_replace
from test_pack_chats import CHAT
from test_prepare import chats as sharegpt

GOOD = record(CHAT)
ASKED = {"role": "user", "content": "a"}
BAD = [
    (b'{"messages": [', "malformed JSON"),
    (b"[1]", "not a JSON object"),
    (b'{"chat": []}', 'no field "messages"'),
    (b'{"messages": null}', 'no field "messages"'),
    (b'{"messages": []}', "a conversation without messages"),
    (b'{"messages": {}}', "expected a list of messages"),
    (b'{"messages": [1]}', "message 0: expected an object"),
    (b'{"messages": [{"content": "a"}]}', "message 0 has no role"),
    (b'{"messages": [{"role": "user", "content": "\xff"}]}', "UTF-8"),
    (
        b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
        "message 0 .*: a text holds .*, half of a surrogate pair",
    ),
    (record([ASKED])[:-1], "nothing in it is trained on"),
    (record([ASKED, {"role": "robot", "content": "b"}])[:-1], "message 1 has the unknown role .*robot"),
    (record([ASKED, {"role": "assistant", "content": "\ufdd1"}])[:-1], "reserved"),
]


@pytest.mark.parametrize(("raw", "told"), BAD, ids=[told for _, told in BAD])
def test_a_conversation_that_is_refused_is_named_by_file_line_and_offset(raw, told, tmp_path):
    path = write(tmp_path / "a.jsonl", GOOD + b"\n" + raw + b"\n" + GOOD)
    with pytest.raises(CorruptDataError, match=rf"a\.jsonl: line 3: offset {len(GOOD) + 1}: .*{told}"):
        pack(path, tmp_path / "out", template="human_bot", format="megatron")
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_the_quarantine_holds_refused_conversations_and_the_others_are_packed(tmp_path):
    path = write(tmp_path / "a.jsonl", b"".join(GOOD + raw + b"\n" for raw, _ in BAD))
    options = {"template": "human_bot", "format": "megatron", "on_bad_record": "quarantine"}
    report = pack(path, tmp_path / "out", **options)
    raw = [
        entry["raw"].encode() if "raw" in entry else bytes.fromhex(entry["raw_hex"])
        for entry in quarantine_in(report.folder)
    ]
    assert raw == [raw for raw, _ in BAD]
    [chat] = expected_of([CHAT], BYTES, "human_bot")
    check_counts(report, [chat if at % 2 == 0 else None for at in range(2 * len(BAD))])
    assert [tokens for tokens, _ in tokens_and_types(report.folder)] == [[token for token, _, _ in chat.article]] * len(
        BAD
    )


def test_a_template_that_tells_no_roles_apart_is_refused(tmp_path):
    path = write(tmp_path / "a.jsonl", record([ASKED, {"role": "assistant", "content": "b"}]))
    template = "{% for m in messages %}{{ m['content'] }}{% endfor %}{# roles #}"
    with pytest.raises(CorruptDataError, match=r"line 1: offset 0"):
        pack(path, tmp_path / "out", template=template + "{% generation %}{% endgeneration %}", format="megatron")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"template": "no_such"}, "template: .*no_such"),
        ({"source": "oasst1", "template": "human_bot"}, "source: .*trees"),
        ({"source": "sharegtp"}, "source: expected one of .*, got 'sharegtp'"),
        ({"source": {"source": "sharegpt", "turn": 1}}, "source: turn: expected an option of sharegpt"),
        ({"source": {"turns": "separate"}}, "source: expected one of .*, got None"),
        ({"record": "text", "template_date": "2026-01-31"}, "template_date: expected only with record='messages'"),
        ({"record": "prompt_completion", "source": "dolly"}, "source: expected only with record='messages'"),
        ({"template": "human_bot", "packing_boundary": "prompt_completion_pair"}, "kept together"),
        ({"template": "human_bot", "categories": ["a"]}, "categories"),
        ({"template": "human_bot", "train_on": "first"}, "train_on: expected one of .*, got 'first'"),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused_by_name(options, told, tmp_path):
    path = write(tmp_path / "a.jsonl", GOOD)
    with pytest.raises((ConfigError, CorruptDataError), match=told):
        pack(path, tmp_path / "out", **({"sequence_length": 8} | options))


def test_lines_of_text_hold_no_conversations(tmp_path):
    with pytest.raises(ConfigError, match="lines of text hold no messages"):
        pack(write(tmp_path / "a.txt", b"a\n"), tmp_path / "out", template="human_bot", sequence_length=8)


# --- one pass or two -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("template", ["human_bot", "chatml"])
@pytest.mark.parametrize("turns", ["joined", "separate"])
def test_packing_a_source_gives_the_files_of_prepare_and_then_pack(turns, template, tmp_path):
    content = sharegpt(40) + b'{"conversations": []}\n\n{"conversations": 1}\n' + sharegpt(9, name="é", turns=1)
    path = write(tmp_path / "a.jsonl", content)
    how = {
        "template": template,
        "sequence_length": 64,
        "packing": "greedy::truncate_left",
        "on_bad_record": "quarantine",
    }
    made = bloomdata.prepare("sharegpt", path, tmp_path / "made", turns=turns, on_bad_record="quarantine")
    two = pack(made.folder, tmp_path / "two", **how)
    one = pack(path, tmp_path / "one", source={"source": "sharegpt", "turns": turns}, **how)
    files = [
        {name: data for name, data in everything_in(report.folder).items() if name.endswith("hdf5")}
        for report in (one, two)
    ]
    assert files[0] == files[1]
    assert len(files[0]) == 1
    # The books of one pass are those of both.
    for name in ("documents_in", "documents_dropped", "documents_quarantined", "documents_kept"):
        assert one.ledger[name] == made.ledger[name], name
    for name in ("tokens_in", "tokens_out", "tokens_padding", "tokens_dropped", "tokens_truncated"):
        assert one.ledger[name] == two.ledger[name], name
    for name in ("turns", "tokens_trained", "tokens"):
        assert one.manifest["inputs"][0][name] == two.manifest["inputs"][0][name], name
    assert one.metrics == two.metrics


def test_a_source_may_be_named_on_the_command_line_with_its_options(tmp_path):
    path = write(tmp_path / "a.jsonl", sharegpt(5))
    common = ["--tokenizer", "bytes", "--template", "human_bot", "--format", "megatron", "-q"]
    separate = json.dumps({"source": "sharegpt", "turns": "separate"})
    for name, source, documents in (("joined", "sharegpt", 5), ("separate", separate, 15)):
        assert main(["pack", path, "-o", str(tmp_path / name), "--source", source, *common]) == 0
        assert len(tokens_and_types(tmp_path / name)) == documents


def test_texts_of_a_source_are_trained_on_as_a_whole(tmp_path):
    path = write(tmp_path / "a.jsonl", b'{"text": "ab"}\n{"text": "c"}\n')
    report = pack(path, tmp_path / "one", source="pile", template="human_bot", format="megatron")
    assert tokens_and_types(report.folder) == [([97, 98, BYTES.eos], [1, 1, 3]), ([99, BYTES.eos], [1, 3])]


# --- killed, counted, planned, looked at -----------------------------------------------------------------------

COMMANDS = {
    "megatron": ["--format", "megatron", "--checkpoint-seconds", "0"],
    "hdf5": ["--sequence-length", "32", "--rows-per-file", "40", "--packing", "greedy"],
    "best-fit": ["--sequence-length", "32", "--rows-per-file", "40", "--packing", "best_fit", "--window-tokens", "900"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_run_killed_at_many_changes_of_its_folder_goes_on_to_the_same_bytes(name, shim, tmp_path):
    lines = [record(CHAT[: 2 + at % 5]) for at in range(150)]  # some without an answer
    for number in range(3):
        write(tmp_path / "raw" / f"{number}.jsonl", b"".join(lines[number::3]))
    command = [
        "pack",
        "--tokenizer",
        "bytes",
        "--template",
        "human_bot",
        "--on-bad-record",
        "quarantine",
        *COMMANDS[name],
    ]
    results = strike(shim, command, tmp_path / "raw", tmp_path, 1, every=9)
    assert all(result["status"] == -signal.SIGKILL for result in results)
    assert len(results) >= 4
    assert wrong(results) == ""


@pytest.mark.parametrize("train_on", ["all", "last"])
def test_counts_and_plans_are_those_of_the_run(train_on, tmp_path):
    chats = [CHAT[: 3 + at % 4] for at in range(30)]
    path = write(tmp_path / "a.jsonl", b"".join(map(record, chats)))
    how = {"template": "chatml", "train_on": train_on}
    packing = {"sequence_length": 256, "packing": "greedy::truncate_right"}
    report = pack(path, tmp_path / "out", **how, **packing)
    check_rows(report, expected_of(chats, BYTES, "chatml", train_on=train_on), BYTES, **packing)
    counts = bloomdata.count(path, tokenizer="bytes", append_eos=True, **how)
    assert (counts.documents, counts.tokens) == (30, report.ledger["tokens_in"])
    without = bloomdata.count(path, tokenizer="bytes", record="messages", **how)
    assert without.tokens == counts.tokens - 30
    plan = bloomdata.plan(path, tokenizer="bytes", sequence_length=256, packings=[packing["packing"]], **how)
    assert plan["greedy::truncate_right"]["sequences"] == report.metrics["sequences"]


def test_count_and_plan_take_conversations_on_the_command_line(tmp_path, capsys):
    path = write(tmp_path / "a.jsonl", b"".join([record(CHAT)] * 3))
    options = ["--tokenizer", "bytes", "--template", "human_bot", "--json"]
    assert main(["count", path, *options, "--append-eos"]) == 0
    counted = json.loads(capsys.readouterr().out)
    [chat] = expected_of([CHAT], BYTES, "human_bot")
    assert counted["tokens"] == 3 * len(chat.article)
    assert main(["plan", path, *options, "--sequence-length", "64", "--packings", "greedy"]) == 0
    assert json.loads(capsys.readouterr().out)["num_documents"] == 3
    source = write(tmp_path / "b.jsonl", sharegpt(4))
    separate = json.dumps({"source": "sharegpt", "turns": "separate"})
    assert main(["count", source, *options, "--source", separate]) == 0
    assert json.loads(capsys.readouterr().out)["documents"] == 4


@pytest.mark.parametrize("format_", ["megatron", "hdf5"])
def test_inspect_shows_what_is_trained_on(format_, tmp_path, capsys):
    path = write(tmp_path / "a.jsonl", record(CHAT))
    rows = {"sequence_length": 64} if format_ == "hdf5" else {}
    pack(path, tmp_path / "out", template="human_bot", format=format_, **rows)
    assert main(["inspect", str(tmp_path / "out"), "--color", "never"]) == 0
    shown = capsys.readouterr().out.splitlines()[2:]
    assert shown[:12] == [
        "[CONTEXT 20]",
        "S",
        "<human>: Hi",
        "<bot>:",
        "[TRAINED 3]",
        " Yo",
        "[CONTEXT 19]",
        "",
        "<human>: Q?",
        "<bot>:",
        "[TRAINED 3]",
        " A!",
    ]
    assert shown[12:14] == ["[TRAINED, END 1] ========", "<eos>"]
    capsys.readouterr()
    assert main(["inspect", str(tmp_path / "out"), "--color", "always"]) == 0
    assert "\x1b[32m Yo\x1b[0m" in capsys.readouterr().out


def test_a_tokenizer_of_marks_and_bytes_is_told_by_its_own_offsets(tmp_path):
    """As Llama's: a space is put in front, characters may fall apart into bytes."""
    definition = byte_fallback_bpe(known=MARK + "ab<>:humnot\nYSiQ", normalizer=prepend_and_replace())
    size = len(definition["model"]["vocab"])
    definition["added_tokens"] = [added_token(size, "</s>", special=True)]
    theirs, ours = both(definition, tmp_path)
    chat = [{"role": "user", "content": "ab"}, {"role": "assistant", "content": "a é\n b"}]
    path = write(tmp_path / "a.jsonl", record(chat))
    report = bloomdata.pack(path, tmp_path / "out", tokenizer=ours.path, template="human_bot", format="megatron")
    [(tokens, types)] = tokens_and_types(report.folder)
    text = "<human>: ab\n<bot>: a é\n b"
    assert tokens == [*theirs.encode(text, add_special_tokens=False).ids, size]
    trained = [token for token, kind in zip(tokens[:-1], types[:-1], strict=True) if kind == 1]
    names = [theirs.id_to_token(token) for token in trained]
    assert names == [MARK, "a", MARK, "<0xC3>", "<0xA9>", "\n", MARK, "b"]
    byte_level = byte_level_vocabulary(tmp_path / "other")
    assert byte_level.encode("a")[0][1:] == (0, 1)
