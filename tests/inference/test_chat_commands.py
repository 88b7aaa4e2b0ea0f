"""The commands of a chat, one by one."""

from __future__ import annotations

import json

import pytest
from test_session import Echo, session_of

from bloomdata.cli.chat_commands import Commands, Leave


class Terminal:
    """A chat without a terminal: what it shows, line by line."""

    def __init__(self, **options):
        self.session = session_of(**options)
        self.lines = []
        self.commands = Commands(self.session, lambda pieces: self.lines.append("".join(pieces)), self.lines.append)

    def __call__(self, line):
        self.lines.clear()
        self.commands.run(line)
        return "\n".join(self.lines)


@pytest.fixture
def chat():
    return Terminal()


def test_a_line_is_a_turn_and_say_takes_what_begins_with_a_slash(chat):
    assert chat("Hi") == "Hi"
    assert chat("/say /etc") == "/etc"
    assert chat("") == ""
    assert len(chat.session.conversation.messages) == 6


def test_raw_say_leaves_the_conversation_alone(chat):
    assert chat("/raw_say Once upon") == "Once upon"
    assert chat.session.conversation.messages == []


def test_raw_prompt_undo_retry_and_reset(chat):
    chat("Hi")
    assert chat("/raw_prompt") == "<human>: Hi\n<bot>: Hi"
    assert chat("/retry") == "Hi"
    assert chat("/undo") == "Removed: Hi"
    assert chat("/undo") == "There is nothing to remove."
    assert chat("/retry").startswith("error: retry: expected")
    chat("Hi")
    chat("/reset")
    assert chat.session.conversation.messages == []


def test_settings_are_shown_and_changed(chat):
    chat("/set temperature 0.5")
    chat("/set max-new-tokens 9")
    chat('/set stop ["a", "b"]')
    shown = chat("/hyperparameters")
    assert "temperature         0.5" in shown
    assert "top_p               as the model says" in shown
    assert "stop                ('a', 'b')" in shown
    chat("/set temperature none")
    assert chat.session.settings.temperature is None
    for line, said in {
        "/set temprature 1": "did you mean temperature?",
        "/set temperature hot": "expected a number or none, got 'hot'",
        "/set top_p 2": "top_p: expected more than 0",
        "/set": "there is no setting ''",
    }.items():
        assert said in chat(line)


def test_an_unknown_command_names_the_nearest(chat):
    assert chat("/rest") == "There is no command /rest. Did you mean /reset?"
    assert chat("/xyz") == "There is no command /xyz. /help lists all."
    assert chat("/run x") == "There is no command /run. /help lists all."


def test_help_lists_all_commands(chat):
    shown = chat("/help")
    assert shown == chat("/?")
    names = (
        "say raw_say raw_prompt reset retry undo hyperparameters set system template save load retrieval tokens quit"
    )
    assert all(f"  /{name} " in shown for name in names.split())


def test_a_saved_chat_is_read_by_pack_and_loaded_again(chat, tmp_path):
    import bloomdata

    path = tmp_path / "chat.jsonl"
    chat("/system Be kind.")
    chat("Hi")
    assert chat(f"/save {path}") == f"Saved 3 messages to {path}."
    chat("Bye")
    assert chat(f"/save {path}") == f"Saved 5 messages to {path}."
    report = bloomdata.pack(path, tmp_path / "packed", tokenizer="bytes", template="human_bot", sequence_length=128)
    assert report.ledger["documents_kept"] == 1
    other = Terminal()
    assert other(f"/load {path}") == f"Loaded 5 messages from {path}."
    assert other("/raw_prompt") == chat("/raw_prompt")
    assert "was not written by this chat" in other(f"/save {path}")
    path.write_text("[", "utf-8")
    assert "expected a line of JSON" in other(f"/load {path}")
    assert "No such file" in other(f"/load {tmp_path / 'none'}")
    assert json.loads(json.dumps(other.session.conversation.to_record()))["messages"][0]["role"] == "system"


def test_retrieval_is_switched(chat):
    class Index:
        def context(self, query, k):
            return [(str(number), "text") for number in range(k)]

    assert "this chat has no index" in chat("/retrieval on")
    chat.session.retrieval = Index()
    assert chat("/retrieval k=2") == "Passages for each turn: 2."
    assert chat("Hi") == "Hi\n(sources: 0, 1)"
    assert chat("/retrieval off") == "Passages for each turn: 0."
    assert chat("/retrieval on") == "Passages for each turn: 3."
    assert "expected on, off or k=3" in chat("/retrieval x")


def test_how_an_answer_ended_is_said():
    chat = Terminal(backend=Echo("length"))
    assert chat("Hi") == "Hi\n(cut after 4 tokens; /set max_new_tokens N allows more)"
    assert "Last answer: 4 tokens" in chat("/tokens")
    assert "of 99 tokens" in chat("/tokens")


def test_errors_are_shown_and_the_chat_goes_on():
    chat = Terminal(backend=Echo(fails=True))
    assert chat("Hi!") == "error: the server has gone"
    assert chat("Hi") == "Hi"
    assert chat("/template llama2").startswith("error: template: ")


def test_text_that_is_not_utf8_is_an_error(chat):
    assert "surrogates not allowed" in chat("Hi \udcff")
    assert chat.session.conversation.messages == []


def test_control_characters_do_not_reach_the_terminal(chat):
    chat("Hi \x1b[2J")
    assert "\x1b" not in chat("/raw_prompt")


def test_quit_leaves(chat):
    with pytest.raises(Leave):
        chat("/quit")
