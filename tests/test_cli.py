"""The command line: same names and defaults as Python, errors, exit status, output for scripts."""

from __future__ import annotations

import argparse
import inspect
import json
import subprocess
import sys

import pytest

import bloomdata
from bloomdata.cli import main
from bloomdata.cli.parser import build_parser

OWN = {argparse.SUPPRESS, "help", "inputs", "output", "quiet", "json", "html", "folder", "by"}


@pytest.mark.parametrize("verb", ["fetch", "shard", "pack", "count", "merge", "verify"])
def test_options_and_defaults_are_those_of_the_python_function(verb):
    parser = next(action for action in build_parser()._actions if action.dest == "verb").choices[verb]
    options = {action.dest: action.default for action in parser._actions if action.dest not in OWN}
    parameters = inspect.signature(getattr(bloomdata, verb)).parameters
    expected = {
        name: parameter.default
        for name, parameter in parameters.items()
        if name not in {"inputs", "sources", "output", "folder", "on_progress"}
    }
    if verb in {"pack", "count"}:
        expected["tokenizer"] = None  # required in both
        expected["text_field"] = [expected["text_field"]]
    assert options == expected


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


@pytest.mark.parametrize("code", ["import bloomdata", "from bloomdata.cli.parser import build_parser; build_parser()"])
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
