"""Options of `prepare`: what is refused and how it is said, inputs that are not there, and the command line."""

import json

import pytest

import bloomdata
from bloomdata.cli import main
from bloomdata.errors import ConfigError, MismatchError
from files import everything_in, write
from test_prepare_bad import DOLLY, LINE, lines_in


@pytest.fixture
def source(tmp_path):
    return write(tmp_path / "in" / "dolly.jsonl", DOLLY)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"source": "dolli"}, "source: expected one of .*'dolly'.*, got 'dolli'"),
        ({"end_on": "assistant"}, "end_on: expected an option of dolly"),
        ({"style": "chat"}, "style: expected one of .*, got 'chat'"),
        ({"sampling": "tail"}, "sampling: expected one of .*, got 'tail'"),
        ({"missing": "ignore"}, "missing: expected one of .*, got 'ignore'"),
        ({"on_bad_record": "drop"}, "on_bad_record: expected one of .*, got 'drop'"),
        ({"repeat": {"dolli.jsonl": 2}}, 'repeat: expected the name of an input, got "dolli.jsonl"'),
        ({"repeat": {"in/dolly.jsonl": 2}}, "expected the name of an input"),
        ({"repeat": {"[": 2}}, "repeat: "),
        ({"repeat": {"*": -1}}, r"repeat of \*: expected a whole number .*, got -1"),
        ({"repeat": {"*": 1.5}}, r"repeat of \*: expected a whole number .*, got 1\.5"),
        ({"max_rows_per_input": -1}, "max_rows_per_input: expected a whole number .*, got -1"),
        ({"max_rows_per_input": True}, "max_rows_per_input: expected a whole number .*, got True"),
        ({"template": "chatml"}, "template: expected only with style='text'"),
        ({"template_date": "2026-01-31", "style": "messages"}, "template: expected only with style='text'"),
        ({"style": "text", "template": "no_such"}, "template: .*no_such"),
        ({"max_lines": 0}, "max_lines: "),
        ({"splits": {"train": 0.5}}, "splits: "),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused_by_name_before_anything_is_written(arguments, told, source, tmp_path):
    arguments = {"source": "dolly"} | arguments
    with pytest.raises(ConfigError, match=told):
        bloomdata.prepare(arguments.pop("source"), source, tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_a_wrong_value_of_an_option_of_the_source_is_refused(tmp_path):
    path = write(tmp_path / "a.jsonl", b"")
    with pytest.raises(ConfigError, match=r"end_on|anywhere"):
        bloomdata.prepare("oasst1", path, tmp_path / "out", end_on="anywhere")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("style", "prompt_completion"),
        ("ensure_ascii", True),
        ("max_rows_per_input", 1),
        ("sampling", "reservoir"),
        ("repeat", {"*": 2}),
        ("shuffle", True),
        ("seed", 1),
        ("max_lines", 3),
        ("on_bad_record", "quarantine"),
    ],
)
def test_a_rerun_with_another_option_is_refused_and_the_option_is_named(option, value, source, tmp_path):
    bloomdata.prepare("dolly", source, tmp_path / "out")
    with pytest.raises(MismatchError, match=option):
        bloomdata.prepare("dolly", source, tmp_path / "out", **{option: value})
    with pytest.raises(MismatchError, match="verb: expected prepare, found shard"):
        bloomdata.shard(source, tmp_path / "out")


# --- inputs that are not there ---------------------------------------------------------------------------------


def test_an_input_that_is_not_there_is_an_error_or_is_reported(source, tmp_path):
    inputs = [source, str(tmp_path / "gone.jsonl")]
    with pytest.raises(FileNotFoundError, match=r"gone\.jsonl"):
        bloomdata.prepare("dolly", inputs, tmp_path / "out")
    report = bloomdata.prepare("dolly", inputs, tmp_path / "out", missing="report")
    assert lines_in(report.folder) == [LINE]
    assert report.manifest["config"]["prepare"]["missing_inputs"] == [str(tmp_path / "gone.jsonl")]
    assert report.manifest["details"]["missing_inputs"] == [str(tmp_path / "gone.jsonl")]
    assert "missing_inputs" not in bloomdata.prepare("dolly", source, tmp_path / "whole").manifest["details"]
    assert "gone.jsonl" in str(report)
    assert "gone.jsonl" in json.dumps(bloomdata.Report.open(report.folder).to_json())


def test_a_missing_input_that_came_since_is_another_call(source, tmp_path):
    inputs = [source, str(tmp_path / "late.jsonl")]
    bloomdata.prepare("dolly", inputs, tmp_path / "out", missing="report")
    write(tmp_path / "late.jsonl", DOLLY + b"\n")
    with pytest.raises(MismatchError):
        bloomdata.prepare("dolly", inputs, tmp_path / "out", missing="report")


