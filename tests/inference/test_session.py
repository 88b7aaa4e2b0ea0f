"""Chats: turns are there when an answer is complete, and not if it failed; moderation; servers with OpenAI's routes."""

from __future__ import annotations

import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from bloomdata.errors import ConfigError
from bloomdata.inference import ChatSession, Conversation, Moderation, Settings, Verdict
from bloomdata.inference.judges import open_moderation
from bloomdata.inference.streaming import Ending
from bloomdata.inference.url_backend import UrlBackend


class Echo:
    """A backend that answers with the last text, letter by letter."""

    name = "echo"

    def __init__(self, reason="end", fails=False):
        self.reason, self.fails, self.seeds, self.prompts = reason, fails, [], []

    def stream(self, conversation, settings, stopped):
        self.seeds.append(settings.seed)
        self.prompts.append(conversation.prompt())
        for letter in f" {conversation.messages[-1]['content']}\n":
            if self.fails and letter == "!":
                raise OSError("the server has gone")
            if stopped.is_set():
                return Ending("stopped", None, 1)
            yield letter
        return Ending(self.reason, 3, 4)

    def complete(self, text, settings, stopped):
        yield text
        return Ending("end")

    def num_tokens(self, conversation):
        return len(conversation.prompt()), 99


def session_of(backend=None, **options):
    mark = options.pop("mark", "")
    conversation = Conversation("human_bot", truncation_mark=mark)
    return ChatSession(backend or Echo(), conversation, Settings(seed=5), **options)


def turns(session):
    return [message["content"] for message in session.conversation.messages]


def test_a_turn_and_its_answer_are_kept_without_the_white_space_of_the_template():
    session = session_of()
    assert "".join(session.reply("Hi you")) == "Hi you"
    assert turns(session) == ["Hi you", "Hi you"]
    assert session.last.ending == Ending("end", 3, 4)
    assert session.conversation.text().endswith("<bot>: Hi you")


def test_an_empty_turn_is_a_turn():
    session = session_of()
    assert "".join(session.reply("")) == ""
    assert turns(session) == ["", ""]


def test_an_answer_that_is_cut_is_marked():
    session = session_of(Echo("length"), mark="...")
    assert "".join(session.reply("Hi")) == "Hi..."
    assert turns(session) == ["Hi", "Hi..."]


def test_stop_ends_an_answer_which_stays_as_far_as_it_came():
    session = session_of()
    pieces = []
    for piece in session.reply("abcdef"):
        pieces.append(piece)
        if len(pieces) == 2:
            assert session.is_answering
            threading.Thread(target=session.stop).start()
            session._stopped.wait(5)
    assert not session.is_answering
    assert turns(session) == ["abcdef", "ab"]
    assert session.last.ending.reason == "stopped"


def test_an_error_leaves_the_conversation_as_it_was():
    session = session_of(Echo(fails=True))
    with pytest.raises(OSError, match="gone"):
        list(session.reply("Hi!"))
    assert turns(session) == []
    list(session.reply("Hi"))
    with pytest.raises(OSError, match="gone"):
        list(session.reply("Hi!"))
    assert turns(session) == ["Hi", "Hi"]


def test_an_answer_that_is_not_read_to_its_end_leaves_no_turn():
    session = session_of()
    pieces = session.reply("Hi")
    next(pieces)
    pieces.close()
    assert turns(session) == []


def test_retry_takes_the_place_of_the_answer_with_another_seed():
    session = session_of()
    list(session.reply("Hi"))
    list(session.retry())
    list(session.retry())
    list(session.reply("Bye"))
    assert turns(session) == ["Hi", "Hi", "Bye", "Bye"]
    assert session.backend.seeds == [5, 6, 7, 5]
    session.backend.fails = True
    session.conversation.messages[-2:] = [{"role": "user", "content": "x!"}, {"role": "assistant", "content": "y"}]
    with pytest.raises(OSError, match="gone"):
        list(session.retry())
    assert turns(session) == ["Hi", "Hi", "x!", "y"]
    session.reset()
    with pytest.raises(ConfigError, match="retry: expected"):
        session.retry()


def test_passages_stand_before_the_turn_and_are_its_sources():
    class Index:
        def context(self, query, k):
            return [(f"doc-{number}", f"{query} {number}") for number in range(k)]

    session = session_of(retrieval=Index(), num_passages=2)
    list(session.reply("Where?"))
    assert session.backend.prompts == ["<human>: Where? 0\n\nWhere? 1\n<human>: Where?\n<bot>:"]
    assert session.last.sources == ("doc-0", "doc-1")
    session.num_passages = 0
    list(session.reply("Why?"))
    assert session.last.sources == ()
    assert session.conversation.messages[0] == {"role": "user", "content": "Where?"}


# --- moderation ------------------------------------------------------------------------------------------------------


def test_a_refused_turn_reaches_neither_the_model_nor_the_conversation():
    session = session_of(moderation=Moderation(judge=lambda text: "bad" in text, refusal="No."))
    assert list(session.reply("so bad")) == ["No."]
    assert session.last.ending.reason == "refused"
    assert session.backend.prompts == []
    assert turns(session) == []


