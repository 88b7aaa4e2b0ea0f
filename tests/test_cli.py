"""The command line: same names and defaults as Python, errors, exit status, output for scripts."""

from __future__ import annotations

import argparse
import inspect
import json
import shlex
import subprocess
import sys

import pytest

import bloomdata
from bloomdata.cli import main
from bloomdata.cli.derive import DESCRIPTIONS, read_docs
from bloomdata.cli.parser import parse, parser_of
from bloomdata.cli.verbs import VERBS, load

# Options of the program itself.
OWN = {argparse.SUPPRESS, "help", "quiet", "json", "html", "by", "option", "set", "dry_run", "prompt", "refusal"}
OWN |= {"moderation_labels", "moderation_threshold", "moderation_samples", "log_moderation", "log_moderated_text"}
PUBLIC = {name: verb for name, verb in VERBS.items() if verb.function is not None}


def options_of(name):
    return {action.dest: action for action in parser_of(name)._actions if action.dest not in OWN}


@pytest.mark.parametrize("name", PUBLIC)
def test_options_defaults_and_help_are_those_of_the_python_function(name):
    parameters = dict(inspect.signature(load(PUBLIC[name].function)).parameters)
    for left_out in ("on_progress", "on_step", "on_line", "variables", "options", "loading"):
        parameters.pop(left_out, None)
    options = options_of(name)
    if parameters.pop("executor", None):
        # Who runs parts: on the command line, ways of our own.
        assert [options.pop(option).default for option in ("local", "ray", "finish", "joined")] == [
            None,
            None,
            False,
            False,
        ]
    # Options of a description stand for one parameter, and are not there unless they are given.
    for described in [parameter for parameter in parameters if parameter in DESCRIPTIONS]:
        assert parameters.pop(described).default is None
        place, _ = DESCRIPTIONS[described]
        fields = inspect.signature(load(place.removeprefix("bloomdata."))).parameters
        own = {option: options.pop(option) for option in list(options) if option.startswith(f"{described}.")}
        assert own.keys() == {f"{described}.", *(f"{described}.{field}" for field in fields)}
        assert all(action.default is argparse.SUPPRESS and action.help for action in own.values())
    if PUBLIC[name].hands_on:  # of another function
        options = {option: action for option, action in options.items() if option in parameters}
    assert {option: action.default for option, action in options.items()} == {
        option: None if parameter.default is parameter.empty else parameter.default
        for option, parameter in parameters.items()
    }
    assert all(action.help for action in options.values())