def test_nothing_there_at_all_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.jsonl"):
        bloomdata.prepare("dolly", tmp_path / "gone.jsonl", tmp_path / "out", missing="report")


@pytest.mark.parametrize("pattern", ["in/*.jsonl", "in/{dolly,other}.jsonl", "in/d?lly.{jsonl,json}", "**/dol*", "in"])
def test_patterns_that_fit_something_are_not_missing(pattern, source, tmp_path):
    inputs = [f"{tmp_path}/{pattern}", f"{tmp_path}/in/{{gone,lost}}.jsonl"]
    report = bloomdata.prepare("dolly", inputs, tmp_path / "out", missing="report")
    assert report.manifest["config"]["prepare"]["missing_inputs"] == inputs[1:]
    assert report.ledger["documents_kept"] == 1


def test_a_repeat_may_name_a_missing_input_but_no_other(source, tmp_path):
    inputs = [source, str(tmp_path / "gone.jsonl")]
    bloomdata.prepare("dolly", inputs, tmp_path / "out", missing="report", repeat={"gone.jsonl": 5})
    with pytest.raises(ConfigError, match="expected the name of an input"):
        bloomdata.prepare("dolly", inputs, tmp_path / "other", missing="report", repeat={"typo.jsonl": 5})


# --- the command line ------------------------------------------------------------------------------------------


def test_the_list_names_every_source_with_its_options_and_licence(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["prepare", "--list"])
    assert exit_.value.code == 0
    told = capsys.readouterr().out
    for source in bloomdata.SOURCES.values():
        assert f"{source.name}: {source.title}" in told
        assert source.licence in told
        assert all(f"{name}=" in told for name in source.options)


def test_options_of_the_source_and_repeats_are_parsed(tmp_path, capsys):
    messages = [
        {"message_id": "a", "parent_id": None, "role": "prompter", "text": "q", "lang": "en", "rank": None},
        {"message_id": "b", "parent_id": "a", "role": "assistant", "text": "1st", "lang": "en", "rank": 1},
        {"message_id": "c", "parent_id": "a", "role": "assistant", "text": "2nd", "lang": "en", "rank": 0},
        {"message_id": "d", "parent_id": "c", "role": "prompter", "text": "why?", "lang": "en", "rank": 0},
        {"message_id": "e", "parent_id": None, "role": "prompter", "text": "f", "lang": "de", "rank": 0},
    ]
    path = write(tmp_path / "a.jsonl", b"".join(json.dumps(message).encode() + b"\n" for message in messages))
    options = ["--option", "best=rank", "--option", 'lang=["en"]', "--option", "end_on=assistant"]
    command = ["prepare", "oasst1", path, "-o", str(tmp_path / "out"), *options, "--repeat", "a.jsonl=3", "--json"]
    assert main(command) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["manifest"]["config"]["prepare"]["repeat"] == {"a.jsonl": 3}
    found = lines_in(tmp_path / "out")
    assert [[message["content"] for message in line["messages"]] for line in found] == [["q", "2nd"]] * 3
    same = bloomdata.prepare(
        "oasst1", path, tmp_path / "same", best="rank", lang=["en"], end_on="assistant", repeat={"a.jsonl": 3}
    )
    assert everything_in(same.folder) == everything_in(tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (["--option", "end_on"], 2),
        (["--repeat", "x"], 2),
        (["--repeat", "x=y"], 1),
        (["--option", "sauce=1"], 1),
        (["--template-variables", "[]"], 2),
        (["--style", "chat"], 2),
    ],
    ids=str,
)
def test_options_that_cannot_be_parsed_are_wrong_usage_and_others_an_error(options, status, source, tmp_path, capsys):
    command = ["prepare", "dolly", source, "-o", str(tmp_path / "out"), *options]
    try:
        found = main(command)
    except SystemExit as exit_:
        found = exit_.code
    assert found == status
    assert capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_report_the_books_and_the_lines_can_be_looked_at(source, tmp_path, capsys):
    assert main(["prepare", "dolly", source, "-o", str(tmp_path / "out"), "--html", str(tmp_path / "page.html")]) == 0
    assert "answers" in capsys.readouterr().out
    assert main(["verify", str(tmp_path / "out")]) == 0
    assert main(["report", str(tmp_path / "out")]) == 0
    capsys.readouterr()
    assert main(["inspect", str(tmp_path / "out")]) == 0
    assert '"Hello"' in capsys.readouterr().out


def test_progress_is_reported_and_its_exceptions_stop_the_run(source, tmp_path):
    seen = []
    bloomdata.prepare("dolly", source, tmp_path / "out", on_progress=lambda *counts: seen.append(counts))
    assert seen[-1][0] == seen[-1][1] == len(DOLLY)

    def fail(*_):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        bloomdata.prepare("dolly", source, tmp_path / "out-2", on_progress=fail)