def test_a_refused_answer_is_never_shown():
    judged = []

    def judge(text):
        judged.append(text)
        return len(judged) == 2

    session = session_of(moderation=Moderation(judge=judge, refusal="No."))
    assert list(session.reply("Hi")) == ["No."]
    assert turns(session) == []
    assert list(session.reply("Hi")) == ["Hi"]


def test_labels_and_threshold_decide():
    verdicts = iter(
        [Verdict("bad", 0.4), Verdict("bad", 0.5), Verdict("good", 1.0), [Verdict("x", 1), Verdict("bad", 1)]]
    )
    moderation = Moderation(judge=lambda _: next(verdicts), labels=("bad",))
    assert [moderation.refuses("", "prompt") for _ in range(4)] == [False, True, False, True]


def test_decisions_are_logged_without_the_text_unless_asked(caplog):
    caplog.set_level(logging.INFO, "bloomdata.moderation")
    for logs_text in (False, True):
        Moderation(judge=lambda text: True, logs_text=logs_text).refuses("secret", "prompt")
    assert caplog.messages == ["prompt refused: refused 1.000", "prompt refused: refused 1.000: 'secret'"]


def test_a_judge_is_found_by_its_place(tmp_path):
    assert open_moderation("builtins:bool").refuses("x", "prompt")
    for place, message in {
        "builtins:nothing": "builtins:nothing: ",
        "no_such_module:judge": "No module named",
        str(tmp_path): "expected a folder of a model, or module:function",
    }.items():
        with pytest.raises(ConfigError, match=message):
            open_moderation(place)
    with pytest.raises(ConfigError, match="threshold: expected 0 to 1"):
        open_moderation("builtins:bool", threshold=2)


# --- servers ---------------------------------------------------------------------------------------------------------


class Server(BaseHTTPRequestHandler):
    """OpenAI's routes, as far as a chat needs them; answers with what it was asked."""

    asked: ClassVar[list[tuple[str, dict, str | None]]] = []

    def do_GET(self):
        self._send(200, json.dumps({"data": [{"id": "a-model"}]}).encode())

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append((self.path, body, self.headers["Authorization"]))
        if "top_k" in body:
            self._send(422, json.dumps({"detail": "no top_k here"}).encode())
            return
        is_chat = self.path.endswith("chat/completions")
        text = body["messages"][-1]["content"] if is_chat else body["prompt"]
        choices = [{"delta": {"content": piece}} if is_chat else {"text": piece} for piece in text.split("|")]
        choices.append({"delta": {}, "finish_reason": "length"})
        lines = [": a comment\n\n", *(f"data: {json.dumps({'choices': [choice]})}\n\n" for choice in choices)]
        if text == "broken":
            lines = ['data: {"error": {"message": "out of memory"}}\n\n']
        self._send(200, "".join([*lines, "data: [DONE]\n\n"]).encode())

    def _send(self, status, content):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def url():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_is_asked_with_the_turns_and_the_settings_that_were_given(url):
    backend = UrlBackend(url, api_key="key")
    assert backend.name == "a-model"
    settings = Settings(temperature=0.5, max_new_tokens=7, stop=("x",), seed=3)
    session = ChatSession(backend, Conversation(None, system="S"), settings)
    assert list(session.reply("Hé| you")) == ["Hé", " you"]
    assert session.last.ending == Ending("length", None, 2)
    path, body, key = Server.asked[-1]
    assert (path, key) == ("/v1/chat/completions", "Bearer key")
    turns = [{"role": "system", "content": "S"}, {"role": "user", "content": "Hé| you"}]
    given = {"temperature": 0.5, "max_tokens": 7, "stop": ["x"], "seed": 3}
    assert body == {"model": "a-model", "stream": True, "messages": turns, **given}
    assert "".join(session.complete("Once")) == "Once"
    assert "".join(session.complete("On|ce x and y")) == "Once "


def test_what_a_server_refuses_is_an_error_in_its_words(url):
    session = ChatSession(UrlBackend(url), Conversation(None), Settings(top_k=3))
    with pytest.raises(OSError, match=r"422 .*no top_k here"):
        list(session.reply("Hi"))
    session.settings = Settings()
    with pytest.raises(OSError, match="out of memory"):
        list(session.reply("broken"))
    assert session.conversation.messages == []


def test_a_server_that_is_not_there_is_an_error():
    with pytest.raises(OSError, match="cannot be reached"):
        UrlBackend("http://127.0.0.1:9/v1")
    with pytest.raises(ConfigError, match="url: expected http"):
        UrlBackend("localhost:8000")


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("temperature", value) for value in (-1, float("nan"), float("inf"))),
        *(("top_p", value) for value in (0, 1.1)),
        *(("top_k", -1), ("repetition_penalty", 0), ("max_new_tokens", 0), ("seed", -1), ("stop", [""])),
    ],
)
def test_settings_out_of_their_range_are_refused(name, value):
    with pytest.raises(ConfigError, match=f"{name}: expected"):
        Settings(**{name: value})


def test_settings_are_changed_one_by_one():
    settings = Settings(temperature=0.8).but(top_p=0.9, temperature=None)
    assert (settings.temperature, settings.top_p) == (0.8, 0.9)
    assert settings.set("temperature", None) == Settings(top_p=0.9)
    with pytest.raises(ConfigError, match="setting: expected one of"):
        settings.but(temprature=1)
