"""What the page shows for a message: raw text, its sources, errors, and nothing of other tabs."""

from __future__ import annotations

import json

import pytest
from scripted_backend import ScriptedBackend

from bloomdata import retrieval
from bloomdata.cli import main
from bloomdata.errors import ConfigError
from bloomdata.inference import ChatSession, Conversation
from bloomdata.inference.moderation import Moderation
from bloomdata.inference.presets import Settings
from bloomdata.inference.web_answers import WebAnswers, text_of, turns_of

DEFAULTS = ("", True, None, None, None, None, None)


def answers_of(backend, *, is_single_turn=False, **options):
    session = ChatSession(backend, Conversation("chatml"), Settings(), **options)
    return WebAnswers(session, is_single_turn=is_single_turn)


def ask(answers, text, history=(), values=DEFAULTS):
    """All that is shown, and the history with it, as gradio keeps it."""
    shown = list(answers.answer(text, list(history), *values))
    turns = [{"role": "user", "content": text}, *shown[-1]]
    parts = [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in turns]
    return shown, [*history, *parts]


def test_an_answer_grows_and_is_kept_as_it_is():
    backend = ScriptedBackend()
    answers = answers_of(backend)
    text = "<b>bold</b> & <human>: *x*\n```\n<i>"
    shown, history = ask(answers, text)
    contents = [messages[0]["content"] for messages in shown]
    assert contents[:3] == ["You", "You said:", f"You said: {text}"]
    assert contents[-1] == f"You said: {text}; 1 turns, seed 0"
    shown, _ = ask(answers, "again", history)
    assert backend.asked[1][0] == [
        {"role": "user", "content": text},
        {"role": "assistant", "content": contents[-1]},
        {"role": "user", "content": "again"},
    ]
    assert shown[-1][0]["content"].endswith("3 turns, seed 1")


def test_fields_of_the_page_are_settings():
    backend = ScriptedBackend()
    answers = answers_of(backend)
    ask(answers, "a", values=("Be kind.", False, 0.5, 0.9, 40, 1.2, 7))
    ask(answers, "a", values=(" \n", False, None, None, None, None, None))
    (_, system, settings), (_, none, other) = backend.asked
    assert (system, none) == ("Be kind.", None)
    assert settings.but(seed=0) == Settings(
        temperature=0.5, top_p=0.9, top_k=40, repetition_penalty=1.2, max_new_tokens=7
    )
    assert settings.seed != other.seed
    shown, _ = ask(answers, "a", values=("", False, -1, None, None, None, None))
    assert shown[-1][0]["metadata"]["title"] == "Error"
    assert "temperature: expected 0 or more" in shown[-1][0]["content"]


@pytest.mark.parametrize(
    ("text", "reason"), [("fail", "the server is not there"), ("bug", "ZeroDivisionError: a fault")]
)
def test_an_error_is_a_message_that_the_model_never_sees(text, reason, caplog):
    backend = ScriptedBackend()
    answers = answers_of(backend)
    _, history = ask(answers, "first")
    shown, history = ask(answers, text, history)
    assert shown[-1] == [{"role": "assistant", "content": reason, "metadata": {"title": "Error"}}]
    ask(answers, "next", history)
    assert [turn["content"] for turn in backend.asked[-1][0]][::2] == ["first", "next"]
    assert bool(caplog.records) == (text == "bug")


def test_a_single_turn_knows_no_others():
    backend = ScriptedBackend()
    answers = answers_of(backend, is_single_turn=True)
    _, history = ask(answers, "first")
    ask(answers, "second", history)
    assert [turn["content"] for turn in backend.asked[1][0]] == ["second"]


def test_sources_are_listed_below_an_answer(tmp_path):
    (tmp_path / "docs.jsonl").write_text(json.dumps({"text": "The archive of Oslo was founded in 1501."}) + "\n")
    retrieval.build(tmp_path / "docs.jsonl", tmp_path / "index")
    backend = ScriptedBackend()
    answers = answers_of(backend, retrieval=retrieval.open(tmp_path / "index"))
    shown, history = ask(answers, "When was the archive of Oslo founded?")
    answer, sources = shown[-1]
    assert "1 turns" in answer["content"]
    assert sources["metadata"] == {"title": "Sources"}
    assert sources["content"] == f"{tmp_path}/docs.jsonl:1#0\nThe archive of Oslo was founded in 1501."
    ask(answers, "next", history, ("", False, None, None, None, None, None))
    assert [turn["content"] for turn in backend.asked[1][0]][1] == answer["content"]
    shown, _ = ask(answers, "When?", history, ("", False, None, None, None, None, None))
    assert len(shown[-1]) == 1


def test_what_is_refused_is_not_answered():
    backend = ScriptedBackend()
    moderation = Moderation(judge=lambda text: "bad" in text, refusal="No.")
    shown, _ = ask(answers_of(backend, moderation=moderation), "something bad")
    assert shown[-1][0]["content"] == "No."
    assert backend.asked == []


def test_a_second_request_waits_and_says_so():
    backend = ScriptedBackend()
    answers = answers_of(backend)
    first = answers.answer("slow", [], *DEFAULTS)
    next(first)
    second = answers.answer("hello", [], *DEFAULTS)
    assert next(second)[0]["metadata"]["title"] == "Waiting"
    first.close()
    assert backend.ended == ["closed"]
    assert next(second)[0]["content"] == "You"
    second.close()


def test_histories_become_turns():
    user, assistant = ({"role": role, "content": role} for role in ("user", "assistant"))
    note = {**assistant, "metadata": {"title": "Error"}}
    plain = {**assistant, "metadata": {"title": None}}
    assert turns_of([]) == []
    assert turns_of([user]) == []
    assert turns_of([user, note, user, plain, note]) == [user, assistant]
    assert text_of([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, "c"]) == "abc"


def test_gradio_is_named_where_it_is_missing(monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "gradio", None)
    assert main(["web", "--url", "http://127.0.0.1:1/v1"]) == 1
    assert "web needs gradio: pip install 'bloomdata[chat]'" in capsys.readouterr().err
    from bloomdata.inference.web import require_gradio

    with pytest.raises(ConfigError, match="web needs gradio"):
        require_gradio()
