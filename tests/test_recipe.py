"""`run`: recipes of steps."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import bloomdata
from bloomdata.cli import main
from bloomdata.errors import ConfigError

RECIPES = Path(__file__).parents[1] / "recipes"
OASST1 = [
    {"message_id": "1", "parent_id": None, "role": "prompter", "text": "Hi?", "lang": "en"},
    {"message_id": "2", "parent_id": "1", "role": "assistant", "text": "Hello.", "lang": "en"},
    {"message_id": "3", "parent_id": "2", "role": "prompter", "text": "And?", "lang": "en"},
]
DOLLY = [{"instruction": f"Count to {n}.", "context": "", "response": " ".join(map(str, range(n)))} for n in range(9)]


def write_lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture
def sources(tmp_path):
    oasst1 = write_lines(tmp_path / "oasst1.jsonl", OASST1)
    dolly = write_lines(tmp_path / "dolly.jsonl", DOLLY)
    return {"oasst1": str(oasst1), "dolly": str(dolly), "tokenizer": "bytes"}


def recipe(path, text):
    path.write_text(text)
    return path


def test_the_recipe_of_bloomchat_makes_rows_of_both_sources(sources, tmp_path):
    reports = bloomdata.run(RECIPES / "bloomchat.toml", folder=tmp_path / "out", variables=sources)
    assert [type(report).__name__ for report in reports] == [
        "PrepareReport",
        "PrepareReport",
        "PackReport",
        "Verification",
    ]
    rows = bloomdata.open(tmp_path / "out" / "packed")
    tokenizer = bloomdata.Tokenizer("bytes")
    ids, types = rows[0]["input_ids"], rows[0]["token_type_ids"]
    text = tokenizer.decode(ids[types != 2].tolist())
    assert text.startswith("<human>: Hi?\n<bot>: Hello.<eos><human>: Count to 0.\n<bot>: <eos><human>: Count to 1.")
    trained = tokenizer.decode(ids[(types == 1) | (types == 3)].tolist())
    assert trained.startswith(" Hello.<eos> <eos> 0<eos> 0 1<eos>")


def test_a_second_run_does_nothing_and_gives_the_same(sources, tmp_path):
    first = bloomdata.run(RECIPES / "bloomchat.toml", folder=tmp_path / "out", variables=sources)
    second = bloomdata.run(RECIPES / "bloomchat.toml", folder=tmp_path / "out", variables=sources)
    assert [report.manifest for report in first[:3]] == [report.manifest for report in second[:3]]


def test_a_killed_run_goes_on_with_the_same_bytes(sources, tmp_path):
    write_lines(Path(sources["dolly"]), DOLLY * 20_000)
    command = [sys.executable, "-m", "bloomdata", "run", str(RECIPES / "bloomchat.toml"), "--quiet"]
    command += [part for name, value in sources.items() for part in ("--set", f"{name}={value}")]

    def run(folder):
        return subprocess.Popen([*command, "--folder", str(folder)])

    assert run(tmp_path / "whole").wait() == 0
    for _ in range(4):
        process = run(tmp_path / "killed")
        time.sleep(0.4)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert run(tmp_path / "killed").wait() == 0
    packed = [f"packed/{path.name}" for path in (tmp_path / "whole" / "packed").iterdir() if path.suffix == ".hdf5"]
    assert packed
    for name in ("oasst1.jsonl.zst", "dolly.jsonl.zst", *packed):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes(), name


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expected at least one .*step"),
        ("step = 1", "expected at least one .*step"),
        ("[[step]\n", "line 1"),
        ("other = 1\n[[step]]\nverb = 'shard'", "expected `variables` and `step`, found 'other'"),
        ("[[step]]\nverb = 'fly'", "step 1: verb: expected one of .*, found 'fly'"),
        ("[[step]]\nverb = 'shard'\ninputs = 'a'", r"step 1 \(shard\): expected the option 'output'"),
        (
            "[[step]]\nverb = 'shard'\ninputs = 'a'\noutput = 'b'\nmax_line = 1",
            "expected options of shard, found 'max_line'",
        ),
        (
            "[[step]]\nverb = 'prepare'\nsource = 'dolly'\ninputs = 'a'\noutput = 'b'\nlang = 'en'",
            "expected options of prepare, found 'lang'",
        ),
        ("[variables]\na = 1\n[[step]]\nverb = 'shard'", "variables.*: expected strings"),
    ],
)
def test_a_recipe_that_is_wrong_anywhere_does_nothing(text, reason, tmp_path):
    good = "[[step]]\nverb = 'shard'\ninputs = ['raw.jsonl']\noutput = 'shards'\n"
    write_lines(tmp_path / "raw.jsonl", DOLLY)
    with pytest.raises(ConfigError, match=reason):
        bloomdata.run(recipe(tmp_path / "r.toml", text))
    if text.startswith("[[step]]\n"):
        with pytest.raises(ConfigError, match=reason.replace("step 1", "step 2")):
            bloomdata.run(recipe(tmp_path / "r.toml", good + text))
        assert not (tmp_path / "shards").exists()


def test_an_unknown_variable_is_refused(tmp_path):
    path = recipe(tmp_path / "r.toml", "[[step]]\nverb = 'shard'\ninputs = ['x']\noutput = 'y'\n")
    with pytest.raises(ConfigError, match=r"variables: expected some of .*, got 'z'"):
        bloomdata.run(path, variables={"z": "1"})


def test_inputs_of_earlier_steps_are_in_the_folder_and_others_where_the_program_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_lines(tmp_path / "raw.jsonl", DOLLY)
    text = (
        "[[step]]\nverb = 'shard'\ninputs = ['raw.jsonl']\noutput = 'shards'\nmax_lines = 2\n"
        "[[step]]\nverb = 'shard'\ninputs = ['shards/part-00000.jsonl.zst']\noutput = 'again'\n"
    )
    reports = bloomdata.run(recipe(tmp_path / "r.toml", text), folder="work")
    assert [report.ledger["documents_kept"] for report in reports] == [9, 2]
    assert (tmp_path / "work" / "again" / "manifest.json").exists()


def test_the_command_shows_steps_reports_and_lines_of_json(sources, tmp_path, capsys):
    words = ["run", str(RECIPES / "bloomchat.toml"), "--folder", str(tmp_path / "out")]
    words += [part for name, value in sources.items() for part in ("--set", f"{name}={value}")]
    assert main([*words, "--dry-run"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in shown] == ["step 1", "step 2", "step 3", "step 4"]
    assert not (tmp_path / "out").exists()
    assert main([*words, "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["verb"] for line in lines] == ["prepare", "prepare", "pack", "verify"]
    assert main(words) == 0
    assert "trained on" in capsys.readouterr().out
    assert main([*words, "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_the_recipe_of_fineweb_makes_tokens_of_what_is_new_and_clean(tmp_path):
    row = " ".join(f"word{number}" for number in range(25))
    page = " ".join(f"page{number}" for number in range(60))
    texts = [page, page + " again", f"Quiz: {row.upper()}!", "something else entirely, all by itself"]
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (tmp_path / "evals").mkdir()
    (tmp_path / "evals" / "quiz.jsonl").write_text(json.dumps({"id": "q", "text": row}) + "\n")
    values = {"raw": str(tmp_path / "raw"), "evaluations": str(tmp_path / "evals"), "tokenizer": "bytes"}
    reports = bloomdata.run(RECIPES / "fineweb-like.toml", folder=tmp_path / "out", variables=values)
    assert reports[1].ledger["documents_dropped"] == {"near duplicate": 1}
    assert reports[2].ledger["documents_dropped"] == {"contaminated": 1}
    assert reports[3].ledger["documents_kept"] == 2