@pytest.mark.parametrize("name", VERBS)
def test_help_shows_one_line_of_usage_and_two_examples_at_least(name, capsys):
    with pytest.raises(SystemExit) as exit_:
        main([name, "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert exit_.value.code == 0
    assert lines[0].startswith(f"usage: bloomdata-cli {name}")
    assert lines[1] == ""
    examples = lines[lines.index("examples:") + 1 :]
    assert sum(line.startswith("  ") and f"bloomdata-cli {name}" in line for line in examples) >= 2
    assert not any("`" in line for line in lines[: lines.index("examples:")])


@pytest.mark.parametrize("name", PUBLIC)
def test_the_examples_of_help_parse(name):
    for line in read_docs(load(PUBLIC[name].function)).examples:
        words = shlex.split(line)
        program = next(place for place, word in enumerate(words) if word in {"bloomdata-cli", "bloomdata"})
        # These show something and exit.
        if not {"--list", "--explain", "--compare"} & set(words):
            assert parse(words[program + 1 :]).verb == name


MISTYPED = {
    "--seq-length": "--sequence-length",  # Megatron-LM
    "--max_seq_length": "--sequence-length",  # generative_data_prep
    "--tokenizer-name-or-path": "--tokenizer",  # datatrove
    "--append-eod": "--append-eos",
    "--workers": "--num-threads",
    "--sequence-lenght": "--sequence-length",
    "--text_field": "--text-field",
    "--output_folder": "--output",
}


@pytest.mark.parametrize("given", MISTYPED)
def test_a_mistyped_option_names_the_nearest_one_under_the_usage_of_its_verb(given, capsys):
    for arguments in (["pack", "a", "-o", "b", "--tokenizer", "bytes", given, "8"], ["pack", "a", given, "8"]):
        with pytest.raises(SystemExit) as exit_:
            main(arguments)
        error = capsys.readouterr().err
        assert exit_.value.code == 2
        assert error.startswith("usage: bloomdata-cli pack INPUTS... --output FOLDER --tokenizer TOKENIZER [options]\n")
        assert f"{given} (did you mean {MISTYPED[given]}?)" in error


def test_a_mistyped_verb_names_the_nearest_one(capsys):
    with pytest.raises(SystemExit):
        main(["shrad", "raw"])
    assert "got 'shrad' (did you mean shard?)" in capsys.readouterr().err


def test_json_output_is_one_object_for_scripts(raw, capsys):
    assert main(["shard", "raw", "-o", "out", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["manifest"]["ledger"]["documents_kept"] == 2
    assert report["was_finished"] is False


def test_quiet_prints_nothing(raw, capsys):
    assert main(["shard", "raw", "-o", "out", "-q"]) == 0
    assert capsys.readouterr() == ("", "")


def test_an_error_names_its_class_and_exits_with_one(raw, capsys):
    (raw / "b.jsonl").write_text('{"text": "x"}\n{"text": \n')
    assert main(["shard", "raw", "-o", "out"]) == 1
    error = capsys.readouterr().err
    assert "CorruptDataError" in error
    assert "b.jsonl: line 2: offset 14: malformed JSON" in error


def test_errors_speak_of_flags(raw, capsys):
    (raw / "b.jsonl").write_text("bad\n")
    assert main(["shard", "raw", "-o", "out"]) == 1
    assert "(--on-bad-record quarantine sets such records aside)" in capsys.readouterr().err
    (raw / "b.jsonl").unlink()
    assert main(["shard", "raw", "-o", "out"]) == 0
    assert main(["shard", "raw", "-o", "out", "--max-lines", "5"]) == 1
    assert "(--overwrite starts anew)" in capsys.readouterr().err
    assert main(["pack", "raw", "-o", "p", "--tokenizer", "bytes", "--sequence-length", "0"]) == 1
    assert "ConfigError: --sequence-length: " in capsys.readouterr().err
    with pytest.raises(bloomdata.MismatchError, match="overwrite=True starts anew"):
        bloomdata.shard("raw", "out", max_lines=5)


def test_wrong_usage_exits_with_two(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["shard"])
    assert exit_.value.code == 2


def test_several_text_fields_replace_the_default(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text('{"q": "x", "a": "y"}\n')
    arguments = ["--tokenizer", "bytes", "--format", "megatron", "--text-field", "q", "a", "-q"]
    assert main(["pack", str(tmp_path / "a.jsonl"), "-o", str(tmp_path / "out"), *arguments]) == 0
    assert sorted(path.name for path in (tmp_path / "out").glob("*.bin")) == [
        "data_a_document.bin",
        "data_q_document.bin",
    ]


def test_python_m_bloomdata_is_the_same_program():
    command = [sys.executable, "-m", "bloomdata", "--version"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.startswith(f"bloomdata-cli {bloomdata.__version__}")


@pytest.mark.parametrize("code", ["import bloomdata", "from bloomdata.cli.parser import parser_of; parser_of('pack')"])
def test_imports_load_no_heavy_package(code):
    heavy = ("torch", "datasets", "fsspec", "h5py", "numpy", "rich")
    check = f"import sys; {code}; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_progress_is_reported_and_its_exceptions_stop_the_run(raw):
    seen = []
    bloomdata.shard("raw", "out", on_progress=lambda *counts: seen.append(counts))
    assert seen[-1][0] == seen[-1][1] > 0

    def fail(*_):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        bloomdata.shard("raw", "out-2", on_progress=fail)


def test_options_of_near_duplicates_are_explained_without_reading_anything(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["dedup", "--explain", "--threshold", "0.8"])
    assert exit_.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith("21 bands of 6 rows")
    assert "0.80      0.9983" in shown
    with pytest.raises(SystemExit) as exit_:
        main(["dedup", "--threshold", "1.5", "--explain"])
    assert exit_.value.code == 2


def test_an_option_of_a_description_asks_for_it(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text('{"text":"one two three four five six seven"}\n' * 2)
    assert main(["dedup", str(tmp_path / "a.jsonl"), "-o", str(tmp_path / "out"), "--threshold", "0.7", "--json"]) == 0
    manifest = json.loads(capsys.readouterr().out)["manifest"]
    assert manifest["config"]["near"]["threshold"] == 0.7
    assert manifest["config"]["repeated"] is None
